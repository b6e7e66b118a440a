"""Transactions and batches of the test server (https://hl7.org/fhir/R4/http.html#transaction).

A transaction is all or nothing, at one moment, and its entries may refer to each other by `urn:uuid`
in any order. A batch is as many requests as it has entries; its entries cannot refer to each other.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from fhir_srs.testing.answers import outcome
from fhir_srs.testing.conditions import conditional_create, conditional_update, matched
from fhir_srs.testing.references import renamed
from fhir_srs.testing.validity import check_valid
from fhir_srs.testing.versions import Json, Refusal, Version, Versions, stamp

# The order in which a transaction is carried out (https://hl7.org/fhir/R4/http.html#trules).
_ORDER = ("DELETE", "POST", "PUT")
_INSTANCE = re.compile(r"/?([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})")
_TYPE = re.compile(r"/?([A-Za-z]+)")


class _Entry(NamedTuple):
    """One entry as read: what is asked, where, on what condition; *name* is its `urn:`, if it has one."""

    method: str
    type: str
    id: str | None
    query: str | None
    if_match: str | None
    name: str | None
    resource: Json


def run_bundle(versions: Versions, bundle: Json) -> Json:
    """Carry out *bundle*; the Bundle of answers, an entry for each entry."""
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in {"batch", "transaction"}:
        raise Refusal(400, "not-supported", "the base takes Bundles, transactions and batches")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise Refusal(400, "structure", "Bundle.entry is not a list")
    answers = (_batch if bundle["type"] == "batch" else _transaction)(versions, entries)
    response: Json = {"resourceType": "Bundle", "type": f"{bundle['type']}-response"}
    return response | ({"entry": answers} if answers else {})


def _batch(versions: Versions, entries: Sequence[Any]) -> list[Json]:
    return [_alone(versions, entry) for entry in entries]


def _alone(versions: Versions, raw: Any) -> Json:
    try:
        entry = _read(raw)
        if entry.method == "GET":
            return _get(versions, entry)
        return _carry_out(versions, entry, {})
    except Refusal as refusal:
        return {
            "response": {"status": _status(refusal.status), "outcome": outcome(refusal.code, refusal.text)}
        }


def _transaction(versions: Versions, raw: Sequence[Any]) -> list[Json]:
    entries = [_read(entry) for entry in raw]
    _check_once(entries)
    names = _names(versions, entries)
    answers: list[Json] = [{} for _ in entries]
    with versions.together():
        for method in _ORDER:
            for place, entry in enumerate(entries):
                if entry.method == method:
                    answers[place] = _carry_out(versions, entry, names)
    return answers


def _read(raw: Any) -> _Entry:
    request = raw.get("request") if isinstance(raw, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise Refusal(400, "required", "an entry needs request.method and request.url")
    method, (path, _, query) = str(request.get("method")), request["url"].partition("?")
    match = _INSTANCE.fullmatch(path) or _TYPE.fullmatch(path)
    if match is None:
        raise Refusal(400, "invalid", "request.url must be Type, Type/id or Type?query")
    name = raw.get("fullUrl", "")
    return _Entry(
        method=method,
        type=match[1],
        id=match[2] if match.re is _INSTANCE else None,
        query=query or request.get("ifNoneExist"),
        if_match=request.get("ifMatch"),
        name=name if str(name).startswith("urn:") else None,
        resource=_resource(raw, method),
    )


def _resource(raw: Json, method: str) -> Json:
    if method not in {"POST", "PUT"}:
        return {}
    resource = raw.get("resource")
    if not isinstance(resource, dict):
        raise Refusal(400, "required", "an entry that writes needs a resource")
    check_valid(resource)
    return resource


def _check_once(entries: Sequence[_Entry]) -> None:
    """A transaction has only writes, and each resource and each name once."""
    if any(entry.method not in _ORDER for entry in entries):
        raise Refusal(400, "not-supported", "a transaction takes POST, PUT and DELETE")
    addresses = [f"{entry.type}/{entry.id}" for entry in entries if entry.id]
    names = [entry.name for entry in entries if entry.name]
    if len(set(addresses)) < len(addresses) or len(set(names)) < len(names):
        raise Refusal(400, "invalid", "a transaction names a resource twice")


def _names(versions: Versions, entries: Sequence[_Entry]) -> dict[str, str]:
    """What each `urn:` of the transaction will be called, or is called already."""
    return {entry.name: f"{entry.type}/{entry.id or _id(versions, entry)}" for entry in entries if entry.name}


def _id(versions: Versions, entry: _Entry) -> str:
    found = matched(versions, entry.type, entry.query) if entry.query else None
    return found.id if found else versions.reserve(entry.type)


def _carry_out(versions: Versions, entry: _Entry, names: Mapping[str, str]) -> Json:
    if entry.method == "DELETE" and entry.id:
        return _deleted(versions.delete(entry.type, entry.id))
    body = renamed(entry.resource, names)
    reserved = names[entry.name].partition("/")[2] if entry.name and names else None
    if entry.method == "POST" and not entry.id:
        return _written(*conditional_create(versions, entry.type, body, entry.query, reserved))
    if entry.method == "PUT" and entry.id:
        return _written(*versions.update(entry.type, entry.id, body, entry.if_match))
    if entry.method == "PUT" and entry.query:
        return _written(*conditional_update(versions, entry.type, body, entry.query, reserved))
    raise Refusal(400, "not-supported", "method and address do not go together here")


def _get(versions: Versions, entry: _Entry) -> Json:
    if entry.id is None or entry.query:
        raise Refusal(400, "not-supported", "a GET in a batch reads one resource")
    version = versions.read(entry.type, entry.id)
    return {"resource": msgspec.Raw(version.raw), "response": {"status": _status(200)}}


def _written(version: Version, created: bool) -> Json:
    """HAPI's etag is bare here, not `W/"1"`."""
    response = {"status": _status(201 if created else 200), "location": version.location}
    return {
        "response": response | {"etag": str(version.number), "lastModified": stamp(version.updated)},
    }


def _deleted(version: Version | None) -> Json:
    response = {"status": _status(204)}
    if version is not None:
        response |= {"location": version.location, "etag": str(version.number)}
    return {"response": response}


def _status(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
