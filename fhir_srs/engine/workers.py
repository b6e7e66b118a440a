"""Processes that work through tasks: few, spawned, and ended with their parent whatever happens.

Tasks and answers are small (paths and counts); what is large goes through the spill folder.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from fhir_srs.errors import FhirSrsError
from fhir_srs.signals import blocked

State = TypeVar("State")
Task = TypeVar("Task")
Answer = TypeVar("Answer")
_State = TypeVar("_State", covariant=True)


class Crew(Protocol[_State]):
    """Whoever works through tasks."""

    def each(self, work: Callable[[_State, Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        """Give *work*(state, task) of each task, in the order of *tasks*."""


class Alone(Generic[State]):
    """The process that asks, and no other."""

    def __init__(self, state: State) -> None:
        self._state = state

    def each(self, work: Callable[[State, Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        """As `Crew` says."""
        return (work(self._state, task) for task in tasks)


class Workers(Generic[State]):
    """
    *number* processes, each with a state that *build* made of its number, as a context.

    What a worker raises of ours is raised here; anything else, and its death, is a FhirSrsError (70). On
    leaving the context they are ended, whatever they do.
    """

    def __init__(self, number: int, build: Callable[[int], State]) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._number = number
        self._build = build
        self._lines: list[Connection] = []
        self._processes: list[Any] = []

    def __enter__(self) -> "Workers[State]":
        for number in range(self._number):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_serve, args=(theirs, self._build, number), daemon=True, name=f"fhir-srs-{number}"
            )
            with blocked(signal.SIGINT):  # a worker keeps it: the parent ends it
                process.start()
            theirs.close()
            self._lines.append(ours)
            self._processes.append(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for line in self._lines:
            line.close()

    def each(self, work: Callable[[State, Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        """As `Crew` says; the answers are waited for in turn, the work goes on meanwhile."""
        waiting = enumerate(tasks)
        busy: dict[Connection, int] = {}
        answers: dict[int, Answer] = {}
        upcoming = 0
        for line, (number, task) in zip(self._lines, waiting, strict=False):
            busy[line] = _sent(line, number, work, task)
        while busy:
            for line in [one for one in wait(list(busy)) if isinstance(one, Connection)]:
                answers[busy.pop(line)] = _received(line)
                for number, task in waiting:
                    busy[line] = _sent(line, number, work, task)
                    break
            while upcoming in answers:
                yield answers.pop(upcoming)
                upcoming += 1


def _sent(line: Connection, number: int, work: Callable[..., Any], task: Any) -> int:
    try:
        line.send((work, task))
    except OSError:
        raise _died() from None
    return number


def _received(line: Connection) -> Any:
    """The answer that arrived; raises what the worker raised."""
    try:
        error, answer = line.recv()
    except (EOFError, OSError):
        raise _died() from None
    if error is not None:
        raise error
    return answer


def _died() -> FhirSrsError:
    return FhirSrsError("a worker process ended early, perhaps for want of memory")


def _serve(line: Connection, build: Callable[[int], State], number: int) -> None:
    """Work through the tasks that come over *line*, until it is closed. The parent decides on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    state = build(number)
    while True:
        try:
            work, task = line.recv()
        except EOFError:
            return
        try:
            line.send(_answer(work, state, task))
        except OSError:  # the parent is gone
            return


def _answer(work: Callable[[State, Any], Answer], state: State, task: Any) -> tuple[Any, Answer | None]:
    try:
        return None, work(state, task)
    except FhirSrsError as error:
        return error, None
    except Exception as error:
        return FhirSrsError(_unforeseen(error)), None


def _unforeseen(error: Exception) -> str:
    """Class and place of *error*; its message could hold a value."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "?"
    return f"internal error in a worker, please report it: {type(error).__name__} at {where}"
