"""Faults of the test server as a stranger uses them: planned on the command line, met over HTTP."""

import time

import httpx
import pytest

from fhir_srs.cli import run as command
from fhir_srs.errors import UsageError
from fhir_srs.testing.faults import FAULTS, parse_fault
from fhir_srs.testing.server import running_server
from tests.server.patients import person, story


def test_the_list_names_every_fault_with_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["testserver", "--faults"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert {line.split()[1] for line in lines} == FAULTS.keys()
    assert all(line.split()[0][0] in "FHI" for line in lines)


def test_a_plan_that_is_none_is_a_usage_error_that_names_everything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(["testserver", "--port", "0", "--fault", "nothin,from=0,on=x,z=1"]) == 64
    said = capsys.readouterr().err
    assert all(one in said for one in ("no such fault", "option: z", "from must", "on must"))


def test_a_value_may_hold_commas_and_colons() -> None:
    planned = parse_fault("429,times=3,value=Mon, 05 Jan 2026 10:00:30 GMT")
    assert (planned.times, planned.value) == (3, "Mon, 05 Jan 2026 10:00:30 GMT")
    with pytest.raises(UsageError):
        parse_fault("429,times=many")


def test_a_fault_happens_from_the_nth_request_so_often_and_to_its_type_alone() -> None:
    plan = [parse_fault("503,on=read,type=Patient,from=2,times=2")]
    with running_server([person("a"), person("b")], faults=plan) as server, _http(server.base_url) as http:
        assert http.get("/Observation/a").status_code == 404
        assert [http.get("/Patient/a").status_code for _ in range(5)] == [200, 503, 503, 200, 200]


def test_of_two_faults_the_first_that_is_due_happens() -> None:
    plan = [parse_fault("503,on=read"), parse_fault("403,on=read")]
    with running_server([person("a")], faults=plan) as server, _http(server.base_url) as http:
        assert [http.get("/Patient/a").status_code for _ in range(2)] == [503, 403]


@pytest.mark.parametrize("name", ["reset", "cut", "garbage", "reset-after"])
def test_below_http_the_connection_breaks_and_the_next_one_is_good(name: str) -> None:
    body = person("new")
    with running_server(faults=[parse_fault(f"{name},on=write")]) as server, _http(server.base_url) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            http.put("/Patient/new", json=body)
        expected = 200 if name in {"reset-after", "cut"} else 404
        assert http.get("/Patient/new").status_code == expected


def test_a_slow_answer_is_late() -> None:
    with (
        running_server([person("a")], faults=[parse_fault("slow,value=0.2")]) as server,
        _http(server.base_url) as http,
    ):
        began = time.monotonic()
        http.get("/Patient/a")
        assert time.monotonic() - began >= 0.2


def test_a_pages_links_loop_as_planned() -> None:
    with (
        running_server(story("a"), faults=[parse_fault("loop-next")]) as server,
        _http(server.base_url) as http,
    ):
        link, seen = f"{server.base_url}/Observation?_count=1", []
        for _ in range(6):
            seen.append(link)
            links = http.get(link).json()["link"]
            link = next(one["url"] for one in links if one["relation"] == "next")
        # S, A, B, A, B, A
        assert seen[1] == seen[3] == seen[5] != seen[2] == seen[4]


@pytest.mark.parametrize("status", [409, 412])
def test_a_delete_meets_a_conflict(status: int) -> None:
    with (
        running_server([person("a")], faults=[parse_fault(str(status))]) as server,
        _http(server.base_url) as http,
    ):
        assert [http.delete("/Patient/a").status_code for _ in range(2)] == [status, 200]


def _http(base: str) -> httpx.Client:
    return httpx.Client(base_url=base, trust_env=False, timeout=10)
