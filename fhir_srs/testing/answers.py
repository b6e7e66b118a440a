"""HTTP answers of the test server: resources, OperationOutcomes, Bundles."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import msgspec
from starlette.responses import Response

from fhir_srs.testing.search import Shape
from fhir_srs.testing.validity import summary_elements
from fhir_srs.testing.versions import Json, Version, Written, decode, encode, stamp

MEDIA_TYPE = "application/fhir+json;charset=UTF-8"
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def outcome(code: str, text: str, severity: str = "error") -> Json:
    """An OperationOutcome with one issue."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def json_answer(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """*body* as FHIR JSON."""
    return Response(encode(body), status, headers, MEDIA_TYPE)


def resource_answer(base: str, version: Version) -> Response:
    """A resource as it was stored."""
    return Response(version.raw, 200, _headers(base, version), MEDIA_TYPE)


def written_answer(base: str, written: Written, *, by_post: bool, prefer: str) -> Response:
    """The answer to a write: the resource, or what *prefer* asks for instead. `Location` after POST alone."""
    version, status = written.version, 201 if written.created else 200
    headers = _headers(base, version)
    if by_post:
        headers["Location"] = headers["Content-Location"]
    if "return=minimal" in prefer:
        return Response(b"", status, headers)
    if "return=OperationOutcome" in prefer:
        return json_answer(outcome("informational", "stored", "information"), status, headers)
    return Response(version.raw, status, headers, MEDIA_TYPE)


def _headers(base: str, version: Version) -> dict[str, str]:
    return {
        "ETag": version.etag,
        "Last-Modified": format_datetime(version.updated, usegmt=True),
        "Content-Location": f"{base}/{version.location}",
    }


def bundle(
    kind: str,
    now: datetime,
    *,
    links: Sequence[tuple[str, str]] = (),
    entries: Sequence[Json] = (),
    total: int | None = None,
    subsetted: bool = False,
) -> Json:
    """A searchset or history made *now*; without *total* it has none, as HAPI's first pages."""
    made: Json = {
        "resourceType": "Bundle",
        "id": secrets.token_hex(16),
        "meta": {"lastUpdated": stamp(now)} | ({"tag": [SUBSETTED]} if subsetted else {}),
        "type": kind,
    }
    if total is not None:
        made["total"] = total
    if links:
        made["link"] = [{"relation": relation, "url": url} for relation, url in links]
    return made | ({"entry": list(entries)} if entries else {})


def match_entry(base: str, shape: Shape, version: Version) -> Json:
    """An entry of a searchset."""
    return {
        "fullUrl": f"{base}/{version.address}",
        "resource": _cut(shape, version),
        "search": {"mode": "match"},
    }


def _cut(shape: Shape, version: Version) -> Any:
    if shape.elements is None and not shape.summary:
        return msgspec.Raw(version.raw)
    kept = shape.elements if shape.elements is not None else summary_elements(version.type)
    body = decode(version.raw)
    meta = body["meta"]
    found = {name: value for name, value in body.items() if _kept(name, kept | {"resourceType", "id"})}
    return found | {"meta": meta | {"tag": [*meta.get("tag", []), SUBSETTED]}}


def _kept(name: str, kept: frozenset[str]) -> bool:
    """Whether element *name* stays; `value` keeps valueQuantity and its like, as HAPI does."""
    return name in kept or (name.startswith("value") and "value" in kept)


def past_entry(base: str, version: Version) -> Json:
    """An entry of a history. HAPI says POST of each first version, and gives a deletion no time."""
    entry: Json = {"fullUrl": f"{base}/{version.address}"}
    method = "POST" if version.number == 1 else "PUT"
    if version.live:
        entry["resource"] = msgspec.Raw(version.raw)
    else:
        method = "DELETE"
    status = "201 Created" if method == "POST" else "200 OK"
    return entry | {
        "request": {"method": method, "url": version.location},
        "response": {"status": status, "etag": version.etag},
    }
