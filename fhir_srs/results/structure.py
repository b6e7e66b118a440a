"""The structure of resources as fhir.resources' R4B classes judge it, equal elements once.

A run writes the same codes, devices and sources thousands of times over. An element that the library has
accepted is handed to it again as the instance that it made then, which it takes as it is; the resource
around it, and each element that is new, it judges as ever. What it refuses it has read as a whole. It is
imported on first use.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

_Key: TypeAlias = tuple[str, str, bytes]  # type of the resource, name of the element, its JSON

_ELEMENTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_VALUE = msgspec.json.Decoder()
_REMEMBERED = 5_000  # elements, of 1.5 KB each

_accepted: dict[_Key, Any] = {}


class Breach(NamedTuple):
    """Where a resource breaks R4, as the way to the element, and the library's name for the rule."""

    path: tuple[int | str, ...]
    rule: str


def breaches(resource_type: str, resource: bytes) -> list[Breach]:
    """What makes the JSON of *resource* no valid *resource_type*, without any value of it; empty if nothing.

    ValueError for a type that R4B does not have.
    """
    from pydantic import ValidationError

    model = _model(resource_type)
    try:
        _accept(model, resource_type, resource)
    except (ValidationError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return list(_refused(model, resource))
    return []


def _refused(model: Any, resource: bytes) -> Iterator[Breach]:
    from pydantic import ValidationError

    try:
        model.model_validate_json(resource)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            yield Breach(one["loc"], one["type"])


def _accept(model: Any, resource_type: str, resource: bytes) -> None:
    """Nothing, and what was new is remembered; else the error of the library or of the decoder."""
    content = {name: bytes(raw) for name, raw in _ELEMENTS.decode(resource).items()}
    given = {name: _given(resource_type, name, raw) for name, raw in content.items()}
    made = model.model_validate(given)
    if len(_accepted) > _REMEMBERED:
        _accepted.clear()
    fields = model.get_alias_mapping()  # without the extensions of primitives, `_status`
    for name, values in given.items():
        if name in fields and _has_new(values):
            _remember(resource_type, name, content[name], getattr(made, fields[name]))


def _given(resource_type: str, name: str, raw: bytes) -> Any:
    """The element as the library takes it: what it made of it before, else its JSON decoded."""
    if raw.startswith(b"["):
        return [_given_one((resource_type, name, bytes(item))) for item in _ITEMS.decode(raw)]
    return _given_one((resource_type, name, raw))


def _given_one(key: _Key) -> Any:
    known = _accepted.get(key)
    return _VALUE.decode(key[2]) if known is None else known


def _has_new(values: Any) -> bool:
    return any(isinstance(one, dict) for one in (values if isinstance(values, list) else (values,)))


def _remember(resource_type: str, name: str, raw: bytes, made: Any) -> None:
    listed = isinstance(made, list)
    items = _ITEMS.decode(raw) if listed else (raw,)
    for item, one in zip(items, made if listed else (made,), strict=True):
        _accepted[resource_type, name, bytes(item)] = one


@cache
def _model(resource_type: str) -> Any:
    from fhir.resources.R4B import get_fhir_model_class

    return get_fhir_model_class(resource_type)
