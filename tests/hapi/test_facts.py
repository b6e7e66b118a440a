"""What HAPI does and our client and sync rely on: `spec/hapi.md` part 2, whose numbers the tests name.

Plain HTTP, nothing of ours in between. Every test brings its own ids, so that a server may be used again.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

pytestmark = pytest.mark.hapi

FRESH = {"Cache-Control": "no-cache"}
Resource = dict[str, Any]


@pytest.fixture(scope="module")
def http(hapi_base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{hapi_base}/", timeout=60) as client:
        yield client


@pytest.fixture
def own() -> str:
    """A prefix of ids that nobody used before."""
    return f"t{secrets.token_hex(6)}"


def put(http: httpx.Client, resource: Resource, **headers: str) -> httpx.Response:
    address = f"{resource['resourceType']}/{resource['id']}"
    return http.put(
        address, json=resource, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


def stored(http: httpx.Client, resource: Resource) -> Resource:
    """*resource* as the server answers it after storing it."""
    answer = put(http, resource)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


def patient(own: str, n: int = 0, **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": f"{own}-p{n}", "active": True, **more}


def score(own: str, value: int, n: int = 0, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"{own}-o{n}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "72514-3"}]},
        "subject": {"reference": f"Patient/{own}-p{n}"},
        "valueInteger": value,
        **more,
    }


def rows(bundle: Resource) -> list[str]:
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle.get("entry", [])]


def link(bundle: Resource, relation: str) -> str | None:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


def query(url: str | None) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url or "").query)


def search(http: httpx.Client, resource_type: str, *parameters: tuple[str, str]) -> Resource:
    answer = http.get(resource_type, params=parameters, headers=FRESH)
    assert answer.status_code == 200, answer.text
    return answer.json()


def count(http: httpx.Client, resource_type: str, *parameters: tuple[str, str]) -> int:
    total: int = search(http, resource_type, *parameters, ("_summary", "count"))["total"]
    return total


def three_stamps(http: httpx.Client, own: str) -> list[str]:
    """Three patients written one after the other: three different instants, ascending."""
    stamps = [stored(http, patient(own, n))["meta"]["lastUpdated"] for n in range(3)]
    assert stamps == sorted(set(stamps))
    return stamps


class TestSearch:
    def test_both_bounds_of_lastupdated_are_honoured_and_shown_in_self(
        self, http: httpx.Client, own: str
    ) -> None:
        """hapi.md 1."""
        _, second, third = three_stamps(http, own)
        found = search(http, "Patient", ("_lastUpdated", f"ge{second}"), ("_lastUpdated", f"lt{third}"))
        assert rows(found) == [f"Patient/{own}-p1"]
        assert sorted(query(link(found, "self"))["_lastUpdated"]) == sorted([f"ge{second}", f"lt{third}"])

    def test_two_lower_bounds_are_refused(self, http: httpx.Client) -> None:
        """hapi.md 1."""
        twice = [("_lastUpdated", "ge2026-01-01"), ("_lastUpdated", "ge2026-01-02")]
        assert http.get("Patient", params=twice).status_code == 400

    def test_bounds_are_exact_to_the_millisecond(self, http: httpx.Client, own: str) -> None:
        """hapi.md 2: `ge` its own stamp finds a row, `gt` and one millisecond later do not."""
        stamp = stored(http, patient(own))["meta"]["lastUpdated"]
        assert re.search(r"\.\d{3}(Z|[+-]\d\d:\d\d)$", stamp)
        mine = ("_id", f"{own}-p0")
        assert count(http, "Patient", mine, ("_lastUpdated", f"ge{stamp}")) == 1
        assert count(http, "Patient", mine, ("_lastUpdated", f"le{stamp}")) == 1
        assert count(http, "Patient", mine, ("_lastUpdated", f"gt{stamp}")) == 0
        assert count(http, "Patient", mine, ("_lastUpdated", f"lt{stamp}")) == 0

    def test_rows_of_one_transaction_share_one_stamp_and_sort_by_id(
        self, http: httpx.Client, own: str
    ) -> None:
        """hapi.md 3."""
        entries = [
            {"resource": patient(own, n), "request": {"method": "PUT", "url": f"Patient/{own}-p{n}"}}
            for n in (2, 0, 1)
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert http.post("", json=bundle).status_code == 200
        ids = ",".join(f"{own}-p{n}" for n in range(3))
        found = search(http, "Patient", ("_id", ids), ("_sort", "_lastUpdated,_id"))
        assert len({e["resource"]["meta"]["lastUpdated"] for e in found["entry"]}) == 1
        assert rows(found) == [f"Patient/{own}-p{n}" for n in range(3)]

    def test_a_list_of_patients_by_post_finds_their_rows_and_self_shows_no_parameter(
        self, http: httpx.Client, own: str
    ) -> None:
        """hapi.md 16 and 17; 1,000 patients are far beyond what an address may hold."""
        for n in range(3):
            stored(http, patient(own, n))
            stored(http, score(own, 5, n))
        wanted = [f"Patient/{own}-p{n}" for n in (0, 2)] + [f"Patient/{own}-none{n}" for n in range(998)]
        answer = http.post("Observation/_search", data={"patient": ",".join(wanted)}, headers=FRESH)
        assert answer.status_code == 200
        assert sorted(rows(answer.json())) == [f"Observation/{own}-o0", f"Observation/{own}-o2"]
        assert "patient" not in query(link(answer.json(), "self"))

    def test_a_list_of_identifiers_by_post_is_found_with_the_signs_of_a_search_in_them(
        self, http: httpx.Client, own: str
    ) -> None:
        """How patients are found on another target (https://hl7.org/fhir/R4/search.html#escaping)."""
        values = [f"{own},a", f"{own}|b", f"{own}$c", f"{own}\\d"]
        for n, value in enumerate(values):
            stored(http, patient(own, n, identifier=[{"system": "urn:example:mrn", "value": value}]))
        escaped = [re.sub(r"([\\,|$])", r"\\\1", value) for value in values]
        asked = ",".join(f"urn:example:mrn|{value}" for value in escaped)
        answer = http.post("Patient/_search", data={"identifier": asked}, headers=FRESH)
        assert sorted(rows(answer.json())) == [f"Patient/{own}-p{n}" for n in range(4)]

    def test_identifiers_of_a_system_are_found_by_that_alone(self, http: httpx.Client, own: str) -> None:
        """How results are found whose store was lost."""
        system = f"urn:example:{own}"
        for n in range(2):
            stored(http, patient(own, n, identifier=[{"system": system, "value": str(n)}]))
        assert count(http, "Patient", ("identifier", f"{system}|")) == 2
        found = search(http, "Patient", ("identifier", f"{system}|"), ("_elements", "id,meta"))
        assert sorted(rows(found)) == [f"Patient/{own}-p0", f"Patient/{own}-p1"]

    def test_adverse_events_are_found_by_subject_not_by_patient(self, http: httpx.Client, own: str) -> None:
        stored(http, patient(own))
        event = {
            "resourceType": "AdverseEvent",
            "id": f"{own}-ae",
            "actuality": "actual",
            "subject": {"reference": f"Patient/{own}-p0"},
        }
        stored(http, event)
        assert rows(search(http, "AdverseEvent", ("subject", f"Patient/{own}-p0"))) == [
            f"AdverseEvent/{own}-ae"
        ]
        assert http.get("AdverseEvent", params={"patient": f"Patient/{own}-p0"}).status_code == 400

    def test_a_list_of_codes_is_searched_and_shown_in_self(self, http: httpx.Client, own: str) -> None:
        stored(http, patient(own))
        stored(http, score(own, 3))
        codes = "http://loinc.org|72514-3,http://loinc.org|0-0"
        found = search(http, "Observation", ("code", codes), ("subject", f"Patient/{own}-p0"))
        assert rows(found) == [f"Observation/{own}-o0"]
        assert query(link(found, "self"))["code"] == [codes]

    def test_an_unknown_parameter_is_refused(self, http: httpx.Client) -> None:
        """hapi.md 18: strict or lenient alike."""
        for handling in ("strict", "lenient"):
            answer = http.get("Patient", params={"no-such": "1"}, headers={"Prefer": f"handling={handling}"})
            assert answer.status_code == 400

    def test_next_is_a_whole_address_at_the_host_that_was_asked(
        self, http: httpx.Client, hapi_base: str, own: str
    ) -> None:
        """hapi.md 9."""
        three_stamps(http, own)
        ids = ",".join(f"{own}-p{n}" for n in range(3))
        first = search(http, "Patient", ("_id", ids), ("_count", "2"), ("_sort", "_id"))
        following = link(first, "next")
        assert following is not None
        assert following.startswith(hapi_base)
        second = http.get(following).json()
        assert rows(first) + rows(second) == [f"Patient/{own}-p{n}" for n in range(3)]
        assert link(second, "next") is None

    def test_a_search_is_given_again_unless_no_cache_asks_for_a_fresh_one(
        self, http: httpx.Client, own: str
    ) -> None:
        """hapi.md 7: a row written in between is missing from the reused answer."""
        parameters = {"_id": f"{own}-p0,{own}-p1"}
        stored(http, patient(own, 0))
        http.get("Patient", params=parameters)
        stored(http, patient(own, 1))
        reused = http.get("Patient", params=parameters)
        assert reused.headers["X-Cache"].startswith("HIT")
        assert rows(reused.json()) == [f"Patient/{own}-p0"]
        fresh = http.get("Patient", params=parameters, headers=FRESH)
        assert sorted(rows(fresh.json())) == [f"Patient/{own}-p0", f"Patient/{own}-p1"]

    def test_a_count_is_given_again_unless_no_cache_asks_for_a_fresh_one(
        self, http: httpx.Client, own: str
    ) -> None:
        """hapi.md 6."""
        parameters = {"_id": f"{own}-p0,{own}-p1", "_summary": "count"}
        stored(http, patient(own, 0))
        assert http.get("Patient", params=parameters).json()["total"] == 1
        stored(http, patient(own, 1))
        assert http.get("Patient", params=parameters).json()["total"] == 1
        assert http.get("Patient", params=parameters, headers=FRESH).json()["total"] == 2

    def test_the_bundle_says_when_the_search_was_made(self, http: httpx.Client, own: str) -> None:
        """hapi.md 7: our T0. It is not before what the search found."""
        stamp = stored(http, patient(own))["meta"]["lastUpdated"]
        found = search(http, "Patient", ("_id", f"{own}-p0"))
        assert found["meta"]["lastUpdated"] >= stamp

    def test_no_store_alone_cuts_a_search_without_a_word(self, http: httpx.Client, own: str) -> None:
        """hapi.md 8: why the client never sends it."""
        entries = [
            {"resource": patient(own, n), "request": {"method": "PUT", "url": f"Patient/{own}-p{n}"}}
            for n in range(120)
        ]
        http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        parameters = {"_id": ",".join(f"{own}-p{n}" for n in range(120)), "_count": "500"}
        cut = http.get("Patient", params=parameters, headers={"Cache-Control": "no-store"}).json()
        assert (len(rows(cut)), link(cut, "next")) == (100, None)
        whole = http.get("Patient", params=parameters, headers=FRESH).json()
        assert (len(rows(whole)), link(whole, "next")) == (120, None)


class TestWrite:
    def test_an_unchanged_put_makes_no_version(self, http: httpx.Client, own: str) -> None:
        """hapi.md 21 and 22: neither does another order of keys."""
        created = put(http, patient(own, gender="female"))
        again = put(http, dict(reversed(patient(own, gender="female").items())))
        changed = put(http, patient(own, gender="male"))
        assert [one.status_code for one in (created, again, changed)] == [201, 200, 200]
        assert [one.headers["ETag"] for one in (created, again, changed)] == ['W/"1"', 'W/"1"', 'W/"2"']
        assert again.json()["meta"]["lastUpdated"] == created.json()["meta"]["lastUpdated"]

    def test_a_stale_if_match_is_a_conflict(self, http: httpx.Client, own: str) -> None:
        """hapi.md 24: 409, never 412; nothing is stored."""
        put(http, patient(own))
        put(http, patient(own, gender="male"))
        stale = put(http, patient(own, gender="female"), If_Match='W/"1"')
        assert stale.status_code == 409
        assert http.get(f"Patient/{own}-p0").json()["gender"] == "male"
        assert put(http, patient(own, gender="female"), If_Match='W/"2"').headers["ETag"] == 'W/"3"'

    def test_if_match_on_what_is_not_there_creates_it(self, http: httpx.Client, own: str) -> None:
        """hapi.md 24: so a 201 where 200 was expected is a lost race."""
        assert put(http, patient(own), If_Match='W/"7"').status_code == 201

    def test_if_none_match_star_does_not_protect(self, http: httpx.Client, own: str) -> None:
        """hapi.md 24: so a 200 where 201 was expected is a lost race."""
        put(http, patient(own))
        assert put(http, patient(own, gender="male"), If_None_Match="*").status_code == 200

    def test_a_mismatch_of_ifmatch_fails_the_whole_transaction(self, http: httpx.Client, own: str) -> None:
        """hapi.md 25: 409, and the other entry is not stored either."""
        put(http, patient(own, 0))

        def transaction(version: int) -> httpx.Response:
            first, second = (
                {
                    "resource": patient(own, n, gender="male"),
                    "request": {"method": "PUT", "url": f"Patient/{own}-p{n}"},
                }
                for n in (0, 1)
            )
            first["request"]["ifMatch"] = f'W/"{version}"'
            return http.post(
                "", json={"resourceType": "Bundle", "type": "transaction", "entry": [second, first]}
            )

        assert transaction(9).status_code == 409
        assert http.get(f"Patient/{own}-p1").status_code == 404
        done = transaction(1)
        assert done.status_code == 200
        assert [e["response"]["etag"] for e in done.json()["entry"]] == ["1", "2"]

    def test_references_lose_their_version_and_keep_their_identifier(
        self, http: httpx.Client, own: str
    ) -> None:
        """hapi.md 28: why the versions of our inputs stand in `what.identifier`."""
        stored(http, patient(own))
        stored(http, score(own, 5))
        version = {"system": "urn:example:version", "value": f"Observation/{own}-o0/_history/1"}
        provenance = {
            "resourceType": "Provenance",
            "id": f"{own}-pr",
            "target": [{"reference": f"Observation/{own}-o0/_history/1"}],
            "recorded": "2026-01-01T00:00:00Z",
            "agent": [{"who": {"display": "fhir-srs"}}],
            "entity": [{"role": "source", "what": {"reference": version["value"], "identifier": version}}],
        }
        stored(http, provenance)
        read = http.get(f"Provenance/{own}-pr").json()
        assert read["target"] == [{"reference": f"Observation/{own}-o0"}]
        what = read["entity"][0]["what"]
        assert (what["reference"], what["identifier"]) == (f"Observation/{own}-o0", version)

    @pytest.mark.parametrize("reference", ["unknown", "absolute"])
    def test_a_reference_to_nothing_or_by_whole_address_is_refused(
        self, http: httpx.Client, hapi_base: str, own: str, reference: str
    ) -> None:
        """hapi.md 27: an absolute one even to the server's own base, and to a patient that it holds."""
        stored(http, patient(own))
        target = {"unknown": f"Patient/{own}-none", "absolute": f"{hapi_base}/Patient/{own}-p0"}[reference]
        assert put(http, score(own, 5, subject={"reference": target})).status_code == 400

    def test_a_logical_reference_is_kept_as_it_is(self, http: httpx.Client, own: str) -> None:
        """decisions.md 5: identifier only, whoever it names."""
        subject = {"identifier": {"system": "urn:example:mrn", "value": own}}
        assert stored(http, score(own, 5, subject=subject))["subject"] == subject

    def test_what_is_referred_to_cannot_be_deleted(self, http: httpx.Client, own: str) -> None:
        """hapi.md 36: a literal reference of ours keeps the hospital from deleting its pain score."""
        stored(http, patient(own))
        stored(http, score(own, 5))
        assert http.delete(f"Patient/{own}-p0").status_code == 409
        assert http.delete(f"Observation/{own}-o0").status_code == 200
        assert http.delete(f"Patient/{own}-p0").status_code == 200

    def test_a_deleted_resource_is_gone_and_comes_back_with_the_next_version(
        self, http: httpx.Client, own: str
    ) -> None:
        """hapi.md 35."""
        stored(http, patient(own))
        assert http.delete(f"Patient/{own}-p0").status_code == 200
        assert http.get(f"Patient/{own}-p0").status_code == 410
        assert rows(search(http, "Patient", ("_id", f"{own}-p0"))) == []
        history = http.get(f"Patient/{own}-p0/_history").json()["entry"]
        assert [e["request"]["method"] for e in history] == ["DELETE", "POST"]
        back = put(http, patient(own))
        assert (back.status_code, back.headers["ETag"]) == (201, 'W/"3"')

    def test_what_never_was_is_not_found(self, http: httpx.Client, own: str) -> None:
        assert http.get(f"Patient/{own}-never").status_code == 404

    def test_a_numeric_id_is_refused(self, http: httpx.Client) -> None:
        """hapi.md 23: why result ids begin with letters."""
        number = str(secrets.randbelow(10**12) + 10**12)
        assert put(http, {"resourceType": "Patient", "id": number}).status_code == 400

    def test_a_put_does_not_validate(self, http: httpx.Client, own: str) -> None:
        """hapi.md 30: why what was written is read back and compared."""
        stored(http, patient(own))
        odd = {k: v for k, v in score(own, 5, nonsense=1).items() if k != "status"}
        assert put(http, odd).status_code == 201
        read = http.get(f"Observation/{own}-o0").json()
        assert "nonsense" not in read
        assert "status" not in read
        assert put(http, score(own, 5, status="no-such-status")).status_code == 400

    def test_tags_are_added_never_taken_away(self, http: httpx.Client, own: str) -> None:
        """hapi.md 31: why meta is no part of what is compared."""
        tag = {"system": "urn:example:tag", "code": own}
        put(http, patient(own, meta={"tag": [tag]}))
        dropped = put(http, patient(own))
        assert dropped.headers["ETag"] == 'W/"1"'
        assert http.get(f"Patient/{own}-p0").json()["meta"]["tag"] == [tag]

    def test_decimals_keep_their_last_zero(self, http: httpx.Client, own: str) -> None:
        """hapi.md 22: so what is read back can be compared digit by digit."""
        stored(http, patient(own))
        body = json.dumps({k: v for k, v in score(own, 5).items() if k != "valueInteger"})
        body = body[:-1] + ', "valueQuantity": {"value": 0.10}}'
        headers = {"Content-Type": "application/fhir+json"}
        assert http.put(f"Observation/{own}-o0", content=body, headers=headers).status_code == 201
        assert re.search(r'"value":\s*0\.10\b', http.get(f"Observation/{own}-o0").text)

    def test_a_version_can_be_read_after_it_was_replaced(self, http: httpx.Client, own: str) -> None:
        put(http, patient(own, gender="female"))
        put(http, patient(own, gender="male"))
        assert http.get(f"Patient/{own}-p0/_history/1").json()["gender"] == "female"
