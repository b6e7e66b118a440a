"""How a long run shows where it is: a bar on a terminal, plain lines elsewhere, always on stderr.

Only counts and stage names are shown, never a value.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO, TypeVar

Item = TypeVar("Item")
LINE_EVERY = 5.0  # seconds between two plain lines of one stage


class Report(Protocol):
    """Called with the stage, how much of it is done, and how much there is, where that is known."""

    def __call__(self, stage: str, done: int, total: int | None = None) -> None:
        """Show it, or not."""


def silent(stage: str, done: int, total: int | None = None) -> None:
    """Show nothing."""


def counted(items: Iterable[Item], stage: str, report: Report, *, every: int = 1000) -> Iterator[Item]:
    """Pass *items* through, reporting each *every* of them and the last."""
    done = 0
    for item in items:
        yield item
        done += 1
        if done % every == 0:
            report(stage, done)
    report(stage, done, done)


@contextmanager
def shown(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[Report]:
    """Give a `Report` that draws on *stream*: bars if it is a terminal, else a line every few seconds."""
    if stream.isatty():
        with _bars(stream) as report:
            yield report
    else:
        yield _lines(stream, clock)


def _lines(stream: TextIO, clock: Callable[[], float]) -> Report:
    shown_at: dict[str, float] = {}
    began: dict[str, tuple[float, int]] = {}

    def report(stage: str, done: int, total: int | None = None) -> None:
        now = clock()
        since, before = began.setdefault(stage, (now, done))
        finished = total is not None and done >= total
        if finished or now - shown_at.setdefault(stage, now) >= LINE_EVERY:
            shown_at[stage] = now
            whole = f" of {total:,}" if total and not finished else ""
            stream.write(f"{stage}: {done:,}{whole}{_rate(done - before, now - since)}\n")

    return report


def _rate(done: int, seconds: float) -> str:
    """How fast it went on average, once that can be told."""
    return f" ({done / seconds:,.0f}/s)" if seconds >= LINE_EVERY else ""


@contextmanager
def _bars(stream: TextIO) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            rate = task.finished_speed or task.speed
            return Text(f"{rate:,.0f}/s" if rate else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None = None) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=None)
            progress.update(tasks[stage], completed=done, total=total)

        yield report
