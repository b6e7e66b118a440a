"""A scheduled sync as a supervisor sees it: health, JSON logs, how it ends upon signals; real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from fhir_srs.schedule import every_so_often
from fhir_srs.summary import RunSummary
from fhir_srs.sync.health import Health, answering
from fhir_srs.testing.server import RunningServer, running_server
from tests.server.patients import story
from tests.server.test_sync_crash import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_server(story("a")) as server:
        one = Site(server, tmp_path)
        yield one
        one.ward.close()


def summary(status: str, code: int = 0) -> RunSummary:
    return RunSummary(run="r", status=status, started="", finished="", exit_code=code)


def test_readiness_is_a_success_within_two_intervals_and_no_brake() -> None:
    now = [0.0]
    health = Health(60.0, clock=lambda: now[0])
    assert not health.is_ready()["ok"]
    health.ran(summary("done"))
    assert health.is_ready() == {"ok": True, "status": "done", "exit_code": 0, "finished": ""}
    now[0] = 119.0
    health.ran(summary("failed", 69))
    assert health.is_ready()["ok"]
    now[0] = 120.0
    assert not health.is_ready()["ok"]
    health.ran(summary("done"))
    health.ran(summary("stopped", 65))
    assert not health.is_ready()["ok"]


def test_life_is_a_beat_within_ten_minutes() -> None:
    now = [0.0]
    health = Health(60.0, clock=lambda: now[0])
    now[0] = 599.0
    assert health.lives()["ok"]
    now[0] = 601.0
    assert not health.lives()["ok"]
    health.beat()
    with answering(health, 0) as port:
        base = f"http://127.0.0.1:{port}"
        codes = [
            httpx.get(f"{base}/{page}", trust_env=False).status_code for page in ("livez", "readyz", "x")
        ]
    assert codes == [200, 503, 404]


def started(site: Site, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "fhir_srs", *options, "-c", str(site.path)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )


def first_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_a_served_sync_is_ready_logs_json_and_ends_upon_a_signal(site: Site) -> None:
    with answering(Health(1.0), 0) as free:
        pass
    process = started(site, "serve", "--every", "1h", "--port", str(free))
    try:
        run = json.loads(first_line(process.stdout))
        assert run["status"] == "done"
        ready = httpx.get(f"http://127.0.0.1:{free}/readyz", trust_env=False)
        assert (ready.status_code, ready.json()["ok"]) == (200, True)
        process.send_signal(signal.SIGTERM)
        _, logs = process.communicate(timeout=20)
    finally:
        process.kill()
    lines = [json.loads(line) for line in logs.splitlines()]
    answers = [line for line in lines if line["event"].startswith("answered: ")]
    assert [line["event"] for line in lines if line not in answers] == ["run began", "run ended"]
    assert {line["run_id"] for line in lines} == {run["run"]}
    assert {"answered: GET metadata", "answered: POST transaction"} <= {one["event"] for one in answers}
    for line in (*answers, lines[-1]):
        assert isinstance(line["duration_ms"], int)
    assert all(line["status"] == 200 and line["bytes"] > 0 for line in answers)
    assert process.returncode == 0  # between two runs nothing was cut short


def test_a_run_that_a_signal_cuts_short_exits_143_and_a_second_signal_ends_it_at_once(
    tmp_path: Path,
) -> None:
    with running_server([one for n in range(60) for one in story(f"p{n}")]) as server:
        site = Site(server, tmp_path)
        process = started(site, "sync", "--once")
        wait_for_requests(server, 10)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 143
        assert site.ward.results() == {}
        process = started(site, "sync", "--once")
        wait_for_requests(server, len(server.requests) + 10)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode in {143, -signal.SIGTERM}
        site.ward.close()


def wait_for_requests(server: RunningServer, number: int) -> None:
    until = time.monotonic() + 20
    while len(server.requests) < number and time.monotonic() < until:
        time.sleep(0.005)


def test_after_a_sleep_of_many_intervals_the_next_run_comes_at_once(site: Site) -> None:
    now, began = [0.0], []

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    runs = every_so_often(site.settings, "60s", clock=clock, uniform=lambda: 0.0)
    for sleep in (0.0, 600.0, 60.0):
        now[0] += sleep
        began.append(next(runs).status)
    runs.close()
    assert began == ["done", "done", "done"]


def test_a_locked_folder_is_told_and_the_next_run_comes_all_the_same(site: Site) -> None:
    from fhir_srs.store import state_folder

    runs = every_so_often(site.settings, "1s", clock=iter(range(0, 1000, 5)).__next__, uniform=lambda: 0.0)
    with state_folder(site.folder / "state"):
        busy = next(runs)
    assert (busy.status, busy.exit_code) == ("failed", 75)
    assert next(runs).status == "done"
    runs.close()
