"""Transactions and batches. `spec/hapi.md` rows 3, 25 and 36."""

from __future__ import annotations

import re

from tests.server.contract.fhir import Fhir, link, post_entry, put_entry, refused, statuses

PERSON, SCORE = (f"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e{n}" for n in (0, 1))


def delete_entry(address: str) -> dict[str, object]:
    return {"request": {"method": "DELETE", "url": address}}


def test_entries_of_a_transaction_refer_to_each_other_forward(fhir: Fhir) -> None:
    score = fhir.score(subject={"reference": PERSON})
    person = fhir.patient(identifier=fhir.identified())
    answer = fhir.send("transaction", post_entry(score, SCORE), post_entry(person, PERSON))
    assert statuses(answer) == [201, 201]
    locations = [one["response"]["location"] for one in answer.json()["entry"]]
    assert [one.partition("/")[0] for one in locations] == ["Observation", "Patient"]
    stored = fhir.get(locations[0].partition("/_history")[0]).json()
    assert stored["subject"]["reference"] == locations[1].partition("/_history")[0]


def test_a_put_may_refer_to_a_later_entry_by_urn(fhir: Fhir) -> None:
    score = fhir.score(subject={"reference": PERSON})
    answer = fhir.send("transaction", put_entry(score), post_entry(fhir.patient(), PERSON))
    assert statuses(answer) == [201, 201]
    subject = fhir.get(f"Observation/{fhir.own}o").json()["subject"]["reference"]
    assert subject == answer.json()["entry"][1]["response"]["location"].partition("/_history")[0]


def test_a_put_may_refer_to_a_later_put_by_its_address(fhir: Fhir) -> None:
    assert statuses(fhir.send("transaction", put_entry(fhir.score()), put_entry(fhir.patient()))) == [201] * 2


def test_a_transaction_answers_in_order_with_location_and_version(fhir: Fhir) -> None:
    fhir.stored(fhir.patient("a"))
    changed = fhir.patient("a", gender="male")
    answer = fhir.send("transaction", put_entry(changed), put_entry(fhir.patient("b")))
    body = answer.json()
    assert body["type"] == "transaction-response"
    assert statuses(answer) == [200, 201]
    responses = [one["response"] for one in body["entry"]]
    assert [one["etag"] for one in responses] == ["2", "1"]
    assert [one["location"] for one in responses] == [
        f"Patient/{fhir.own}a/_history/2",
        f"Patient/{fhir.own}b/_history/1",
    ]


def test_an_unchanged_entry_makes_no_version(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    answer = fhir.send("transaction", put_entry(fhir.patient()))
    assert statuses(answer) == [200]
    assert answer.json()["entry"][0]["response"]["etag"] == "1"


def test_a_transaction_with_one_bad_entry_stores_nothing(fhir: Fhir) -> None:
    lost = fhir.score(of="nobody")
    refused(fhir.send("transaction", put_entry(fhir.patient()), put_entry(lost)), 400)
    refused(fhir.get(f"Patient/{fhir.own}p"), 404)


def test_a_stale_ifmatch_fails_the_whole_transaction(fhir: Fhir) -> None:
    fhir.stored(fhir.patient("a"))
    entries = [
        put_entry(fhir.patient("b")),
        put_entry(fhir.patient("a", gender="male"), ifMatch='W/"9"'),
    ]
    refused(fhir.send("transaction", *entries), 409)
    refused(fhir.get(f"Patient/{fhir.own}b"), 404)
    assert fhir.get(f"Patient/{fhir.own}a").json()["meta"]["versionId"] == "1"


def test_a_current_ifmatch_is_carried_out(fhir: Fhir) -> None:
    fhir.stored(fhir.patient("a"))
    entry = put_entry(fhir.patient("a", gender="male"), ifMatch='W/"1"')
    assert statuses(fhir.send("transaction", entry)) == [200]


def test_an_entry_with_ifnoneexist_finds_and_is_referred_to(fhir: Fhir) -> None:
    fhir.stored(fhir.patient(identifier=fhir.identified()))
    condition = f"identifier=urn:example:contract|{fhir.own}"
    person = post_entry(fhir.patient(identifier=fhir.identified()), PERSON, ifNoneExist=condition)
    score = put_entry(fhir.score(subject={"reference": PERSON}))
    assert statuses(fhir.send("transaction", score, person)) == [201, 200]
    assert fhir.get(f"Observation/{fhir.own}o").json()["subject"]["reference"] == f"Patient/{fhir.own}p"


def test_all_rows_of_a_transaction_share_one_time(fhir: Fhir) -> None:
    names = ("b", "a", "c")
    fhir.send("transaction", *(put_entry(fhir.patient(name)) for name in names))
    ids = ",".join(fhir.own + name for name in names)
    bundle = fhir.bundle("Patient", ("_id", ids), ("_sort", "_lastUpdated,_id"))
    assert len({one["resource"]["meta"]["lastUpdated"] for one in bundle["entry"]}) == 1
    assert fhir.ids(bundle) == ["a", "b", "c"]


def test_a_resource_and_what_refers_to_it_are_deleted_together(fhir: Fhir) -> None:
    fhir.stored(fhir.patient())
    fhir.stored(fhir.score())
    entries = [delete_entry(f"Patient/{fhir.own}p"), delete_entry(f"Observation/{fhir.own}o")]
    assert set(statuses(fhir.send("transaction", *entries))) <= {200, 204}
    refused(fhir.get(f"Patient/{fhir.own}p"), 410)
    refused(fhir.get(f"Observation/{fhir.own}o"), 410)


def test_a_transaction_that_names_a_resource_twice_is_refused(fhir: Fhir) -> None:
    twice = [put_entry(fhir.patient()), put_entry(fhir.patient(gender="male"))]
    refused(fhir.send("transaction", *twice), 400)


def test_an_empty_transaction_is_answered(fhir: Fhir) -> None:
    answer = fhir.send("transaction")
    assert answer.status_code == 200
    assert answer.json().get("entry", []) == []


def test_a_batch_carries_out_what_it_can_and_says_each_status(fhir: Fhir) -> None:
    fhir.stored(fhir.patient("a"))
    entries = [
        put_entry(fhir.patient("b")),
        put_entry(fhir.score(of="nobody")),
        put_entry(fhir.patient("a", gender="male"), ifMatch='W/"9"'),
        {"request": {"method": "GET", "url": f"Patient/{fhir.own}a"}},
        {"request": {"method": "GET", "url": f"Patient/{fhir.own}none"}},
    ]
    answer = fhir.send("batch", *entries)
    assert statuses(answer) == [201, 400, 409, 200, 404]
    body = answer.json()
    assert body["type"] == "batch-response"
    assert body["entry"][3]["resource"]["id"] == f"{fhir.own}a"
    assert body["entry"][1]["response"]["outcome"]["issue"][0]["severity"] == "error"


def test_a_bundle_of_another_type_is_refused(fhir: Fhir) -> None:
    refused(fhir.send("collection", put_entry(fhir.patient())), 400)


def test_a_transaction_of_many_can_be_paged_through(fhir: Fhir) -> None:
    entries = [put_entry(fhir.patient("p")), *(put_entry(fhir.score(f"o{n:03}")) for n in range(100))]
    assert statuses(fhir.send("transaction", *entries)) == [201] * 101
    address: str | None = f"Observation?patient=Patient/{fhir.own}p&_count=30&_sort=_lastUpdated,_id"
    ids: list[str] = []
    while address:
        bundle = fhir.bundle(address)
        ids += fhir.ids(bundle)
        address = link(bundle, "next")
    assert ids == [f"o{n:03}" for n in range(100)]
    assert all(re.fullmatch(r"o\d{3}", one) for one in ids)
