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

    def report(stage: str, done: int, total: int | None = None) -> None:
        now = clock()
        finished = total is not None and done >= total
        if finished or now - shown_at.setdefault(stage, now) >= LINE_EVERY:
            shown_at[stage] = now
            stream.write(f"{stage}: {done:,}{f' of {total:,}' if total and not finished else ''}\n")

    return report


@contextmanager
def _bars(stream: TextIO) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None = None) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=None)
            progress.update(tasks[stage], completed=done, total=total)

        yield report
