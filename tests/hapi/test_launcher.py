"""The launcher's own settings, each on a real server: what hapi.md part 1 says about its traps."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.hapi.launcher import CannotStart, Hapi, running_hapi

pytestmark = pytest.mark.hapi
TOKEN = "not-a-secret"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hapi]:
    """A server with every limit set: token, three rows a page, pages that expire at once, `$export`."""
    folder = tmp_path_factory.mktemp("strict")
    with running_hapi(
        folder, token=TOKEN, page_cap=3, page_expiry=2, search_reuse=0, bulk=True, database=f"{folder}/db"
    ) as hapi:
        yield hapi


@pytest.fixture(scope="module")
def client(strict: Hapi) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"{strict.base}/", headers=headers, timeout=60) as client:
        for n in range(7):
            patient = {"resourceType": "Patient", "id": f"p{n}", "active": True}
            assert client.put(f"Patient/p{n}", json=patient).status_code == 201
        yield client


def test_without_the_token_only_metadata_answers(strict: Hapi, client: httpx.Client) -> None:
    assert httpx.get(f"{strict.base}/metadata").status_code == 200
    assert httpx.get(f"{strict.base}/Patient").status_code == 401
    assert httpx.get(f"{strict.base}/Patient", headers={"Authorization": "Bearer other"}).status_code == 401
    assert client.get("Patient").status_code == 200


def test_the_page_cap_lowers_count_without_a_word(client: httpx.Client) -> None:
    page = client.get("Patient", params={"_count": 100}).json()
    assert len(page["entry"]) == 3
    assert any(link["relation"] == "next" for link in page["link"])


def test_an_expired_page_is_gone(client: httpx.Client) -> None:
    """hapi.md 10; untouched meanwhile, since reading renews it."""
    page = client.get("Patient", params={"_count": 2}).json()
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    time.sleep(6)
    expired = client.get(following)
    assert expired.status_code == 410
    assert "may have expired" in expired.text


def test_a_raw_bar_in_a_query_is_accepted(strict: Hapi) -> None:
    """httpx would encode it, as our client does; others do not."""
    address = urlsplit(strict.base)
    connection = http.client.HTTPConnection(address.netloc)
    connection.request("GET", "/fhir/Patient?identifier=a|b", headers={"Authorization": f"Bearer {TOKEN}"})
    assert connection.getresponse().status == 200
    connection.close()


def test_export_offers_every_row_although_pages_are_capped(client: httpx.Client) -> None:
    """Trap 7: a cap in the storage settings would cut it."""
    started = client.get("$export", params={"_type": "Patient"}, headers={"Prefer": "respond-async"})
    assert started.status_code == 202
    for _ in range(60):
        polled = client.get(started.headers["Content-Location"])
        if polled.status_code != 202:
            break
        time.sleep(0.5)
    files = [one["url"] for one in polled.json()["output"] if one["type"] == "Patient"]
    lines = [
        client.get(url, headers={"Accept": "application/fhir+ndjson"}).text.splitlines() for url in files
    ]
    assert sum(len(one) for one in lines) == 7


def test_a_taken_port_ends_it_with_a_message(tmp_path: Path) -> None:
    """Trap 4: Tomcat itself would only log it, and the process hang."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = pytest.raises(CannotStart, match=f"(?s)ended with 1.*cannot listen on 127.0.0.1:{port}")
        with expected, running_hapi(tmp_path, port=port):
            pass


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.hapi.launcher import running_hapi\n"
        "with running_hapi(Path(sys.argv[1])) as hapi: print(hapi.pid, flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        os.kill(starter.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    """Whether *pid* runs; a zombie that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
