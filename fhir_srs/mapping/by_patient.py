"""Mapping out of a store that can be asked for the resources of one patient: a few patients in memory.

Gives what `cohort.map_resources` gives, group by group. A store holds one version of each resource and
notes whose it is; where the notes and the rules of mapping disagree (merged records, a patient named by an
identifier), the rules hold.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Protocol

from fhir_srs import r4
from fhir_srs.mapping.assembly import distinct, person_order
from fhir_srs.mapping.elements import barred
from fhir_srs.mapping.facts import Drug
from fhir_srs.mapping.lines import Entry, FirstLook, SecondLook, Seen
from fhir_srs.mapping.patients import People, build_patient, holders
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally, kind_of
from fhir_srs.model import Issue

# Of which it matters elsewhere whether they were read at all (`decisions.md` 19).
_NAMED = ("BodyStructure/", "Condition/", "Procedure/")
Owned = tuple[str, str | None, bytes]


class Shelf(Protocol):
    """Where the resources lie, each once: its `Type/id`, whose it is as noted there, its JSON."""

    def owned(self, resource_type: str | None = None) -> Iterator[Owned]:
        """All, or those of one type."""

    def owned_by(self, patients: Collection[str]) -> Iterable[Owned]:
        """Those noted as of one of *patients* (`Patient/<id>`)."""

    def named(self, keys: Collection[str]) -> Iterable[Owned]:
        """Those of *keys* (`Type/id`)."""

    def holds(self, key: str) -> bool:
        """Whether *key* (`Type/id`) lies here."""


def map_by_patient(shelf: Shelf, profile: Profile, tally: Tally) -> Iterator[list[PatientMap]]:
    """
    The maps of all patients of *shelf*, in the order of `person_order`, those of one identifier together.

    What became of every resource is counted in *tally*, which is whole once all were taken.
    """
    records = _Records(shelf, profile)
    people = People((one for one in records.all() if one.link), records)
    index = _Index(profile, people, tally)
    for _, noted, body in shelf.owned():
        index.take(noted, body)
    merged = people.aliases()
    ordered = _orders(records, index.patients, people, profile)
    for _, group in groupby(ordered, key=lambda one: one[0]):
        names = (name.decode() for _, name in group)
        maps = [index.map(one, merged.get(one, frozenset()), shelf) for one in names]
        made, issues = distinct(maps, profile)
        tally.add_issues(issues)
        for mapped in made:
            _count(mapped, tally)
        yield made


class _Records(Mapping[str, Collection[str]]):
    """
    The Patient records of a shelf, read whenever they are gone through: they are not held.

    As a mapping, who holds each identifier: made when first asked for, since few name a patient so.
    """

    def __init__(self, shelf: Shelf, profile: Profile) -> None:
        self._shelf, self._second = shelf, SecondLook(profile)
        self._held: Mapping[str, Collection[str]] | None = None

    def all(self) -> Iterator[r4.Patient]:
        """Each record."""
        return (one for _, _, body in self._shelf.owned("Patient") if (one := self._second.patient(body)))

    @property
    def _holders(self) -> Mapping[str, Collection[str]]:
        if self._held is None:
            self._held = holders(self.all())
        return self._held

    def __getitem__(self, token: str) -> Collection[str]:
        return self._holders[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._holders)

    def __len__(self) -> int:
        return len(self._holders)


class _Known:
    """Whether a resource was read at all, whoever's it is; of other types nobody asks."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.startswith(_NAMED) and self._shelf.holds(key)


class _Index:
    """What must be known of all resources before the first patient is mapped."""

    def __init__(self, profile: Profile, people: People, tally: Tally) -> None:
        self._profile, self._people, self._tally = profile, people, tally
        self._second = SecondLook(profile)
        self._see = FirstLook(profile).see
        self._drugs: dict[str, Drug] = {}
        self._elsewhere: set[str] = set()
        self._come: dict[str, list[str]] = {}
        self.patients: set[str] = set()

    def take(self, noted: str | None, body: bytes) -> None:
        """Enter the resource in *body*, whose owner was *noted*."""
        for seen in self._see(body):
            if isinstance(seen, Entry) and seen.body is not None:
                self._enter(seen, noted, seen.body)
            else:
                self._count(seen)

    def _count(self, seen: Seen) -> None:
        """Count what no patient's map will count: of another kind, or unreadable."""
        if isinstance(seen, Issue):
            self._tally.add_issues([seen])
            self._tally.fates["refused"] += not seen.used
        else:
            self._tally.ignored[kind_of(seen.key) if isinstance(seen, Entry) else seen] += 1

    def _enter(self, entry: Entry, noted: str | None, body: bytes) -> None:
        patient = self._owner(entry, body)
        if patient is not None:
            self.patients.add(patient)
        if noted is None or self._people.survivor(noted) != patient:
            self._place(entry.key, patient)

    def _owner(self, entry: Entry, body: bytes) -> str | None:
        """The patient of *entry*. A Medication has none and is entered; what else has none is refused."""
        drug = self._second.drug(body) if entry.key.startswith("Medication/") else None
        if drug is not None:
            self._drugs[entry.key] = drug
            self._tally.fates["used"] += 1
            return None
        patient, reason = self._people.resolved(entry.owner)
        if patient is None:
            self._count(self._profile.issue(reason or "subject-missing", entry.key, "subject", used=False))
        return patient

    def _place(self, key: str, patient: str | None) -> None:
        """Note that *key* is of *patient*, or of nobody, whatever was noted where it lies."""
        self._elsewhere.add(key)
        if patient is not None:
            self._come.setdefault(patient, []).append(key)

    def map(self, patient: str, merged: frozenset[str], shelf: Shelf) -> PatientMap:
        """The map of *patient*, into whose record those of *merged* went."""
        own = [one for one in shelf.owned_by({patient, *merged}) if one[0] not in self._elsewhere]
        own.extend(shelf.named(self._come.get(patient, ())))
        bodies = (body for _, _, body in own)
        return self._second.map(patient, bodies, drugs=self._drugs, known=_Known(shelf), aliases=merged)


def _orders(
    records: _Records, patients: set[str], people: People, profile: Profile
) -> list[tuple[bytes, bytes]]:
    """The places of all *patients* in the order of patients, sorted. The set is used up."""
    merged, places = people.aliases(), list[tuple[bytes, bytes]]()
    several: dict[str, list[r4.Patient]] = {}
    for record in (one for one in records.all() if barred(one, profile) is None):
        survivor = people.survivor(f"Patient/{record.id}")
        if survivor in merged:
            several.setdefault(survivor, []).append(record)
        elif survivor in patients:
            patients.remove(survivor)
            places.append(_place(survivor, [record], profile))
    places.extend(_place(one, several.get(one, ()), profile) for one in patients)
    patients.clear()
    return sorted(places)


def _place(patient: str, records: Sequence[r4.Patient], profile: Profile) -> tuple[bytes, bytes]:
    mine = next((one for one in records if f"Patient/{one.id}" == patient), None)
    others = [one for one in records if one is not mine]
    return person_order(build_patient(patient, mine, others, profile))


def _count(one: PatientMap, tally: Tally) -> None:
    tally.add_uses(one.uses)
    tally.add_issues(one.issues)
    tally.lesions += len(one.lesions)
    tally.patients += bool(one.lesions)
    tally.events += len(one.events)
