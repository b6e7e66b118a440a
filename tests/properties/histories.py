"""Patients as a clinician would tell them, written plainly as FHIR: what `hard_cases` then bends and breaks.

Made without `fhir_srs.testing`: a second hand, so that mapping and cohort cannot agree on an error.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from hypothesis import strategies as st

from fhir_srs.model import Event, Mapped

Json = dict[str, Any]
Route = Literal["summary", "surgical"]
SCT, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
MRN = "https://hospital.example/mrn"
# Both SNOMED sets of some vertebrae, cranial to caudal, copied from the specification's section 3.
VERTEBRAE = {
    "T6": ("32430008", "45296009"), "T7": ("71737002", "62487009"), "T8": ("77435000", "11068009"),
    "T9": ("33766003", "82687006"), "T10": ("48405002", "7610001"), "T11": ("52120002", "12989004"),
    "T12": ("280849005", "23215003"), "L1": ("61032001", "66794005"), "L2": ("53983007", "14293000"),
}  # fmt: skip
LEVELS = tuple(VERTEBRAE)
# Gy and fractions of radiosurgery by dose alone (section 1.4).
SCHEDULES = ((16, 1), (18, 1), (24, 1), (24, 2), (27, 3), (30, 5))


class TrueLesion(NamedTuple):
    """One treated segment."""

    levels: tuple[str, ...]
    start: date
    dose_gy: int
    fractions: int
    route: Route

    @property
    def end(self) -> date:
        return self.start + timedelta(2 * (self.fractions - 1))


class TrueScore(NamedTuple):
    """Worst pain on a day; *lesion* is its place in the history, None if nobody says where it hurt."""

    on: date
    value: int
    lesion: int | None


class History(NamedTuple):
    """One patient. The opioid is morphine by mouth, *each* mg *times* a day, for 30 days from *opioid_on*."""

    lesions: tuple[TrueLesion, ...]
    scores: tuple[TrueScore, ...]
    ecog: int
    ecog_on: date
    each: int
    times: int
    opioid_on: date
    died: date | None


@st.composite
def histories(draw: st.DrawFn) -> History:
    """One or two lesions, apart or one after the other at the same levels; up to five scores."""
    first = draw(_lesion())
    lesions = [first]
    if draw(st.booleans()):
        other = draw(_lesion())
        again = draw(st.booleans()) or not set(first.levels).isdisjoint(other.levels)
        later = first.start + timedelta(draw(st.integers(60, 400)))
        lesions.append(other._replace(start=later, levels=first.levels) if again else other)
    treated = first.start
    days = st.integers(-20, 300).map(lambda number: treated + timedelta(number))
    score = st.builds(TrueScore, days, st.integers(0, 10), st.sampled_from([None, *range(len(lesions))]))
    scores = draw(st.lists(score, min_size=1, max_size=5, unique_by=lambda one: one.on))
    return History(
        tuple(lesions),
        tuple(scores),
        draw(st.integers(0, 4)),
        draw(days),
        draw(st.sampled_from([5, 10, 30])),
        draw(st.integers(1, 4)),
        draw(days),
        draw(st.none() | st.just(treated + timedelta(900))),
    )


@st.composite
def _lesion(draw: st.DrawFn) -> TrueLesion:
    at, size = draw(st.integers(0, len(LEVELS) - 3)), draw(st.integers(1, 3))
    dose, fractions = draw(st.sampled_from(SCHEDULES))
    day = date(2024, 1, 10) + timedelta(draw(st.integers(0, 120)))
    route: Route = draw(st.sampled_from(["summary", "summary", "surgical"]))
    return TrueLesion(LEVELS[at : at + size], day, dose, fractions, route)


def concept(system: str, *codes: str, text: str | None = None) -> Json:
    coding = {"coding": [{"system": system, "code": code} for code in codes]} if codes else {}
    return coding | ({"text": text} if text else {})


def written(told: History) -> list[Json]:
    """*told* as FHIR, each fact in its plainest shape; lesion n is Procedure/cn with BodyStructure/vn."""
    made: list[Json] = [_patient(told)]
    for number, one in enumerate(told.lesions):
        made += _summary(number, one) if one.route == "summary" else [_surgical(number, one)]
    made += [_score(number, one, told) for number, one in enumerate(told.scores)]
    return [*made, _ecog(told), _order(told)]


def _patient(told: History) -> Json:
    mr = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    died = {"deceasedDateTime": told.died.isoformat()} if told.died else {}
    identifier = [{"type": mr, "system": MRN, "value": "4711"}]
    return {"resourceType": "Patient", "id": "p", "identifier": identifier, "birthDate": "1950-05-05", **died}


def _of_patient(kind: str, id_: str, **elements: Any) -> Json:
    return {"resourceType": kind, "id": id_, "subject": {"reference": "Patient/p"}, **elements}


def _period(one: TrueLesion) -> Json:
    return {"performedPeriod": {"start": one.start.isoformat(), "end": one.end.isoformat()}}


def _dose(one: TrueLesion, number: int | None) -> Json:
    volume = {"url": "volume", "valueReference": {"reference": f"BodyStructure/v{number}"}}
    quantity = {"value": one.dose_gy * 100, "unit": "cGy", "system": UCUM, "code": "cGy"}
    parts: list[Json] = [{"url": "totalDoseDelivered", "valueQuantity": quantity}]
    parts.append({"url": "fractionsDelivered", "valueUnsignedInt": one.fractions})
    url = MCODE + "mcode-radiotherapy-dose-delivered-to-volume"
    return {"url": url, "extension": parts if number is None else [volume, *parts]}


def _summary(number: int, one: TrueLesion) -> list[Json]:
    name = "_".join((one.levels[0], one.levels[-1])) if len(one.levels) > 1 else one.levels[0]
    uid = {"use": "official", "system": "urn:dicom:uid", "value": f"urn:oid:1.2.840.99.{number + 1}"}
    volume = {
        "resourceType": "BodyStructure",
        "id": f"v{number}",
        "patient": {"reference": "Patient/p"},
        "identifier": [uid, {"use": "usual", "value": f"PTV_{name}"}],
        "morphology": concept(SCT, "228793007"),
        "location": concept(SCT, VERTEBRAE[one.levels[0]][0]),
    }
    official = {"identifier": [{"use": "official", "system": "urn:course", "value": str(number)}]}
    elements = {"status": "completed", "code": concept(SCT, "1217123003"), "extension": [_dose(one, number)]}
    return [volume, _of_patient("Procedure", f"c{number}", **elements, **official, **_period(one))]


def _surgical(number: int, one: TrueLesion) -> Json:
    sites = [concept(SCT, VERTEBRAE[level][0]) for level in one.levels]
    elements = {"status": "completed", "code": concept(SCT, "447704003"), "extension": [_dose(one, None)]}
    return _of_patient("Procedure", f"c{number}", **elements, bodySite=sites, **_period(one))


def _score(number: int, one: TrueScore, told: History) -> Json:
    link: Json = {}
    if one.lesion is not None:
        by_focus = told.lesions[one.lesion].route == "summary"
        link = {"focus": [{"reference": f"BodyStructure/v{one.lesion}"}]}
        link = link if by_focus else {"partOf": [{"reference": f"Procedure/c{one.lesion}"}]}
    return _of_patient(
        "Observation",
        f"s{number}",
        status="final",
        code=concept(LOINC, "72514-3"),
        effectiveDateTime=one.on.isoformat(),
        valueInteger=one.value,
        **link,
    )


def _ecog(told: History) -> Json:
    day = told.ecog_on.isoformat()
    elements = {"status": "final", "effectiveDateTime": day, "valueInteger": told.ecog}
    return _of_patient("Observation", "ecog", code=concept(LOINC, "89247-1"), **elements)


def _order(told: History) -> Json:
    bounds = {"start": told.opioid_on.isoformat(), "end": (told.opioid_on + timedelta(29)).isoformat()}
    repeat = {"frequency": told.times, "period": 1, "periodUnit": "d", "boundsPeriod": bounds}
    quantity = {"value": told.each, "unit": "mg", "system": UCUM, "code": "mg"}
    dosage = {"timing": {"repeat": repeat}, "doseAndRate": [{"doseQuantity": quantity}]}
    return _of_patient(
        "MedicationRequest",
        "order",
        status="active",
        intent="order",
        authoredOn=bounds["start"],
        medicationCodeableConcept=concept(RXNORM, "7052"),
        dosageInstruction=[dosage],
    )


LesionFacts = tuple[Any, ...]
EventFacts = tuple[Any, ...]


class Facts(NamedTuple):
    """What is to come out whatever the shape: lesions in order, events as many as there are."""

    lesions: tuple[LesionFacts, ...]
    events: Counter[EventFacts]


def facts_of(told: History) -> Facts:
    """What mapping must find of *told*. A lesion is known by its first fraction and levels."""
    lesions = sorted((_true_lesion(one, told) for one in told.lesions), key=_in_time)
    events: list[EventFacts] = [
        ("pain", one.on, one.on, Decimal(one.value), _place(told, one.lesion)) for one in told.scores
    ]
    events.append(("performance", told.ecog_on, told.ecog_on, Decimal(told.ecog), None))
    until = told.opioid_on + timedelta(29)
    events.append(("opioid", told.opioid_on, until, Decimal(told.each * told.times), None))
    if told.died:
        events.append(("death", told.died, told.died, None, None))
    return Facts(tuple(lesions), Counter(events))


def _true_lesion(one: TrueLesion, told: History) -> LesionFacts:
    before = [each for each in told.lesions if each.start < one.start]
    again = any(not set(each.levels).isdisjoint(one.levels) for each in before)
    technique = "SRS" if one.fractions == 1 else "SBRT"
    return one.start, one.levels, one.end, one.dose_gy, one.fractions, technique, again


def _place(told: History, number: int | None) -> Any:
    return None if number is None else (told.lesions[number].start, told.lesions[number].levels)


def facts_found(found: Mapped) -> Facts:
    """The same of what mapping made."""
    places = {one.lesion_id: (one.start.day if one.start else None, one.levels) for one in found.lesions}
    lesions = [
        (
            one.start.day if one.start else None,
            one.levels,
            one.end.day if one.end else None,
            one.dose_gy,
            one.fractions,
            one.technique,
            one.reirradiation_of is not None,
        )
        for one in found.lesions
    ]
    events = [_event(one, places) for one in found.events if _is_told(one)]
    return Facts(tuple(sorted(lesions, key=_in_time)), Counter(events))


def _in_time(lesion: LesionFacts) -> tuple[str, tuple[str, ...]]:
    return str(lesion[0]), lesion[1]


def _is_told(event: Event) -> bool:
    """Whether *event* is of a kind that histories tell; other drugs are only the sign of a kept list."""
    return event.kind in {"pain", "performance", "opioid", "death"} and "not-opioid" not in event.flags


def _event(event: Event, places: dict[str, Any]) -> EventFacts:
    first = event.on.first if event.on else None
    last = event.until if event.until else event.on
    where = places[event.lesion_id] if event.lesion_id else None
    return event.kind, first, last.last if last else None, event.value, where


def of_kind(resources: Sequence[Json], *kinds: str) -> list[Json]:
    """Those of *resources* that are of these types."""
    return [one for one in resources if one["resourceType"] in kinds]
