"""Mapping in two steps with a shuffle between them, for engines that do not hold all resources at once.

`look` takes lines as they come and says of each resource whose it is and which version; the engine keeps
the newest version of each and brings the lines of one patient together (`patients.survivors`,
`patients.the_one` for merged records and for those who are named by an identifier only); `map_lines` maps
them. Both are pure and picklable, and give what `cohort.map_resources` gives.
"""

from collections.abc import Container, Iterable, Iterator
from typing import TypeAlias

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.drugs import read_drug
from fhir_srs.mapping.facts import Drug, Drugs, Noted, PatientFacts
from fhir_srs.mapping.intake import Intake, about
from fhir_srs.mapping.patients import Told, told
from fhir_srs.mapping.persons import PatientMap, map_patient
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.versions import Kept, age, rank
from fhir_srs.model import Issue

# Subjects remembered at a time.
_MOST = 1 << 10


class Entry(msgspec.Struct, frozen=True, gc=False):
    """
    One resource at first sight. *key* is `Type/id`; *updated* and *version* are those of its meta.

    *owner* is whom it is about; of a Patient itself; a Medication has none, and no reason. *body* is its
    JSON, as `map_lines` takes it, or None for another kind of data, of which only the version matters.
    *linked*: a Patient that says which records it replaces or is replaced by.
    """

    key: str
    updated: str | None
    version: str | None
    owner: Told
    body: bytes | None
    linked: bool = False


Seen: TypeAlias = Entry | Issue | str
_NOBODY = Told()


class FirstLook:
    """Sees lines by the rules of one profile. What it remembers between them changes no result."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._intake = Intake(profile, self)
        self._seen: list[Seen] = []
        self._owners = Owners()

    def see(self, line: bytes) -> list[Seen]:
        """
        What *line* holds, in its order; several things, if it is a Bundle.

        An Entry for each resource to keep or to count by version; the type of one that is never read (count
        it as ignored); an Issue for what is unreadable: with *used* False the resource is refused, with True
        it follows as an Entry.
        """
        self._seen = []
        self._intake.take(line)
        return self._seen

    def ignore(self, kind: str) -> None:
        """As `Sink` says."""
        self._seen.append(kind)

    def unreadable(self, key: str | None, path: str | None) -> None:
        """As `Sink` says."""
        self._seen.append(self._profile.issue("resource-unreadable", key, path, used=False))

    def lost(self, key: str, path: str) -> None:
        """As `Sink` says."""
        self._seen.append(self._profile.issue("resource-unreadable", key, path, used=True))

    def enter(self, key: str, meta: r4.Meta | None, kept: Kept | None, body: bytes) -> None:
        """As `Sink` says."""
        updated, version = (meta.last_updated, meta.version_id) if meta else (None, None)
        if kept is None:
            self._seen.append(Entry(key, updated, version, _NOBODY, None))
        else:
            linked = isinstance(kept, r4.Patient) and bool(kept.link)
            self._seen.append(Entry(key, updated, version, self._owner(key, kept), body, linked))

    def _owner(self, key: str, kept: Kept) -> Told:
        if isinstance(kept, r4.Medication):
            return _NOBODY
        return Told(patient=key) if isinstance(kept, r4.Patient) else self._owners.of(kept)


class Owners:
    """Whom resources are about, as they say themselves; remembered, since many say the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], Told] = {}

    def of(self, kept: Kept) -> Told:
        """Whom *kept* is about."""
        named = kept.subject if isinstance(kept, Noted) else about(kept)
        if named is None or named.reference is None or named.identifier:
            return told(named)
        pair = named.reference, named.type
        known = self._known.get(pair)
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[pair] = told(named)
        return known


def look(lines: Iterable[bytes], profile: Profile) -> Iterator[Seen]:
    """What *lines* hold, one after another: see `FirstLook.see`."""
    first = FirstLook(profile)
    for line in lines:
        yield from first.see(line)


class SecondLook:
    """Reads the bodies of entries again, by the rules of one profile, and maps one patient after another."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._intake = Intake(profile, self)
        self._kept: dict[str, Kept] = {}

    def read(self, bodies: Iterable[bytes]) -> dict[str, Kept]:
        """What is needed of each of *bodies*, by `Type/id`."""
        self._kept = {}
        for body in bodies:
            self._intake.take(body)
        return self._kept

    def newest(self, versions: Iterable[Entry]) -> Entry:
        """The one of several *versions* of one resource that counts; the others are `version-superseded`."""
        return max(versions, key=lambda one: rank(age(one.updated, one.version), self._one(one.body)))

    def _one(self, body: bytes | None) -> Kept | None:
        return None if body is None else next(iter(self.read([body]).values()))

    def told(self, body: bytes) -> Told:
        """Whom the resource in *body* is about, as it says itself."""
        kept = self._one(body)
        return Told() if kept is None else told(about(kept))

    def patient(self, body: bytes) -> r4.Patient | None:
        """The Patient in *body*."""
        kept = self._one(body)
        return kept if isinstance(kept, r4.Patient) else None

    def drug(self, body: bytes) -> Drug | None:
        """The ingredients of the Medication in *body*."""
        kept = self._one(body)
        return read_drug(kept, self.profile) if isinstance(kept, r4.Medication) else None

    def map(
        self,
        patient: str,
        bodies: Iterable[bytes],
        *,
        drugs: Drugs,
        known: Container[str],
        aliases: frozenset[str] = frozenset(),
    ) -> PatientMap:
        """As `map_lines`."""
        kept = self.read(bodies)
        facts = PatientFacts(
            patient=patient,
            resources={key: one for key, one in kept.items() if not isinstance(one, Noted)},
            noted={key: one for key, one in kept.items() if isinstance(one, Noted)},
            drugs=drugs,
            aliases=aliases | {patient},
            known=known,
        )
        return map_patient(facts, self.profile)

    def ignore(self, kind: str) -> None:
        """As `Sink` says; the first look counted it."""

    def unreadable(self, key: str | None, path: str | None) -> None:
        """As `Sink` says; the first look told it."""

    def lost(self, key: str, path: str) -> None:
        """As `Sink` says; the first look told it."""

    def enter(self, key: str, meta: r4.Meta | None, kept: Kept | None, body: bytes) -> None:  # noqa: ARG002
        """As `Sink` says."""
        if kept is not None:
            self._kept[key] = kept


def map_lines(
    patient: str,
    bodies: Iterable[bytes],
    *,
    drugs: Drugs,
    known: Container[str],
    profile: Profile,
    aliases: frozenset[str] = frozenset(),
) -> PatientMap:
    """
    The lesions, events and issues of *patient*, a surviving reference, from the bodies of their entries.

    *bodies* hold the newest version of each resource only, in any order, those of merged records (*aliases*)
    too. *drugs* gives the ingredients of every Medication, by `Medication/id`; *known* tells whether a
    BodyStructure, Procedure or Condition was read at all, whoever's it is (`decisions.md` 19).
    """
    return SecondLook(profile).map(patient, bodies, drugs=drugs, known=known, aliases=aliases)
