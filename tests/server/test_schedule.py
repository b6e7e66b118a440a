"""Runs one after the other: an interval that is one, an orderly end on the first signal."""

import os
import signal
import threading
from pathlib import Path

import pytest

from fhir_srs.config import parse_settings
from fhir_srs.errors import UsageError
from fhir_srs.schedule import ending, every_so_often, once
from fhir_srs.testing.server import running_server
from tests.server.patients import story


@pytest.mark.parametrize("every", ["soon", "0s", "-1m", ""])
def test_an_interval_that_is_none_is_a_usage_error(tmp_path: Path, every: str) -> None:
    settings = parse_settings({"source": {"base_url": "https://x/fhir"}}, folder=tmp_path)
    with pytest.raises(UsageError) as raised:
        next(every_so_often(settings, every))
    assert raised.value.exit_code == 64


def test_the_first_signal_asks_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ending() as end:
        assert not end.asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert end.wait(5)
        assert end.asked()
        assert end.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a second one ends at once
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    asked: list[bool] = []

    def look() -> None:
        with ending() as end:
            asked.append(end.asked())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert asked == [False]


def test_runs_follow_each_other_until_a_signal_and_a_cut_run_exits_143(tmp_path: Path) -> None:
    with running_server(story("a")) as server:
        content = {
            "source": {"base_url": server.base_url, "allow_insecure_loopback": True},
            "study": {"cutoff": "2025-12-31"},
        }
        settings = parse_settings(content, folder=tmp_path)
        runs = every_so_often(settings, "1s", uniform=lambda: 0.0)
        assert [next(runs).status, next(runs).status] == ["done", "done"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert list(runs) == []

        def cut(stage: str, done: int, total: int | None = None) -> None:
            if stage.startswith("pull") and done == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        summary = once(settings, full=True, report=cut)
    assert (summary.status, summary.exit_code) == ("stopped", 143)
