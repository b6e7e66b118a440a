"""First step: lines to the partition of their patient, and what is no resource of ours to the issues."""

from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec

from fhir_srs import r4
from fhir_srs.engine.spill import At, Family, Writer
from fhir_srs.engine.worker import Job, keep_issue
from fhir_srs.files import Piece, Place, read_piece
from fhir_srs.mapping.intake import Intake
from fhir_srs.mapping.lines import Owners
from fhir_srs.mapping.patients import Told
from fhir_srs.mapping.tally import Tally
from fhir_srs.mapping.versions import Kept


class Version(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which version of *key* one resource is, and where its line lies: None for another kind of data."""

    key: str
    updated: str | None
    version: str | None
    at: At | None


class Sorted(NamedTuple):
    """
    What became of one piece of input.

    *notes*: the file that tells where unreadable items stood. *people*: a Patient names records that it
    replaces or that replace it, or a resource names its patient by identifier only.
    """

    tally: Tally
    notes: Path
    people: bool


class Sorter:
    """Takes all that one process reads in the first step. As a `Sink`, it gives what `FirstLook` tells."""

    def __init__(self, job: Job, number: int) -> None:
        self._job = job
        self._spill = job.spill
        self._writer = Writer(job.spill, number)
        self._intake = Intake(job.profile, self)
        self._owners = Owners()
        self._tally = Tally()
        self._people = False
        self._place = Place()
        self._notes: TextIO | None = None

    def sort(self, piece: Piece, notes: Path) -> Sorted:
        """Sort the lines of *piece*. Flushed at the end: what lies in files is whole."""
        self._tally, self._people = Tally(), False
        take = self._intake.take
        with notes.open("w", encoding="utf-8") as self._notes:
            for line in read_piece(piece, self._place):
                take(line)
        self._writer.flush()
        return Sorted(self._tally, notes, self._people)

    def ignore(self) -> None:
        """As `Sink` says."""
        self._tally.fates["ignored"] += 1

    def unreadable(self, key: str | None, path: str | None) -> None:
        """As `Sink` says."""
        self._tally.fates["refused"] += 1
        self._tell(key, path, used=False)

    def lost(self, key: str, path: str) -> None:
        """As `Sink` says."""
        self._tell(key, path, used=True)

    def _tell(self, key: str | None, path: str | None, *, used: bool) -> None:
        found = self._job.profile.issue("resource-unreadable", key, path, used=used)
        self._tally.add_issues([found])
        # Those without a resource are spread over all partitions.
        keep_issue(found, key or str(self._place.offset), self._writer, self._spill)
        if self._notes is not None:
            self._notes.write(f"{self._place.unread(path)}\n")

    def enter(self, key: str, meta: r4.Meta | None, kept: Kept | None, body: bytes) -> None:
        """Bring *body* to where its patient's lines are, and its version to those of its key."""
        at = None
        if kept is not None:
            at = self._add(key, kept, body)
        updated, version = (meta.last_updated, meta.version_id) if meta else (None, None)
        self._writer.put(Family.VERSIONS, self._spill.part(key), Version(key, updated, version, at))

    def _add(self, key: str, kept: Kept, body: bytes) -> At:
        if isinstance(kept, r4.Patient):
            self._people = self._people or bool(kept.link)
            return self._writer.add(Family.PATIENTS, key, body)
        if isinstance(kept, r4.Medication):
            return self._writer.add(Family.DRUGS, key, body)
        owner: Told = self._owners.of(kept)
        if owner.patient is not None:
            return self._writer.add(Family.LINES, owner.patient, body)
        if owner.token is not None:
            self._people = True
            return self._writer.add(Family.NAMED, owner.token, body)
        return self._writer.add(Family.NOBODY, key, body)
