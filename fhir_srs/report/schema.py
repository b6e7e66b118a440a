"""JSON Schema of the lines of lesions, events and issues (design.md section 4.2), and of study files."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fhir_srs.endpoints.meanings import MEANINGS
from fhir_srs.endpoints.study import Basis, Study
from fhir_srs.endpoints.study_file import HEAD, PARAMETERS, RANGES, WORD, shipped_studies
from fhir_srs.model import EventKind, Evidence, Region, Rung, Severity, Technique

PartialDay = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$",
        description="ISO date, cut to the precision known: 2024, 2024-03 or 2024-03-05",
    ),
]
Reference = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z]+/.+$", description="Type/id")]
Version = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z][A-Za-z]+/.+$",
        description="Type/id/_history/version; without a version where the server gave none",
    ),
]
Token = Annotated[str, Meta(pattern=r"^[^|]*\|.+$", description="system|code, or system|value")]
LesionId = Annotated[str, Meta(pattern=r"^[a-z2-7]{40}(#[1-9][0-9]*)?$")]
Level = Annotated[str, Meta(pattern=r"^(C[1-7]|T([1-9]|1[0-2])|L[1-5]|S[1-5])$")]


class LesionLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One treated spinal target; see `fhir_srs.model.Lesion`."""

    lesion_id: LesionId
    patient: Reference
    patient_identifier: Token | None
    course: Reference | None
    target: Reference | None
    target_label: str | None
    levels: Annotated[tuple[Level, ...], Meta(description="cranial to caudal")]
    region: Region | None
    start: PartialDay | None
    end: PartialDay | None
    dose_gy: Annotated[float, Meta(ge=1, le=100)] | None
    fractions: Annotated[int, Meta(ge=0)] | None
    technique: Technique | None
    modality: Token | None
    intent: Token | None
    histology: Token | None
    reirradiation_of: LesionId | None
    cord_compression: bool | None
    sources: tuple[Version, ...]
    issues: Annotated[tuple[str, ...], Meta(description="reasons of mappings/issues.csv")]
    reirradiation: Annotated[bool, Meta(description="as the course says")] | msgspec.UnsetType = msgspec.UNSET


class EventLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dated fact of a lesion or, with lesion_id null, of the patient; see `fhir_srs.model.Event`."""

    patient: Reference
    lesion_id: LesionId | None
    link: Rung
    kind: EventKind
    on: PartialDay | None
    value: float | str | None
    unit: str | None
    code: Token | None
    source: Version
    until: PartialDay | msgspec.UnsetType = msgspec.UNSET
    evidence: Evidence | msgspec.UnsetType = msgspec.UNSET
    flags: Annotated[tuple[str, ...], Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET


class IssueLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a resource was not used, or with what remark; see mappings/issues.csv. Never a value."""

    resource: Reference | None
    reason: str
    path: str | None
    severity: Severity
    used: bool


DRAFT = "https://json-schema.org/draft/2020-12/schema"
Line = Literal["lesion", "event", "issue"]
LINES: dict[Line, type[msgspec.Struct]] = {"lesion": LesionLine, "event": EventLine, "issue": IssueLine}


def line_schema(name: Line) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the lines of that kind."""
    return {"$schema": DRAFT, **msgspec.json.schema(LINES[name])}


def study_schema() -> dict[str, Any]:
    """
    The JSON Schema of a study file, for editors that check TOML by it.

    With `extends` every parameter is optional, without it all are required.
    """
    types = {field.name: field.type for field in msgspec.structs.fields(Study)}
    (*found, basis), parts = msgspec.json.schema_components(
        [*(types[name] for name in PARAMETERS), Basis], ref_template="#/$defs/{name}"
    )
    parameters = {
        name: {"description": MEANINGS[name], **_parameter(_bounded(_numbers(one), name), basis)}
        for name, one in zip(PARAMETERS, found, strict=True)
    }
    return {
        "$schema": DRAFT,
        "title": "Study definition of fhir-srs",
        "type": "object",
        "properties": {
            **{name: {"type": "string"} for name in HEAD},
            **{name: {"type": "string", "pattern": f"^{WORD.pattern}$"} for name in ("name", "version")},
            "extends": {"enum": shipped_studies()},
            **parameters,
        },
        "required": list(HEAD),
        "anyOf": [{"required": ["extends"]}, {"required": list(PARAMETERS)}],
        "additionalProperties": False,
        "$defs": _numbers(parts),
    }


def _bounded(schema: Any, name: str) -> Any:
    """*schema* with the least and most that its numbers may be."""
    if name not in RANGES:
        return schema
    if isinstance(schema, list):
        return [_bounded(one, name) for one in schema]
    if not isinstance(schema, dict):
        return schema
    low, high = map(float, RANGES[name])
    ends = {"minimum": low, "maximum": high} if schema.get("type") in ("integer", "number") else {}
    return {key: _bounded(one, name) for key, one in schema.items()} | ends


def _numbers(schema: Any) -> Any:
    """*schema* with decimals as the plain numbers that TOML has."""
    if isinstance(schema, dict):
        decimal = schema.get("format") == "decimal"
        return {"type": "number"} if decimal else {name: _numbers(one) for name, one in schema.items()}
    return [_numbers(one) for one in schema] if isinstance(schema, list) else schema


def _parameter(value: dict[str, Any], basis: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"value": value, "basis": basis, "note": {"type": "string"}},
        "required": ["value", "basis"],
        "additionalProperties": False,
    }
