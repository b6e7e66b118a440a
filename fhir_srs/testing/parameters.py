"""Which search parameters the test server knows of which type: a table, nothing more.

Each row is R4's own definition, cut to what one element answers (https://hl7.org/fhir/R4/searchparameter-registry.html).
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Kind = Literal["token", "reference"]

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class Parameter(NamedTuple):
    """A parameter of one type: its kind, and the element that it looks at."""

    kind: Kind
    element: str


class Fact(NamedTuple):
    """What a resource says about one parameter: system and code, or no system and a reference."""

    parameter: str
    system: str
    code: str


# Of each parameter: its kind, then the types by the element that it looks at there.
_TABLE: Mapping[str, tuple[Kind, Mapping[str, str]]] = {
    "identifier": (
        "token",
        {
            "identifier": "BodyStructure CodeSystem Condition Consent Device DiagnosticReport Encounter Group"
            " ImagingStudy Location Medication MedicationAdministration MedicationDispense MedicationRequest"
            " MedicationStatement Observation Organization Patient Practitioner Procedure"
            " QuestionnaireResponse ResearchStudy ServiceRequest StructureDefinition ValueSet"
        },
    ),
    "code": (
        "token",
        {
            "code": "Condition DiagnosticReport Group Medication Observation Procedure ServiceRequest",
            "medicationCodeableConcept": "MedicationAdministration MedicationDispense MedicationRequest"
            " MedicationStatement",
        },
    ),
    "category": (
        "token",
        {
            "category": "AdverseEvent Condition Consent DiagnosticReport MedicationRequest"
            " MedicationStatement Observation Procedure ResearchStudy ServiceRequest"
        },
    ),
    "status": (
        "token",
        {
            "status": "CodeSystem Consent Device DiagnosticReport Encounter ImagingStudy Location Medication"
            " MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation"
            " Procedure QuestionnaireResponse ResearchStudy ServiceRequest StructureDefinition ValueSet"
        },
    ),
    "subject": (
        "reference",
        {
            "subject": "AdverseEvent Condition DiagnosticReport Encounter ImagingStudy"
            " MedicationAdministration MedicationDispense MedicationRequest MedicationStatement"
            " Observation Procedure QuestionnaireResponse ServiceRequest"
        },
    ),
    # R4 has none for AdverseEvent: there it is `subject`.
    "patient": (
        "reference",
        {
            "patient": "BodyStructure Consent Device",
            "subject": "Condition DiagnosticReport Encounter ImagingStudy MedicationAdministration"
            " MedicationDispense MedicationRequest MedicationStatement Observation Procedure"
            " QuestionnaireResponse ServiceRequest",
        },
    ),
    "medication": (
        "reference",
        {
            "medicationReference": "MedicationAdministration MedicationDispense MedicationRequest"
            " MedicationStatement"
        },
    ),
    "part-of": ("reference", {"partOf": "Encounter MedicationStatement Observation Procedure"}),
    "focus": ("reference", {"focus": "Observation"}),
    "derived-from": ("reference", {"derivedFrom": "Observation"}),
    "has-member": ("reference", {"hasMember": "Observation"}),
    "target": ("reference", {"target": "Provenance"}),
    "link": ("reference", {"link": "Patient"}),
}


def _by_type() -> dict[str, dict[str, Parameter]]:
    found: dict[str, dict[str, Parameter]] = {}
    for name, (kind, elements) in _TABLE.items():
        for element, types in elements.items():
            for resource_type in types.split():
                found.setdefault(resource_type, {})[name] = Parameter(kind, element)
    return found


PARAMETERS: Mapping[str, Mapping[str, Parameter]] = MappingProxyType(_by_type())


def parameters(resource_type: str) -> Mapping[str, Parameter]:
    """The parameters of *resource_type* by name, without `_id` and `_lastUpdated`, which all types have."""
    return PARAMETERS.get(resource_type, {})


def facts(body: Json) -> frozenset[Fact]:
    """What *body* says about the parameters of its type; what is not shaped as FHIR has it says nothing."""
    return frozenset(
        Fact(name, system, code)
        for name, parameter in parameters(body["resourceType"]).items()
        for one in _listed(body.get(parameter.element))
        for system, code in _read(name, parameter, one)
        if isinstance(system, str) and isinstance(code, str)
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _read(name: str, parameter: Parameter, one: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(one, str) and parameter.kind == "token":
        yield "", one
    elif isinstance(one, dict) and parameter.kind == "reference":
        yield from _referred(name, one)
    elif isinstance(one, dict):
        yield from _coded(parameter.element, one)


def _referred(name: str, reference: Json) -> Iterator[tuple[Any, Any]]:
    if name == "link":  # Patient.link.other
        reference = reference["other"] if isinstance(reference.get("other"), dict) else {}
    target = str(reference.get("reference", ""))
    if name != "patient" or target.startswith("Patient/"):
        yield "", target


def _coded(element: str, one: Json) -> Iterator[tuple[Any, Any]]:
    if element == "identifier":
        yield one.get("system", ""), one.get("value", "")
        return
    for coding in _listed(one.get("coding")):
        if isinstance(coding, dict):
            yield coding.get("system", ""), coding.get("code", "")
