"""What a worker process has in hand: the job, its writers, and the readers of the two looks."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from fhir_srs.engine.index import DrugIndex, Known
from fhir_srs.engine.spill import Family, Record, Spill, Writer
from fhir_srs.mapping.assembly import issue_order
from fhir_srs.mapping.lines import FirstLook, SecondLook
from fhir_srs.mapping.patients import aliases
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally
from fhir_srs.model import Issue, to_json

Place = tuple[int, int, int]  # family, writer, offset within one partition


class Job(NamedTuple):
    """What all workers know. *largest*: bytes of a partition above which it is mapped in parts."""

    profile: Profile
    spill: Spill
    jobs: int
    largest: int

    @property
    def sorted_by(self) -> range:
        """The writers of the first step."""
        return range(self.jobs)

    @property
    def all_writers(self) -> range:
        """The writers of all steps."""
        return range(2 * self.jobs)

    def worker(self, number: int) -> "Worker":
        """The worker of that *number*."""
        return Worker(self, number)


class Worker:
    """One process at work. First it sorts lines, with `first` and one writer; then the rest, with another."""

    def __init__(self, job: Job, number: int) -> None:
        self.job = job
        self.spill = job.spill
        self.first: FirstLook | None = FirstLook(job.profile)
        self.second = SecondLook(job.profile)
        self.sorter = Writer(job.spill, number)
        self.writer = Writer(job.spill, job.jobs + number)
        self._merged: dict[str, str] | None = None
        self._aliases: Mapping[str, frozenset[str]] = {}
        self._drugs = DrugIndex(job.spill)
        self._known = Known(job.spill)

    def issue(self, found: Issue, writer: Writer, name: bytes | None = None) -> None:
        """Keep *found* for the partition of its resource, or of *name* where it has none."""
        key = (found.resource or "").encode() if name is None else name
        writer.add(Family.ISSUES, key, msgspec.msgpack.encode((issue_order(found), to_json(found))))

    def refuse(self, reason: str, key: str, path: str, tally: Tally) -> None:
        """Refuse the resource *key*."""
        found = self.job.profile.issue(reason, key, path, used=False)
        tally.fates["refused"] += 1
        tally.add_issues([found])
        self.issue(found, self.writer)

    def merged(self) -> dict[str, str]:
        """Merged record -> survivor; once `people` has found them."""
        if self._merged is None:
            file = self.spill.folder / MERGED
            found = file.read_bytes() if file.exists() else msgspec.msgpack.encode({})
            self._merged = msgspec.msgpack.decode(found, type=dict[str, str])
            self._aliases = aliases(self._merged)
        return self._merged

    def map(self, patient: str, lines: list[bytes]) -> PatientMap:
        """The map of *patient*, a survivor."""
        self.merged()
        also = self._aliases.get(patient, frozenset())
        return self.second.map(patient, lines, drugs=self._drugs, known=self._known, aliases=also)

    def losers(self, part: int) -> set[Place]:
        """The places in *part* of superseded versions."""
        found = self.spill.records(Family.LOSERS, part, self.job.all_writers)
        return {msgspec.msgpack.decode(one.body, type=Place) for one in found}


MERGED = "merged"


def place_of(record: Record) -> Place:
    """The place of *record* within its partition."""
    return record.at.family, record.at.writer, record.at.offset
