"""Each reason of spec/endpoints.md section 15 for which a lesion is not evaluable, and their order (E9)."""

import pytest

from fhir_srs.model import Response
from tests.spec.timelines import day, outcomes, response

NO_OPIOID = "- | -60..2000 | opioid | 0 not-opioid"

# Reason -> drawing under icpre2012, read in the window of the first month (days 15 to 45).
REASONS = {
    "no-baseline-score": f"""
        A | -29 | pain | 7
        A |  30 | pain | 2
        {NO_OPIOID}""",
    "baseline-below-minimum": f"""
        A |  -3 | pain | 1
        A |  30 | pain | 0
        {NO_OPIOID}""",
    "no-score-in-window": f"""
        A |  -3 | pain | 7
        A |  14 | pain | 2
        A |  46 | pain | 2
        {NO_OPIOID}""",
    "omed-unknown": """
        A |  -3 | pain | 7
        A |  30 | pain | 2""",
    "omed-evidence-mismatch": """
        A |  -3 | pain | 7
        A |  30 | pain | 2
        - | -20..10 | opioid | 60 statement
        - |  11..90 | opioid | 60 order""",
    "pain-not-attributable": f"""
        A |  -3 | pain | 7
        B |   0 | srs  | L2
        - |  30 | pain | 2
        {NO_OPIOID}""",
    "died-before-window": f"""
        A |  -3 | pain | 7
        - |  14 | death |
        {NO_OPIOID}""",
    "retreated-before-window": f"""
        A |  -3 | pain | 7
        A |  14 | retreatment | for-pain
        {NO_OPIOID}""",
    "date-too-coarse": f"""
        A |  -3 | pain | 7
        A | 2024-02 | pain | 2
        {NO_OPIOID}""",
}


@pytest.mark.parametrize("reason", REASONS)
def test_reason(reason: str) -> None:
    row = response(outcomes(REASONS[reason], "icpre2012"), "1-month")
    assert (row.category, row.reason) == ("NE", reason)
    assert row.sources


def test_scores_in_the_flare_days_alone_give_no_best_class() -> None:
    row = response(outcomes("A | -3 | pain | 7\nA | 10 | pain | 6"), "best")
    assert (row.category, row.reason) == ("NE", "flare-window-only")


def test_relief_in_the_flare_days_gives_a_best_class() -> None:
    row = response(outcomes("A | -3 | pain | 7\nA | 1 | pain | 4\nA | 10 | pain | 9"), "best")
    assert (row.category, row.days, row.value) == ("PR", 1, 4)


@pytest.mark.parametrize(("cutoff", "reason"), [(44, "not-yet-due"), (45, None)])
def test_a_window_is_due_when_its_last_day_is_not_after_the_cutoff(cutoff: int, reason: str | None) -> None:
    found = outcomes("A | -3 | pain | 7\nA | 30 | pain | 2", cutoff=day(cutoff))
    assert response(found, "1-month").reason == reason


@pytest.mark.parametrize(("cutoff", "reason"), [(89, "not-yet-due"), (90, None)])
def test_the_best_class_of_ryu2008_is_due_on_day_90(cutoff: int, reason: str | None) -> None:
    found = outcomes("A | -3 | pain | 7\nA | 30 | pain | 2", cutoff=day(cutoff))
    assert response(found, "best").reason == reason


@pytest.mark.parametrize(("cutoff", "reason"), [(119, "not-yet-due"), (120, None)])
def test_the_best_class_of_icpre2012_is_due_on_day_120(cutoff: int, reason: str | None) -> None:
    drawing = f"A | -3 | pain | 7\nA | 30 | pain | 2\n{NO_OPIOID}"
    assert response(outcomes(drawing, "icpre2012", day(cutoff)), "best").reason == reason


# Two reasons at once -> the one that stands first in decisions.md E9.
ORDER = [
    ("not-yet-due before no-baseline-score", "A | 30 | pain | 3", "not-yet-due", 44),
    ("low baseline before death", "A | -3 | pain | 1\n- | 14 | death |", "baseline-below-minimum", 900),
    (
        "not attributable baseline before none",
        "A | 0 | srs | T8\nB | 0 | srs | L2\n- | -3 | pain | 7",
        "pain-not-attributable",
        900,
    ),
    (
        "coarse baseline before a not attributable one",
        "A | 2024-01 | pain | 7\nB | 0 | srs | L2\n- | -3 | pain | 7",
        "date-too-coarse",
        900,
    ),
    ("no baseline before death", "A | 0 | srs | T8\n- | 14 | death |", "no-baseline-score", 900),
    (
        "death before retreatment",
        "A | -3 | pain | 7\nA | 10 | retreatment | for-pain\n- | 14 | death |",
        "died-before-window",
        900,
    ),
    (
        "retreatment before a coarse date",
        "A | -3 | pain | 7\nA | 10 | retreatment | for-pain\nA | 2024-02 | pain | 2",
        "retreated-before-window",
        900,
    ),
    (
        "coarse date before a not attributable score",
        "A | -3 | pain | 7\nA | 2024-02 | pain | 2\nB | 0 | srs | L2\n- | 30 | pain | 2",
        "date-too-coarse",
        900,
    ),
    ("a death inside the window", "A | -3 | pain | 7\n- | 15 | death |", "no-score-in-window", 900),
    (
        "a retreatment inside the window",
        "A | -3 | pain | 7\nA | 15 | retreatment | for-pain",
        "no-score-in-window",
        900,
    ),
    (
        "unknown opioid dose before unequal evidence",
        "A | -3 | pain | 7\nA | 30 | pain | 2",
        "omed-unknown",
        900,
    ),
]


@pytest.mark.parametrize(
    ("drawing", "reason", "cutoff"), [one[1:] for one in ORDER], ids=[one[0] for one in ORDER]
)
def test_the_first_reason_that_applies_is_given(drawing: str, reason: str, cutoff: int) -> None:
    assert response(outcomes(drawing, "icpre2012", day(cutoff)), "1-month").reason == reason


def test_a_retreatment_in_a_month_before_the_window_leaves_its_class_unknown() -> None:
    drawing = "A | -3 | pain | 7\nA | 2024-03 | surgery | for-pain\nA | 91 | pain | 2"
    assert response(outcomes(drawing), "3-month").reason == "date-too-coarse"


def test_flare_only_stands_before_an_unknown_opioid_dose() -> None:
    row = response(outcomes("A | -3 | pain | 7\nA | 10 | pain | 6", "icpre2012"), "best")
    assert row.reason == "flare-window-only"


def test_every_lesion_appears_or_is_excluded_with_a_reason() -> None:
    found = outcomes(
        "A | 0 | srs | T8\nB | 0 | sbrt | L2 3\nC | 0 | srs | ?\nD | 0 | rt | C4\nE | 2040-01-01 | srs | T2"
    )
    assert {row.lesion_id for row in found.responses} == {"A"}
    assert {one.lesion_id: one.reason for one in found.excluded} == {
        "B": "more-than-one-fraction",
        "C": "fractions-unknown",
        "D": "not-radiosurgery",
        "E": "after-cutoff",
    }


def test_no_response_without_category_lacks_its_reason() -> None:
    rows: list[Response] = []
    for drawing in REASONS.values():
        for study in ("ryu2008", "icpre2012"):
            rows += outcomes(drawing, study).responses
    assert all((row.category == "NE") == (row.reason is not None) for row in rows)
    assert all(row.arm is not None for row in rows if row.category != "NE")
