"""What a search finds. `spec/hapi.md` rows 1, 2, 16 to 18."""

from __future__ import annotations

import httpx
import pytest

from tests.server.contract.fhir import FORM, Fhir, Resource, link, put_entry, refused

LOINC = "http://loinc.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


@pytest.fixture
def ward(fhir: Fhir) -> Fhir:
    """Three patients; of each a pain score, and of the first also a preliminary weight with a category."""
    weight = fhir.score(
        "weight",
        "p1",
        status="preliminary",
        code=coded(LOINC, "29463-7"),
        category=[coded(CATEGORY, "vital-signs")],
        identifier=fhir.identified("w"),
    )
    people = [put_entry(fhir.patient(f"p{n}")) for n in (1, 2, 3)]
    scores = [put_entry(fhir.score(f"o{n}", f"p{n}")) for n in (1, 2, 3)]
    answer = fhir.send("transaction", *people, *scores, put_entry(weight))
    assert answer.status_code == 200, answer.text
    return fhir


def mine(fhir: Fhir) -> tuple[str, str]:
    return ("subject", f"Patient/{fhir.own}p1")


def test_by_id(ward: Fhir) -> None:
    assert ward.found("Patient", ("_id", f"{ward.own}p2")) == ["p2"]


def test_ids_joined_by_a_comma_are_alternatives(ward: Fhir) -> None:
    ids = ",".join(ward.own + name for name in ("p1", "p3", "none"))
    assert ward.found("Patient", ("_id", ids)) == ["p1", "p3"]


@pytest.mark.parametrize("name", ["patient", "subject"])
def test_by_patient(ward: Fhir, name: str) -> None:
    assert ward.found("Observation", (name, f"Patient/{ward.own}p1")) == ["o1", "weight"]


def test_by_the_bare_id_of_a_patient(ward: Fhir) -> None:
    assert ward.found("Observation", ("patient", f"{ward.own}p2")) == ["o2"]


def test_patients_joined_by_a_comma_are_alternatives(ward: Fhir) -> None:
    both = f"Patient/{ward.own}p2,Patient/{ward.own}p3"
    assert ward.found("Observation", ("patient", both)) == ["o2", "o3"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("http://loinc.org|29463-7", ["weight"]),
        ("29463-7", ["weight"]),
        ("http://loinc.org|29463-7,http://loinc.org|72514-3", ["o1", "weight"]),
        ("http://loinc.org|", ["o1", "weight"]),
        ("http://snomed.info/sct|29463-7", []),
        ("|29463-7", []),
        ("29463-8", []),
    ],
)
def test_by_code_with_and_without_its_system(ward: Fhir, code: str, expected: list[str]) -> None:
    assert ward.found("Observation", mine(ward), ("code", code)) == expected


def test_by_category(ward: Fhir) -> None:
    assert ward.found("Observation", mine(ward), ("category", f"{CATEGORY}|vital-signs")) == ["weight"]
    assert ward.found("Observation", mine(ward), ("category", "vital-signs")) == ["weight"]


def test_by_status(ward: Fhir) -> None:
    assert ward.found("Observation", mine(ward), ("status", "final")) == ["o1"]
    assert ward.found("Observation", mine(ward), ("status", "final,preliminary")) == ["o1", "weight"]


def test_by_identifier(ward: Fhir) -> None:
    assert ward.found("Observation", ("identifier", f"urn:example:contract|{ward.own}w")) == ["weight"]
    assert ward.found("Observation", ("identifier", f"{ward.own}w")) == ["weight"]
    assert ward.found("Observation", ("identifier", f"urn:example:other|{ward.own}w")) == []


def test_different_parameters_must_all_fit(ward: Fhir) -> None:
    assert ward.found("Observation", mine(ward), ("code", "72514-3"), ("status", "preliminary")) == []


def test_a_repeated_parameter_must_fit_each_time(ward: Fhir) -> None:
    twice = [("code", "72514-3"), ("code", "29463-7")]
    assert ward.found("Observation", mine(ward), *twice) == []


def test_adverse_events_are_found_by_subject_not_by_patient(ward: Fhir) -> None:
    patient = f"Patient/{ward.own}p1"
    ward.stored(
        {
            "resourceType": "AdverseEvent",
            "id": f"{ward.own}ae",
            "actuality": "actual",
            "subject": {"reference": patient},
        }
    )
    assert ward.found("AdverseEvent", ("subject", patient)) == ["ae"]
    refused(ward.get("AdverseEvent", ("patient", patient)), 400)


def test_results_are_found_by_what_they_rest_on(ward: Fhir) -> None:
    source = f"Observation/{ward.own}o1"
    ward.stored(ward.score("r", "p1", derivedFrom=[{"reference": source}], focus=[{"reference": source}]))
    assert ward.found("Observation", ("derived-from", source)) == ["r"]
    assert ward.found("Observation", ("focus", source)) == ["r"]


def test_provenance_is_found_by_its_target(ward: Fhir) -> None:
    target = {"reference": f"Observation/{ward.own}o1"}
    agent = [{"who": {"display": "contract"}}]
    body = {"resourceType": "Provenance", "id": f"{ward.own}pr", "target": [target], "agent": agent}
    ward.stored(body | {"recorded": "2026-01-01T00:00:00Z"})
    assert ward.found("Provenance", ("target", target["reference"])) == ["pr"]


def stamps(fhir: Fhir) -> list[str]:
    """The times of three patients written one after the other, ascending."""
    found = [fhir.stored_apart(fhir.patient(f"t{n}"))["meta"]["lastUpdated"] for n in (1, 2, 3)]
    assert found == sorted(set(found))
    return found


def timed(fhir: Fhir, *bounds: str) -> list[str]:
    ids = ",".join(f"{fhir.own}t{n}" for n in (1, 2, 3))
    return fhir.found("Patient", ("_id", ids), *(("_lastUpdated", one) for one in bounds))


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("ge", ["t2", "t3"]),
        ("gt", ["t3"]),
        ("le", ["t1", "t2"]),
        ("lt", ["t1"]),
        ("eq", ["t2"]),
        ("", ["t2"]),
    ],
)
def test_lastupdated_is_exact_to_the_millisecond(fhir: Fhir, prefix: str, expected: list[str]) -> None:
    assert timed(fhir, prefix + stamps(fhir)[1]) == expected


def test_lastupdated_takes_a_lower_and_an_upper_bound_in_either_order(fhir: Fhir) -> None:
    first, _, third = stamps(fhir)
    assert timed(fhir, f"ge{first}", f"lt{third}") == ["t1", "t2"]
    assert timed(fhir, f"lt{third}", f"gt{first}") == ["t2"]


def test_lastupdated_takes_days_and_years(fhir: Fhir) -> None:
    day = stamps(fhir)[0][:10]
    assert timed(fhir, f"ge{day[:4]}") == ["t1", "t2", "t3"]
    assert timed(fhir, "lt2020-01-01") == []


@pytest.mark.parametrize(
    "bounds",
    [("ge2026-01-01", "ge2026-01-02"), ("ge2026-01-01", "lt2026-01-02", "lt2026-01-03")],
)
def test_lastupdated_with_two_bounds_on_one_side_is_refused(fhir: Fhir, bounds: tuple[str, ...]) -> None:
    refused(fhir.get("Patient", *(("_lastUpdated", one) for one in bounds)), 400)


@pytest.mark.parametrize("wrong", ["ge2026-13-01", "yesterday", "ge2026-01-01T00:00:00 0000"])
def test_lastupdated_that_is_no_date_is_refused(fhir: Fhir, wrong: str) -> None:
    refused(fhir.get("Patient", ("_lastUpdated", wrong)), 400)


@pytest.mark.parametrize("name", ["nonsense", "birth-date", "patient"])
def test_a_parameter_that_the_type_does_not_have_is_refused(fhir: Fhir, name: str) -> None:
    refused(fhir.get("Patient", (name, "1")), 400)
    refused(fhir.get("Patient", (name, "1"), Prefer="handling=lenient"), 400)


def test_a_search_by_post_takes_more_patients_than_an_address_holds(ward: Fhir) -> None:
    wanted = [f"Patient/{ward.own}p{n}" for n in (1, 3)] + [f"Patient/{ward.own}n{n}" for n in range(998)]
    form = {"patient": ",".join(wanted), "code": f"{LOINC}|72514-3", "_count": "500"}
    answer = ward.http.post("Observation/_search", data=form, headers=FORM)
    assert answer.status_code == 200
    assert sorted(ward.ids(answer.json())) == ["o1", "o3"]


def test_a_search_by_post_does_not_show_its_parameters(ward: Fhir) -> None:
    answer = ward.http.post("Observation/_search", data={"patient": f"{ward.own}p1"}, headers=FORM)
    shown = link(answer.json(), "self")
    assert shown is not None
    assert ward.own not in shown


def test_self_shows_what_was_searched(ward: Fhir) -> None:
    asked = [("code", f"{LOINC}|72514-3"), ("_lastUpdated", "ge2020-01-01"), ("_lastUpdated", "lt2120-01-01")]
    shown = httpx.URL(link(ward.bundle("Observation", mine(ward), *asked), "self") or "").params
    assert sorted((name, value) for name, value in shown.multi_items()) == sorted([mine(ward), *asked])


def test_a_search_does_not_find_what_a_resource_was_before(ward: Fhir) -> None:
    ward.stored(ward.score("o1", "p2"))
    assert ward.found("Observation", ("patient", f"{ward.own}p1")) == ["weight"]
    assert ward.found("Observation", ("patient", f"{ward.own}p2")) == ["o1", "o2"]


def test_an_entry_is_a_match_with_its_whole_address(ward: Fhir) -> None:
    (entry,) = ward.bundle("Patient", ("_id", f"{ward.own}p1"))["entry"]
    assert entry["fullUrl"] == f"{ward.base}/Patient/{ward.own}p1"
    assert entry["search"]["mode"] == "match"
    assert entry["resource"] == ward.get(f"Patient/{ward.own}p1").json()


def test_a_search_that_finds_nothing_is_an_empty_searchset(fhir: Fhir) -> None:
    bundle = fhir.bundle("Patient", ("_id", f"{fhir.own}none"))
    assert (bundle["type"], bundle["total"], bundle.get("entry", [])) == ("searchset", 0, [])


def test_the_bundle_says_when_the_search_was_made(fhir: Fhir) -> None:
    stamp = fhir.stored(fhir.patient())["meta"]["lastUpdated"]
    assert fhir.bundle("Patient", ("_id", f"{fhir.own}p"))["meta"]["lastUpdated"] >= stamp
