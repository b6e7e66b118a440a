"""What each parameter of a study decides: the same timeline under its value and under another."""

from typing import Any

import pytest

from fhir_srs.endpoints import Study, load_study
from fhir_srs.endpoints.study_file import changed
from tests.spec.timelines import ended, outcomes, response, time

SEEN = "A | 0 | srs | T8\nA | -3 | pain | 7\nA | 14 | pain | 2\n"
OPIOIDS = "- | -20..0 | opioid | 60\n"
TWO = "A | 0 | srs | T8\nB | 10 | srs | L2\n"
DURATION, CONTROL, RELIEF = "relief-duration kaplan-meier", "pain-control A", "time-to-relief"
# study, drawing, what is asked of lesion A, then by value of the parameter what the answer is
CHOICES: dict[str, tuple[str, str, str, str, dict[Any, str]]] = {
    "unit: the index lesion alone": (
        "icpre2012", TWO + "A | -3 | pain | 5\nB | -3 | pain | 7", RELIEF, "unit",
        {"lesion": "out: no-score-in-window", "index-lesion": "not-index"}),
    "attribution: a score of the patient, two lesions under observation": (
        "ryu2008", TWO + "A | -3 | pain | 7\nB | -3 | pain | 5\n- | 30 | pain | 2", RELIEF, "attribution",
        {"single": "out: pain-not-attributable", "site": "out: pain-not-attributable", "index": "event 30"}),
    "attribution: a score of the patient, one lesion": (
        "ryu2008", "A | 0 | srs | T8\n- | -3 | pain | 7\n- | 30 | pain | 2", RELIEF, "attribution",
        {"single": "event 30", "site": "out: pain-not-attributable", "index": "event 30"}),
    "time_zero: a course of five days": (
        "icpre2012", "A | 0..4 | sbrt | T8 5\nA | -3 | pain | 7\n- | 100 | death |", "overall-survival",
        "time_zero", {"last-fraction": "event 96", "first-fraction": "event 100"}),
    "time_zero: a score during the course": (
        "ryu2008", "A | 0..4 | sbrt | T8 1\nA | -3 | pain | 7\nA | 2 | pain | 0\nA | 30 | pain | 7", RELIEF,
        "time_zero", {"last-fraction": "censored 26", "first-fraction": "event 2"}),
    "baseline_first_day: a score of day -20": (
        "ryu2008", "A | -20 | pain | 7\nA | 30 | pain | 2", RELIEF, "baseline_first_day",
        {-28: "event 30", -14: "out: no-baseline-score"}),
    "min_baseline_pain": (
        "ryu2008", "A | -3 | pain | 1\nA | 30 | pain | 0", "3-month", "min_baseline_pain",
        {1: "NE no-score-in-window", 2: "NE baseline-below-minimum"}),
    "pain_delta: a drop of 2": (
        "ryu2008", "A | -3 | pain | 7\nA | 91 | pain | 5", "3-month", "pain_delta",
        {3: "STABLE stable", 2: "PR pr"}),
    "rule: from 4 to 2": (
        "ryu2008", "A | -3 | pain | 4\nA | 91 | pain | 2", "3-month", "rule",
        {"threshold": "STABLE stable", "half": "PR pr-half"}),
    "rule: from 8 to 5": (
        "ryu2008", "A | -3 | pain | 8\nA | 91 | pain | 5", "3-month", "rule",
        {"threshold": "PR pr", "half": "STABLE stable"}),
    "rule: up by 3": (
        "ryu2008", "A | -3 | pain | 4\nA | 91 | pain | 7", "3-month", "rule",
        {"threshold": "PROG prog", "half": "PROG prog"}),
    "rule: to 0": (
        "ryu2008", "A | -3 | pain | 4\nA | 91 | pain | 0", "3-month", "rule",
        {"threshold": "CR cr", "half": "CR cr"}),
    "analgesics: opioid doubled": (
        "icpre2012", SEEN + "A | 91 | pain | 4\n- | -20..0 | opioid | 60\n- | 1..200 | opioid | 120",
        "3-month", "analgesics", {"aware": "IR ir", "blind": "PR pr-pain"}),
    "omed_increase: a tenth more opioid": (
        "icpre2012", SEEN + OPIOIDS + "A | 91 | pain | 4\n- | 1..200 | opioid | 66", "3-month",
        "omed_increase", {"any": "IR ir", "25-percent": "PR pr-pain"}),
    "omed_increase: no pain and a tenth more opioid": (
        "icpre2012", SEEN + OPIOIDS + "A | 91 | pain | 0\n- | 1..200 | opioid | 66", "3-month",
        "omed_increase", {"any": "IR ir", "25-percent": "CR cr"}),
    "omed_fall: a third less opioid at the same pain": (
        "icpre2012", SEEN + OPIOIDS + "A | 91 | pain | 7\n- | 1..200 | opioid | 40", "3-month",
        "omed_fall", {"0.75": "PR pr-omed", "0.5": "IR ir"}),
    "omed_rise: a third more opioid at the same pain": (
        "icpre2012", SEEN + OPIOIDS + "A | 91 | pain | 7\n- | 1..200 | opioid | 80", "3-month",
        "omed_rise", {"1.25": "PP pp-omed", "1.5": "IR ir"}),
    "secondary_sites: the other one got worse": (
        "rtog0631", TWO + "A | -3 | pain | 7\nB | -3 | pain | 5\nA | 91 | pain | 2\nB | 91 | pain | 8\n"
        "- | -20..200 | opioid | 0 not-opioid", "3-month responder", "secondary_sites",
        {"no-worsening": "NON-RESPONDER pr", "ignored": "RESPONDER pr"}),
    "flare_days: a rise of day 20": (
        "ryu2008", SEEN + "A | 20 | pain | 6\nA | 60 | pain | 2", DURATION, "flare_days",
        {14: "event 6", 30: "censored 46"}),
    "relapse_delta: up by 2": (
        "ryu2008", SEEN + "A | 60 | pain | 4", DURATION, "relapse_delta", {3: "censored 46", 2: "event 46"}),
    "relapse_confirm: up by 3 once": (
        "ryu2008", SEEN + "A | 60 | pain | 5\nA | 80 | pain | 2", DURATION, "relapse_confirm",
        {"none": "event 46", "next-score": "censored 66"}),
    "relapse_confirm: up by 3 twice": (
        "ryu2008", SEEN + "A | 60 | pain | 5\nA | 80 | pain | 6", DURATION, "relapse_confirm",
        {"none": "event 46", "next-score": "event 46"}),
    "relapse_confirm: up by 3 at the last score": (
        "ryu2008", SEEN + "A | 60 | pain | 5", DURATION, "relapse_confirm",
        {"none": "event 46", "next-score": "censored 46"}),
    "relapse_omed: a quarter more opioid": (
        "icpre2012", SEEN + "A | 60 | pain | 2\n- | -20..20 | opioid | 60\n- | 21..200 | opioid | 75",
        DURATION, "relapse_omed", {True: "event 46", False: "censored 46"}),
    "retreatment_unknown: after relief": (
        "ryu2008", SEEN + "A | 30 | pain | 2\nA | 60 | surgery |", DURATION, "retreatment_unknown",
        {"failure": "event 46", "other-reason": "censored 16"}),
    "retreatment_unknown: before relief": (
        "ryu2008", "A | 0 | srs | T8\nA | -3 | pain | 7\nA | 30 | pain | 6\nB | 60 | srs | T8", RELIEF,
        "retreatment_unknown", {"failure": "competing 60 retreatment", "other-reason": "censored 30"}),
    "death_gap: a death half a year after the last score": (
        "ryu2008", SEEN + "- | 180 | death |", "relief-duration competing", "death_gap",
        {183: "competing 166 death", 90: "censored 0"}),
    "late_entry: first seen on day 100": (
        "ryu2008", "A | -3 | pain | 7\nA | 100 | pain | 2", RELIEF, "late_entry",
        {183: "event 100", 90: "out: late-entry"}),
    "best_first_day, best_last_day: relief of day 30 alone": (
        "ryu2008", "A | -3 | pain | 7\nA | 30 | pain | 2\nA | 60 | pain | 6", "best", "best_first_day",
        {1: "PR pr", 42: "STABLE stable"}),
    "lc_window: growth of day 200 that nobody looked at again": (
        "spino2015", "A | 90 | disease-status | stable\nA | 200 | disease-status | worsened", "local-failure",
        "lc_window", {183: "event 200", 250: "censored 90"}),
    "lc_confirm: still worse after two months": (
        "spino2015", "A | 90 | disease-status | worsened\nA | 150 | disease-status | worsened",
        "local-failure", "lc_confirm", {"spino": "event 90", "bahig": "censored 0"}),
    "fracture_pain_days: pain of day 120 after a fracture of day 75": (
        "ryu2008", "A | -3 | pain | 2\nA | 75 | fracture |\nA | 75 | pain | 2\nA | 120 | pain | 6",
        "vertebral-fracture symptomatic", "fracture_pain_days", {28: "censored 0", 60: "event 75"}),
    "acute_days: a grade of day 60": (
        "ryu2008", "A | 0 | srs | T8\n- | 60 | toxicity | 2 CTCAEv5 pain", "toxicity", "acute_days",
        {90: "acute", 30: "late"}),
}  # fmt: skip


def answer(drawing: str, study: Study, asked: str) -> str:
    """What *drawing* comes to under *study*, in the words of what was *asked*."""
    found = outcomes(drawing, study)
    left_out = [one.reason for one in found.excluded if one.lesion_id == "A"]
    if left_out:
        return left_out[0]
    name, _, variant = asked.partition(" ")
    if name == "toxicity":
        return next(row.window for row in found.responses if row.endpoint == "toxicity")
    if name in {"best", "3-month"}:
        row = response(found, name, variant=variant or None)
        return f"{row.category} {row.reason or row.arm}"
    lesion = None if name == "overall-survival" else "A"
    return ended(time(found, name, variant or None, lesion))


@pytest.mark.parametrize("name", CHOICES)
def test_a_parameter_decides(name: str) -> None:
    study, drawing, asked, parameter, answers = CHOICES[name]
    found = {
        value: answer(drawing, changed(load_study(study), {parameter: value}), asked) for value in answers
    }
    assert found == answers


def test_the_first_value_of_each_choice_is_the_study_s_own() -> None:
    for study, _, _, parameter, answers in CHOICES.values():
        own = load_study(study)
        assert changed(own, {parameter: next(iter(answers))}) == own, parameter
