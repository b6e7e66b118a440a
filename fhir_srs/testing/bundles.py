"""Transactions and batches of the test server (https://hl7.org/fhir/R4/http.html#transaction).

A transaction is all or nothing, at one moment, and its entries may refer to each other by `urn:uuid`
in any order. A batch is as many requests as it has entries.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from fhir_srs.testing.versions import Json, Refusal, Version, Versions

# The order in which a transaction is carried out (FHIR R4, 3.1.0.11.2).
_ORDER = ("DELETE", "POST", "PUT")
Find = Callable[[str, list[tuple[str, str]]], list[Version]]


def run_bundle(versions: Versions, bundle: Json, find: Find) -> Json:
    """Carry out *bundle*; the Bundle of answers, an entry for each entry."""
    entries = bundle.get("entry", [])
    if bundle.get("type") == "batch":
        alone = [_alone(versions, entry, find) for entry in entries]
        return {"resourceType": "Bundle", "type": "batch-response", "entry": alone}
    if bundle.get("type") != "transaction":
        raise Refusal(400, "not-supported", "only transactions and batches are accepted")
    answers = _whole(versions, entries, find)
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}


def _alone(versions: Versions, entry: Json, find: Find) -> Json:
    try:
        if _request(entry)[0] == "GET":
            return _get(versions, entry)
        return _answer(versions, entry, find, {})
    except Refusal as refusal:
        return {"response": {"status": str(refusal.status), "outcome": outcome(refusal.code, refusal.text)}}


def _whole(versions: Versions, entries: list[Json], find: Find) -> list[Json]:
    for entry in entries:
        if _request(entry)[0] not in _ORDER:
            raise Refusal(400, "not-supported", "a transaction takes POST, PUT and DELETE")
    answers: list[Json] = [{} for _ in entries]
    names = _names(versions, entries)
    with versions.together():
        for method in _ORDER:
            for place, entry in enumerate(entries):
                if _request(entry)[0] == method:
                    answers[place] = _answer(versions, entry, find, names)
    return answers


def _names(versions: Versions, entries: list[Json]) -> dict[str, str]:
    """What each `urn:uuid` of the transaction will be called."""
    names = {}
    for entry in entries:
        method, url = _request(entry)
        full_url = entry.get("fullUrl", "")
        if full_url.startswith("urn:") and method == "PUT":
            names[full_url] = url
        elif full_url.startswith("urn:") and method == "POST":
            names[full_url] = f"{url}/{versions.reserve(url)}"
    return names


def _request(entry: Json) -> tuple[str, str]:
    request = entry.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise Refusal(400, "required", "an entry needs request.method and request.url")
    return request.get("method", ""), request["url"]


def _get(versions: Versions, entry: Json) -> Json:
    match = re.fullmatch(r"([A-Za-z]+)/([^/?]+)", _request(entry)[1])
    if match is None:
        raise Refusal(400, "not-supported", "a GET in a batch reads one resource")
    version = versions.read(match[1], match[2])
    return {"resource": version.body, "response": _response(version, "200 OK")}


def _answer(versions: Versions, entry: Json, find: Find, names: Mapping[str, str]) -> Json:
    method, url = _request(entry)
    request = entry["request"]
    if method == "DELETE":
        version = versions.delete(*_two(url))
        return {"response": _response(version, "200 OK")}
    body = _renamed(entry.get("resource", {}), names)
    if method == "POST":
        return _create(
            versions, url, body, request.get("ifNoneExist"), find, names.get(entry.get("fullUrl", ""))
        )
    if method == "PUT":
        return _put(versions, url, body, request.get("ifMatch"), find)
    raise Refusal(400, "not-supported", "the method is not supported here")


def _create(
    versions: Versions, url: str, body: Json, if_none_exist: str | None, find: Find, name: str | None
) -> Json:
    version, created = create(versions, url, body, if_none_exist, find, name)
    return {"response": _response(version, "201 Created" if created else "200 OK")}


def _put(versions: Versions, url: str, body: Json, if_match: str | None, find: Find) -> Json:
    if "?" in url:
        resource_type, _, query = url.partition("?")
        version = conditional_update(versions, resource_type, body, query, find)
    else:
        version = versions.update(*_two(url), body, if_match)
    return {"response": _response(version, "201 Created" if version.created else "200 OK")}


def create(
    versions: Versions,
    resource_type: str,
    body: Json,
    if_none_exist: str | None,
    find: Find,
    name: str | None = None,
) -> tuple[Version, bool]:
    """Create, unless *if_none_exist* finds one; 412 where it finds several; *name* is a reserved id."""
    found = find(resource_type, parse_qsl(if_none_exist, strict_parsing=True)) if if_none_exist else []
    if len(found) > 1:
        raise Refusal(412, "multiple-matches", "If-None-Exist matches several")
    if found:
        return found[0], False
    return versions.create(resource_type, body, name.partition("/")[2] if name else None), True


def conditional_update(versions: Versions, resource_type: str, body: Json, query: str, find: Find) -> Version:
    """Update the one that *query* finds, create if none; 412 where it finds several."""
    found = find(resource_type, parse_qsl(query, keep_blank_values=True))
    if len(found) > 1:
        raise Refusal(412, "multiple-matches", "the condition matches several")
    if found:
        return versions.update(resource_type, found[0].id, body | {"id": found[0].id})
    return versions.create(resource_type, body)


def _two(url: str) -> tuple[str, str]:
    match = re.fullmatch(r"([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})", url)
    if match is None:
        raise Refusal(400, "invalid", "request.url must be Type/id")
    return match[1], match[2]


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """*node* with the `urn:uuid` references of the transaction replaced by what they stand for."""
    if not names:
        return node
    if isinstance(node, dict):
        return {key: _name(key, value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_renamed(value, names) for value in node]
    return node


def _name(key: str, value: Any, names: Mapping[str, str]) -> Any:
    if key == "reference" and isinstance(value, str):
        return names.get(value, value)
    return _renamed(value, names)


def _response(version: Version, status: str) -> Json:
    return {
        "status": status,
        "location": f"{version.type}/{version.id}/_history/{version.number}",
        "etag": version.etag,
        "lastModified": version.stamp,
    }


def outcome(code: str, text: str, severity: str = "error") -> Json:
    """An OperationOutcome with one issue."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
