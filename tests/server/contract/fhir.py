"""Plain HTTP to a FHIR server, nothing of ours in between, and the small resources that the tests write."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx

Resource = dict[str, Any]
JSON = {"Content-Type": "application/fhir+json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAIN = {"coding": [{"system": "http://loinc.org", "code": "72514-3"}]}


class Fhir:
    """A server at *base*, and *own*: a prefix of ids and codes that nobody else uses."""

    def __init__(self, base: str, http: httpx.Client, own: str) -> None:
        self.base, self.http, self.own = base, http, own

    def put(self, resource: Resource, **headers: str) -> httpx.Response:
        """PUT *resource* where its id says; `If_Match` becomes `If-Match`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"{resource['resourceType']}/{resource['id']}"
        return self.http.put(address, json=resource, headers=JSON | named)

    def post(self, resource: Resource, **headers: str) -> httpx.Response:
        """Create *resource* with an id of the server's choice."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(resource["resourceType"], json=resource, headers=JSON | named)

    def stored(self, resource: Resource) -> Resource:
        """*resource* as the server answers it after storing it."""
        answer = self.put(resource)
        assert answer.status_code in {200, 201}, answer.text
        body: Resource = answer.json()
        return body

    def stored_apart(self, resource: Resource) -> Resource:
        """As `stored`, in a millisecond that no earlier write of this test has."""
        time.sleep(0.002)
        return self.stored(resource)

    def get(self, address: str, *parameters: tuple[str, str], **headers: str) -> httpx.Response:
        """GET below the base."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # With `params` given, httpx would drop the query that a link has.
        return self.http.get(address, params=list(parameters) or None, headers=named)

    def bundle(self, address: str, *parameters: tuple[str, str]) -> Resource:
        """The Bundle at *address*."""
        answer = self.get(address, *parameters)
        assert answer.status_code == 200, answer.text
        body: Resource = answer.json()
        assert body["resourceType"] == "Bundle"
        return body

    def found(self, resource_type: str, *parameters: tuple[str, str]) -> list[str]:
        """The ids that a search finds, without our prefix, sorted."""
        return sorted(self.ids(self.bundle(resource_type, *parameters, ("_count", "500"))))

    def ids(self, bundle: Resource) -> list[str]:
        """The ids in *bundle*, without our prefix, in its order."""
        return [one["resource"]["id"].removeprefix(self.own) for one in bundle.get("entry", [])]

    def send(self, kind: str, *entries: Resource) -> httpx.Response:
        """A `transaction` or `batch` of *entries*."""
        body = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
        return self.http.post("", json=body, headers=JSON)

    def patient(self, name: str = "p", **more: Any) -> Resource:
        """A patient of ours."""
        return {"resourceType": "Patient", "id": self.own + name, "active": True, **more}

    def score(self, name: str = "o", of: str = "p", **more: Any) -> Resource:
        """A pain score of ours, of patient *of*."""
        value = {"valueInteger": 5} if not any(key.startswith("value") for key in more) else {}
        return {
            "resourceType": "Observation",
            "id": self.own + name,
            "status": "final",
            "code": PAIN,
            "subject": {"reference": f"Patient/{self.own}{of}"},
            **value,
            **more,
        }

    def identified(self, value: str = "") -> list[Resource]:
        """An identifier that only we have."""
        return [{"system": "urn:example:contract", "value": self.own + value}]


def put_entry(resource: Resource, **request: str) -> Resource:
    """An entry that puts *resource*."""
    address = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": address, **request}}


def post_entry(resource: Resource, name: str, **request: str) -> Resource:
    """An entry that creates *resource*, called *name* (`urn:uuid:…`) by the others."""
    body = {key: value for key, value in resource.items() if key != "id"}
    return {
        "fullUrl": name,
        "resource": body,
        "request": {"method": "POST", "url": resource["resourceType"], **request},
    }


def link(bundle: Resource, relation: str) -> str | None:
    """The address of a link, None if there is none."""
    return next((one["url"] for one in bundle.get("link", []) if one["relation"] == relation), None)


def statuses(answer: httpx.Response) -> list[int]:
    """The status of each entry of the answer to a Bundle."""
    assert answer.status_code == 200, answer.text
    return [int(one["response"]["status"][:3]) for one in answer.json()["entry"]]


def refused(answer: httpx.Response, status: int) -> None:
    """Assert that *answer* is a refusal with *status* that says why in an OperationOutcome."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert body["issue"][0]["severity"] == "error"
    assert body["issue"][0]["diagnostics"]


def version(answer: httpx.Response) -> int:
    """The version in the ETag."""
    match = re.fullmatch(r'W/"(\d+)"', answer.headers["etag"])
    assert match is not None
    return int(match[1])
