"""Events mapped from synthetic cohorts: each pain score once, with its lesion; each death on its day."""

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.model import Event, Mapped
from fhir_srs.testing.cohort import Cohort, TruthRow, random_cohort


@pytest.fixture(scope="module")
def drawn() -> Cohort:
    return random_cohort(150, 11)


@pytest.fixture(scope="module")
def mapped(drawn: Cohort) -> Mapped:
    return map_resources(drawn.resources, profile=load_profile("mcode"))


def pain_scores(mapped: Mapped) -> list[Event]:
    return [event for event in mapped.events if event.kind == "pain"]


def test_every_pain_score_is_read_once_with_its_value_and_void_ones_never(
    drawn: Cohort, mapped: Mapped
) -> None:
    written = sorted(each["id"] for each in drawn.resources if "-pain-" in each["id"])
    sources = sorted(event.source.split("/")[1] for event in pain_scores(mapped))
    assert sources == written


def test_a_linked_pain_score_belongs_to_the_lesion_it_was_written_for(drawn: Cohort, mapped: Mapped) -> None:
    """By level: a score before a retreatment counts for both lesions there (`decisions.md` E2)."""
    rows: dict[str, list[TruthRow]] = {}
    for row in drawn.truth:
        rows.setdefault(row.patient_identifier.split("MRN-")[1], []).append(row)
    lesions = {lesion.lesion_id: lesion for lesion in mapped.lesions}
    linked = 0
    for event in pain_scores(mapped):
        patient, place = event.source.split("/")[1].split("-pain-")
        # Scores are numbered by the lesions in order of treatment.
        row = sorted(rows[patient], key=lambda each: (each.start, each.end))[int(place.split("-")[0]) - 1]
        if event.lesion_id is not None:
            assert lesions[event.lesion_id].levels == row.levels
            linked += 1
    bare = {"focus", "bodySite", "partOf", "extension"}
    tied = [each for each in drawn.resources if "-pain-" in each["id"] and bare & set(each)]
    assert linked == len(tied)


def test_dead_patients_are_dead_on_their_day(drawn: Cohort, mapped: Mapped) -> None:
    died = {
        row.patient_identifier.split("MRN-")[1]: row.death_date.isoformat()
        for row in drawn.truth
        if row.death_date is not None
    }
    found = {
        event.patient.split("/")[1]: event.on and event.on.text
        for event in mapped.events
        if event.kind == "death"
    }
    assert found == died
