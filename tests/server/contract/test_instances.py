"""One resource: create, read, replace, delete. `spec/hapi.md` rows 21 to 24, 30, 31 and 35."""

from __future__ import annotations

import json
import re
import secrets

import pytest

from tests.server.contract.fhir import JSON, Fhir, refused, version


def test_create_gives_an_id_a_first_version_and_its_location(fhir: Fhir) -> None:
    answer = fhir.post({"resourceType": "Patient", "gender": "female"})
    body = answer.json()
    assert (answer.status_code, version(answer), body["meta"]["versionId"]) == (201, 1, "1")
    assert answer.headers["location"] == f"{fhir.base}/Patient/{body['id']}/_history/1"
    assert fhir.get(f"Patient/{body['id']}").json() == body


def test_create_ignores_the_id_of_the_client(fhir: Fhir) -> None:
    answer = fhir.post(fhir.patient())
    assert answer.status_code == 201
    assert answer.json()["id"] != fhir.patient()["id"]


def test_put_with_an_id_of_the_client_creates_it(fhir: Fhir) -> None:
    answer = fhir.put(fhir.patient())
    assert (answer.status_code, version(answer)) == (201, 1)
    assert answer.headers["content-location"].endswith(f"Patient/{fhir.own}p/_history/1")
    assert "location" not in answer.headers


def test_read_gives_what_was_written_with_version_and_time(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(gender="male", birthDate="1950"))
    answer = fhir.get(f"Patient/{fhir.own}p")
    body = answer.json()
    meta = body.pop("meta")
    assert body == fhir.patient(gender="male", birthDate="1950")
    assert meta["versionId"] == "1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)", meta["lastUpdated"])
    assert version(answer) == 1
    assert "last-modified" in answer.headers


def test_an_unchanged_put_makes_no_version(fhir: Fhir) -> None:
    first = fhir.put(fhir.patient(gender="male"))
    again = fhir.put(dict(reversed(fhir.patient(gender="male").items())))
    assert (again.status_code, version(again)) == (200, 1)
    assert again.json()["meta"]["lastUpdated"] == first.json()["meta"]["lastUpdated"]


def test_a_changed_put_makes_the_next_version(fhir: Fhir) -> None:
    fhir.put(fhir.patient(gender="male"))
    answer = fhir.put(fhir.patient(gender="female"))
    assert (answer.status_code, version(answer)) == (200, 2)
    assert fhir.get(f"Patient/{fhir.own}p").json()["gender"] == "female"


def test_each_version_can_be_read(fhir: Fhir) -> None:
    fhir.put(fhir.patient(gender="male"))
    fhir.put(fhir.patient(gender="female"))
    genders = [fhir.get(f"Patient/{fhir.own}p/_history/{n}").json()["gender"] for n in (1, 2)]
    assert genders == ["male", "female"]


def test_a_version_that_never_was_is_not_found(fhir: Fhir) -> None:
    fhir.put(fhir.patient())
    refused(fhir.get(f"Patient/{fhir.own}p/_history/7"), 404)


def test_a_resource_that_never_was_is_not_found(fhir: Fhir) -> None:
    refused(fhir.get(f"Patient/{fhir.own}none"), 404)


def test_a_type_that_is_none_is_not_found(fhir: Fhir) -> None:
    refused(fhir.get("Nonsense/1"), 404)


def test_a_numeric_new_id_is_refused(fhir: Fhir) -> None:
    number = str(secrets.randbelow(10**12) + 10**12)
    refused(fhir.put({"resourceType": "Patient", "id": number}), 400)


def test_an_id_with_a_strange_character_is_refused(fhir: Fhir) -> None:
    refused(fhir.put({"resourceType": "Patient", "id": f"{fhir.own}a_b"}), 400)


@pytest.mark.parametrize("body_id", ["other", None])
def test_the_id_of_the_body_must_be_that_of_the_address(fhir: Fhir, body_id: str | None) -> None:
    body = {"resourceType": "Patient"} | ({"id": fhir.own + body_id} if body_id else {})
    refused(fhir.http.put(f"Patient/{fhir.own}p", json=body, headers=JSON), 400)


def test_the_type_of_the_body_must_be_that_of_the_address(fhir: Fhir) -> None:
    refused(fhir.http.put(f"Group/{fhir.own}p", json=fhir.patient(), headers=JSON), 400)


def test_a_stale_if_match_is_a_conflict_and_stores_nothing(fhir: Fhir) -> None:
    fhir.put(fhir.patient(gender="male"))
    fhir.put(fhir.patient(gender="female"))
    refused(fhir.put(fhir.patient(gender="other"), If_Match='W/"1"'), 409)
    assert fhir.get(f"Patient/{fhir.own}p").json()["gender"] == "female"


def test_a_current_if_match_is_carried_out(fhir: Fhir) -> None:
    fhir.put(fhir.patient(gender="male"))
    answer = fhir.put(fhir.patient(gender="female"), If_Match='W/"1"')
    assert (answer.status_code, version(answer)) == (200, 2)


def test_if_match_on_what_is_not_there_creates_it(fhir: Fhir) -> None:
    assert fhir.put(fhir.patient(), If_Match='W/"3"').status_code == 201


def test_delete_hides_the_resource_and_answers_gone(fhir: Fhir) -> None:
    fhir.put(fhir.patient())
    assert fhir.http.delete(f"Patient/{fhir.own}p").status_code == 200
    refused(fhir.get(f"Patient/{fhir.own}p"), 410)
    assert fhir.found("Patient", ("_id", f"{fhir.own}p")) == []


def test_a_deleted_version_is_gone_but_the_one_before_can_be_read(fhir: Fhir) -> None:
    fhir.put(fhir.patient(gender="male"))
    fhir.http.delete(f"Patient/{fhir.own}p")
    refused(fhir.get(f"Patient/{fhir.own}p/_history/2"), 410)
    assert fhir.get(f"Patient/{fhir.own}p/_history/1").json()["gender"] == "male"


def test_a_put_brings_a_deleted_resource_back_with_the_next_version(fhir: Fhir) -> None:
    fhir.put(fhir.patient())
    fhir.http.delete(f"Patient/{fhir.own}p")
    answer = fhir.put(fhir.patient())
    assert (answer.status_code, version(answer)) == (201, 3)
    assert fhir.get(f"Patient/{fhir.own}p").status_code == 200


def test_deleting_twice_or_what_never_was_is_no_error(fhir: Fhir) -> None:
    fhir.put(fhir.patient())
    answers = [fhir.http.delete(f"Patient/{fhir.own}{name}") for name in ("p", "p", "never")]
    assert [one.status_code for one in answers] == [200, 200, 200]


def test_tags_are_added_never_taken_away(fhir: Fhir) -> None:
    first, second = ({"system": "urn:example:tag", "code": code} for code in ("a", "b"))
    fhir.put(fhir.patient(meta={"tag": [first]}))
    dropped = fhir.put(fhir.patient())
    assert version(dropped) == 1
    added = fhir.put(fhir.patient(meta={"tag": [second]}))
    assert version(added) == 2
    codes = [one["code"] for one in fhir.get(f"Patient/{fhir.own}p").json()["meta"]["tag"]]
    assert sorted(codes) == ["a", "b"]


@pytest.mark.parametrize("digits", ["0.10", "2.0", "16.00", "0.000001", "123456789.123456789"])
def test_decimals_keep_their_digits(fhir: Fhir, digits: str) -> None:
    fhir.stored(fhir.patient())
    score = fhir.score(valueQuantity={"value": "@"})
    body = json.dumps(score).replace('"@"', digits)
    answer = fhir.http.put(f"Observation/{fhir.own}o", content=body, headers=JSON)
    assert answer.status_code == 201
    assert re.search(rf'"value":\s*{re.escape(digits)}[\s}}]', fhir.get(f"Observation/{fhir.own}o").text)


def test_a_last_zero_more_is_a_change(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    body = json.dumps(fhir.score(valueQuantity={"value": "@"}))
    answers = [
        fhir.http.put(f"Observation/{fhir.own}o", content=body.replace('"@"', digits), headers=JSON)
        for digits in ("0.1", "0.10")
    ]
    assert [version(one) for one in answers] == [1, 2]


@pytest.mark.parametrize("wrong", ['{"resourceType": "Pati', "[]", "", '{"active": true}'])
def test_a_body_that_is_no_resource_is_refused(fhir: Fhir, wrong: str) -> None:
    refused(fhir.http.put(f"Patient/{fhir.own}p", content=wrong, headers=JSON), 400)


@pytest.mark.parametrize("wrong", [{"gender": "unheard"}, {"birthDate": "2024-02-30"}, {"active": "perhaps"}])
def test_a_value_that_fhir_does_not_have_is_refused(fhir: Fhir, wrong: dict[str, str]) -> None:
    refused(fhir.put(fhir.patient() | wrong), 400)
