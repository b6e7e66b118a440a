"""Records of one patient, as small as FHIR allows, and what mapping makes of them.

The patient has the identifier P, was born in 1950, and unless said otherwise one lesion: T8, treated on
5 March 2024 in one fraction of 16 Gy.
"""

from decimal import Decimal
from typing import Any

from fhir_srs import load_profile, map_resources
from fhir_srs.mapping import Profile
from fhir_srs.model import Event, Mapped
from tests.unit.mapping_given import SCT, T8, Json, cgy, concept, course, dose, patient, volume

LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
HL7 = "http://hl7.org/fhir/StructureDefinition/"
TREATED = "2024-03-05"
MCODE = load_profile("mcode")
ABSENT = concept("asked-declined", "http://terminology.hl7.org/CodeSystem/data-absent-reason")


def loinc(code: str, **more: Any) -> Json:
    return concept(code, LOINC, **more)


def lesion(name: str = "t8", location: str = T8, day: str = TREATED) -> list[Json]:
    """A course with one volume: `Procedure/<name>` and `BodyStructure/<name>`."""
    period = {"start": day, "end": day}
    return [volume(name, location), course(name, dose(name, cgy(1600)), performedPeriod=period)]


def record(kind: str, id_: str = "x", **elements: Any) -> Json:
    """A resource of the patient; elements that are None are left out."""
    found = {"resourceType": kind, "id": id_, "subject": {"reference": "Patient/p"}, **elements}
    return {name: value for name, value in found.items() if value is not None}


def observation(code: Json | None, id_: str = "x", **elements: Any) -> Json:
    """A final Observation of 1 April 2024."""
    usual = {"status": "final", "code": code, "effectiveDateTime": "2024-04-01"}
    return record("Observation", id_, **(usual | elements))


def pain(value: Any = None, id_: str = "x", **elements: Any) -> Json:
    """A score under LOINC 72514-3; *value* is its valueInteger."""
    return observation(loinc("72514-3"), id_, **({"valueInteger": value} | elements))


def mapped(*records: Json, lesions: list[Json] | None = None, profile: Profile = MCODE) -> Mapped:
    """What mapping makes of the patient with *records*."""
    treated = lesion() if lesions is None else lesions
    return map_resources([patient(birthDate="1950-05-05"), *treated, *records], profile=profile)


def events(found: Mapped, kind: str) -> list[Event]:
    return [one for one in found.events if one.kind == kind]


def said(found: Mapped, id_: str = "x") -> set[str]:
    """The reasons given about the record *id_*; one that is not used is marked `not used`."""
    about = [one for one in found.issues if one.resource and one.resource.endswith(f"/{id_}")]
    return {one.reason if one.used else f"not used: {one.reason}" for one in about}


def summary(found: Mapped, kind: str) -> list[str]:
    """Each event of *kind* as text, in order: `value`."""
    return [_text(one.value) for one in events(found, kind)]


def _text(value: Decimal | str | None) -> str:
    return "-" if value is None else str(value)


__all__ = [
    "ABSENT",
    "HL7",
    "LOINC",
    "MCODE",
    "RXNORM",
    "SCT",
    "TREATED",
    "events",
    "lesion",
    "loinc",
    "mapped",
    "observation",
    "pain",
    "record",
    "said",
    "summary",
]
