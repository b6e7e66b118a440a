"""Searches walked side by side, by as many threads as the client has connections; their pages as they come.

The threads only ask. Judging a page and storing it stay with the caller, who has one while the next are on
their way: a server is never idle because SQLite is busy. What waits is bounded, so that memory is too.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from fhir_srs.fhir.answers import Page

W = TypeVar("W")
Step = Callable[[W], Iterator[Page | Sequence[W]]]
Told = tuple[W, Page | Sequence[W] | None]


class Crew(Generic[W]):
    """
    Threads that take *step* with each piece of *work*: it gives pages, or smaller pieces to do instead.

    *threads* is also how many pages may wait to be taken.
    """

    def __init__(self, step: Step[W], work: Iterable[W], *, threads: int) -> None:
        self._step, self._work = step, iter(work)
        self._told: queue.Queue[Told[W] | BaseException | None] = queue.Queue(threads)
        self._threads = [threading.Thread(target=self._run, name="crew") for _ in range(threads)]
        self._turn = threading.Condition()
        self._parts: deque[W] = deque()
        self._busy = 0
        self._over = False

    @contextmanager
    def walking(self) -> Iterator[Iterator[Told[W]]]:
        """
        Give each piece of work with each of its pages, or with the pieces it was cut into, then with None.

        Pages of one piece come in their order, pieces in any. An exception of a step is raised where its
        page would be taken. All threads have ended on leaving.
        """
        for thread in self._threads:
            thread.start()
        try:
            yield self._taken()
        finally:
            self._end()

    def _taken(self) -> Iterator[Told[W]]:
        running = len(self._threads)
        while running:
            told = self._told.get()
            if isinstance(told, BaseException):
                raise told
            if told is None:
                running -= 1
            else:
                yield told

    def _end(self) -> None:
        """Begin nothing more, and drop what is still said until all threads have ended."""
        with self._turn:
            self._over = True
            self._turn.notify_all()
        while any(thread.is_alive() for thread in self._threads):
            try:
                self._told.get(timeout=0.05)
            except queue.Empty:
                continue

    def _run(self) -> None:
        try:
            while (one := self._next()) is not None:
                self._take(one)
            self._told.put(None)
        except BaseException as error:
            self._told.put(error)

    def _take(self, one: W) -> None:
        for told in self._step(one):
            self._told.put((one, told))
            if self._over:
                return
            if not isinstance(told, Page):
                self._cut(told)
        self._told.put((one, None))
        with self._turn:
            self._busy -= 1
            self._turn.notify_all()

    def _cut(self, parts: Sequence[W]) -> None:
        with self._turn:
            self._parts.extend(parts)
            self._turn.notify_all()

    def _next(self) -> W | None:
        """Parts first; None when all is done or everything ends. What is under way may still be cut up."""
        with self._turn:
            while not self._over:
                one = self._parts.popleft() if self._parts else next(self._work, None)
                if one is not None:
                    self._busy += 1
                    return one
                if not self._busy:
                    break
                self._turn.wait()
            return None
