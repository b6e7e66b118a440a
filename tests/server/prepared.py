"""A server whose first run was made before: what it left there and in the state folder is put back.

Most tests of a sync begin with a first run, always the same, which has tests of its own. So it is made once,
and each test finds copies of both sides as it left them. The server listens on, for the store knows it by
its address.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fhir_srs.summary import RunSummary
from fhir_srs.testing.server import RunningServer, running_server
from tests.server.patients import Json

Run = Callable[[RunningServer, Path], RunSummary]


class _Left(NamedTuple):
    """What a first run left: the memory of the server, the state folder, its summary."""

    memory: dict[str, Any]
    state: Path
    summary: RunSummary


class Prepared:
    """A running *server*, and what every kind of first run left; *folder* gives a new one to keep that in."""

    def __init__(self, server: RunningServer, folder: Callable[[str], Path]) -> None:
        self._server, self._folder = server, folder
        self._bare = _memory(server)
        self._left: dict[Run, _Left] = {}

    def anew(self) -> RunningServer:
        """The server as if it had just been started."""
        self._put_back(self._bare)
        self._server.requests.clear()
        return self._server

    def first(self, folder: Path, run: Run) -> RunSummary:
        """What a first *run* with its state in *folder* says; afterwards both sides are as it leaves them."""
        if run not in self._left:
            kept = self._folder("first") / "state"
            summary = run(self._server, kept.parent)
            assert (summary.status, summary.error, summary.complete) == ("done", None, True)
            self._left[run] = _Left(_memory(self._server), kept, summary)
        left = self._left[run]
        self._put_back(left.memory)
        shutil.copytree(left.state, folder / "state")
        return left.summary

    def _put_back(self, memory: dict[str, Any]) -> None:
        vars(self._server._versions).update(_copied(memory))


def _memory(server: RunningServer) -> dict[str, Any]:
    return _copied(vars(server._versions))


def _copied(memory: dict[str, Any]) -> dict[str, Any]:
    """What of *memory* a write would change; the versions themselves are frozen."""
    return {
        "_history": {key: list(versions) for key, versions in memory["_history"].items()},
        "_current": defaultdict(dict, {kind: dict(found) for kind, found in memory["_current"].items()}),
        "_referrers": defaultdict(set, {key: set(found) for key, found in memory["_referrers"].items()}),
        "_log": list(memory["_log"]),
        "_counter": memory["_counter"],
    }


@contextmanager
def prepared(resources: Iterable[Json], folder: Callable[[str], Path]) -> Iterator[Prepared]:
    with running_server(resources) as server:
        yield Prepared(server, folder)
