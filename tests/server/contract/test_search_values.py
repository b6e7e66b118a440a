"""How values are read and answers are cut, where it is easily got wrong. `spec/hapi.md` rows 2, 6 and 13."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.server.contract.fhir import Fhir, Resource


def subset(resource: Resource) -> Resource:
    """*resource* without meta, which must say that something was left out."""
    assert "SUBSETTED" in {tag["code"] for tag in resource["meta"]["tag"]}
    return {name: value for name, value in resource.items() if name != "meta"}


def only(fhir: Fhir, resource_type: str, *parameters: tuple[str, str]) -> Resource:
    """The one resource that a search finds."""
    (entry,) = fhir.bundle(resource_type, *parameters)["entry"]
    found: Resource = entry["resource"]
    return found


def test_a_comma_in_a_value_is_written_with_a_backslash(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(identifier=fhir.identified(",b")))
    assert fhir.found("Patient", ("identifier", f"urn:example:contract|{fhir.own}\\,b")) == ["p"]
    assert fhir.found("Patient", ("identifier", f"urn:example:contract|{fhir.own},b")) == []


def test_the_code_of_an_order_is_its_medication(fhir: Fhir) -> None:
    drug = {"coding": [{"system": "urn:example:drug", "code": "7052"}]}
    subject = {"reference": f"Patient/{fhir.own}p"}
    order = {"resourceType": "MedicationRequest", "id": f"{fhir.own}m", "status": "active", "intent": "order"}
    fhir.stored(fhir.patient())
    fhir.stored(order | {"medicationCodeableConcept": drug, "subject": subject})
    who = ("patient", f"{fhir.own}p")
    assert fhir.found("MedicationRequest", who, ("code", "urn:example:drug|7052")) == ["m"]
    assert fhir.found("MedicationRequest", who, ("code", "urn:example:drug|1")) == []


def test_body_structures_are_found_by_patient(fhir: Fhir) -> None:
    patient = {"reference": f"Patient/{fhir.own}p"}
    fhir.stored(fhir.patient())
    fhir.stored({"resourceType": "BodyStructure", "id": f"{fhir.own}b", "patient": patient})
    assert fhir.found("BodyStructure", ("patient", f"Patient/{fhir.own}p")) == ["b"]


@pytest.mark.parametrize("hours", [-5, 0, 2])
def test_a_bound_may_be_given_at_any_offset(fhir: Fhir, hours: int) -> None:
    stored = datetime.fromisoformat(fhir.stored(fhir.patient())["meta"]["lastUpdated"])
    local = (stored + timedelta(hours=hours)).isoformat(timespec="milliseconds")[:23]
    bound = f"{local}{hours:+03}:00"
    mine = ("_id", f"{fhir.own}p")
    assert fhir.found("Patient", mine, ("_lastUpdated", f"ge{bound}")) == ["p"]
    assert fhir.found("Patient", mine, ("_lastUpdated", f"gt{bound}")) == []


@pytest.mark.parametrize(
    ("elements", "kept"),
    [
        ("id,meta", {}),
        ("status", {"status": "final"}),
        ("valueInteger", {"valueInteger": 5}),
        ("value", {"valueInteger": 5}),
    ],
)
def test_elements_are_those_asked_for_and_no_other(fhir: Fhir, elements: str, kept: Resource) -> None:
    fhir.stored(fhir.patient())
    fhir.stored(fhir.score())
    found = only(fhir, "Observation", ("_id", f"{fhir.own}o"), ("_elements", elements))
    assert subset(found) == {"resourceType": "Observation", "id": f"{fhir.own}o"} | kept


def test_a_summary_has_the_summary_elements_alone(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(maritalStatus={"text": "x"}, gender="male"))
    fhir.stored(fhir.score(note=[{"text": "x"}]))
    score = only(fhir, "Observation", ("_id", f"{fhir.own}o"), ("_summary", "true"))
    assert subset(score) == fhir.score()
    patient = only(fhir, "Patient", ("_id", f"{fhir.own}p"), ("_summary", "true"))
    assert subset(patient) == fhir.patient(gender="male")


def test_summary_false_is_the_whole(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(maritalStatus={"text": "x"}))
    found = only(fhir, "Patient", ("_id", f"{fhir.own}p"), ("_summary", "false"))
    assert found["maritalStatus"] == {"text": "x"}


def test_a_count_of_zero_asks_for_the_total_alone(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    found = fhir.bundle("Patient", ("_id", f"{fhir.own}p"), ("_count", "0"))
    assert (found["total"], "entry" in found) == (1, False)


def test_a_first_version_is_posted_and_a_later_one_put_in_its_history(fhir: Fhir) -> None:
    """So says HAPI, even where the first one was put."""
    for gender in ("male", "female"):
        fhir.stored(fhir.patient(gender=gender))
    entries = fhir.bundle(f"Patient/{fhir.own}p/_history")["entry"]
    address = f"Patient/{fhir.own}p/_history"
    assert [one["request"] for one in entries] == [
        {"method": "PUT", "url": f"{address}/2"},
        {"method": "POST", "url": f"{address}/1"},
    ]


def test_each_search_parameter_that_metadata_says_is_accepted(fhir: Fhir) -> None:
    """Of the kinds that the sync uses, for the types that it pulls."""
    values = {"token": "a", "reference": "Patient/a", "date": "ge2026-01-01"}
    used = {"_id", "_lastUpdated", "identifier", "code", "category", "status", "patient", "subject"}
    (rest,) = fhir.get("metadata").json()["rest"]
    types = {one["type"]: one for one in rest["resource"]}
    for name in ("Patient", "Observation", "Procedure", "BodyStructure", "MedicationRequest", "AdverseEvent"):
        said = {one["name"]: one["type"] for one in types[name]["searchParam"]}
        for parameter in said.keys() & used:
            answer = fhir.get(name, (parameter, values[said[parameter]]), ("_count", "1"))
            assert answer.status_code == 200, (name, parameter)
