"""Cohorts at the edge of sense: whatever is asked of them is printed, and no number that does not exist.

Each is analysed under every study that ships with us, with groupings, baseline table, sensitivity runs and
landmarks; as text, JSON and CSV, and every figure is explained.
"""

import json
import math
import re
from datetime import date
from typing import Any

import pytest

from fhir_srs.endpoints import derive, load_study, shipped_studies
from fhir_srs.estimates import estimate
from fhir_srs.estimates.analysis import Analysis, Asked, analyse
from fhir_srs.estimates.groups import GROUPINGS
from fhir_srs.model import Mapped
from fhir_srs.report.analysis import analyses_csv, analyses_json, analyses_text
from fhir_srs.report.explain import explanation_json
from fhir_srs.report.figure import figure_explanation, figure_text, printed
from tests.spec.timelines import LATER, draw

COUNTS: dict[str, Any] = {"lesions": 0, "patients": 0}
SEEN = (
    "{0}/A | -3 | pain | 7\n{0}/A | 14 | pain | 0\n{0}/A | 91 | pain | 0\n"
    "{0}/A | 91 | disease-status | stable"
)


def patients(number: int, drawing: str) -> str:
    return "\n".join(drawing.replace("{0}", str(one)) for one in range(number))


COHORTS = {
    "nobody": "",
    "one lesion, nothing known": "A | 0 | srs | T8",
    "one lesion, all known": SEEN.replace("{0}/", ""),
    "one patient with three lesions": "A | 0 | srs | T8\nB | 0 | srs | L2\nC | 0 | srs | C4\n"
    "A | -3 | pain | 7\nB | -3 | pain | 5\nA | 30 | pain | 0\nB | 30 | pain | 6\nC | 91 | imaging |",
    "all censored": patients(12, SEEN),
    "no follow-up at all": patients(12, "{0}/A | -3 | pain | 7"),
    "no baseline at all": patients(12, "{0}/A | 30 | pain | 2\n{0}/A | 91 | pain | 3"),
    "all died on the day of treatment": patients(12, "{0}/A | -3 | pain | 7\n{0}/- | 0 | death |"),
    "all died the day after": patients(12, "{0}/A | -3 | pain | 7\n{0}/- | 1 | death |"),
    "all the same on the same days": patients(
        12, SEEN + "\n{0}/A | 150 | pain | 8\n{0}/- | 200 | death |\n{0}/A | 91 | fracture |"
    ),
    "all relapsed, then all died": patients(
        15, "{0}/A | -3 | pain | 7\n{0}/A | 20 | pain | 0\n{0}/A | 60 | pain | 8\n{0}/- | 100 | death |"
    ),
    "everybody worse": patients(12, "{0}/A | -3 | pain | 5\n{0}/A | 30 | pain | 9\n{0}/A | 91 | pain | 9"),
    "no dose, no fractions, no level": patients(12, "{0}/A | 0 | srs | ?\n" + SEEN),
    "dates of a month": patients(12, "{0}/A | 2024-01 | srs | T8\n{0}/A | 2024-02 | pain | 3"),
    "all first seen late": patients(
        12, "{0}/A | -3 | pain | 7\n{0}/A | 400 | pain | 0\n{0}/A | 400 | imaging |"
    ),
    "treated after the cutoff": patients(3, "{0}/A | 2040-01-01 | srs | T8"),
    "opposite outcomes in every patient": patients(
        6, "{0}/A | 0 | srs | T8\n{0}/B | 0 | srs | L2\n{0}/A | -3 | pain | 7\n{0}/B | -3 | pain | 7\n"
        "{0}/A | 60 | pain | 0\n{0}/B | 60 | pain | 10"
    ),
}  # fmt: skip
# NaN, infinity, what is missing, and numbers that ran away, as a printer of ours might let them through.
NO_NUMBER = re.compile(r"\b(?:nan|NaN|inf|Infinity|None)\b|\de[+-]\d\d\d|-0\.0 %")
THOROUGH = ("ryu2008", "rtog0631")  # with groups and sensitivity runs
SUSPECT = ("nan", "NaN", "inf", "Infinity", "None", "e+", "e-", "-0.0")
RULE = "flat inf"  # the name of a rule


def analysed(drawing: str, study: str, by: str | None, cutoff: date = LATER) -> Analysis:
    mapped: Mapped = draw(drawing)
    asked = Asked(by=by, baseline=True, sensitivity=by is None and study in THOROUGH, landmarks=True)
    return analyse(mapped, load_study(study), cutoff, asked)


def finite(digits: str) -> float:
    """The number that *digits* are; NaN, infinity and what overflows are none."""
    number = float(digits)
    assert math.isfinite(number), digits
    return number


def read(page: bytes) -> Any:
    """A page of JSON in which every number is one."""
    return json.loads(page, parse_constant=finite, parse_float=finite)


def wrong_in(text: str) -> list[str]:
    """The lines of *text* with a number that is none."""
    lines = text.replace(RULE, "").splitlines()
    # A line without any of these words is most lines, and has none: it need not be read letter by letter.
    return [line for line in lines if any(word in line for word in SUSPECT) and NO_NUMBER.search(line)]


@pytest.mark.parametrize("study", shipped_studies())
@pytest.mark.parametrize("name", COHORTS)
def test_no_number_is_printed_that_does_not_exist(name: str, study: str) -> None:
    whole = analysed(COHORTS[name], study, None)
    parts = [analysed(COHORTS[name], study, "region")] if study in THOROUGH else []
    for one in (whole, *parts):
        text, table = analyses_text([one]), analyses_csv([one])
        page = analyses_json([one], cutoff=LATER, counts=COUNTS)
        assert not wrong_in(text)
        assert not wrong_in(table)
        assert read(page)
    for made in printed(whole, LATER):
        for figure in made.figures:
            told = figure_explanation(made, figure)
            assert not wrong_in(figure_text(told))
            assert read(explanation_json(told))


@pytest.mark.parametrize("name", COHORTS)
def test_a_probability_and_its_limits_stay_between_0_and_1_in_order(name: str) -> None:
    for study in ("ryu2008", "icpre2012", "rtog0631"):
        for one in estimate(derive(draw(COHORTS[name]), study=load_study(study), data_cutoff=LATER)):
            share = one.denominator is not None or one.time_days is not None
            if one.value is None or not share or one.variant == "net":
                continue
            low = one.value if one.low is None else one.low
            high = one.value if one.high is None else one.high
            assert 0 <= low <= one.value <= high <= 1, one.name


@pytest.mark.parametrize("by", GROUPINGS)
def test_every_grouping_of_a_cohort_without_a_word_on_it_has_one_group_and_no_test(by: str) -> None:
    one = analysed(COHORTS["no dose, no fractions, no level"], "icpre2012", by)
    assert len({figure.group for figure in one.groups}) == 1
    assert all(test.p is None and test.reason for test in one.comparisons)


def test_a_cutoff_before_all_treatment_leaves_nobody() -> None:
    mapped = draw(COHORTS["all censored"])
    found = derive(mapped, study=load_study("icpre2012"), data_cutoff=date(2000, 1, 1))
    assert not any(row.days for row in found.times)
    text = analyses_text([analysed(COHORTS["all censored"], "icpre2012", None, date(2000, 1, 1))])
    assert not wrong_in(text)
