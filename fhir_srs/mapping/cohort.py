"""All resources of a source: read, newest versions kept, sorted by patient, mapped, put together.

Counting holds at every step: read = used + ignored + refused (`spec/fhir-mapping.md` section 8). This is
the way through memory; the engines take the same steps with files between them (`lines`, `assembly`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_srs import r4
from fhir_srs.mapping.assembly import distinct, issue_order, lesions_of, namesakes, person_order
from fhir_srs.mapping.drugs import read_drug
from fhir_srs.mapping.facts import Drug, Noted, PatientFacts, Use
from fhir_srs.mapping.intake import Intake, about
from fhir_srs.mapping.patients import People, Subject
from fhir_srs.mapping.persons import PatientMap, map_patient
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.reading import as_bytes
from fhir_srs.mapping.tally import ignored_kinds, kind_of
from fhir_srs.mapping.versions import Kept, age, rank
from fhir_srs.model import Event, Issue, Lesion, Mapped, Patient, ResourceCounts

Unread = Callable[[str | None], None]


def map_resources(
    resources: Iterable[Any],
    *,
    profile: Profile,
    unread: Unread = lambda _path: None,
    fate: Callable[[str, Use], None] | None = None,
) -> Mapped:
    """
    All lesions, their patients, events and issues in *resources*, in an order that input cannot change.

    *resources* yields dicts, JSON bytes or text, or fhir.resources models; a Bundle stands for its
    entries. Whatever cannot be read or used is an Issue, never an exception. *unread* is called, with the
    path if one is known, whenever the item just taken from *resources* was not, or not wholly, readable:
    whoever yields the items knows where that one stood. *fate* is told, at the end, what became of each
    resource that belongs to a patient or is of another kind of data: `Type/id` and its use.
    """
    gathered = _gather(resources, profile, unread)
    people = People(one for one in gathered.resources.values() if isinstance(one, r4.Patient))
    partition = _partition(gathered, people, profile)
    maps = [map_patient(facts, profile) for facts in partition]
    if fate is not None:
        _tell(fate, maps, gathered)
    return _together(maps, gathered)


def _tell(fate: Callable[[str, Use], None], maps: Iterable[PatientMap], gathered: "_Gathered") -> None:
    for key in gathered.passed_by:
        fate(key, "ignored")
    for one in maps:
        for key, use in one.uses.items():
            fate(key, use)


class _Gathered:
    """What was read: the newest version of each resource by `Type/id`, issues so far, and counts."""

    def __init__(self, profile: Profile, unread: Unread) -> None:
        self.profile = profile
        self.resources: dict[str, Kept] = {}
        self.passed_by: dict[str, r4.Meta | None] = {}
        self.issues: list[Issue] = []
        self.counts: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self._unread = unread

    def ignore(self, kind: str) -> None:
        """Count a resource of a type that we do not read, or of our own making."""
        self.ignored[kind] += 1

    def unreadable(self, key: str | None, path: str | None) -> None:
        """Enter what is no readable resource."""
        self.refuse(key, "resource-unreadable", path)
        self._unread(path)

    def lost(self, key: str, path: str) -> None:
        """Enter that the element at *path* of *key* could not be read."""
        self.issues.append(self.profile.issue("resource-unreadable", key, path, used=True))
        self._unread(path)

    def enter(self, key: str, meta: r4.Meta | None, kept: Kept | None, body: bytes) -> None:
        """Keep what is *kept* of *key*; None says that it is another kind of data."""
        if key in self.resources or key in self.passed_by:
            self._choose(key, meta, kept, body)
        elif kept is None:
            self.passed_by[key] = meta
        else:
            self.resources[key] = kept

    def _choose(self, key: str, meta: r4.Meta | None, kept: Kept | None, body: bytes) -> None:
        """Of two versions of *key* keep the newer, which may well be the one that we do not read."""
        self.refuse(key, "version-superseded", "meta.versionId")
        present = self.resources.get(key)
        before = present.meta if present is not None else self.passed_by[key]
        if rank(_age(meta), kept) > rank(_age(before), present):
            self.resources.pop(key, None)
            self.passed_by.pop(key, None)
            self.enter(key, meta, kept, body)

    def refuse(self, key: str | None, reason: str, path: str | None = None) -> None:
        """Enter one resource as refused."""
        self.counts["refused"] += 1
        self.issues.append(self.profile.issue(reason, key, path, used=False))


def _age(meta: r4.Meta | None) -> Any:
    return age(meta.last_updated, meta.version_id) if meta else age(None, None)


def _gather(resources: Iterable[Any], profile: Profile, unread: Unread) -> _Gathered:
    gathered = _Gathered(profile, unread)
    intake = Intake(profile, gathered)
    for item in [resources] if isinstance(resources, (bytes, str, Mapping)) else resources:
        intake.take(item if item.__class__ is bytes else as_bytes(item))
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


def _owner(key: str, resource: Kept, people: People) -> Subject:
    if isinstance(resource, r4.Patient):
        return Subject(people.survivor(key))
    return people.subject(about(resource))


def _together(maps: Sequence[PatientMap], gathered: _Gathered) -> Mapped:
    """Everything of all patients in one order, and the counts of all resources."""
    lesions: list[Lesion] = []
    patients: list[Patient] = []
    events: list[Event] = []
    issues = gathered.issues
    counts, ignored = gathered.counts, gathered.ignored
    ignored.update(map(kind_of, gathered.passed_by))
    for namesake in namesakes(sorted(maps, key=lambda one: person_order(one.patient))):
        group, changed = distinct(namesake, gathered.profile)
        issues += changed
        lesions += lesions_of(group)
        for one in group:
            counts.update(one.uses.values())
            ignored.update(ignored_kinds(one.uses))
            patients += [one.patient] if one.lesions else []
            events += one.events
            issues += one.issues
    return Mapped(
        lesions=lesions,
        patients=patients,
        events=events,
        issues=sorted(issues, key=issue_order),
        counts=ResourceCounts(
            read=counts["used"] + counts["refused"] + ignored.total(),
            used=counts["used"],
            ignored=ignored.total(),
            refused=counts["refused"],
            kinds=dict(sorted(ignored.items())),
        ),
    )
