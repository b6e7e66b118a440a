"""One latent patient as FHIR R4 resources: what a hospital's server would hold about them."""

from datetime import timedelta
from random import Random

from fhir_srs.testing.cohort_codes import (
    HL7,
    ICD10CM,
    MCODE,
    METASTASIS_CODES,
    PRIMARIES,
    SNOMED,
    TERMINOLOGY,
    Json,
    concept,
    extension,
)
from fhir_srs.testing.cohort_courses import build_courses, level_concept, other_treatments
from fhir_srs.testing.cohort_findings import build_findings
from fhir_srs.testing.cohort_latent import LatentLesion, LatentPatient
from fhir_srs.testing.cohort_records import (
    build_contact,
    build_medications,
    build_noise,
    build_pain,
    build_status,
    build_vitals,
    build_void_pain,
)
from fhir_srs.testing.cohort_shapes import Shapes, Style
from fhir_srs.testing.cohort_spine import SpineCourse

# In every name, address and narrative: found anywhere outside the source data, it is a leak.
MARKER_NAME = "Zzmarkername"
_GIVEN = ("Alba", "Bodo", "Cleo", "Dario", "Edda", "Falk", "Greta", "Hanno", "Ilka", "Jona")
_SYNTHETIC: Json = {"system": f"{TERMINOLOGY}v3-ActReason", "code": "HTEST", "display": "test health data"}


def build_patient(
    patient: LatentPatient,
    course: SpineCourse,
    patient_id: str,
    style: Style,
    shapes: Shapes,
    rng: Random,
) -> list[Json]:
    """All resources of *patient*, the Patient first, each marked as synthetic (HTEST)."""
    conditions = _conditions(patient_id, patient, style)
    spinal = _condition_of_lesion(patient_id, patient)
    pairs = list(zip(patient.lesions, spinal, strict=True))
    courses = build_courses(patient_id, pairs, style, rng, noise=shapes.noise)
    first = min(lesion.start for lesion in patient.lesions)
    pain = list(build_pain(patient_id, courses.written, style, rng))
    # Drawn in any case, so that what follows does not move.
    at_random = list(build_status(patient_id, courses.written, patient.last_contact, rng))
    resources = [
        _person(patient_id, patient, style),
        *conditions,
        *courses.resources,
        *pain,
        *build_medications(patient_id, patient, style),
        *([] if shapes.findings else at_random),
        *build_contact(patient_id, patient, rng),
    ]
    if shapes.findings:
        spines = dict(zip(patient.lesions, course.lesions, strict=True))
        pairs_written = [(item, spines[item.lesion]) for item in courses.written]
        own = Random(f"findings:{patient_id}")
        resources.extend(build_findings(patient_id, pairs_written, course, style, own))
    if shapes.noise:
        resources.extend(build_noise(patient_id, first, rng))
        if rng.random() < 0.3:
            resources.extend(build_void_pain(patient_id, courses.written, style, rng))
        if rng.random() < 0.2:
            before = first - timedelta(days=rng.randrange(60, 400))
            resources.extend(other_treatments(patient_id, before, style, rng))
    # Vitals come from a generator of their own, so that their number moves nothing else.
    resources.extend(build_vitals(patient_id, first, shapes.vitals, Random(f"vitals:{patient_id}")))
    return [_marked(resource) for resource in resources]


def patient_identifier(patient_id: str, style: Style) -> tuple[str, str]:
    """The record number of a patient: its system and value."""
    return style.mrn_system, f"MRN-{patient_id}"


def _marked(resource: Json) -> Json:
    """*resource* with the label HTEST; type and id stay in front."""
    meta = {**resource.get("meta", {}), "security": [_SYNTHETIC]}
    head = {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta}
    return head | {key: value for key, value in resource.items() if key not in head}


def _person(patient_id: str, patient: LatentPatient, style: Style) -> Json:
    system, value = patient_identifier(patient_id, style)
    given = _GIVEN[patient.number % len(_GIVEN)]
    person: Json = {
        "resourceType": "Patient",
        "id": patient_id,
        "meta": {"profile": [f"{MCODE}mcode-cancer-patient"]},
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{given} {MARKER_NAME}</div>',
        },
        "identifier": [
            {
                "use": "usual",
                "type": concept(f"{TERMINOLOGY}v2-0203", "MR", "Medical record number"),
                "system": system,
                "value": value,
            }
        ],
        "active": True,
        "name": [{"use": "official", "family": f"{MARKER_NAME}{patient.number}", "given": [given]}],
        "gender": patient.sex,
        "birthDate": patient.birth.isoformat(),
        "address": [{"line": [f"{patient.number} {MARKER_NAME} Street"], "city": "Nowhere"}],
    }
    return person | ({} if patient.death is None else {"deceasedDateTime": patient.death.isoformat()})


def _conditions(patient_id: str, patient: LatentPatient, style: Style) -> list[Json]:
    primary_code, icd10, display = PRIMARIES[patient.primary]
    primary = _condition(f"{patient_id}-primary", patient_id, "mcode-primary-cancer-condition")
    primary["code"] = {
        "coding": [
            {"system": SNOMED, "code": primary_code, "display": display},
            {"system": ICD10CM, "code": icd10},
        ]
    }
    spinal = [
        _metastasis(f"{patient_id}-met-{number}", patient_id, lesion, style)
        for number, lesion in enumerate(patient.lesions, 1)
        if lesion.before is None
    ]
    return [primary, *spinal]


def _metastasis(condition_id: str, patient_id: str, lesion: LatentLesion, style: Style) -> Json:
    condition = _condition(condition_id, patient_id, "mcode-secondary-cancer-condition")
    related = {"reference": f"Condition/{patient_id}-primary"}
    code = METASTASIS_CODES[lesion.region]
    return condition | {
        "extension": [extension(f"{HL7}condition-related", "valueReference", related)],
        "code": {
            "coding": [
                {
                    "system": SNOMED,
                    "code": code,
                    "display": "Secondary malignant neoplasm of vertebral column",
                },
                {"system": ICD10CM, "code": "C79.51"},
            ]
        },
        "bodySite": [level_concept(level, style) for level in lesion.levels],
        "onsetDateTime": (lesion.start - timedelta(days=21)).isoformat(),
    }


def _condition_of_lesion(patient_id: str, patient: LatentPatient) -> list[str]:
    """For each lesion the reference of its metastasis; a lesion treated again keeps the one it had."""
    numbers = [
        number if lesion.before is None else lesion.before for number, lesion in enumerate(patient.lesions)
    ]
    return [f"Condition/{patient_id}-met-{number + 1}" for number in numbers]


def _condition(condition_id: str, patient_id: str, profile: str) -> Json:
    return {
        "resourceType": "Condition",
        "id": condition_id,
        "meta": {"profile": [f"{MCODE}{profile}"]},
        "clinicalStatus": concept(f"{TERMINOLOGY}condition-clinical", "active"),
        "verificationStatus": concept(f"{TERMINOLOGY}condition-ver-status", "confirmed"),
        "category": [concept(f"{TERMINOLOGY}condition-category", "problem-list-item")],
        "subject": {"reference": f"Patient/{patient_id}"},
    }
