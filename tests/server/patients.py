"""Hand-made patients with one irradiated vertebra each, in the two routes of fhir-mapping.md section 1.3."""

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"
SCT = "http://snomed.info/sct"
OTHER = {"coding": [{"system": SCT, "code": "80146002"}]}  # appendectomy: no radiosurgery
T8 = {"coding": [{"system": SCT, "code": "77435000"}], "text": "T8"}


def reference(resource: Json) -> Json:
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


def person(name: str) -> Json:
    mr = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    return {
        "resourceType": "Patient",
        "id": name,
        "name": [{"family": "Canary-Marker"}],
        "identifier": [{"type": mr, "system": "urn:example:mrn", "value": f"mrn-{name}"}],
        "gender": "female",
        "birthDate": "1960-05-01",
    }


def course(patient: Json, *, day: str = "2024-03-05") -> list[Json]:
    """An mCODE course of one fraction to T8 (the volume, then the Procedure)."""
    volume = {
        "resourceType": "BodyStructure",
        "id": f"{patient['id']}-volume",
        "patient": reference(patient),
        "identifier": [{"use": "official", "system": "urn:dicom:uid", "value": f"urn:oid:1.2.3.{day[-2:]}"}],
        "morphology": {"coding": [{"system": SCT, "code": "228793007"}]},
        "location": T8,
    }
    dose = {
        "url": f"{MCODE}/mcode-radiotherapy-dose-delivered-to-volume",
        "extension": [
            {"url": "volume", "valueReference": reference(volume)},
            {
                "url": "totalDoseDelivered",
                "valueQuantity": {"value": 1600, "system": "http://unitsofmeasure.org", "code": "cGy"},
            },
            {"url": "fractionsDelivered", "valueUnsignedInt": 1},
        ],
    }
    treatment = {
        "resourceType": "Procedure",
        "id": f"{patient['id']}-course",
        "extension": [dose],
        "status": "completed",
        "code": {"coding": [{"system": SCT, "code": "1217123003"}]},
        "subject": reference(patient),
        "performedPeriod": {"start": day, "end": day},
        "bodySite": [T8],
    }
    return [volume, treatment]


def surgery_coded(patient: Json, *, day: str = "2024-03-05") -> Json:
    """The same treatment coded as stereotactic radiosurgery, without a dose."""
    return {
        "resourceType": "Procedure",
        "id": f"{patient['id']}-srs",
        "status": "completed",
        "code": {"coding": [{"system": SCT, "code": "447704003"}]},
        "subject": reference(patient),
        "performedDateTime": day,
        "bodySite": [T8],
    }


def pain(patient: Json, day: str, score: int, *, status: str = "final") -> Json:
    return {
        "resourceType": "Observation",
        "id": f"{patient['id']}-pain-{day}",
        "status": status,
        "code": {"coding": [{"system": "http://loinc.org", "code": "72514-3"}]},
        "subject": reference(patient),
        "effectiveDateTime": day,
        "valueQuantity": {"value": score, "system": "http://unitsofmeasure.org", "code": "{score}"},
    }


# Baseline 8, relief on day 14, still relieved in April and June.
SCORES = (("2024-03-04", 8), ("2024-03-19", 2), ("2024-04-16", 1), ("2024-06-05", 2), ("2024-09-10", 2))


def story(name: str, *, scores: Iterable[tuple[str, int]] = SCORES, coded: bool = False) -> list[Json]:
    """One patient's resources."""
    patient = person(name)
    treatment = [surgery_coded(patient)] if coded else course(patient)
    return [patient, *treatment, *(pain(patient, day, score) for day, score in scores)]
