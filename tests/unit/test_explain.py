"""`explain` shows what mapping and derive gave, for one lesion, and judges nothing itself."""

from typing import Any

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import derive, load_study
from fhir_srs.errors import UsageError
from fhir_srs.model import Mapped, to_json
from fhir_srs.report.explain import Explanation, explanation, explanation_text, find_lesion
from fhir_srs.testing.cohort import ryu2008_cohort

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


def test_an_explanation_is_json_with_the_keys_of_the_files() -> None:
    body = to_json(explained())
    assert body.startswith(b'{"lesion":{"lesion_id":')
    assert b'"judgements":[{"study":"ryu2008"' in body
