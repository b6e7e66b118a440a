"""Which score counts for which lesion in which window (spec/endpoints.md 1 and 2, decisions.md E2 to E12)."""

import pytest

from fhir_srs.endpoints.assessments import REFUSALS
from tests.spec.timelines import day, ended, outcomes, response, time

# drawing, window -> (baseline, value, days) of lesion A under ryu2008
CHOICE = {
    "the latest score of the baseline window": (
        "A | -20 | pain | 9\nA | -2 | pain | 6\nA | 30 | pain | 2", "1-month", (6, 2, 30)),
    "a score on the day of the first fraction is baseline": (
        "A | 0 | pain | 6\nA | 30 | pain | 2", "1-month", (6, 2, 30)),
    "day -28 is in the baseline window": (
        "A | -28 | pain | 6\nA | 30 | pain | 2", "1-month", (6, 2, 30)),
    "the worst score of one day": (
        "A | -3 | pain | 4\nA | -3 | pain | 6\nA | 30 | pain | 2\nA | 30 | pain | 3", "1-month", (6, 3, 30)),
    "site-linked and patient-level scores of one day: the worst of both": (
        "A | -3 | pain | 6\nA | 30 | pain | 2\n- | 30 | pain | 5", "1-month", (6, 5, 30)),
    "the day nearest the target": (
        "A | -3 | pain | 6\nA | 16 | pain | 1\nA | 36 | pain | 2\nA | 45 | pain | 3", "1-month", (6, 2, 36)),
    "a tie goes to the earlier day": (
        "A | -3 | pain | 6\nA | 25 | pain | 1\nA | 35 | pain | 2", "1-month", (6, 1, 25)),
    "a patient-level score while one lesion is under observation": (
        "A | 0 | srs | T8\n- | -3 | pain | 6\n- | 30 | pain | 2", "1-month", (6, 2, 30)),
    "windows count from the last fraction": (
        "A | 0..4 | srs | T8\nA | -3 | pain | 6\nA | 49 | pain | 2", "1-month", (6, 2, 45)),
    "another lesion counts only from 28 days before its first fraction": (
        "A | 0 | srs | T8\nB | 59 | srs | L2\n- | -3 | pain | 6\n- | 30 | pain | 2", "1-month", (6, 2, 30)),
    "the first month begins on day 15": (
        "A | -3 | pain | 6\nA | 14 | pain | 0\nA | 15 | pain | 2", "1-month", (6, 2, 15)),
    "the third month ends on day 120": (
        "A | -3 | pain | 6\nA | 120 | pain | 2\nA | 121 | pain | 0", "3-month", (6, 2, 120)),
    "the sixth month runs from 150 to 240": (
        "A | -3 | pain | 6\nA | 150 | pain | 2\nA | 241 | pain | 0", "6-month", (6, 2, 150)),
    "the twelfth month runs from 300 to 420": (
        "A | -3 | pain | 6\nA | 299 | pain | 0\nA | 420 | pain | 2", "12-month", (6, 2, 420)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICE)
def test_the_score_of_a_window_is(name: str) -> None:
    drawing, window, expected = CHOICE[name]
    row = response(outcomes(drawing), window)
    assert (row.baseline, row.value, row.days) == expected, row.reason


# a record of pain that no rule counts for lesion A, beside a baseline of 6 on day -3 -> why not
REFUSED = {
    "after-death": "- | 20 | death |\nA | 30 | pain | 2",
    "before-origin": "A | -5 | fracture |",
    "no-date": "A | ? | pain | 2",
    "other-site": "- | 30 | pain | 2 site-other-than-lesion",
    "other-scale": "A | 30 | pain | 2 #38221-8",
    "later-that-day": "A | 2024-01-10T12:00:00Z | pain | 9",
    "not-attributable": "B | 0 | srs | L2\n- | 30 | pain | 2",
    "not-under-observation": "- | -40 | pain | 2",
    "lower-score-of-the-day": "A | 30 | pain | 2\nA | 30 | pain | 1",
    "before-baseline-window": "A | -40 | pain | 2",
    "earlier-than-baseline": "A | -9 | pain | 2",
    "during-treatment": "B | 0..4 | srs | L2\nB | 2 | pain | 2",
    "after-retreatment": "A | 40 | surgery |\nA | 50 | pain | 2",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_record_that_no_rule_counts_says_why(reason: str) -> None:
    treated = "A | 2024-01-10T09:00:00Z | srs | T8\nA | -3 | pain | 6\n"
    found = outcomes(treated + REFUSED[reason])
    assert {
        one.reason for one in found.refused if one.lesion_id == ("B" if "B | 2" in REFUSED[reason] else "A")
    } == {reason}


def test_there_is_a_case_for_every_reason() -> None:
    assert REFUSED.keys() == REFUSALS.keys()


@pytest.mark.parametrize(("score", "counts"), [
    ("2024-01-10T08:59:59Z", True), ("2024-01-10T09:00:01Z", False), ("2024-01-10", True),
    ("2024-01-10T11:00:00+02:00", True), ("2024-01-10T09:00:00-01:00", False),
])  # fmt: skip
def test_a_score_of_the_day_of_treatment_is_baseline_unless_both_clocks_say_later(
    score: str, counts: bool
) -> None:
    """Section 1: later than the treatment's end by the clock; equal or unknown times are baseline."""
    found = outcomes(f"A | 2024-01-10T09:00:00Z | srs | T8\nA | {score} | pain | 6\nA | 30 | pain | 2")
    assert response(found, "1-month").reason == (None if counts else "no-baseline-score")


def test_scores_between_the_first_and_the_last_fraction_feed_no_rule() -> None:
    """decisions.md E5: they are neither baseline nor follow-up."""
    found = outcomes("A | 0..10 | srs | T8\nA | -3 | pain | 6\nA | 5 | pain | 0\nA | 10 | pain | 0")
    assert ended(time(found, "time-to-relief")) == "out: no-score-in-window"


def test_two_lesions_under_observation_leave_a_patient_level_score_to_none() -> None:
    found = outcomes("A | -3 | pain | 6\nB | 0 | srs | L2\nB | -3 | pain | 5\n- | 30 | pain | 2")
    assert {response(found, "1-month", name).reason for name in "AB"} == {"pain-not-attributable"}


def test_a_lesion_that_the_study_does_not_take_is_under_observation_too() -> None:
    found = outcomes("A | -3 | pain | 6\nB | 0 | sbrt | L2 3\n- | 30 | pain | 2")
    assert response(found, "1-month").reason == "pain-not-attributable"


def test_a_patient_level_score_that_counts_is_flagged() -> None:
    assert "patient-level" in response(outcomes("A | -3 | pain | 6\n- | 30 | pain | 2"), "1-month").flags


def test_a_score_of_another_lesion_never_counts() -> None:
    found = outcomes("A | -3 | pain | 6\nB | 0 | srs | L2\nB | 30 | pain | 0")
    assert response(found, "1-month").reason == "no-score-in-window"


def test_a_partial_date_wholly_in_the_window_serves_without_a_day() -> None:
    """decisions.md E12; February 2024 is days 22 to 50, a window of days 1 to 90 holds it."""
    row = response(outcomes("A | -3 | pain | 6\nA | 2024-02 | pain | 2"), "best")
    assert (row.category, row.value, row.assessed_on, row.days) == ("PR", 2, None, None)


def test_a_partial_date_does_not_serve_beside_a_dated_score() -> None:
    row = response(outcomes("A | -3 | pain | 6\nA | 2024-02 | pain | 0\nA | 60 | pain | 5"), "best")
    assert (row.category, row.days) == ("STABLE", 60)


def test_a_partial_date_leaves_the_opioid_dose_unknown() -> None:
    drawing = "A | -3 | pain | 6\nA | 2024-02 | pain | 2\n- | -60..900 | opioid | 10"
    assert response(outcomes(drawing, "icpre2012"), "best").reason == "omed-unknown"


SAME_LEVEL = "A | 0 | srs | T8\nB | 200 | srs | T8\n"


def test_a_later_lesion_at_a_shared_level_takes_over_on_its_first_fraction() -> None:
    found = outcomes(
        SAME_LEVEL + "A | -3 | pain | 6\nA | 30 | pain | 2\n- | 200 | pain | 5\n- | 230 | pain | 0"
    )
    assert response(found, "1-month", "B").baseline == 5
    assert response(found, "1-month", "B").category == "CR"
    assert response(found, "6-month", "A").reason == "no-score-in-window"


@pytest.mark.parametrize("linked", ["A", "B"])
def test_a_score_just_before_retreatment_is_baseline_of_one_and_follow_up_of_the_other(linked: str) -> None:
    """decisions.md E2, the only exception to one observation, one window."""
    found = outcomes(SAME_LEVEL + f"A | -3 | pain | 6\n{linked} | 190 | pain | 5\nB | 230 | pain | 0")
    assert response(found, "1-month", "B").baseline == 5
    assert (response(found, "6-month", "A").value, response(found, "6-month", "A").days) == (5, 190)


def test_after_retreatment_a_linked_score_no_longer_counts_for_the_earlier_lesion() -> None:
    found = outcomes(SAME_LEVEL + "A | -3 | pain | 6\nA | 205 | pain | 0")
    assert response(found, "6-month").reason == "no-score-in-window"


def test_what_is_after_the_cutoff_is_not_seen() -> None:
    found = outcomes("A | -3 | pain | 6\nA | 30 | pain | 6\nA | 40 | pain | 0", cutoff=day(39))
    assert ended(time(found, "time-to-relief")) == "censored 30"
