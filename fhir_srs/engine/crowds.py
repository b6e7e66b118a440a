"""Patients of whom more is here than may be mapped: each resource is refused, and none of them is held."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from fhir_srs.engine.runs import SortedIssue, merged_issues, write_runs
from fhir_srs.engine.spill import Family, Spill, Writer
from fhir_srs.engine.worker import KeptIssue, Worker, keep_issue
from fhir_srs.mapping.persons import TOO_LARGE
from fhir_srs.mapping.tally import Tally

_PIECES = 64
_WRITER = 1
_ISSUES = msgspec.msgpack.Decoder(list[KeptIssue])


class Crowds:
    """Those of one partition, if there are any; what is refused waits in *folder* until `issues` is read."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        self.names: set[str] = set()
        self.tally = Tally()
        self._worker = worker
        self._spill = Spill(folder, _PIECES)
        self._writer = Writer(self._spill, _WRITER)

    def enter(self, name: str, bodies: Iterable[bytes]) -> None:
        """Refuse *bodies*, what is held of the patient *name*; `refuse` what comes of them afterwards."""
        self._spill.folder.mkdir(exist_ok=True)
        self.names.add(name)
        for body in bodies:
            self.refuse(body)

    def refuse(self, body: bytes) -> None:
        """Refuse the resource in *body*."""
        for key in self._worker.second.read([body]):
            found = self._worker.job.profile.issue(TOO_LARGE, key, used=False)
            self.tally.fates["refused"] += 1
            self.tally.add_issues([found])
            keep_issue(found, key, self._writer, self._spill)

    def issues(self) -> Iterator[SortedIssue]:
        """All refusals, sorted; to be read once."""
        if self.names:
            self._writer.flush()
            for piece in range(_PIECES):
                kept = self._spill.items(Family.ISSUES, piece, [_WRITER], _ISSUES)
                write_runs(self._spill, piece, (), sorted((one.order, one.line) for one in kept))
            yield from merged_issues(self._spill)
            shutil.rmtree(self._spill.folder)
