"""RTOG 0631 and attribution to the index lesion (spec/endpoints.md sections 2, 3; decisions.md E4, E10)."""

import pytest

from tests.spec.timelines import outcomes, response

BEFORE = "A | -3 | pain | 7\n- | -20..30 | opioid | 60\n"

# score and OMED in the three-month window -> category, arm, responder; the baseline is 7 with 60 mg/d
CATEGORIES = {
    "a drop of 3": ("4", "60", "PR", "pr", "RESPONDER"),
    "a drop of 2": ("5", "60", "STABLE", "stable", "NON-RESPONDER"),
    "no pain": ("0", "60", "CR", "cr", "RESPONDER"),
    "no pain with any more opioid": ("0", "61", "IR", "ir-omed", "NON-RESPONDER"),
    "a drop of 3 with more opioid": ("4", "61", "IR", "ir-omed", "NON-RESPONDER"),
    "a drop of 2 with more opioid": ("5", "61", "PROG", "prog-omed", "NON-RESPONDER"),
    "a drop of 3 with less opioid": ("4", "30", "PR", "pr", "RESPONDER"),
    "a rise of 3": ("10", "60", "PROG", "prog-pain", "NON-RESPONDER"),
    "a rise of 2": ("9", "60", "STABLE", "stable", "NON-RESPONDER"),
}  # fmt: skip


@pytest.mark.parametrize("name", CATEGORIES)
def test_the_category_describes_the_index_and_the_responder_follows(name: str) -> None:
    score, omed, category, arm, responder = CATEGORIES[name]
    found = outcomes(BEFORE + f"A | 91 | pain | {score}\n- | 31..200 | opioid | {omed}", "rtog0631")
    row = response(found, "3-month")
    assert (row.category, row.arm) == (category, arm)
    assert response(found, "3-month", variant="responder").category == responder


def test_an_unknown_omed_makes_category_and_responder_not_evaluable() -> None:
    found = outcomes("A | -3 | pain | 7\nA | 91 | pain | 2", "rtog0631")
    for variant in (None, "responder"):
        row = response(found, "3-month", variant=variant)
        assert (row.category, row.reason) == ("NE", "omed-unknown")


NO_OPIOID = "- | -20..400 | opioid | 0 not-opioid\n"
INDEX = NO_OPIOID + "A | 0 | srs | T8\nB | 10 | srs | L2\nA | -3 | pain | 7\nA | 91 | pain | 2\n"

# what is known of a second site -> the responder of the index, which dropped from 7 to 2
SECOND = {
    "rose by 3": ("B | 5 | pain | 4\nB | 91 | pain | 7", "NON-RESPONDER", None),
    "rose by 2": ("B | 5 | pain | 4\nB | 91 | pain | 6", "RESPONDER", None),
    "not scored in the window": ("B | 5 | pain | 4", "NE", "no-score-in-window"),
    "without a baseline": ("B | 91 | pain | 4", "NE", "no-score-in-window"),
}  # fmt: skip


@pytest.mark.parametrize("name", SECOND)
def test_no_second_site_may_be_worse_or_unknown(name: str) -> None:
    drawing, category, reason = SECOND[name]
    row = response(outcomes(INDEX + drawing, "rtog0631"), "3-month", variant="responder")
    assert (row.category, row.reason) == (category, reason)


def test_a_second_site_that_is_unknown_matters_only_to_a_responder() -> None:
    drawing = INDEX.replace("A | 91 | pain | 2", "A | 91 | pain | 7")
    row = response(outcomes(drawing, "rtog0631"), "3-month", variant="responder")
    assert row.category == "NON-RESPONDER"


def test_a_second_site_treated_29_days_later_is_none() -> None:
    drawing = INDEX.replace("B | 10 |", "B | 29 |")
    assert response(outcomes(drawing, "rtog0631"), "3-month", variant="responder").category == "RESPONDER"


# lesions with their baselines -> the index
INDEXES = {
    "the worst baseline": ("A | -3 | pain | 6\nB | -3 | pain | 8", "B"),
    "the earlier of equals": (
        "A | 5 | srs | T8\nB | 0 | srs | L2\nA | -3 | pain | 8\nB | -3 | pain | 8", "B"),
    "the more cranial of equals": (
        "A | 0 | srs | L2\nB | 0 | srs | T8\nA | -3 | pain | 8\nB | -3 | pain | 8", "B"),
    "one without a baseline of its own ranks last": (
        "- | -3 | pain | 9\nB | -3 | pain | 5\nA | 20 | pain | 1", "B"),
    "only eligible ones": ("A | 0..4 | sbrt | T8 3\nA | -3 | pain | 9\nB | -3 | pain | 5", "A"),
}  # fmt: skip


@pytest.mark.parametrize("name", INDEXES)
def test_the_study_takes_the_index_lesion_of_a_patient(name: str) -> None:
    drawing, index = INDEXES[name]
    found = outcomes(drawing, "rtog0631")
    assert {row.lesion_id for row in found.responses} == {index}
    assert {(one.lesion_id, one.reason) for one in found.excluded} == {("AB".replace(index, ""), "not-index")}


def test_a_score_of_the_patient_counts_for_the_index() -> None:
    found = outcomes(NO_OPIOID + "A | -3 | pain | 6\nB | -3 | pain | 8\n- | 91 | pain | 2", "rtog0631")
    row = response(found, "3-month", "B")
    assert (row.category, row.value) == ("PR", 2)
    assert "patient-level" in row.flags
