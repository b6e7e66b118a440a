"""Relief, relapse, duration and pain control of drawn lesions (spec/endpoints.md sections 5 to 8 and 15)."""

import pytest

from fhir_srs.estimates import estimate
from fhir_srs.model import Status
from tests.spec.timelines import day, ended, outcomes, response, time

PAIN = "A | -3 | pain | 7\n"
RELIEVED = PAIN + "A | 14 | pain | 2\n"

# drawing under ryu2008 -> time to relief of lesion A
RELIEF = {
    "the first visit in CR or PR": ("A | 10 | pain | 6\nA | 30 | pain | 4\nA | 60 | pain | 0", "event 30"),
    "days 1 to 14 count": ("A | 1 | pain | 0\nA | 30 | pain | 7", "event 1"),
    "no relief: censored at the last score": ("A | 30 | pain | 6\nA | 60 | pain | 7", "censored 60"),
    "death within 183 days of the last score competes": (
        "A | 30 | pain | 6\n- | 213 | death |", "competing 213 death"),
    "a later death censors at the last score": ("A | 30 | pain | 6\n- | 214 | death |", "censored 30"),
    "death without any score, within 183 days of treatment": ("- | 183 | death |", "competing 183 death"),
    "a later one, without any score": ("- | 184 | death |", "out: no-score-in-window"),
    "retreatment competes": (
        "A | 30 | pain | 6\nA | 50 | surgery | for-pain", "competing 50 retreatment"),
    "retreatment for no known reason competes": (
        "A | 30 | pain | 6\nA | 50 | surgery |", "competing 50 retreatment"),
    "retreatment for another reason censors at the last score": (
        "A | 30 | pain | 6\nA | 50 | surgery | other-reason\nA | 60 | pain | 0", "censored 30"),
    "never seen": ("", "out: no-score-in-window"),
    "first seen after 183 days": ("A | 184 | pain | 0", "out: late-entry"),
    "first seen after 183 days to the day": ("A | 183 | pain | 0", "event 183"),
    "a score after retreatment shows nothing": (
        "A | 30 | pain | 6\nA | 50 | retreatment | for-pain\nA | 60 | pain | 0", "competing 50 retreatment"),
}  # fmt: skip


@pytest.mark.parametrize("name", RELIEF)
def test_time_to_relief(name: str) -> None:
    drawing, expected = RELIEF[name]
    assert ended(time(outcomes(PAIN + "A | 0 | srs | T8\n" + drawing), "time-to-relief")) == expected


def test_relief_lies_between_the_last_visit_without_it_and_the_first_with_it() -> None:
    seen = {
        "A | 30 | pain | 6\nA | 60 | pain | 4": (30, "event 60"),
        "A | 14 | pain | 4": (0, "event 14"),
        "A | 30 | pain | 6\nA | 60 | pain | 7": (60, "censored 60"),
        "A | 30 | pain | 6\n- | 90 | death |": (30, "censored 30"),
    }
    for drawing, expected in seen.items():
        row = time(outcomes(PAIN + drawing), "time-to-relief", "interval")
        assert (row.free_until, ended(row)) == expected


def test_relief_needs_a_baseline_of_the_minimum() -> None:
    found = outcomes("A | -3 | pain | 0\nA | 14 | pain | 0")
    assert ended(time(found, "time-to-relief")) == "out: baseline-below-minimum"


# drawing after relief to 2 on day 14 -> relief-duration (Kaplan-Meier) from day 14, under ryu2008
RELAPSE = {
    "three points over the nadir": ("A | 60 | pain | 4\nA | 90 | pain | 5", "event 76"),
    "the nadir is the lowest since relief": ("A | 60 | pain | 1\nA | 90 | pain | 4", "event 76"),
    "two points are none": ("A | 60 | pain | 4", "censored 46"),
    "one score is enough": ("A | 60 | pain | 5\nA | 61 | pain | 2", "event 46"),
    "retreatment for pain": ("A | 60 | retreatment | for-pain", "event 46"),
    "a rise, then retreatment for it": ("A | 60 | pain | 6\nA | 90 | retreatment | for-pain", "event 46"),
    "a score of a later lesion without a date is not its baseline": (
        "A | 50 | pain | 2\nB | 60 | srs | T8\nB | ? | pain | 9", "event 46"),
    "retreatment for unknown reason": ("A | 60 | retreatment |", "event 46"),
    "retreatment for another reason": (
        "A | 50 | pain | 2\nA | 60 | surgery | other-reason\nA | 70 | pain | 9", "censored 36"),
    "a later lesion at the level": ("B | 60 | srs | T8\nA | 50 | pain | 2", "event 46"),
    "a later lesion at the level in a known month: nothing counts from its first day on": (
        "A | 50 | pain | 2\nB | 2024-04 | srs | T8\nA | 90 | pain | 9", "censored 36"),
    "an operation in a known month, for pain": (
        "A | 50 | pain | 2\nA | 2024-04 | surgery | for-pain\nA | 90 | pain | 9", "censored 36"),
    "an operation in a month before relief ends nothing": (
        "A | 50 | pain | 2\nA | 2023-12 | surgery | for-pain\nA | 90 | pain | 6", "event 76"),
    "a later lesion elsewhere is none": ("B | 60 | srs | L2\nA | 50 | pain | 2", "censored 36"),
    "the dead are censored at the last score too": ("A | 50 | pain | 2\n- | 60 | death |", "censored 36"),
}  # fmt: skip


@pytest.mark.parametrize("name", RELAPSE)
def test_relief_duration_by_kaplan_meier(name: str) -> None:
    drawing, expected = RELAPSE[name]
    found = outcomes("A | 0 | srs | T8\n" + RELIEVED + drawing)
    assert ended(time(found, "relief-duration", "kaplan-meier")) == expected
    assert ended(time(found, "pain-control", "B")) == expected


def test_a_rise_until_day_14_is_no_relapse_but_retreatment_is() -> None:
    early = PAIN + "A | 2 | pain | 0\nA | 10 | pain | 9\n"
    assert ended(time(outcomes(early), "relief-duration", "kaplan-meier")) == "censored 8"
    again = outcomes(early + "A | 12 | retreatment | for-pain")
    assert ended(time(again, "relief-duration", "kaplan-meier")) == "event 10"


def test_a_relapse_of_unknown_reason_is_flagged() -> None:
    found = outcomes(RELIEVED + "A | 60 | surgery |")
    assert "retreatment-reason-unknown" in time(found, "relief-duration", "kaplan-meier").flags


# What happens after relief on day 14 -> duration: descriptive, kaplan-meier, competing
DURATION = {
    "relapse": ("A | 90 | pain | 6", ("event 76", "event 76", "event 76")),
    "death within 183 days": (
        "A | 90 | pain | 2\n- | 273 | death |",
        ("competing 259 death", "censored 76", "competing 259 death")),
    "death later": ("A | 90 | pain | 2\n- | 274 | death |", ("censored 76", "censored 76", "censored 76")),
    "death of an unknown day": ("A | 90 | pain | 2\n- | 2024-05 | death |", ("censored 76",) * 3),
    "alive": ("A | 90 | pain | 2\n- | 300 | contact |", ("censored 76",) * 3),
    "never seen again": ("", ("censored 0",) * 3),
    "a death after a retreatment for another reason is not this lesion's": (
        "A | 90 | pain | 2\nA | 100 | surgery | other-reason\n- | 120 | death |", ("censored 76",) * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", DURATION)
def test_the_three_readings_of_duration(name: str) -> None:
    drawing, expected = DURATION[name]
    found = outcomes(RELIEVED + drawing)
    readings = ("descriptive", "kaplan-meier", "competing")
    assert tuple(ended(time(found, "relief-duration", one)) for one in readings) == expected


# Opioid arm of relapse under icpre2012: relief 7 -> 2 on day 30, nadir there.
OPIOID = {
    "a quarter more at a visit": ("- | 31..900 | opioid | 75", "event 30"),
    "less than a quarter": ("- | 31..900 | opioid | 74.9", "censored 70"),
    "an unknown dose is skipped": ("- | 31..70 | opioid | order\n- | 71..900 | opioid | 60", "censored 70"),
    "other evidence is skipped": ("- | 31..900 | opioid | 90 order", "censored 70"),
    "between visits nobody sees it": ("- | 31..59 | opioid | 90\n- | 60..900 | opioid | 60", "censored 70"),
}


@pytest.mark.parametrize("name", OPIOID)
def test_an_opioid_rise_is_a_relapse_under_icpre2012(name: str) -> None:
    drawing, expected = OPIOID[name]
    visits = "A | 30 | pain | 2\nA | 60 | pain | 2\nA | 100 | pain | 2\n- | -20..30 | opioid | 60\n"
    found = outcomes(PAIN + visits + drawing, "icpre2012")
    assert ended(time(found, "relief-duration", "kaplan-meier")) == expected


def test_the_opioid_dose_of_the_nadir_is_that_of_its_first_day() -> None:
    """decisions.md E6: nadir 2 on days 30 and 60; against day 60 the rise at day 100 would be none."""
    doses = "- | -20..30 | opioid | 60\n- | 31..60 | opioid | 70\n- | 61..900 | opioid | 80"
    visits = "A | 30 | pain | 2\nA | 60 | pain | 2\nA | 100 | pain | 2\n"
    found = outcomes(PAIN + visits + doses, "icpre2012")
    assert ended(time(found, "relief-duration", "kaplan-meier")) == "event 70"


def test_ryu2008_has_no_opioid_arm() -> None:
    drawing = RELIEVED + "A | 60 | pain | 2\n- | -20..30 | opioid | 60\n- | 31..900 | opioid | 200"
    assert ended(time(outcomes(drawing), "relief-duration", "kaplan-meier")) == "censored 46"


# Pain control A to E under ryu2008.
CONTROL: dict[str, tuple[str, dict[str, str | None]]] = {
    "relief that holds": (
        "A | 14 | pain | 2\nA | 400 | pain | 3",
        {"A": "censored 400", "B": "censored 386", "C": "censored 400", "D": "censored 400",
         "E": "censored 400"}),
    "relapse": (
        "A | 14 | pain | 2\nA | 90 | pain | 6",
        {"A": "event 90", "B": "event 76", "C": "event 90", "D": "event 90", "E": "event 90"}),
    "stable, then a rise over the first follow-up score": (
        "A | 28 | pain | 6\nA | 110 | pain | 9",
        {"A": "event 110", "B": "out: not-a-responder", "C": "event 110", "D": "event 110",
         "E": "event 110"}),
    "progression: E fails on day 0, C over the baseline": (
        "A | 28 | pain | 10",
        {"A": None, "B": "out: not-a-responder", "C": "event 28", "D": None, "E": "event 0"}),
    "death": (
        "A | 28 | pain | 2\n- | 100 | death |",
        {"A": "censored 28", "B": "censored 0", "C": "censored 28", "D": "competing 100 death",
         "E": "censored 28"}),
    "relief after the best-class days": (
        "A | 100 | pain | 2\nA | 400 | pain | 6",
        {"A": None, "B": "event 300", "C": "event 400", "D": None, "E": None}),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTROL)
def test_the_five_readings_of_pain_control(name: str) -> None:
    """None: left out, whatever the reason says."""
    drawing, expected = CONTROL[name]
    found = outcomes(PAIN + drawing)
    for variant, words in expected.items():
        row = time(found, "pain-control", variant)
        assert ended(row).startswith("out: ") if words is None else ended(row) == words, variant


def test_c_takes_lesions_without_baseline_pain_and_counts_retreatment() -> None:
    found = outcomes("A | 30 | pain | 2\nA | 60 | pain | 5")
    assert ended(time(found, "pain-control", "C")) == "event 60"
    again = outcomes("A | 30 | pain | 2\nA | 60 | retreatment | for-progression")
    assert ended(time(again, "pain-control", "C")) == "event 60"


def test_c_ignores_rises_until_day_14() -> None:
    found = outcomes("A | -3 | pain | 4\nA | 10 | pain | 9\nA | 30 | pain | 4")
    assert ended(time(found, "pain-control", "C")) == "censored 30"


@pytest.mark.parametrize(("variant", "words"), [("A", None), ("B", 1), ("C", 1), ("D", None), ("E", None)])
def test_only_a_d_and_e_need_a_due_best_class(variant: str, words: int | None) -> None:
    """decisions.md E7."""
    row = time(outcomes(RELIEVED, cutoff=day(60)), "pain-control", variant)
    assert (row.reason == "not-yet-due") is (words is None)


def test_stable_lesions_are_never_controlled_under_icpre_unless_the_opioid_holds() -> None:
    """decisions.md E1: IR with Pt < P0 + 2 and no rise is controlled; IR with a rise is not."""
    steady = PAIN + "A | 30 | pain | 6\nA | 200 | pain | 6\n- | -20..900 | opioid | 60"
    assert ended(time(outcomes(steady, "icpre2012"), "time-to-relapse")) == "censored 200"
    risen = PAIN + "A | 30 | pain | 6\n- | -20..10 | opioid | 60\n- | 11..900 | opioid | 90"
    assert ended(time(outcomes(risen, "icpre2012"), "time-to-relapse")).startswith("out: ")


LATE = "A | -3 | pain | 7\nA | 200 | pain | 0\nA | 400 | pain | 6"


@pytest.mark.parametrize(
    ("endpoint", "variant"),
    [
        ("time-to-relief", None),
        ("time-to-relapse", None),
        ("relief-duration", "kaplan-meier"),
        *(("pain-control", one) for one in "ABCDE"),
    ],
)
def test_late_entry_is_left_out_of_every_time_endpoint(endpoint: str, variant: str | None) -> None:
    assert ended(time(outcomes(LATE), endpoint, variant)) == "out: late-entry"


def test_late_entry_keeps_its_responses() -> None:
    row = response(outcomes(LATE), "6-month")
    assert row.category == "CR"


# Patient grain.
SURVIVAL = {
    "death": ("- | 200 | death |", "event 200"),
    "last contact": ("- | 300 | contact |", "censored 300"),
    "a pain score shows life": ("A | 250 | pain | 3", "censored 250"),
    "imaging shows life": ("A | 260 | imaging |", "censored 260"),
    "an opioid order does not": ("- | 100..400 | opioid | 60 order", "censored 0"),
    "a death of an unknown day": ("- | 100 | contact |\n- | ? | death |", "censored 100"),
    "a death of a known month": ("- | 100 | contact |\n- | 2024-12 | death |", "censored 100"),
    "from the first lesion": ("B | 50 | srs | L2\n- | 200 | death |", "event 200"),
    "a second treatment in a known month, later": ("B | 2024-02 | srs | L2\n- | 200 | death |", "event 200"),
    "a treatment in a known month that may have been the first": (
        "B | 2024-01 | srs | L2\n- | 200 | death |",
        "out: date-too-coarse",
    ),
    "an earlier one in a known year": ("B | 2023 | srs | L2\n- | 200 | death |", "out: date-too-coarse"),
}


@pytest.mark.parametrize("name", SURVIVAL)
def test_overall_survival(name: str) -> None:
    drawing, expected = SURVIVAL[name]
    found = outcomes("A | 0 | srs | T8\n" + drawing)
    assert ended(time(found, "overall-survival", None, None)) == expected
    assert ended(time(found, "follow-up", None, None)) == expected


def test_a_death_of_an_unknown_day_is_flagged() -> None:
    found = outcomes("A | 0 | srs | T8\n- | ? | death |")
    assert "death-date-unknown" in time(found, "overall-survival", None, None).flags


MIDPOINT = {
    "a month": ("- | 100 | contact |\n- | 2024-12 | death |", "event 341"),
    "alive later in that month": ("- | 346 | contact |\n- | 2024-12 | death |", "event 346"),
    "a year says too little": ("- | 100 | contact |\n- | 2024 | death |", "censored 100"),
    "a day": ("- | 200 | death |", "event 200"),
}


@pytest.mark.parametrize("name", MIDPOINT)
def test_a_death_known_to_the_month_in_the_sensitivity(name: str) -> None:
    """decisions.md 15; 16 December 2024 is day 341."""
    drawing, expected = MIDPOINT[name]
    found = outcomes("A | 0 | srs | T8\n" + drawing)
    assert ended(time(found, "overall-survival", "death-month-midpoint", None)) == expected


@pytest.mark.parametrize(("gap", "flagged"), [(27, True), (28, False)])
def test_a_retreatment_within_four_weeks_may_be_the_same_course(gap: int, flagged: bool) -> None:
    found = outcomes(f"A | 0 | srs | T8\nB | {gap} | srs | T8\n" + PAIN + "A | 2 | pain | 0")
    assert ("possibly-same-course" in time(found, "relief-duration", "kaplan-meier").flags) is flagged


def test_a_death_after_the_cutoff_is_not_seen() -> None:
    found = outcomes("A | 0 | srs | T8\n- | 100 | contact |\n- | 200 | death |", cutoff=day(150))
    assert ended(time(found, "overall-survival", None, None)) == "censored 100"


def test_every_time_says_what_ended_it_and_from_what() -> None:
    for drawing in [*RELIEF.values(), *RELAPSE.values(), *DURATION.values(), *CONTROL.values()]:
        for row in outcomes("A | 0 | srs | T8\n" + PAIN + drawing[0]).times:
            assert row.sources
            assert row.description
            assert (row.days is None) == (row.reason is not None)
            assert row.days is None or row.days >= 0
            assert (row.cause is not None) == (row.status is Status.COMPETING)


def test_a_lesion_whose_omed_is_never_known_is_left_out_of_relief_not_counted_as_unrelieved() -> None:
    """docs/decisions/008."""
    found = outcomes(PAIN + "A | 14 | pain | 0\nA | 30 | pain | 0", study="icpre2012")
    assert ended(time(found, "time-to-relief")) == "out: omed-unknown"


def test_a_score_after_the_death_is_no_relief() -> None:
    found = outcomes(PAIN + "A | 2 | pain | 0\n- | 1 | death |")
    assert ended(time(found, "time-to-relief")) == "competing 1 death"
    assert ended(time(found, "relief-duration", "kaplan-meier")) == "out: not-a-responder"


def test_net_pain_relief_is_days_in_relief_of_days_alive() -> None:
    """By hand: relief on day 14, relapse on day 60 (46 days), dead on day 100; and 14 to 200 of 200."""
    drawing = (
        "1/A | -3 | pain | 7\n1/A | 14 | pain | 2\n1/A | 60 | pain | 6\n1/- | 100 | death |\n"
        "2/A | -3 | pain | 7\n2/A | 14 | pain | 0\n2/A | 200 | pain | 0\n"
        "3/A | -3 | pain | 7\n3/A | 50 | pain | 7"
    )
    table = estimate(outcomes(drawing))
    (net,) = [one for one in table if one.variant == "net"]
    assert (net.numerator, net.denominator) == (46 + 186, 100 + 200)
    (complete,) = [one for one in table if one.name == "median, duration of relief, best class CR"]
    assert (complete.value, complete.n) == (186, 1)


@pytest.mark.parametrize("when", ["2024-01", "?"])
def test_without_a_day_of_treatment_no_time_is_known(when: str) -> None:
    found = outcomes(
        f"A | {when} | srs | T8\nA | 2023-12-30 | pain | 6\nA | 2024-02-20 | pain | 2\n- | 200 | death |"
    )
    assert {row.reason for row in found.times} == {"date-too-coarse"}
    assert {row.reason for row in found.responses if row.window != "flare"} <= {
        "date-too-coarse",
        "not-yet-due",
    }
