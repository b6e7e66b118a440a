"""What was: the history of a resource, a type, the server. `spec/hapi.md` rows 14, 15 and 35."""

from __future__ import annotations

import pytest

from tests.server.contract.fhir import Fhir, Resource, link, refused


@pytest.fixture
def past(fhir: Fhir) -> Fhir:
    """A patient created, changed, deleted and brought back, and another one."""
    fhir.stored(fhir.patient("p", gender="male"))
    fhir.stored_apart(fhir.patient("p", gender="female"))
    fhir.http.delete(f"Patient/{fhir.own}p")
    fhir.stored(fhir.patient("p", gender="other"))
    fhir.stored(fhir.patient("q"))
    return fhir


def told(bundle: Resource) -> list[tuple[str, str]]:
    """Method and version of each entry."""
    return [
        (one["request"]["method"], one["response"]["etag"].strip('W/"')) for one in bundle.get("entry", [])
    ]


def since(fhir: Fhir, name: str, number: int) -> tuple[str, str]:
    stamp = fhir.get(f"Patient/{fhir.own}{name}/_history/{number}").json()["meta"]["lastUpdated"]
    return ("_since", stamp)


def test_the_history_of_a_resource_is_newest_first(past: Fhir) -> None:
    bundle = past.bundle(f"Patient/{past.own}p/_history")
    assert bundle["type"] == "history"
    assert [number for _, number in told(bundle)] == ["4", "3", "2", "1"]
    assert [method for method, _ in told(bundle)][1] == "DELETE"


def test_an_entry_holds_the_resource_as_it_was(past: Fhir) -> None:
    entries = past.bundle(f"Patient/{past.own}p/_history")["entry"]
    assert [one.get("resource", {}).get("gender") for one in entries] == ["other", None, "female", "male"]
    assert {one["fullUrl"] for one in entries} == {f"{past.base}/Patient/{past.own}p"}


def test_a_deletion_has_no_resource_and_names_its_version(past: Fhir) -> None:
    entry = past.bundle(f"Patient/{past.own}p/_history")["entry"][1]
    assert "resource" not in entry
    assert entry["request"] == {"method": "DELETE", "url": f"Patient/{past.own}p/_history/3"}
    assert "lastModified" not in entry["response"]


def test_since_is_inclusive(past: Fhir) -> None:
    bundle = past.bundle(f"Patient/{past.own}p/_history", since(past, "p", 2))
    assert [number for _, number in told(bundle)] == ["4", "3", "2"]


@pytest.mark.parametrize("level", ["Patient/_history", "_history"])
def test_the_history_of_a_type_and_of_the_server_since_a_moment(past: Fhir, level: str) -> None:
    bundle = past.bundle(level, since(past, "p", 2), ("_count", "200"))
    mine = [one for one in bundle["entry"] if past.own in one["fullUrl"]]
    names = [one["fullUrl"].rpartition("/")[2].removeprefix(past.own) for one in mine]
    assert names == ["q", "p", "p", "p"]
    assert [one["request"]["method"] for one in mine][2] == "DELETE"


def test_the_history_of_a_type_leaves_other_types_out(past: Fhir) -> None:
    moment = since(past, "q", 1)
    past.stored(past.score("o", "q"))
    everything = past.bundle("_history", moment, ("_count", "200"))
    patients = past.bundle("Patient/_history", moment, ("_count", "200"))
    assert f"{past.base}/Observation/{past.own}o" in {one["fullUrl"] for one in everything["entry"]}
    assert {one["resource"]["resourceType"] for one in patients["entry"]} == {"Patient"}


def test_the_history_of_a_type_is_paged(past: Fhir) -> None:
    moment = since(past, "p", 1)
    bundle = past.bundle("Patient/_history", moment, ("_count", "2"))
    found = told(bundle)
    assert len(found) == 2
    while following := link(bundle, "next"):
        bundle = past.bundle(following)
        found += told(bundle)
    assert found == told(past.bundle("Patient/_history", moment, ("_count", "100")))
    assert len(found) >= 5


def test_the_history_of_what_never_was_is_not_found(fhir: Fhir) -> None:
    refused(fhir.get(f"Patient/{fhir.own}never/_history"), 404)


def test_a_since_that_is_no_time_is_refused(past: Fhir) -> None:
    refused(past.get("Patient/_history", ("_since", "yesterday")), 400)
