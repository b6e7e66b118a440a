"""One run, or one every so often: jitter, one run at a time, an orderly end on a signal.

The state folder's lock is taken by each run, not here: a timer of the system and `--every` may coexist.
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Unpack

import msgspec

from fhir_srs.config import Settings, parse_duration
from fhir_srs.errors import Busy, LocalIOError, UsageError
from fhir_srs.progress import Report, silent
from fhir_srs.summary import RunSummary
from fhir_srs.sync import run_sync
from fhir_srs.sync.machine import stamp
from fhir_srs.sync.options import Flags

# Up to a tenth of the interval: many sites on the same quarter of an hour would meet at one server.
_JITTER = 0.1
_LONGEST_WAIT = 30.0  # seconds: how late the run after a sleep may begin


def _nothing() -> None:
    return None


def since_boot() -> float:
    """Seconds since the machine started, its sleep included where the system tells (Linux)."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Ending:
    """Whether a signal asked us to end. The first is heeded between two pages, the second at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int | None = None

    def asked(self) -> bool:
        """Whether to end as soon as the page at hand is stored."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for *seconds* or until asked to end; whether it was asked."""
        return self._event.wait(seconds)

    def heed(self, number: int, _frame: FrameType | None) -> None:
        """Note the signal; from the second on the default action ends the process."""
        self.signal = number
        self._event.set()
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def ending() -> Iterator[Ending]:
    """Give an `Ending` that heeds SIGINT and SIGTERM while the block runs, if this is the main thread."""
    end = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield end
        return
    before = {number: signal.signal(number, end.heed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield end
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def once(settings: Settings, *, report: Report = silent, **options: Unpack[Flags]) -> RunSummary:
    """The summary of one run, *options* as in `run_sync`; ended by a signal, its exit code is 130 or 143."""
    with ending() as end:
        return _with_signal(run_sync(settings, report=report, stop=end.asked, **options), end)


def every_so_often(
    settings: Settings,
    every: str,
    *,
    report: Report = silent,
    clock: Callable[[], float] = since_boot,
    uniform: Callable[[], float] = random.random,
    beat: Callable[[], None] = _nothing,
) -> Iterator[RunSummary]:
    """
    The summary of each run, until a signal ends it; *every* is a duration such as `15m`.

    Runs start *every* apart by *clock*, which goes on while the machine sleeps; after missed starts there is
    one, not several. A run that finds the folder locked, the disk full or the server down is followed by
    the next all the same. *beat* is called whenever something goes on, at least every half minute between
    runs.
    """
    interval = seconds_of(every)
    with ending() as end:
        while not end.asked():
            began = clock()
            beat()
            yield _with_signal(_attempt(settings, _beating(report, beat), end), end)
            _wait(end, began + interval + uniform() * interval * _JITTER, clock, beat)


def _attempt(settings: Settings, report: Report, end: Ending) -> RunSummary:
    """One run; what befalls it before the server is asked is told as a run that failed."""
    started = stamp(datetime.now(UTC))
    try:
        return run_sync(settings, report=report, stop=end.asked)
    except (Busy, LocalIOError) as error:
        return RunSummary(
            run="",
            status="failed",
            started=started,
            finished=stamp(datetime.now(UTC)),
            exit_code=error.exit_code,
            error=str(error),
        )


def _beating(report: Report, beat: Callable[[], None]) -> Report:
    def told(stage: str, done: int, total: int | None = None) -> None:
        beat()
        report(stage, done, total)

    return told


def _wait(end: Ending, until: float, clock: Callable[[], float], beat: Callable[[], None]) -> None:
    """Until *until* by *clock*, or asked to end; in pieces, since a wait itself stands still in a sleep."""
    while not end.asked() and (left := until - clock()) > 0:
        beat()
        end.wait(min(left, _LONGEST_WAIT))


def _with_signal(summary: RunSummary, end: Ending) -> RunSummary:
    """*summary* with 130 or 143 where a signal cut the run short (reliability.md section 8)."""
    if summary.status != "stopped" or end.signal is None:
        return summary
    return msgspec.structs.replace(summary, exit_code=128 + end.signal)


def interval_of(settings: Settings, every: str) -> str:
    """*every* as given on the command line, else that of the settings, else nothing: one run."""
    if every or settings.sync.every is None:
        return every
    return f"{int(settings.sync.every.total_seconds())}s"


def seconds_of(every: str) -> float:
    """*every* in seconds; UsageError where it is no interval of at least a second."""
    try:
        seconds = parse_duration(every).total_seconds()
    except ValueError as error:
        raise UsageError(f"--every {error}") from None
    if seconds < 1:
        raise UsageError("--every must be at least a second")
    return seconds
