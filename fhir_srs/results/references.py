"""References from results to what they were made of (`spec/fhir-mapping.md` section 9, `decisions.md` 5)."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fhir_srs.model import Patient
from fhir_srs.results.target import ResultTarget

# R4: which types each element of an Observation may point at. Whatever else went in is named in the
# supportingInfo extension, and everything with its version in the Provenance.
ALLOWED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "subject": frozenset({"Patient", "Group"}),
        "partOf": frozenset(
            {
                "Procedure",
                "ImagingStudy",
                "Immunization",
                "MedicationAdministration",
                "MedicationDispense",
                "MedicationStatement",
            }
        ),
        "derivedFrom": frozenset(
            {
                "Observation",
                "QuestionnaireResponse",
                "ImagingStudy",
                "DocumentReference",
                "Media",
                "MolecularSequence",
            }
        ),
        "hasMember": frozenset({"Observation", "QuestionnaireResponse", "MolecularSequence"}),
        "performer": frozenset(
            {"Practitioner", "PractitionerRole", "Organization", "CareTeam", "Patient", "RelatedPerson"}
        ),
        "device": frozenset({"Device", "DeviceMetric"}),
    }
)


def unversioned(source: str) -> str:
    """`Type/id` of *source*, which may be `Type/id/_history/v`."""
    return source.split("/_history/", 1)[0]


def reference(target: ResultTarget, source: str) -> dict[str, Any]:
    """A Reference to the input *source*: relative, or by our identifier for it where logical."""
    plain = unversioned(source)
    if not target.logical:
        return {"reference": plain}
    named = {"system": f"{target.canonical_base}/input", "value": plain}
    return {"type": plain.split("/", 1)[0], "identifier": named}


def references(target: ResultTarget, sources: Iterable[str], element: str) -> list[dict[str, Any]]:
    """References to those of *sources* that *element* may point at, each resource once, sorted."""
    fit = {unversioned(one) for one in sources if one.split("/", 1)[0] in ALLOWED[element]}
    return [reference(target, one) for one in sorted(fit)]


def subject(target: ResultTarget, reference_: str, patient: Patient | None) -> dict[str, Any] | None:
    """
    The Reference to the patient; None where the target has no such patient (`subject-unresolved`).

    Elsewhere it is the patient found there; at the source it is literal, or by identifier where logical.
    """
    if target.patients is not None:
        found = target.patients.get(reference_)
        return None if found is None else {"reference": found}
    if not target.logical:
        return {"reference": reference_}
    if patient is None or patient.identifier is None:
        return reference(target, reference_)
    system, _, value = patient.identifier.rpartition("|")
    named = {"system": system, "value": value} if system else {"value": value}
    return {"type": "Patient", "identifier": named}


def organization(target: ResultTarget) -> dict[str, Any] | None:
    """The Reference to the organisation that answers for the results, if one is set."""
    name = target.organization
    if name is None:
        return None
    return {"reference": name} if name.startswith("Organization/") else {"display": name}


def versions(target: ResultTarget, sources: Sequence[str], *, literal: bool) -> list[dict[str, Any]]:
    """
    Provenance entities for *sources*, each version once, sorted.

    The version stands in `what.identifier`, since servers strip it from references (`spec/hapi.md` 28).
    """
    system = f"{target.canonical_base}/input-version"
    entities = []
    for source in sorted(set(sources)):
        plain = unversioned(source)
        what: dict[str, Any] = {"reference": plain} if literal else {"type": plain.split("/", 1)[0]}
        what["identifier"] = {"system": system, "value": source}
        entities.append({"role": "source", "what": what})
    return entities
