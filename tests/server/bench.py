"""A server of one patient on which faults are planned, and whole runs against it that never really wait."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_srs.config import Settings, parse_settings
from fhir_srs.store import open_store
from fhir_srs.summary import RunSummary
from fhir_srs.sync import Machine, run_sync
from fhir_srs.testing.faults import Planned, parse_fault
from fhir_srs.testing.server import RunningServer, running_server
from tests.server.patients import Json, story
from tests.server.settings import BASE, WARD
from tests.server.test_sync import NOTHING, Ward, done

WHOLE = {f"{one['resourceType']}/{one['id']}" for one in story("a")}


@dataclass
class Bench:
    """*waits* are the seconds that a run would have slept."""

    server: RunningServer
    folder: Path
    faults: list[Planned]
    options: dict[str, Any]
    source: dict[str, Any]
    study: str = WARD
    waits: list[float] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        content = {
            "source": {"base_url": self.server.base_url, "allow_insecure_loopback": True, **self.source},
            "target": {"canonical_base": BASE, "synthetic": True},
            "study": {"names": [self.study], "cutoff": "2025-12-31"},
            "store": {"folder": "state"},
            "sync": {"write": True, **self.options},
        }
        return parse_settings(content, folder=self.folder)

    def run(self, **options: Any) -> RunSummary:
        machine = Machine(sleep=self.waits.append, random=lambda: 1.0)
        return run_sync(self.settings, machine=machine, **options)

    def ends(self, status: str, code: int) -> RunSummary:
        """One run under the faults ends so, and nothing was written that an incomplete pull could spoil."""
        summary = self.run()
        assert (summary.status, summary.exit_code) == (status, code), summary.error
        assert summary.error is not None
        assert "attacker" not in summary.error
        return summary

    def recovers(self) -> RunSummary:
        """Without faults one run makes everything as if nothing had happened (I1), and a second writes 0."""
        self.faults.clear()
        summary = done(self.run(recreate=True, retract=True))
        assert done(self.run(full=True)).written == NOTHING
        with closing(Ward(self.server.base_url)) as ward:
            results, provenance = ward.results(), ward.all("Provenance")
        assert results
        assert len(results) == len(provenance)
        return summary

    def reads_whole(self) -> None:
        """Without faults one run brings into the store what the server has (I1)."""
        self.faults.clear()
        assert done(self.run()).complete
        kinds = ("Patient", "Procedure", "BodyStructure", "Observation")
        with closing(Ward(self.server.base_url)) as ward:
            assert self.names() == {f"{kind}/{name}" for kind in kinds for name in ward.all(kind)}

    def plan(self, *specs: str) -> None:
        """Other faults from here on."""
        self.faults[:] = [parse_fault(one) for one in specs]

    def stored(self) -> str:
        """Every byte of the state folder."""
        return "".join(one.read_bytes().decode("latin-1") for one in (self.folder / "state").iterdir())

    def names(self) -> set[str]:
        """What the store holds."""
        with open_store(self.folder / "state", self.server.base_url) as store:
            return {f"{kind}/{name}" for kind, name in store.fingerprints()}

    def watermarks(self) -> dict[str, str]:
        with open_store(self.folder / "state", self.server.base_url) as store:
            return {kind: one.watermark for kind, one in store.cursors().items()}


@contextmanager
def bench(
    folder: Path,
    *specs: str,
    resources: Sequence[Json] = (),
    token: str = "",
    study: str = WARD,
    **options: Any,
) -> Iterator[Bench]:
    """A server with *specs* as its faults, as `testserver --fault` takes them; *options* are of `[sync]`."""
    faults = [parse_fault(one) for one in specs]
    folder.mkdir(exist_ok=True)
    with running_server(resources or story("a"), faults=faults) as server:
        yield Bench(server, folder, faults, {"count": 3, **options}, _access(folder, token), study)


def _access(folder: Path, token: str) -> dict[str, Any]:
    if not token:
        return {}
    path = folder / "token"
    path.write_text(token)
    path.chmod(0o600)
    return {"auth": "token", "token_file": str(path)}


class Pulls:
    """Makes benches that only read, on one *server* whose *faults* they plan; *folder* gives a new one."""

    def __init__(self, server: RunningServer, faults: list[Planned], folder: Callable[[], Path]) -> None:
        self._server, self._faults, self._folder = server, faults, folder

    @contextmanager
    def __call__(self, *specs: str, token: str = "", **options: Any) -> Iterator[Bench]:
        folder, sync = self._folder(), {"count": 3, "write": False, **options}
        one = Bench(self._server, folder, self._faults, sync, _access(folder, token))
        self._server.requests.clear()
        one.plan(*specs)
        try:
            yield one
        finally:
            self._faults.clear()


@contextmanager
def pulling(folder: Callable[[], Path]) -> Iterator[Pulls]:
    faults: list[Planned] = []
    with running_server(story("a"), faults=faults) as server:
        yield Pulls(server, faults, folder)
