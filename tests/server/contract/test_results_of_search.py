"""How the answer to a search is cut, sorted and counted. `spec/hapi.md` rows 3, 5, 6, 9, 10, 13."""

from __future__ import annotations

import pytest

from tests.server.contract.fhir import FORM, Fhir, link, put_entry, refused

PEOPLE = [f"p{n}" for n in range(7)]


@pytest.fixture
def people(fhir: Fhir) -> Fhir:
    """Seven patients, written in one transaction."""
    entries = [put_entry(fhir.patient(name, gender="male")) for name in PEOPLE]
    assert fhir.send("transaction", *entries).status_code == 200
    return fhir


def all_of(fhir: Fhir) -> tuple[str, str]:
    return ("_id", ",".join(fhir.own + name for name in PEOPLE))


def pages(fhir: Fhir, *parameters: tuple[str, str]) -> list[list[str]]:
    """The ids of each page, until there is no next."""
    bundle = fhir.bundle("Patient", *parameters)
    found = [fhir.ids(bundle)]
    while following := link(bundle, "next"):
        bundle = fhir.bundle(following)
        found.append(fhir.ids(bundle))
    return found


def test_next_leads_through_all_rows_once(people: Fhir) -> None:
    found = pages(people, all_of(people), ("_count", "3"), ("_sort", "_id"))
    assert found == [PEOPLE[:3], PEOPLE[3:6], PEOPLE[6:]]


def test_a_page_that_holds_all_has_no_next(people: Fhir) -> None:
    assert pages(people, all_of(people), ("_count", "7"), ("_sort", "_id")) == [PEOPLE]


def test_next_is_a_whole_address_at_the_host_that_was_asked(people: Fhir) -> None:
    following = link(people.bundle("Patient", all_of(people), ("_count", "3")), "next")
    assert following is not None
    assert following.startswith(people.base)


def test_next_is_opaque(people: Fhir) -> None:
    """It names no search parameter: who changes `_id` in it changes nothing."""
    following = link(people.bundle("Patient", all_of(people), ("_count", "3")), "next")
    assert following is not None
    assert people.own not in following


def test_a_page_can_be_read_again(people: Fhir) -> None:
    bundle = people.bundle("Patient", all_of(people), ("_count", "3"), ("_sort", "_id"))
    following = link(bundle, "next") or ""
    first, again = (people.ids(people.bundle(following)) for _ in range(2))
    assert first == again == PEOPLE[3:6]


def test_a_page_link_that_was_never_given_is_gone(people: Fhir) -> None:
    following = link(people.bundle("Patient", all_of(people), ("_count", "3")), "next") or ""
    token = people.http.build_request("GET", following).url.params["_getpages"]
    refused(people.get(following.replace(token, "0" * len(token))), 410)


def test_pages_of_a_search_by_post_go_on_by_get(people: Fhir) -> None:
    form = {"_id": all_of(people)[1], "_count": "4", "_sort": "_id"}
    first = people.http.post("Patient/_search", data=form, headers=FORM).json()
    second = people.bundle(link(first, "next") or "")
    assert people.ids(first) + people.ids(second) == PEOPLE


def test_sorted_by_time_then_id_both_ways(people: Fhir) -> None:
    people.stored_apart(people.patient("p2", gender="female"))
    late = [name for name in PEOPLE if name != "p2"] + ["p2"]
    ascending = people.bundle("Patient", all_of(people), ("_sort", "_lastUpdated,_id"))
    assert people.ids(ascending) == late
    descending = people.bundle("Patient", all_of(people), ("_sort", "-_lastUpdated,_id"))
    assert people.ids(descending) == ["p2", *late[:-1]]
    by_id = people.bundle("Patient", all_of(people), ("_sort", "-_id"))
    assert people.ids(by_id) == PEOPLE[::-1]


def test_a_sort_that_is_none_is_refused(people: Fhir) -> None:
    refused(people.get("Patient", all_of(people), ("_sort", "nonsense")), 400)


def test_elements_cut_the_resource_and_say_so(people: Fhir) -> None:
    bundle = people.bundle("Patient", ("_id", f"{people.own}p1"), ("_elements", "gender"))
    (resource,) = [one["resource"] for one in bundle["entry"]]
    assert set(resource) == {"resourceType", "id", "meta", "gender"}
    assert [tag["code"] for tag in resource["meta"]["tag"]] == ["SUBSETTED"]
    assert resource["meta"]["versionId"] == "1"


def test_elements_hold_on_the_next_page(people: Fhir) -> None:
    first = people.bundle("Patient", all_of(people), ("_elements", "id,meta"), ("_count", "4"))
    second = people.bundle(link(first, "next") or "")
    keys = [set(one["resource"]) for bundle in (first, second) for one in bundle["entry"]]
    assert keys == [{"resourceType", "id", "meta"}] * 7


def test_what_was_cut_is_not_stored_cut(people: Fhir) -> None:
    people.bundle("Patient", all_of(people), ("_elements", "id"))
    whole = people.get(f"Patient/{people.own}p1").json()
    assert whole["gender"] == "male"
    assert "tag" not in whole["meta"]


def test_summary_count_has_the_total_and_no_rows(people: Fhir) -> None:
    bundle = people.bundle("Patient", all_of(people), ("_summary", "count"))
    assert (bundle["total"], bundle.get("entry", [])) == (7, [])


def test_total_accurate_is_said_on_the_first_page(people: Fhir) -> None:
    bundle = people.bundle("Patient", all_of(people), ("_count", "3"), ("_total", "accurate"))
    assert (bundle["total"], len(bundle["entry"])) == (7, 3)


def test_a_page_that_holds_all_says_the_total_unasked(people: Fhir) -> None:
    assert people.bundle("Patient", all_of(people), ("_count", "10"))["total"] == 7


def test_a_count_that_is_no_number_is_refused(people: Fhir) -> None:
    refused(people.get("Patient", all_of(people), ("_count", "many")), 400)


def test_rows_written_while_paging_are_neither_missed_nor_doubled(people: Fhir) -> None:
    bundle = people.bundle("Patient", all_of(people), ("_count", "3"), ("_sort", "_id"))
    people.stored(people.patient("p0", gender="female"))
    people.stored(people.patient("p5", gender="female"))
    found = people.ids(bundle)
    while following := link(bundle, "next"):
        bundle = people.bundle(following)
        found += people.ids(bundle)
    assert found == PEOPLE
