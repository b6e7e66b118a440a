"""What a transaction may not do, and what it then leaves behind: nothing. `spec/hapi.md` rows 3, 25, 27."""

from __future__ import annotations

import pytest

from tests.server.contract.fhir import JSON, Fhir, Resource, post_entry, put_entry, refused, statuses

NAME = "urn:uuid:6a4ae7e6-9a52-4b3c-8f0e-1d6f1f9d2c10"


def test_a_change_is_taken_back_with_the_rest(fhir: Fhir) -> None:
    fhir.stored(fhir.patient("a", identifier=fhir.identified("before")))
    changed = fhir.patient("a", identifier=fhir.identified("after"))
    refused(fhir.send("transaction", put_entry(changed), put_entry(fhir.score(of="nobody"))), 400)
    assert fhir.get(f"Patient/{fhir.own}a").headers["etag"] == 'W/"1"'
    assert fhir.found("Patient", ("identifier", f"{fhir.own}before")) == ["a"]
    assert fhir.found("Patient", ("identifier", f"{fhir.own}after")) == []


def test_a_name_that_two_entries_have_is_refused(fhir: Fhir) -> None:
    twice = [post_entry(fhir.patient(), NAME)] * 2
    refused(fhir.send("transaction", *twice), 400)


def test_a_name_that_no_entry_has_is_refused(fhir: Fhir) -> None:
    refused(fhir.send("transaction", put_entry(fhir.score(subject={"reference": NAME}))), 400)


def test_a_name_stands_for_what_a_conditional_update_finds(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(identifier=fhir.identified()))
    person = {"resourceType": "Patient", "identifier": fhir.identified(), "gender": "male"}
    query = f"Patient?identifier=urn:example:contract|{fhir.own}"
    entry = {"fullUrl": NAME, "resource": person, "request": {"method": "PUT", "url": query}}
    score = put_entry(fhir.score(subject={"reference": NAME}))
    assert statuses(fhir.send("transaction", score, entry)) == [201, 200]
    assert fhir.get(f"Observation/{fhir.own}o").json()["subject"]["reference"] == f"Patient/{fhir.own}p"
    assert fhir.get(f"Patient/{fhir.own}p").json()["gender"] == "male"


@pytest.mark.parametrize("request_", [{}, {"request": {"method": "LOOK", "url": "Patient/1"}}])
def test_an_entry_without_a_known_request_is_refused(fhir: Fhir, request_: Resource) -> None:
    refused(fhir.send("transaction", {"resource": fhir.patient(), **request_}), 400)


def test_an_entry_with_a_whole_address_is_refused(fhir: Fhir) -> None:
    entry = put_entry(fhir.patient())
    entry["request"]["url"] = f"{fhir.base}/Patient/{fhir.own}p"
    refused(fhir.send("transaction", entry), 400)


def test_ifmatch_on_what_is_not_there_creates_it(fhir: Fhir) -> None:
    """hapi.md row 24, in a transaction too."""
    assert statuses(fhir.send("transaction", put_entry(fhir.patient(), ifMatch='W/"9"'))) == [201]


def test_a_deletion_of_what_is_still_referred_to_is_refused(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    fhir.stored(fhir.score())
    entry = {"request": {"method": "DELETE", "url": f"Patient/{fhir.own}p"}}
    refused(fhir.send("transaction", entry), 409)
    assert fhir.get(f"Patient/{fhir.own}p").status_code == 200


def test_a_thousand_entries_are_one_moment(fhir: Fhir) -> None:
    people = [fhir.patient(f"p{n}") for n in range(1000)]
    assert set(statuses(fhir.send("transaction", *map(put_entry, people)))) == {201}
    ends = [fhir.get(f"Patient/{fhir.own}p{n}").json()["meta"]["lastUpdated"] for n in (0, 999)]
    assert ends[0] == ends[1]


def test_entries_of_a_batch_cannot_refer_to_each_other(fhir: Fhir) -> None:
    score = put_entry(fhir.score(subject={"reference": NAME}))
    person = {**put_entry(fhir.patient()), "fullUrl": NAME}
    assert statuses(fhir.send("batch", score, person)) == [400, 201]


def test_a_batch_says_of_each_read_whether_it_was_never_there_or_is_gone(fhir: Fhir) -> None:
    fhir.stored(fhir.patient("gone"))
    fhir.http.delete(f"Patient/{fhir.own}gone")
    reads = [{"request": {"method": "GET", "url": f"Patient/{fhir.own}{name}"}} for name in ("gone", "never")]
    assert statuses(fhir.send("batch", *reads)) == [410, 404]


def test_what_is_being_created_cannot_refer_to_itself(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    refused(fhir.put(fhir.score(derivedFrom=[{"reference": f"Observation/{fhir.own}o"}])), 400)


@pytest.mark.parametrize("reference", ["{own}p", "https://other.example/fhir/Patient/1"])
def test_a_reference_without_type_or_to_elsewhere_is_refused(fhir: Fhir, reference: str) -> None:
    fhir.stored(fhir.patient())
    refused(fhir.put(fhir.score(subject={"reference": reference.format(own=fhir.own)})), 400)


def test_what_does_not_meet_its_own_condition_is_not_created(fhir: Fhir) -> None:
    body = {"resourceType": "Patient"}
    refused(fhir.http.put(f"Patient?identifier={fhir.own}", json=body, headers=JSON), 400)


@pytest.mark.parametrize("condition", ["no-such=1", "nonsense"])
def test_a_condition_that_is_none_is_refused(fhir: Fhir, condition: str) -> None:
    refused(fhir.post({"resourceType": "Patient"}, If_None_Exist=condition), 400)


def test_a_put_without_id_and_condition_is_refused(fhir: Fhir) -> None:
    refused(fhir.http.put("Patient", json={"resourceType": "Patient"}, headers=JSON), 400)
