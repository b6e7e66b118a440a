"""One patient's resources to lesions, events and issues: pure, so that it may run in any process."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.conditions import with_conditions
from fhir_srs.mapping.conflicts import settled
from fhir_srs.mapping.facts import Draft, LesionSite, Link, LinkHints, PatientFacts, Use, of_type
from fhir_srs.mapping.ledger import Ledger
from fhir_srs.mapping.lesions import find_lesions
from fhir_srs.mapping.medications import read_calendar
from fhir_srs.mapping.patients import build_patient
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.readers import READERS, link
from fhir_srs.mapping.scores import panels
from fhir_srs.mapping.vital_status import death_of
from fhir_srs.model import Event, Issue, Lesion, Patient


class PatientMap(msgspec.Struct, frozen=True, kw_only=True):
    """All that was made of one patient, each list in a total order, and what became of each resource."""

    patient: Patient
    lesions: tuple[Lesion, ...]
    events: tuple[Event, ...]
    issues: tuple[Issue, ...]
    uses: Mapping[str, Use]


def map_patient(facts: PatientFacts, profile: Profile) -> PatientMap:
    """The lesions and events of the patient of *facts*; every resource there ends in `uses`."""
    ledger = Ledger(profile)
    facts, patient, events = _person(facts, profile, ledger)
    sites = with_conditions(find_lesions(facts, patient, profile, ledger), facts, profile)
    for key, resource in facts.resources.items():
        reader = READERS.get(resource.__class__)
        if key in ledger.uses:
            continue
        if reader is None:
            ledger.ignore(key)
            continue
        taken = reader(resource, facts, profile)
        ledger.uses[key] = taken.use
        ledger.issues.extend(taken.issues)
        events.extend(_linked(key, taken.drafts, sites, facts, profile, ledger))
    return PatientMap(
        patient=patient,
        lesions=tuple(one.lesion for one in sites),
        events=tuple(sorted(settled(events, ledger), key=_occurrence)),
        issues=tuple(dict.fromkeys(ledger.issues)),
        uses=ledger.uses,
    )


def _person(
    facts: PatientFacts, profile: Profile, ledger: Ledger
) -> tuple[PatientFacts, Patient, list[Event]]:
    """*facts* without what may not be used, with the dates that bound a life; the person; their death."""
    doubtful = [key for key, one in facts.resources.items() if one.modifier_extension or _is_error(one)]
    barred = {key for key in doubtful if not _usable(key, facts.resources[key], profile, ledger)}
    resources = {key: one for key, one in facts.resources.items() if key not in barred}
    records = dict(of_type(r4.Patient, resources))
    record = records.pop(facts.patient, None)
    merged = list(records.values())
    ledger.use(*records, *((facts.patient,) if record else ()))
    for key in records:
        ledger.note(key, "patient-merged")
    patient = build_patient(facts.patient, record, merged, profile)
    if patient.identifier is None and record is not None:
        ledger.note(facts.patient, "identifier-missing")
    told = [one for one in (record, *merged) if one is not None]
    born = msgspec.structs.replace(facts, resources=resources, born=patient.birth_date)
    deaths = [one for one in (death_of(one, born, profile, ledger) for one in told) if one is not None]
    died = next((one.on for one in deaths if one.on is not None), None)
    bounded = msgspec.structs.replace(born, died=died, panels=panels(resources, profile))
    return msgspec.structs.replace(bounded, calendar=read_calendar(bounded, profile)), patient, deaths


def _is_error(resource: r4.Resource) -> bool:
    return getattr(resource, "status", None) == "entered-in-error"


def _usable(key: str, resource: r4.Resource, profile: Profile, ledger: Ledger) -> bool:
    """Whether *resource* may be used at all: not in error, and without modifiers of unknown meaning."""
    if resource.modifier_extension and not all(
        one.url in profile.known_modifiers for one in resource.modifier_extension
    ):
        ledger.refuse(key, "modifier-extension-unknown", "modifierExtension")
        return False
    if _is_error(resource):
        ledger.refuse(key, "status-entered-in-error", "status")
        return False
    return True


def _linked(
    key: str,
    drafts: Iterable[Draft],
    sites: Sequence[LesionSite],
    facts: PatientFacts,
    profile: Profile,
    ledger: Ledger,
) -> Iterator[Event]:
    """The events of *drafts*, each with its lesion and rung; without lesions all belong to the patient."""
    for draft in drafts:
        event = _with_lesion(key, draft, sites, facts, profile, ledger)
        if event.value == "worsened" and event.lesion_id is None and "local" not in event.flags:
            ledger.note(key, "progression-site-unknown", "valueCodeableConcept")
        yield event


def _with_lesion(
    key: str,
    draft: Draft,
    sites: Sequence[LesionSite],
    facts: PatientFacts,
    profile: Profile,
    ledger: Ledger,
) -> Event:
    """The event of *draft* with its lesion and rung, its reasons said."""
    if not sites or not _says_where(draft.hints):
        return draft.event
    where = link(draft.hints, draft.event.on, sites, facts, profile)
    for reason in where.reasons:
        ledger.note(key, reason)
    return _placed(draft.event, where)


def _placed(event: Event, where: Link) -> Event:
    """*event* at the place that *where* says; one of another site must not count for any lesion."""
    if "site-other-than-lesion" in where.reasons and where.lesion_id is None:
        return msgspec.structs.replace(event, flags=(*event.flags, "site-other-than-lesion"))
    if where.lesion_id is None and where.rung == "patient":
        return event
    return msgspec.structs.replace(event, lesion_id=where.lesion_id, link=where.rung)


def _says_where(hints: LinkHints) -> bool:
    """Whether *hints* say anything: most events only name their patient."""
    return bool(
        hints.sites or hints.focus or hints.conditions or hints.courses or hints.volumes or hints.structures
    )


def _occurrence(event: Event) -> tuple[object, ...]:
    """A total order of one patient's events: day (none last), kind, source, and what else may differ."""
    on = event.on
    day = (False, on.first, on.last) if on else (True, date.max, date.max)
    until = event.until.text if event.until else ""
    rest = (event.code or "", str(event.value), until, event.lesion_id or "", event.flags)
    return day, event.kind, event.source, rest
