"""A server of one patient on which faults are planned, and whole runs against it that never really wait."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_srs.config import Settings
from fhir_srs.store import open_store
from fhir_srs.summary import RunSummary
from fhir_srs.sync import Machine, run_sync
from fhir_srs.testing.faults import Planned, parse_fault
from fhir_srs.testing.server import RunningServer, running_server
from tests.server.patients import Json, story
from tests.server.test_sync import NOTHING, Ward, done, settings


@dataclass
class Bench:
    """*waits* are the seconds that a run would have slept."""

    server: RunningServer
    folder: Path
    faults: list[Planned]
    options: dict[str, Any]
    waits: list[float] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return settings(self.server.base_url, self.folder, **self.options)

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
        summary = done(self.run(recreate=True))
        assert self.run().written == NOTHING
        ward = Ward(self.server.base_url)
        results, provenance = ward.results(), ward.all("Provenance")
        ward.close()
        assert results
        assert len(results) == len(provenance)
        return summary

    def names(self) -> set[str]:
        """What the store holds."""
        with open_store(self.folder / "state", self.server.base_url) as store:
            return {f"{kind}/{name}" for kind, name in store.fingerprints()}

    def watermarks(self) -> dict[str, str]:
        with open_store(self.folder / "state", self.server.base_url) as store:
            return {kind: one.watermark for kind, one in store.cursors().items()}


@contextmanager
def bench(folder: Path, *specs: str, resources: Sequence[Json] = (), **options: Any) -> Iterator[Bench]:
    """A server with *specs* as its faults, as `testserver --fault` takes them; *options* are of `[sync]`."""
    faults = [parse_fault(one) for one in specs]
    with running_server(resources or story("a"), faults=faults) as server:
        yield Bench(server, folder, faults, {"count": 3, **options})
