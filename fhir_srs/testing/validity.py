"""What the test server accepts as a resource: fhir.resources' R4B classes, and required codes.

HAPI's PUT drops unknown properties and stores what lacks a status (spec/hapi.md row 30). Here both are
refused: whoever relies on that would be wrong at the next server. fhir.resources takes any code, so the
required bindings of the types at hand are a table (https://hl7.org/fhir/R4/terminologies.html#required).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from fhir_srs.results.structure import breaches
from fhir_srs.testing.versions import TYPES, Json, Refusal, encode

_MEDICATION_EVENT = "in-progress not-done on-hold completed entered-in-error stopped unknown"
_REQUEST = "active on-hold completed entered-in-error stopped draft unknown"
_PUBLICATION = "draft active retired unknown"
# Type.element: the codes that R4 allows.
_CODES: Mapping[str, str] = {
    "AdverseEvent.actuality": "actual potential",
    "CodeSystem.status": _PUBLICATION,
    "Consent.status": "draft proposed active rejected inactive entered-in-error",
    "Device.status": "active inactive entered-in-error unknown",
    "DiagnosticReport.status": "registered partial preliminary final amended corrected appended cancelled"
    " entered-in-error unknown",
    "Encounter.status": "planned arrived triaged in-progress onleave finished cancelled entered-in-error"
    " unknown",
    "Group.type": "person animal practitioner device medication substance",
    "ImagingStudy.status": "registered available cancelled entered-in-error unknown",
    "Location.status": "active suspended inactive",
    "Medication.status": "active inactive entered-in-error",
    "MedicationAdministration.status": _MEDICATION_EVENT,
    "MedicationDispense.status": "preparation in-progress cancelled on-hold completed entered-in-error"
    " stopped declined unknown",
    "MedicationRequest.status": f"{_REQUEST} cancelled",
    "MedicationRequest.intent": "proposal plan order original-order reflex-order filler-order instance-order"
    " option",
    "MedicationStatement.status": "active completed entered-in-error intended stopped on-hold unknown"
    " not-taken",
    "Observation.status": "registered preliminary final amended corrected cancelled entered-in-error unknown",
    "Patient.gender": "male female other unknown",
    "Practitioner.gender": "male female other unknown",
    "Procedure.status": "preparation in-progress not-done on-hold stopped completed entered-in-error unknown",
    "QuestionnaireResponse.status": "in-progress completed amended entered-in-error stopped",
    "ResearchStudy.status": "active administratively-completed approved closed-to-accrual"
    " closed-to-accrual-and-intervention completed disapproved in-review temporarily-closed-to-accrual"
    " temporarily-closed-to-accrual-and-intervention withdrawn",
    "ServiceRequest.status": "draft active on-hold revoked completed entered-in-error unknown",
    "ServiceRequest.intent": "proposal plan directive order original-order reflex-order filler-order"
    " instance-order option",
    "StructureDefinition.status": _PUBLICATION,
    "ValueSet.status": _PUBLICATION,
}


def check_valid(body: Json) -> None:
    """Refusal 400 if *body* is not a valid resource of one of our types; the text names elements alone."""
    resource_type = body.get("resourceType")
    if not isinstance(resource_type, str) or resource_type not in TYPES:
        raise Refusal(400, "structure", "the body is no resource that this server has")
    problems = [*_structure(resource_type, body), *_codes(resource_type, body)]
    if problems:
        raise Refusal(400, "structure", f"{resource_type}: " + ", ".join(sorted(problems)[:5]))


def summary_elements(resource_type: str) -> frozenset[str]:
    """The elements that R4 marks as summary, as JSON names."""
    return frozenset(_model(resource_type).summary_elements_sequence())


def _structure(resource_type: str, body: Json) -> list[str]:
    return [f"{_path(one.path)}: {one.rule}" for one in breaches(resource_type, encode(body))]


def _path(location: tuple[int | str, ...]) -> str:
    """The way to an element; a name that FHIR does not have may be data, and is cut to its letters."""
    return ".".join("".join(c for c in str(step) if c.isalnum())[:40] for step in location)


def _codes(resource_type: str, body: Json) -> list[str]:
    return [
        f"{name}: not a code of the required value set"
        for name, value in body.items()
        if isinstance(value, str) and value not in _allowed(f"{resource_type}.{name}", value)
    ]


def _allowed(element: str, value: str) -> list[str]:
    return _CODES[element].split() if element in _CODES else [value]


@cache
def _model(resource_type: str) -> Any:
    from fhir.resources.R4B import get_fhir_model_class

    return get_fhir_model_class(resource_type)
