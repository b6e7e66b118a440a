"""The gate that every resource passes before it is sent: fhir.resources' R4B classes, and our own checks.

fhir.resources (`structure`) accepts any status, ids over 64 characters, wrong reference targets and breaches
of obs-6 and obs-7 (`spec/fhir-mapping.md` section 10); those are checked here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from fhir_srs.results.references import ALLOWED
from fhir_srs.results.structure import breaches
from fhir_srs.results.target import Unit

Content: TypeAlias = Mapping[str, Any]

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}")

# The required bindings of what we write (R4).
REQUIRED: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType(
    {
        ("Observation", "status"): frozenset({"preliminary", "final", "entered-in-error"}),
        ("Device", "status"): frozenset({"active", "inactive", "entered-in-error", "unknown"}),
        ("Group", "type"): frozenset(
            {"person", "animal", "practitioner", "device", "medication", "substance"}
        ),
    }
)


def refusals(unit: Unit) -> list[str]:
    """Why *unit* must not be sent, as `path: rule`, without a value; empty if it may be."""
    found = resource_refusals(unit.resource)
    return found if unit.provenance is None else found + resource_refusals(unit.provenance)


def resource_refusals(resource: bytes) -> list[str]:
    """Why the bytes of *resource* must not be sent; empty if they may be."""
    content = msgspec.json.decode(resource)
    own = [problem for check in _CHECKS for problem in check(content)]
    return [f"{content['resourceType']}.{problem}" for problem in (*own, *_library(content, resource))]


def _library(content: Content, resource: bytes) -> Iterator[str]:
    for one in breaches(content["resourceType"], resource):
        yield f"{'.'.join(map(str, one.path))}: {one.rule}"


def _identity(content: Content) -> Iterator[str]:
    if not _ID.fullmatch(content.get("id", "")):
        yield "id: not a FHIR id"
    for (kind, element), codes in REQUIRED.items():
        if content["resourceType"] == kind and content.get(element) not in codes:
            yield f"{element}: not in the required value set"


def _values(content: Content) -> Iterator[str]:
    """obs-6 (value or dataAbsentReason, not both), obs-7 (no component repeats the code), value[x] 0..1."""
    if content["resourceType"] != "Observation":
        return
    yield from _one_value(content, "")
    code = _codes(content)
    if not code:
        yield "code: no coding"
    for place, part in enumerate(content.get("component", ())):
        yield from _one_value(part, f"component[{place}].")
        if code & _codes(part):
            yield f"component[{place}].code: repeats the code of the Observation (obs-7)"


def _one_value(element: Content, path: str) -> Iterator[str]:
    values = [name for name in element if name.startswith("value")]
    if len(values) > 1:
        yield f"{path}value: more than one"
    if values and "dataAbsentReason" in element:
        yield f"{path}dataAbsentReason: beside a value (obs-6)"


def _codes(element: Content) -> set[tuple[str, str]]:
    codings = element.get("code", {}).get("coding", ())
    return {(one.get("system", ""), one.get("code", "")) for one in codings}


def _targets(content: Content) -> Iterator[str]:
    """References are relative (an absolute one is refused by HAPI) and of a type that the element takes."""
    for path, name in _references(content, ""):
        if not _RELATIVE.fullmatch(name):
            yield f"{path}: not a relative reference"
        element = path.split(".", 1)[0].split("[", 1)[0]
        allowed = ALLOWED.get(element) if content["resourceType"] == "Observation" else None
        if allowed is not None and name.split("/", 1)[0] not in allowed:
            yield f"{path}: a type that this element does not take"


def _references(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict | list):
                yield from _references(inner, f"{path}.{name}" if path else name)
            elif name == "reference" and isinstance(inner, str):
                yield path, inner
    else:
        for place, inner in enumerate(value):
            if isinstance(inner, dict | list):
                yield from _references(inner, f"{path}[{place}]")


_CHECKS: tuple[Callable[[Content], Iterator[str]], ...] = (_identity, _values, _targets)
