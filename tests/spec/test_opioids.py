"""The opioid dose of a day, and when it is unknown (spec/endpoints.md section 4, decisions.md 10, E11)."""

from decimal import Decimal

import pytest

from tests.spec.timelines import outcomes, response

VISITS = "A | -3 | pain | 7\nA | 91 | pain | 4\n"

# drawing -> (M0, Mt) of days -3 and 91 under icpre2012, or the reason for none
DOSE = {
    "two drugs add": (
        "- | -20..200 | opioid | 60 @7052\n- | -20..200 | opioid | 30 @7804", (90, 90)),
    "of two values of one drug the higher": (
        "- | -20..200 | opioid | 60\n- | -20..200 | opioid | 40", (60, 60)),
    "of one drug the best evidence of the day": (
        "- | -20..200 | opioid | 60 statement\n- | -20..200 | opioid | 90 order", (60, 60)),
    "both ends of a spell are in it": (
        "- | -3..-3 | opioid | 60\n- | 91..91 | opioid | 50", (60, 50)),
    "an open spell goes on": ("- | -20.. | opioid | 60", (60, 60)),
    "another drug shows that the list is kept: none is 0": ("- | -20..200 | opioid | 0 not-opioid", (0, 0)),
    "90 days back": ("- | -93..-93 | opioid | 0 not-opioid\n- | 1..1 | opioid | 0 not-opioid", (0, 0)),
    "91 days back is no evidence": ("- | -94..-94 | opioid | 0 not-opioid\n- | 91 | opioid | 0 not-opioid",
        "omed-unknown"),
    "no record of any drug": ("", "omed-unknown"),
    "a drug without a factor makes the day unknown": (
        "- | -20..200 | opioid | 60 @7052\n- | -20..200 | opioid | @1819", "omed-unknown"),
    "an opioid at an unknown time": ("- | ? | opioid | 60\n- | -20..200 | opioid | 0 not-opioid",
        "omed-unknown"),
    "another drug at an unknown time shows no list": ("- | ? | opioid | 0 not-opioid", "omed-unknown"),
    "as-needed orders without intake count 0": ("- | -20..200 | opioid | 0 order prn-intake-unknown", (0, 0)),
    "unequal evidence": (
        "- | -20..0 | opioid | 60 statement\n- | 1..200 | opioid | 60 order", "omed-evidence-mismatch"),
    "0 by absence matches any evidence": (
        "- | -20..0 | opioid | 60 order\n- | -20..200 | opioid | 0 statement not-opioid", (60, 0)),
    "the day has the weakest of its drugs' levels": (
        "- | -20..200 | opioid | 60 statement @7052\n- | -20..0 | opioid | 30 order @7804",
        "omed-evidence-mismatch"),
    "after the 30 days of an open order the dose is unknown, not 0": (
        "- | -20..10 | opioid | 60 order open-order\n- | -20..200 | opioid | 0 not-opioid",
        "omed-unknown"),
    "unless the same drug goes on": (
        "- | -20..10 | opioid | 60 order open-order\n- | 80..110 | opioid | 40 order open-order", (60, 40)),
    "or a later entry of it has ended": (
        "- | -20..10 | opioid | 60 order open-order\n- | 11..40 | opioid | 40 order", (60, 0)),
    "a drug begun in a month before the day is known on it": ("- | 2023-11.. | opioid | 60", (60, 60)),
    "a drug that ends in the month of the day is not": ("- | -20..2024-04 | opioid | 60", "omed-unknown"),
    "a drug that lapsed hides behind no other": (
        "- | -20..10 | opioid | 60 order open-order @7052\n- | -20..200 | opioid | 30 order @7804",
        "omed-unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOSE)
def test_the_dose_of_a_day(name: str) -> None:
    drawing, expected = DOSE[name]
    row = response(outcomes(VISITS + drawing, "icpre2012"), "3-month")
    if isinstance(expected, str):
        assert (row.category, row.reason) == ("NE", expected)
    else:
        assert (row.omed_baseline, row.omed) == tuple(map(Decimal, expected)), row.reason
        assert row.omed_table == "cdc-2022"


def test_as_needed_orders_are_flagged() -> None:
    drawing = VISITS + "- | -20..200 | opioid | 0 order prn-intake-unknown"
    assert "prn-intake-unknown" in response(outcomes(drawing, "icpre2012"), "3-month").flags


def test_the_analgesic_blind_class_is_printed_beside() -> None:
    found = outcomes(VISITS, "icpre2012")
    assert response(found, "3-month").reason == "omed-unknown"
    assert response(found, "3-month", variant="blind").category == "PR"


def test_ryu2008_prints_the_icpre_class_beside() -> None:
    """decisions.md E13: with ICPRE's own two points, at the assessment that gave the class."""
    found = outcomes("A | -3 | pain | 6\nA | 30 | pain | 4\n- | -20..200 | opioid | 0 not-opioid")
    assert response(found, "best").category == "STABLE"
    beside = response(found, "best", variant="icpre")
    assert (beside.category, beside.days) == ("PR", 30)
