"""One patient's resources to lesions, events and issues: pure, so that it may run in any process."""

from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.conditions import with_conditions
from fhir_srs.mapping.conflicts import settled
from fhir_srs.mapping.elements import barred
from fhir_srs.mapping.facts import PatientFacts, Use, of_type
from fhir_srs.mapping.interventions import retreatments
from fhir_srs.mapping.ledger import Ledger
from fhir_srs.mapping.lesions import find_lesions
from fhir_srs.mapping.medications import read_calendar
from fhir_srs.mapping.patients import build_patient
from fhir_srs.mapping.placing import Placing
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.readers import READERS
from fhir_srs.mapping.scores import panels
from fhir_srs.mapping.vital_status import death_of
from fhir_srs.model import Event, Issue, Lesion, Patient

TOO_LARGE = "patient-too-large"


class PatientMap(msgspec.Struct, frozen=True, kw_only=True):
    """All that was made of one patient, each list in a total order, and what became of each resource."""

    patient: Patient
    lesions: tuple[Lesion, ...]
    events: tuple[Event, ...]
    issues: tuple[Issue, ...]
    uses: Mapping[str, Use]


def map_patient(facts: PatientFacts, profile: Profile) -> PatientMap:
    """The lesions and events of the patient of *facts*; every resource there ends in `uses`."""
    if len(facts.resources) + len(facts.noted) > profile.choices.patient_limit:
        return _too_large(facts, profile)
    ledger = Ledger(profile)
    facts, patient, events = _person(facts, profile, ledger)
    sites = with_conditions(find_lesions(facts, patient, profile, ledger), facts, profile)
    events.extend(retreatments(sites, facts, profile))
    placing = Placing(sites, facts, profile, ledger)
    for key, resource in facts.resources.items():
        if key not in ledger.uses:
            events.extend(_taken(key, resource, placing, facts, profile, ledger))
    for key, one in facts.noted.items():
        events.extend(placing.noted(key, one))
    return PatientMap(
        patient=patient,
        lesions=tuple(one.lesion for one in sites),
        events=tuple(sorted(settled(events, ledger), key=_occurrence)),
        issues=tuple(dict.fromkeys(ledger.issues)),
        uses=ledger.uses,
    )


def _too_large(facts: PatientFacts, profile: Profile) -> PatientMap:
    """Nothing of a patient of whom part would be a guess: each resource is refused."""
    ledger = Ledger(profile)
    for key in (*facts.resources, *facts.noted):
        ledger.refuse(key, TOO_LARGE)
    return PatientMap(
        patient=Patient(patient=facts.patient, identifier=None, key=facts.patient),
        lesions=(),
        events=(),
        issues=tuple(ledger.issues),
        uses=ledger.uses,
    )


def _person(
    facts: PatientFacts, profile: Profile, ledger: Ledger
) -> tuple[PatientFacts, Patient, list[Event]]:
    """*facts* without what may not be used, with the dates that bound a life; the person; their death."""
    spelt = {key: _spelt(one, profile) for key, one in facts.resources.items()}
    resources = {key: one for key, one in spelt.items() if _usable(key, one, profile, ledger)}
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


def _spelt(resource: r4.Resource, profile: Profile) -> r4.Resource:
    """A Procedure with its status in R4's words, where the site has its own."""
    if not profile.statuses or not isinstance(resource, r4.Procedure):
        return resource
    meant = profile.statuses.get(resource.status or "")
    return resource if meant is None else msgspec.structs.replace(resource, status=meant)


def _usable(key: str, resource: r4.Resource, profile: Profile, ledger: Ledger) -> bool:
    """Whether *resource* may be used at all."""
    reason = barred(resource, profile)
    if reason is not None:
        ledger.refuse(key, *reason)
    return reason is None


def _taken(
    key: str, resource: r4.Resource, placing: Placing, facts: PatientFacts, profile: Profile, ledger: Ledger
) -> Iterable[Event]:
    """The events that *resource* gives; what became of it is entered."""
    if isinstance(resource, r4.Observation):
        return placing.whole(key, resource)
    reader = READERS.get(resource.__class__)
    if reader is None:
        ledger.ignore(key)
        return ()
    taken = reader(resource, facts, profile)
    ledger.uses[key] = taken.use
    ledger.issues.extend(taken.issues)
    return placing.drafts(key, taken.drafts)


def _occurrence(event: Event) -> tuple[object, ...]:
    """A total order of one patient's events: day (none last), kind, source, and what else may differ."""
    on = event.on
    day = (False, on.first, on.last) if on else (True, date.max, date.max)
    until = event.until.text if event.until else ""
    rest = (event.code or "", str(event.value), until, event.lesion_id or "", event.flags)
    return day, event.kind, event.source, rest
