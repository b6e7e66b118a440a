"""FHIR resources for the mapping tests, as small as the rules allow."""

from typing import Any

SCT = "http://snomed.info/sct"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
Json = dict[str, Any]
ROLES = {
    "PTV": "228793007",
    "GTV": "228791009",
    "CTV": "228792002",
    "ITV": "1201745009",
    "IGTV": "1201746005",
    "OAR": "1162586008",
}
T8, T9, T10, L2 = "77435000", "33766003", "48405002", "53983007"


def concept(code: str, system: str = SCT, **more: Any) -> Json:
    return {"coding": [{"system": system, "code": code}], **more}


def patient(id_: str = "p", **more: Any) -> Json:
    mr = {"type": {"coding": [{"code": "MR"}]}, "system": "urn:mr", "value": id_.upper()}
    return {"resourceType": "Patient", "id": id_, "identifier": [mr], **more}


def volume(
    id_: str, location: str | None = T8, role: str | None = "PTV", label: str | None = None, **more: Any
) -> Json:
    found: Json = {"resourceType": "BodyStructure", "id": id_, "patient": {"reference": "Patient/p"}}
    identifier = [{"use": "official", "system": "urn:dicom:uid", "value": f"urn:oid:1.2.{id_}"}]
    if label:
        identifier.append({"use": "usual", "value": label})
    found["identifier"] = identifier
    if location:
        found["location"] = concept(location)
    if role:
        found["morphology"] = concept(ROLES[role])
    return found | more


def cgy(value: Any) -> Json:
    return {"value": value, "unit": "cGy", "system": "http://unitsofmeasure.org", "code": "cGy"}


def dose(volume_: str | None, quantity: Json | None = None, fractions: Any = 1) -> Json:
    parts: list[Json] = []
    if volume_:
        parts.append({"url": "volume", "valueReference": {"reference": f"BodyStructure/{volume_}"}})
    if quantity is not None:
        parts.append({"url": "totalDoseDelivered", "valueQuantity": quantity})
    if fractions is not None:
        parts.append({"url": "fractionsDelivered", "valueUnsignedInt": fractions})
    return {"url": MCODE + "mcode-radiotherapy-dose-delivered-to-volume", "extension": parts}


def sessions(number: int) -> Json:
    return {"url": MCODE + "mcode-radiotherapy-sessions", "valueUnsignedInt": number}


def technique(text: str | None = None, code: str = "1156530009") -> Json:
    value = {"coding": [{"system": SCT, "code": code}]} | ({"text": text} if text else {})
    return {
        "url": MCODE + "mcode-radiotherapy-modality-and-technique",
        "extension": [{"url": MCODE + "mcode-radiotherapy-technique", "valueCodeableConcept": value}],
    }


def procedure(id_: str, code: Json, *extensions: Json, **more: Any) -> Json:
    return {
        "resourceType": "Procedure",
        "id": id_,
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "code": code,
        "extension": list(extensions),
        "performedPeriod": {"start": "2024-03-05", "end": "2024-03-05"},
    } | more


def course(id_: str, *extensions: Json, **more: Any) -> Json:
    return procedure(id_, concept("1217123003"), *extensions, **more)


def surgical(
    id_: str = "srs", *extensions: Json, code: str = "447704003", site: str | None = T8, **more: Any
) -> Json:
    sites = {"bodySite": [concept(site)]} if site else {}
    return procedure(id_, concept(code), *extensions, **(sites | more))
