"""One cohort under every study: the same six patients give each its own primary figures (section 16)."""

import pytest

from fhir_srs.estimates import estimate
from fhir_srs.estimates.sensitivity import primary_figures
from tests.spec.timelines import outcomes

NONE = "- | -60..400 | opioid | 0 not-opioid"
# What became of the pain of each patient's one lesion, by day.
PATIENTS = {
    "to 0": {-3: 7, 30: 0, 61: 0, 91: 0},
    "down by 3": {-3: 7, 30: 4, 61: 4, 91: 4},
    "down by 2": {-3: 7, 30: 5, 61: 5, 91: 5},
    "never seen again": {-3: 7},
    "from 1 to 0": {-3: 1, 30: 0, 61: 0, 91: 0},
    "from 4 to 0": {-3: 4, 30: 0, 61: 0, 91: 0},
}
DRAWING = "\n".join(
    line
    for number, course in enumerate(PATIENTS.values())
    for line in (
        f"{number}/{NONE}",
        *(f"{number}/A | {day} | pain | {score}" for day, score in course.items()),
        f"{number}/A | 80 | disease-status | stable",
    )
)
# Study -> label, window and population of a primary figure, its numerator and denominator.
PRIMARY = {
    "CR, PR and STABLE of a best class; from 1 to 0 is CR": (
        "ryu2008", "CR+PR+STABLE", "best", "assessable", 5, 5),
    "CR and PR by 2 points; from 1 is below the minimum, unseen is no response": (
        "icpre2012", "CR+PR", "1-month", "itt", 4, 5),
    "the same among those seen": ("icpre2012", "CR+PR", "1-month", "assessable", 4, 4),
    "CR and PR at three months": ("spino2015", "CR+PR", "3-month", "assessable", 4, 4),
    "a drop of 3 from 5 or more": ("rtog0631", "RESPONDER", "3-month", "assessable", 2, 3),
    "CR, missing is none": ("sc24", "CR", "3-month", "itt", 2, 5),
}  # fmt: skip


@pytest.mark.parametrize("name", PRIMARY)
def test_the_primary_figure_counts(name: str) -> None:
    study, label, window, population, numerator, denominator = PRIMARY[name]
    found = outcomes(DRAWING, study)
    figures = primary_figures(found)
    (one,) = [
        figure
        for figure in figures
        if figure and (figure.name, figure.window, figure.population) == (label, window, population)
    ]
    assert (one.numerator, one.denominator) == (numerator, denominator)


def test_every_study_has_every_endpoint_of_these_patients() -> None:
    """design.md 4.4: the names of endpoints; toxicity has a figure too, where nobody has any."""
    names = {
        "pain-response", "time-to-relief", "time-to-relapse", "relief-duration", "pain-control",
        "local-failure", "vertebral-fracture", "neurological-response", "ambulation", "retreatment",
        "toxicity", "overall-survival", "follow-up",
    }  # fmt: skip
    for study in ("ryu2008", "icpre2012", "spino2015", "rtog0631", "sc24"):
        assert {one.endpoint for one in estimate(outcomes(DRAWING, study))} == names
