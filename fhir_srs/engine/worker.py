"""What a worker process has in hand: the job, its writers, and what reads lines again."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from fhir_srs.engine.index import DrugIndex, Known
from fhir_srs.engine.runs import Person
from fhir_srs.engine.spill import Family, Place, Spill, Writer
from fhir_srs.mapping.assembly import issue_order
from fhir_srs.mapping.lines import SecondLook
from fhir_srs.mapping.patients import aliases
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally
from fhir_srs.model import Issue, to_json

MERGED = "merged"
_PLACES = msgspec.msgpack.Decoder(list[Place])


class Job(NamedTuple):
    """
    What all workers know.

    *largest*: bytes of a partition above which it is mapped in parts. *store*: what is kept of a patient.
    """

    profile: Profile
    spill: Spill
    jobs: int
    largest: int
    store: Callable[[PatientMap], Person]

    @property
    def first(self) -> range:
        """The writers of the first step."""
        return range(self.jobs)

    @property
    def all(self) -> range:
        """The writers of all steps."""
        return range(2 * self.jobs)

    def worker(self, number: int) -> "Worker":
        """The worker of that *number*."""
        return Worker(self, number)


class Worker:
    """One process at work after the first step, which has a writer of its own."""

    def __init__(self, job: Job, number: int) -> None:
        self.job = job
        self.number = number
        self.spill = job.spill
        self.second = SecondLook(job.profile)
        self.writer = Writer(job.spill, job.jobs + number)
        self._merged: dict[str, str] | None = None
        self._aliases: Mapping[str, frozenset[str]] = {}
        self._drugs = DrugIndex(job.spill)
        self._known = Known(job.spill)

    def refuse(self, reason: str, key: str, path: str, tally: Tally) -> None:
        """Refuse the resource *key*."""
        found = self.job.profile.issue(reason, key, path, used=False)
        tally.fates["refused"] += 1
        tally.add_issues([found])
        keep_issue(found, key, self.writer, self.spill)

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
        return set(self.spill.items(Family.LOSERS, part, self.job.all, _PLACES))


class KeptIssue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An Issue as a line, with what partitions and what sorts it."""

    name: str
    order: bytes
    line: bytes


def keep_issue(found: Issue, name: str, writer: Writer, spill: Spill) -> None:
    """Keep *found* for the partition of *name*."""
    kept = KeptIssue(name, issue_order(found), to_json(found))
    writer.put(Family.ISSUES, spill.part(name), kept, size=len(kept.line))
