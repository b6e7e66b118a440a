"""First step: lines to the partition of their patient, and what is no resource of ours to the issues."""

from pathlib import Path
from typing import NamedTuple, TextIO
from zlib import crc32

import msgspec

from fhir_srs import r4
from fhir_srs.engine.spill import At, Family, Writer
from fhir_srs.engine.worker import Job, keep_issue
from fhir_srs.files import Piece, Place, read_piece
from fhir_srs.mapping.intake import Intake
from fhir_srs.mapping.lines import Owners
from fhir_srs.mapping.tally import Tally
from fhir_srs.mapping.versions import Kept

# An IntEnum's members are slow to reach, and this is done for every line.
_VERSIONS, _PATIENTS, _DRUGS = int(Family.VERSIONS), int(Family.PATIENTS), int(Family.DRUGS)
_LINES, _NAMED, _NOBODY = int(Family.LINES), int(Family.NAMED), int(Family.NOBODY)


class Version(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which version of *key* one resource is, and where its line lies: no *family*, another kind of data."""

    key: str
    updated: str | None
    version: str | None
    writer: int
    family: int | None = None
    part: int = 0
    offset: int = 0
    length: int = 0

    @property
    def at(self) -> At | None:
        """Where its line lies; None for another kind of data."""
        if self.family is None:
            return None
        return At(self.family, self.part, self.writer, self.offset, self.length)


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
        self._parts = job.spill.parts
        self._number = number
        self._writer = Writer(job.spill, number)
        self._put = self._writer.put
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

    def ignore(self, kind: str) -> None:
        """As `Sink` says."""
        self._tally.ignored[kind] += 1

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
        updated, version = (meta.last_updated, meta.version_id) if meta else (None, None)
        part_of_key = crc32(key.encode()) % self._parts  # as Spill.part
        if kept is None:
            found = Version(key, updated, version, self._number)
        else:
            family, name = self._owned(key, kept)
            part = crc32(name.encode()) % self._parts
            length = len(body)
            offset = self._put(family, part, (name, length), body, length)
            found = Version(key, updated, version, self._number, family, part, offset, length)
        self._put(_VERSIONS, part_of_key, found)

    def _owned(self, key: str, kept: Kept) -> tuple[int, str]:
        """Where *kept* belongs: a family, and the name in it."""
        if isinstance(kept, r4.Patient):
            self._people = self._people or bool(kept.link)
            return _PATIENTS, key
        if isinstance(kept, r4.Medication):
            return _DRUGS, key
        owner = self._owners.of(kept)
        if owner.patient is not None:
            return _LINES, owner.patient
        if owner.token is not None:
            self._people = True
            return _NAMED, owner.token
        return _NOBODY, key
