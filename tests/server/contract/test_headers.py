"""What the headers of a request change. `spec/hapi.md` rows 9, 18 and 24."""

from __future__ import annotations

import json

import pytest

from tests.server.contract.fhir import JSON, Fhir, link, put_entry, refused, version


def test_what_the_client_has_is_not_sent_again(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    assert fhir.get(f"Patient/{fhir.own}p", If_None_Match='W/"1"').status_code == 304
    assert fhir.get(f"Patient/{fhir.own}p", If_None_Match='W/"2"').status_code == 200


@pytest.mark.parametrize("if_match", ['W/"1"', '"1"', "1"])
def test_if_match_may_be_weak_strong_or_bare(fhir: Fhir, if_match: str) -> None:
    fhir.stored(fhir.patient())
    assert version(fhir.put(fhir.patient(gender="male"), If_Match=if_match)) == 2


def test_the_answer_to_a_write_is_as_short_as_was_preferred(fhir: Fhir) -> None:
    minimal = fhir.put(fhir.patient(), Prefer="return=minimal")
    assert (minimal.status_code, minimal.content, version(minimal)) == (201, b"", 1)
    told = fhir.put(fhir.patient(gender="male"), Prefer="return=OperationOutcome")
    assert (told.status_code, told.json()["resourceType"]) == (200, "OperationOutcome")
    whole = fhir.put(fhir.patient(gender="female"), Prefer="return=representation")
    assert whole.json()["gender"] == "female"


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {}])
def test_a_body_that_is_not_said_to_be_json_is_refused(fhir: Fhir, headers: dict[str, str]) -> None:
    body = json.dumps(fhir.patient()).encode()
    refused(fhir.http.put(f"Patient/{fhir.own}p", content=body, headers=headers), 400)


def test_next_leads_to_the_host_that_the_request_named(fhir: Fhir) -> None:
    fhir.send("transaction", *(put_entry(fhir.patient(f"p{n}")) for n in range(3)))
    ids = ("_id", ",".join(f"{fhir.own}p{n}" for n in range(3)))
    page = fhir.get("Patient", ids, ("_count", "2"), Host="localhost:1234").json()
    assert (link(page, "next") or "").startswith("http://localhost:1234/fhir?")


def test_location_is_told_to_who_posts_not_to_who_puts(fhir: Fhir) -> None:
    """hapi.md row 21."""
    posted, put = fhir.post(fhir.patient()), fhir.put(fhir.patient())
    address = f"{fhir.base}/Patient/{posted.json()['id']}/_history/1"
    assert (posted.headers["Location"], posted.headers["Content-Location"]) == (address, address)
    assert put.headers["Content-Location"] == f"{fhir.base}/Patient/{fhir.own}p/_history/1"
    assert "Location" not in put.headers


def test_a_parameter_where_none_is_understood_is_refused(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    refused(fhir.get(f"Patient/{fhir.own}p?no-such=1"), 400)


def test_there_is_no_search_at_the_base(fhir: Fhir) -> None:
    refused(fhir.get(""), 400)


def test_what_is_no_bundle_is_refused_at_the_base(fhir: Fhir) -> None:
    refused(fhir.http.post("", json=fhir.patient(), headers=JSON), 400)
