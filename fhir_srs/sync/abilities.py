"""What a CapabilityStatement says that a server can do (https://hl7.org/fhir/R4/capabilitystatement.html)."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any


def reduced(statement: Mapping[str, Any], types: Collection[str]) -> dict[str, Any]:
    """*statement* as far as the functions here read it, of *types* alone: a hundredth of HAPI's 1.5 MB."""
    kept = [
        {
            "type": one["type"],
            "interaction": [{"code": code} for code in _values(one, "interaction")],
            "searchParam": [{"name": name} for name in _values(one, "searchParam", "name")],
            "updateCreate": one.get("updateCreate"),
        }
        for one in _resources(statement)
        if one["type"] in types
    ]
    return {"resourceType": "CapabilityStatement", "rest": [{"resource": kept}]}


def searchable(statement: Mapping[str, Any]) -> frozenset[str]:
    """The types that can be searched."""
    return with_interaction(statement, "search-type")


def writable(statement: Mapping[str, Any]) -> frozenset[str]:
    """The types that a client may put under ids of its own: `update`, and `updateCreate` not denied."""
    denied = {one["type"] for one in _resources(statement) if one.get("updateCreate") is False}
    return with_interaction(statement, "update") - denied


def with_interaction(statement: Mapping[str, Any], wanted: str) -> frozenset[str]:
    """The types that have the interaction *wanted*, such as `history-type`."""
    return frozenset(one["type"] for one in _resources(statement) if wanted in _values(one, "interaction"))


def has_parameter(statement: Mapping[str, Any], resource_type: str, name: str) -> bool:
    """Whether *resource_type* can be searched by *name*."""
    return any(
        name in _values(one, "searchParam", "name")
        for one in _resources(statement)
        if one["type"] == resource_type
    )


def _values(resource: Mapping[str, Any], listed: str, key: str = "code") -> Iterator[object]:
    return (one.get(key) for one in resource.get(listed) or () if isinstance(one, dict))


def _resources(statement: Mapping[str, Any]) -> list[dict[str, Any]]:
    rest = statement.get("rest")
    server = rest[0] if isinstance(rest, list) and rest and isinstance(rest[0], dict) else {}
    listed = server.get("resource")
    found = listed if isinstance(listed, list) else []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("type"), str)]
