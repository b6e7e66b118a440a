"""The parameters of studies side by side: each value, and whether it is published, from memory or assumed."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from fhir_srs.endpoints import Study
from fhir_srs.endpoints.meanings import MEANINGS
from fhir_srs.endpoints.study import Primary
from fhir_srs.report.figures import aligned

# Published, from memory of a document not read, assumed by us (spec/endpoints.md section 16).
INITIALS = {"published": "P", "memory": "M", "assumed": "A"}


def parameter_text(value: Any) -> str:
    """A parameter as a person reads it."""
    if isinstance(value, Primary):
        words = (value.endpoint, value.variant, value.window, value.population, value.label, value.time_days)
        return " ".join(str(word) for word in words if word is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{name} {parameter_text(one)}" for name, one in value.items())
    if isinstance(value, msgspec.Struct):
        return parameter_text(_said(value)).replace(";", ",") or "none"
    if isinstance(value, tuple):
        separator = "; " if any(isinstance(one, msgspec.Struct) for one in value) else ", "
        return separator.join(map(parameter_text, value)) or "none"
    return "unknown" if value is None else str(value)


def _said(value: msgspec.Struct) -> dict[str, Any]:
    """The fields of *value* that say something."""
    fields = _fields(type(value))
    told = {field.name: getattr(value, field.name) for field in fields}
    return {
        field.name: told[field.name]
        for field in fields
        if told[field.name] != field.default and told[field.name] not in ({}, ())
    }


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def parameter_rows(studies: Sequence[Study]) -> Iterator[list[str]]:
    """
    One row for each parameter: its name, then of each study the value with the initial of its basis.

    The sensitivity runs are no part of the definition; they have a table of their own.
    """
    for name in studies[0].basis:
        if name == "sensitivity":
            continue
        values = [
            f"{parameter_text(getattr(study, name))} {INITIALS[study.basis[name]]}" for study in studies
        ]
        yield [name, *values]


SHORT = 30


def _explained(study: Study, name: str) -> str:
    note = study.notes.get(name)
    return f"{MEANINGS[name]} ({note})" if note else MEANINGS[name]


def checked_lines(study: Study, file: str) -> Iterator[str]:
    """That *file* is in order, and its parameters with basis, meaning and note; long values last."""
    counted = ", ".join(f"{sum(one == basis for one in study.basis.values())} {basis}" for basis in INITIALS)
    yield f"{file}: study {study.name}, version {study.version}, is in order; parameters: {counted}"
    texts = {name: parameter_text(getattr(study, name)) for name in study.basis}
    rows = [
        [name, texts[name] if len(texts[name]) <= SHORT else "(below)", basis, _explained(study, name)]
        for name, basis in study.basis.items()
    ]
    yield from (f"  {line}" for line in aligned(rows))
    for name, text in texts.items():
        if len(text) > SHORT:
            yield f"  {name}:"
            yield from (f"    {line}" for line in text.split("; "))
