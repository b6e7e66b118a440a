"""`explain` shows what mapping and derive gave, for one lesion, and judges nothing itself."""

import json
from typing import Any

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import derive, load_study
from fhir_srs.errors import UsageError
from fhir_srs.model import Mapped
from fhir_srs.report.explain import (
    Explanation,
    Judgement,
    explanation,
    explanation_json,
    explanation_text,
    find_lesion,
)
from fhir_srs.testing.cohort import ryu2008_cohort
from tests.spec.timelines import LATER, draw

COHORT = ryu2008_cohort(2008)
ALL = map_resources(COHORT.resources, profile=load_profile("mcode"))
MARKER = "Zzmarker"


def own(patient: str) -> Mapped:
    """The map of *patient* alone, a resource of theirs broken."""
    about = [one for one in COHORT.resources if _subject(one) in (patient, None)]
    broken = {
        "resourceType": "Observation",
        "id": "broken",
        "subject": {"reference": patient},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "72514-3"}], "text": "pain"},
        "valueString": MARKER,
    }
    return map_resources([*about, broken], profile=load_profile("mcode"))


def _subject(one: dict[str, Any]) -> str | None:
    if one["resourceType"] == "Patient":
        return f"Patient/{one['id']}"
    about = one.get("subject") or one.get("patient")
    return about["reference"] if about else None


def explained(number: int = 0, endpoint: str | None = None) -> Explanation:
    lesion = ALL.lesions[number]
    mapped = own(lesion.patient)
    studies = [load_study(name) for name in ("ryu2008", "icpre2012")]
    outcomes = [derive(mapped, study=one, data_cutoff=COHORT.cutoff) for one in studies]
    return explanation(mapped, outcomes, find_lesion(mapped, lesion.lesion_id), endpoint)


def test_every_outcome_of_the_lesion_and_of_its_patient_is_shown_as_it_was_derived() -> None:
    whole = derive(ALL, study=load_study("ryu2008"), data_cutoff=COHORT.cutoff)
    lesion = ALL.lesions[0]
    told = explained().judgements[0]
    assert list(told.responses) == [one for one in whole.responses if one.lesion_id == lesion.lesion_id]
    own_rows = [one for one in whole.times if one.lesion_id == lesion.lesion_id]
    of_patient = [one for one in whole.times if one.patient == lesion.patient and one.lesion_id is None]
    assert sorted(told.times, key=str) == sorted([*own_rows, *of_patient], key=str)


def test_every_parameter_says_on_what_it_rests() -> None:
    for told in explained().judgements:
        study = load_study(told.study)
        assert {one.name: one.value for one in told.parameters} == {
            name: getattr(study, name) for name in study.basis
        }


def test_every_source_of_an_outcome_is_a_source_of_a_lesion_or_of_an_event() -> None:
    for number in range(len(ALL.lesions)):
        told = explained(number)
        lesions = (told.lesion, *told.beside)
        known = {
            *(one["source"] for one in told.events),
            *(name for one in lesions for name in one["sources"]),
        }
        for judgement in told.judgements:
            used = {source for row in (*judgement.responses, *judgement.times) for source in row.sources}
            assert used - known == set()


def test_what_was_not_used_says_why_and_no_value() -> None:
    told = explained()
    assert ("Observation/broken", "value-not-usable") in {(one.resource, one.reason) for one in told.not_used}
    text = explanation_text(told)
    assert "value-not-usable" in text
    assert MARKER not in text


def test_one_endpoint_may_be_asked_for_and_an_unknown_one_is_an_error_that_lists_them() -> None:
    told = explained(endpoint="time-to-relief")
    assert {row.endpoint for one in told.judgements for row in (*one.responses, *one.times)} == {
        "time-to-relief"
    }
    with pytest.raises(UsageError, match=r"pain-control, pain-response, .*time-to-relief"):
        explained(endpoint="happiness")


def test_a_lesion_is_found_by_the_beginning_of_its_id_if_that_is_its_own() -> None:
    lesion = ALL.lesions[3]
    assert find_lesion(ALL, lesion.lesion_id[:12]) is lesion
    for name in ("", "a", "not-an-id"):
        with pytest.raises(UsageError, match="no lesion"):
            find_lesion(ALL, name)


def test_an_explanation_is_json_with_the_keys_of_the_files_and_words_for_how_a_time_ended() -> None:
    body = explanation_json(explained())
    assert body.startswith(b'{"lesion":{"lesion_id":')
    page = json.loads(body)
    assert page["judgements"][0]["study"] == "ryu2008"
    ended = {row["status"] for one in page["judgements"] for row in one["times"]}
    assert ended <= {"event", "competing", "censored", None}


def told_of(drawing: str, study: str = "ryu2008", endpoint: str | None = None) -> Judgement:
    mapped = draw("A | 0..4 | sbrt | T8 2\n" + drawing if study != "ryu2008" else drawing)
    outcomes = derive(mapped, study=load_study(study), data_cutoff=LATER)
    return explanation(mapped, [outcomes], mapped.lesions[0], endpoint).judgements[0]


def test_each_event_says_what_it_was_used_for_or_why_it_was_refused() -> None:
    """One of each reason that a drawn timeline can have."""
    told = told_of(
        "A | -40 | pain | 7\nA | -10 | pain | 8\nA | -3 | pain | 7\nA | -3 | pain | 6\nA | 2 | pain | 5\n"
        "A | 14 | pain | 2\nA | 20 | pain | 3 site-other-than-lesion\nA | 30 | pain | 2\nA | 50 | pain | 2\n"
        "A | 60 | surgery | for-pain\nA | 70 | pain | 1\n- | 100 | death |\n- | 120 | pain | 3",
        "icpre2012",
    )
    found = {use.source: use.refused or use.used_for for use in told.uses}
    refused = {name: why for name, why in found.items() if isinstance(why, str)}
    assert refused == {
        "Observation/pain-1": "before-baseline-window",
        "Observation/pain-2": "earlier-than-baseline",
        "Observation/pain-4": "lower-score-of-the-day",
        "Observation/pain-5": "during-treatment",
        "Observation/pain-7": "other-site",
        "Observation/pain-11": "after-retreatment",
        "Observation/pain-13": "after-death",
    }
    assert "pain-response 1-month" in found["Observation/pain-8"]
    assert found["Observation/pain-9"] == ("pain-response 2-month", "pain-response blind 2-month")


def test_what_came_before_the_origin_of_its_endpoint_is_said_and_not_counted() -> None:
    told = told_of(
        "A | 0 | srs | T8\nA | -90 | fracture |\nA | -20 | surgery | for-pain\nA | 0 | fracture |\n"
        "- | -30 | toxicity | 2 CTCAEv5 C56\nA | 40 | fracture |\n- | 50 | toxicity | 2 CTCAEv5 C56\n"
        "B | 0 | srs | L2\nB | -5 | fracture |"
    )
    early = {use.source for use in told.uses if use.refused == "before-origin"}
    assert early == {f"Observation/{one}" for one in ("fracture-1", "surgery-2", "fracture-3", "toxicity-4")}


def test_an_endpoint_alone_shows_its_rule_and_the_parameters_that_it_looks_at() -> None:
    told = told_of("A | -3 | pain | 7\nA | 14 | pain | 2", endpoint="time-to-relief")
    assert {(one.endpoint, one.section) for one in told.rules} == {("time-to-relief", "5")}
    names = {one.name for one in told.parameters}
    assert {"pain_delta", "death_gap"} <= names
    assert not {"lc_window", "relapse_delta"} & names


def test_the_arithmetic_of_a_category_and_of_a_time_is_part_of_the_outcome() -> None:
    drawing = "A | -3 | pain | 7\nA | 30 | pain | 5\n- | -20..10 | opioid | 60\n- | 11..900 | opioid | 45"
    told = told_of(drawing, "icpre2012")
    pains = [row for row in told.responses if row.endpoint == "pain-response"]
    (month,) = [row for row in pains if (row.window, row.variant) == ("1-month", None)]
    assert month.category == "PR"
    assert month.working == (
        "pain down by delta or more, and no more opioid",
        "pain 7 to 5: -2, delta 2",
        "OMED 60 to 45 mg/d: x 0.750, falls at 0.75, rises at 1.25",
    )
    (relief,) = [row for row in told.times if (row.endpoint, row.variant) == ("time-to-relief", None)]
    assert relief.working[0].startswith("PR by arm pr-pain; pain down by delta")
    assert relief.working[-1] == "2024-01-14 to 2024-02-09: 26 d"
