"""The course of the spine as FHIR: imaging, examinations, fractures, cord compression, adverse events."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from random import Random

from fhir_srs.testing.cohort_codes import (
    LOINC,
    MCODE,
    NCIT,
    OWN_SCALES,
    SNOMED,
    TERMINOLOGY,
    Json,
    concept,
    extension,
)
from fhir_srs.testing.cohort_courses import Written, level_concept
from fhir_srs.testing.cohort_records import build_imaging_study, build_observation
from fhir_srs.testing.cohort_shapes import Style
from fhir_srs.testing.cohort_spine import BILSKY, SCALES, Spine, SpineCourse, Toxicity

_EXAM = [concept(f"{TERMINOLOGY}observation-category", "exam")]
_IMAGING = [concept(f"{TERMINOLOGY}observation-category", "imaging")]
_STATUS = concept(LOINC, "97509-4", "Cancer disease status")
_STATUS_VALUES = {"improved": "268910001", "stable": "359746009", "worsened": "271299001"}
_EVIDENCE = extension(
    f"{MCODE}mcode-cancer-disease-status-evidence-type",
    "valueCodeableConcept",
    concept(SNOMED, "363679005", "Imaging (procedure)"),
)
_SCALE_CODES: dict[str, Json] = {
    "asia": concept(LOINC, "97843-7", "ASIA impairment scale"),
    "frankel": concept(OWN_SCALES, "frankel", "Frankel grade A to E"),
    "muscle-grade": concept(OWN_SCALES, "muscle-grade", "Muscle strength 0 to 5 (MRC)"),
}
_WALKING = concept(OWN_SCALES, "ambulatory", "Ambulatory status")
_EPIDURAL = concept(OWN_SCALES, "bilsky", "Epidural disease, Bilsky grade 0, 1a, 1b, 1c, 2 or 3")
_FRACTURE = concept(SNOMED, "866087009", "Metastatic fracture of vertebra")
_COMPRESSION = concept(SNOMED, "71286001", "Spinal cord compression")
_GRADE = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/ae-grade"
_GRADES = {1: "C41338", 2: "C41339", 3: "C41340", 4: "C41337"}


def build_findings(
    patient_id: str, written: Sequence[tuple[Written, Spine]], course: SpineCourse, style: Style, rng: Random
) -> Iterator[Json]:
    """All that was seen of the spine and the nerves of one patient."""
    for number, (item, spine) in enumerate(written, 1):
        place = _place(item, style)
        yield from _examined(f"{patient_id}-spine-{number}", patient_id, spine, spine.baseline, None, place)
        for visit, day in enumerate(spine.visits, 1):
            base, on = f"{patient_id}-spine-{number}-{visit}", item.lesion.end + timedelta(days=day)
            yield from _examined(base, patient_id, spine, on, day, place)
            yield from _imaged(base, patient_id, _status(spine, day, rng), on, place, rng)
        yield from _conditions(f"{patient_id}-spine-{number}", patient_id, item, spine, style)
    for name, toxicity in (("acute", course.acute), ("late", course.late)):
        if toxicity is not None:
            yield _adverse_event(f"{patient_id}-{name}", patient_id, toxicity)


def _place(item: Written, style: Style) -> Json:
    """The elements that tie a finding to its lesion: its volume where the sender points there."""
    if item.volume is not None and style.pain_link in ("focus", "volume", "condition"):
        return {"focus": [{"reference": item.volume}]}
    return {"bodySite": level_concept(item.lesion.levels[-1], style)}


def _examined(
    base: str, patient_id: str, spine: Spine, on: date, day: int | None, place: Json
) -> Iterator[Json]:
    """The grades on *on*, which is *day* of follow-up, or None before treatment."""
    when = -1 if day is None else day
    dated = {"effectiveDateTime": on.isoformat(), **place}
    if spine.neuro is not None:
        grade = SCALES[spine.scale][spine.neuro.at(when)]
        code = _SCALE_CODES[spine.scale]
        yield build_observation(f"{base}-neuro", patient_id, code, _EXAM) | dated | _graded(spine, grade)
    if spine.walking is not None:
        walks = {"valueBoolean": bool(spine.walking.at(when))}
        yield build_observation(f"{base}-walking", patient_id, _WALKING, _EXAM) | dated | walks
    epidural = {"valueString": BILSKY[spine.epidural.at(when)]}
    yield build_observation(f"{base}-bilsky", patient_id, _EPIDURAL, _IMAGING) | dated | epidural


def _graded(spine: Spine, grade: str) -> Json:
    """A grade as it is sent: muscle strength as a number, letters as text."""
    if spine.scale == "muscle-grade":
        return {"valueInteger": int(grade)}
    return {"valueCodeableConcept": {"text": f"{spine.scale.upper()} grade {grade}"}}


def _status(spine: Spine, day: int, rng: Random) -> str:
    if day == spine.pseudo_day or (spine.growth_day is not None and day >= spine.growth_day):
        return "worsened"
    return rng.choices(("improved", "stable"), (3, 5))[0]


def _imaged(base: str, patient_id: str, status: str, on: date, place: Json, rng: Random) -> Iterator[Json]:
    """What imaging says of the segment; of some, the study that it was read from."""
    if rng.random() < 0.3:
        yield build_imaging_study(f"{base}-mri", patient_id, on)
    yield {
        **build_observation(f"{base}-status", patient_id, _STATUS, _IMAGING),
        "meta": {"profile": [f"{MCODE}mcode-cancer-disease-status"]},
        "extension": [_EVIDENCE],
        **place,
        "effectiveDateTime": on.isoformat(),
        "valueCodeableConcept": concept(SNOMED, _STATUS_VALUES[status], status),
    }


def _conditions(base: str, patient_id: str, item: Written, spine: Spine, style: Style) -> Iterator[Json]:
    """Fractures of the most cranial level, and a compressed cord."""
    level, start = level_concept(item.lesion.levels[0], style), item.lesion.start
    if spine.fracture_before:
        yield _condition(f"{base}-broken", patient_id, _FRACTURE, level, start - timedelta(days=12))
    if spine.fracture_day is not None:
        on = item.lesion.end + timedelta(days=spine.fracture_day)
        yield _condition(f"{base}-fracture", patient_id, _FRACTURE, level, on)
    if spine.cord_compression and item.lesion.before is None:
        yield _condition(f"{base}-cord", patient_id, _COMPRESSION, level, start - timedelta(days=5))


def _condition(condition_id: str, patient_id: str, code: Json, level: Json, on: date) -> Json:
    return {
        "resourceType": "Condition",
        "id": condition_id,
        "clinicalStatus": concept(f"{TERMINOLOGY}condition-clinical", "active"),
        "verificationStatus": concept(f"{TERMINOLOGY}condition-ver-status", "confirmed"),
        "code": code,
        "bodySite": [level],
        "subject": {"reference": f"Patient/{patient_id}"},
        "onsetDateTime": on.isoformat(),
    }


def _adverse_event(event_id: str, patient_id: str, toxicity: Toxicity) -> Json:
    grade = concept(NCIT, _GRADES[toxicity.grade], f"CTCAE v4.0 grade {toxicity.grade}")
    return {
        "resourceType": "AdverseEvent",
        "id": event_id,
        "extension": [extension(_GRADE, "valueCodeableConcept", grade)],
        "actuality": "actual",
        "event": concept(NCIT, toxicity.term),
        "subject": {"reference": f"Patient/{patient_id}"},
        "date": toxicity.on.isoformat(),
    }
