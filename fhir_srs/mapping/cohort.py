"""All resources of a source: read, newest versions kept, sorted by patient, mapped, put together.

Counting holds at every step: read = used + ignored + refused (`spec/fhir-mapping.md` section 8).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.drugs import read_drug
from fhir_srs.mapping.facts import Drug, Noted, PatientFacts
from fhir_srs.mapping.lesions import lesion_order, with_number
from fhir_srs.mapping.patients import People, Subject
from fhir_srs.mapping.persons import PatientMap, map_patient
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.reading import BROKEN, Mended, Other, Unreadable, as_bytes, entries, glance, read
from fhir_srs.mapping.reduction import Reducer
from fhir_srs.model import Event, Issue, Lesion, Mapped, ResourceCounts

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_Kept: TypeAlias = r4.Known | Noted


def map_resources(resources: Iterable[Any], *, profile: Profile) -> Mapped:
    """
    All lesions, their patients, events and issues in *resources*, in an order that input cannot change.

    *resources* yields dicts, JSON bytes or text, or fhir.resources models; a Bundle stands for its
    entries. Whatever cannot be read or used is an Issue, never an exception.
    """
    gathered = _gather(resources, profile)
    people = People(one for one in gathered.resources.values() if isinstance(one, r4.Patient))
    partition = _partition(gathered, people, profile)
    maps = [map_patient(facts, profile) for facts in partition]
    return _together(maps, gathered)


class _Gathered:
    """What was read: the newest version of each resource by `Type/id`, issues so far, and counts."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.reducer = Reducer(profile)
        self.resources: dict[str, _Kept] = {}
        self.passed_by: dict[str, r4.Meta | None] = {}
        self.issues: list[Issue] = []
        self.counts: Counter[str] = Counter()

    def add(self, body: bytes) -> None:
        """Take the one resource, or each resource of the Bundle, in the JSON *body*."""
        found = glance(body)
        if isinstance(found, r4.RawObservation) and found.id:
            self._add_raw(found, body)
        elif isinstance(found, r4.Bundle):
            for each in entries(body, found):
                self.add(each)
        elif isinstance(found, r4.Resource) and found.id:
            self._enter(f"{found.__class__.__name__}/{found.id}", found, found)
        else:
            self._add_carefully(body)

    def _add_raw(self, found: r4.RawObservation, body: bytes) -> None:
        """Take one Observation, not yet decoded further than *found*."""
        try:
            reduced = self.reducer.reduce(found, body)
        except BROKEN:
            self._add_carefully(body)
        else:
            self._enter(f"Observation/{found.id}", found, reduced)

    def _add_carefully(self, body: bytes) -> None:
        """Take what did not decode at once without what is wrong in it, or enter why not."""
        for found in read(body):
            if isinstance(found, Other):
                self.counts["ignored"] += 1
            elif isinstance(found, Unreadable):
                self.refuse(_reference(found.type, found.id), "resource-unreadable", found.path)
            elif isinstance(found, Mended):
                self._add_mended(found.resource, found.paths)
            else:
                self._add_mended(found, ())

    def _add_mended(self, found: r4.Known, lost: Sequence[str]) -> None:
        """Take *found*, which has *lost* elements; of another kind of data nobody misses them."""
        kept = self.reducer.reduce_whole(found) if isinstance(found, r4.Observation) else found
        key = f"{found.__class__.__name__}/{found.id}"
        for path in lost if kept is not None else ():
            self.issues.append(self.profile.issue("resource-unreadable", key, path, used=True))
        self._enter(key, found, kept)

    def _enter(self, key: str, found: r4.Known | r4.RawObservation, kept: _Kept | None) -> None:
        """Keep what is *kept* of *found*, which None says is another kind of data, unless we wrote it."""
        if found.identifier and _is_ours(found, self.profile):
            self.counts["ignored"] += 1
        elif key in self.resources or key in self.passed_by:
            self._choose(key, found, kept)
        elif kept is None:
            self.passed_by[key] = found.meta
        else:
            self.resources[key] = kept

    def _choose(self, key: str, found: r4.Known | r4.RawObservation, kept: _Kept | None) -> None:
        """Of two versions of *key* keep the newer, which may well be the one that we do not read."""
        self.refuse(key, "version-superseded", "meta.versionId")
        present = self.resources.get(key)
        age = _age(present.meta if present is not None else self.passed_by[key])
        if _rank(_age(found.meta), kept) > _rank(age, present):
            self.resources.pop(key, None)
            self.passed_by.pop(key, None)
            self._enter(key, found, kept)

    def refuse(self, key: str | None, reason: str, path: str | None = None) -> None:
        """Enter one resource as refused."""
        self.counts["refused"] += 1
        self.issues.append(self.profile.issue(reason, key, path, used=False))


def _reference(kind: str | None, identity: str | None) -> str | None:
    return f"{kind}/{identity}" if kind and identity else None


_Age: TypeAlias = tuple[datetime, int, str]


def _rank(age: _Age, kept: _Kept | None) -> tuple[_Age, bool, bytes]:
    """Sorts versions of one resource by age; of one age, what we read comes first, then content decides."""
    return age, kept is not None, msgspec.json.encode(kept)


def _age(meta: r4.Meta | None) -> _Age:
    """Sorts versions of one resource: by time, then number."""
    if meta is None:
        return _LONG_AGO, 0, ""
    number = meta.version_id or ""
    return _instant(meta.last_updated), int(number) if number.isdecimal() else 0, number


def _instant(text: str | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if text else _LONG_AGO
    except ValueError:
        return _LONG_AGO
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_ours(resource: r4.Known | r4.RawObservation, profile: Profile) -> bool:
    """Whether *resource* is a result that we wrote: never an input (`spec/reliability.md` I14)."""
    if not isinstance(resource, (r4.Observation, r4.RawObservation)):
        return False
    systems = {one.system or "" for one in resource.identifier}
    ours = (resource.id or "").startswith("srs-") and any(one.endswith("/result") for one in systems)
    return ours or not systems.isdisjoint(profile.result_systems)


def _gather(resources: Iterable[Any], profile: Profile) -> _Gathered:
    gathered = _Gathered(profile)
    for item in [resources] if isinstance(resources, (bytes, str, Mapping)) else resources:
        gathered.add(item if item.__class__ is bytes else as_bytes(item))
    return gathered


def _partition(gathered: _Gathered, people: People, profile: Profile) -> Iterator[PatientFacts]:
    """The facts of each patient, in the order of references; resources without a patient are refused."""
    drugs: dict[str, Drug] = {}
    by_patient: dict[str, dict[str, r4.Resource]] = {}
    noted: dict[str, dict[str, Noted]] = {}
    for key, resource in gathered.resources.items():
        if isinstance(resource, r4.Medication):
            drugs[key] = read_drug(resource, profile)
            gathered.counts["used"] += 1
            continue
        patient, reason = _owner(key, resource, people)
        if patient is None:
            gathered.refuse(key, reason or "subject-missing", "subject")
        elif isinstance(resource, Noted):
            noted.setdefault(patient, {})[key] = resource
        else:
            by_patient.setdefault(patient, {})[key] = resource
    aliases = people.aliases()
    for patient in sorted(by_patient.keys() | noted.keys()):
        yield PatientFacts(
            patient=patient,
            resources=by_patient.get(patient, {}),
            noted=noted.get(patient, {}),
            drugs=drugs,
            aliases=aliases.get(patient, frozenset()) | {patient},
            known=gathered.resources.keys(),
        )


def _owner(key: str, resource: _Kept, people: People) -> Subject:
    if isinstance(resource, r4.Patient):
        return Subject(people.survivor(key))
    return people.subject(_about(resource))


def _about(resource: Any) -> r4.Reference | None:
    """Whom *resource* is about."""
    about: r4.Reference | None = (
        resource.patient if isinstance(resource, r4.BodyStructure) else resource.subject
    )
    return about


def _together(maps: Sequence[PatientMap], gathered: _Gathered) -> Mapped:
    """Everything of all patients in one order, and the counts of all resources."""
    ordered = _distinct(sorted(maps, key=_person_order), gathered)
    counts = gathered.counts
    counts["ignored"] += len(gathered.passed_by)
    for one in ordered:
        counts.update(one.uses.values())
    issues = [*gathered.issues, *(issue for one in ordered for issue in one.issues)]
    return Mapped(
        lesions=sorted((lesion for one in ordered for lesion in one.lesions), key=lesion_order),
        patients=[one.patient for one in ordered if one.lesions],
        events=[event for one in ordered for event in one.events],
        issues=sorted(issues, key=_issue_order),
        counts=ResourceCounts(
            read=counts.total(), used=counts["used"], ignored=counts["ignored"], refused=counts["refused"]
        ),
    )


def _person_order(one: PatientMap) -> tuple[str, str]:
    return one.patient.identifier or one.patient.patient, one.patient.patient


def _issue_order(issue: Issue) -> tuple[str, str, str, bool]:
    return issue.resource or "", issue.reason, issue.path or "", issue.used


def _distinct(maps: Sequence[PatientMap], gathered: _Gathered) -> list[PatientMap]:
    """*maps* with lesion ids made different across patients: two records with one identifier, unmerged."""
    owners: dict[str, int] = {}
    made = []
    for one in maps:
        new = {}
        for lesion in one.lesions:
            count = owners[lesion.lesion_id] = owners.get(lesion.lesion_id, 0) + 1
            if count > 1:
                new[lesion.lesion_id] = with_number(lesion, count)
                key = lesion.course or lesion.patient
                gathered.issues.append(gathered.profile.issue("id-collision", key, used=True))
        made.append(_renamed(one, new) if new else one)
    return made


def _renamed(one: PatientMap, new: Mapping[str, Lesion]) -> PatientMap:
    """*one* with the lesions of *new* in the place of those with these ids, in events and links too."""
    names = {old: lesion.lesion_id for old, lesion in new.items()}
    lesions = [new.get(lesion.lesion_id, lesion) for lesion in one.lesions]
    return msgspec.structs.replace(
        one,
        lesions=tuple(
            msgspec.structs.replace(
                each, reirradiation_of=names.get(each.reirradiation_of or "", each.reirradiation_of)
            )
            for each in lesions
        ),
        events=tuple(_moved(event, names) for event in one.events),
    )


def _moved(event: Event, names: Mapping[str, str]) -> Event:
    name = names.get(event.lesion_id or "")
    return msgspec.structs.replace(event, lesion_id=name) if name else event
