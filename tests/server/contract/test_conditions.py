"""Writes on a condition. `spec/hapi.md` row 32; https://hl7.org/fhir/R4/http.html#cond-update."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.server.contract.fhir import JSON, Fhir, refused, version


def condition(fhir: Fhir, value: str = "") -> str:
    return f"identifier=urn:example:contract|{fhir.own}{value}"


def conditional_put(fhir: Fhir, query: str, **more: object) -> httpx.Response:
    body = {"resourceType": "Patient", "identifier": fhir.identified(), **more}
    return fhir.http.put(f"Patient?{query}", json=body, headers=JSON)


def test_if_none_exist_creates_once_and_then_finds(fhir: Fhir) -> None:
    body = {"resourceType": "Patient", "identifier": fhir.identified()}
    first, second = (fhir.post(body, If_None_Exist=condition(fhir)) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.headers["etag"] == 'W/"1"'
    assert len(fhir.found("Patient", ("identifier", f"urn:example:contract|{fhir.own}"))) == 1


def test_if_none_exist_that_matches_two_is_refused(fhir: Fhir) -> None:
    for name in ("a", "b"):
        fhir.stored(fhir.patient(name, identifier=fhir.identified()))
    body = {"resourceType": "Patient", "identifier": fhir.identified()}
    refused(fhir.post(body, If_None_Exist=condition(fhir)), 412)


def test_threads_that_race_on_if_none_exist_store_one(fhir: Fhir) -> None:
    body = {"resourceType": "Patient", "identifier": fhir.identified()}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fhir.post(body, If_None_Exist=condition(fhir)), range(8)))
    assert len(fhir.found("Patient", ("identifier", f"urn:example:contract|{fhir.own}"))) == 1


def test_conditional_update_creates_what_is_not_there(fhir: Fhir) -> None:
    answer = conditional_put(fhir, condition(fhir))
    assert (answer.status_code, version(answer)) == (201, 1)


def test_conditional_update_replaces_the_one_that_matches(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(identifier=fhir.identified()))
    answer = conditional_put(fhir, condition(fhir), gender="female")
    assert (answer.status_code, version(answer)) == (200, 2)
    assert answer.json()["id"] == f"{fhir.own}p"


def test_conditional_update_that_changes_nothing_makes_no_version(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(identifier=fhir.identified()))
    answer = conditional_put(fhir, condition(fhir), active=True)
    assert (answer.status_code, version(answer)) == (200, 1)


def test_conditional_update_that_matches_two_is_refused(fhir: Fhir) -> None:
    for name in ("a", "b"):
        fhir.stored(fhir.patient(name, identifier=fhir.identified()))
    refused(conditional_put(fhir, condition(fhir)), 412)
