"""What stands beside the estimates: groups, baseline table, sensitivity, landmarks; how they are printed."""

import json
from pathlib import Path

import pytest

from fhir_srs.cli import run
from fhir_srs.endpoints import derive, load_study, shipped_studies
from fhir_srs.endpoints.study_file import changed
from fhir_srs.errors import UsageError
from fhir_srs.estimates import estimate
from fhir_srs.estimates.analysis import Asked, analyse
from fhir_srs.estimates.groups import GROUPINGS, SMALL, estimate_by
from fhir_srs.estimates.sensitivity import sensitivity
from fhir_srs.model import to_json
from fhir_srs.report.analysis import analyses_json, analyses_text
from tests.cohorts import CUTOFF, analysed, drawn, mapped, outcomes_of, table_of
from tests.spec.timelines import LATER, draw

ALL = Asked(by="fractions", baseline=True, sensitivity=True, landmarks=True)
SENSITIVE = Asked(sensitivity=True)


@pytest.mark.parametrize("by", GROUPINGS)
def test_the_groups_add_up_to_the_whole(by: str) -> None:
    outcomes = outcomes_of("random", "icpre2012")
    parts = estimate_by(outcomes, mapped("random").lesions, by)
    for whole in table_of("random", "icpre2012"):
        if whole.variant == "net":
            continue  # a lesion counts where its patient's survival does
        mine = [
            one
            for one in parts
            if (one.name, one.endpoint, one.variant, one.window, one.population, one.time_days)
            == (whole.name, whole.endpoint, whole.variant, whole.window, whole.population, whole.time_days)
        ]
        if whole.numerator is not None and whole.method != "count":
            assert sum(one.numerator or 0 for one in mine) == whole.numerator
        if whole.method != "count":
            assert sum(one.n for one in mine) == whole.n


def test_a_figure_of_few_lesions_is_flagged() -> None:
    outcomes = outcomes_of("random", "icpre2012")
    for one in estimate_by(outcomes, mapped("random").lesions, "region"):
        if one.n < SMALL:
            assert one.reason is not None
        else:
            assert one.reason != "small-group"
    text = analyses_text([analysed("random", "icpre2012", Asked(by="region"))])
    small = [line for line in text.splitlines() if "CR, best, region: sacral" in line]
    assert small
    assert all("(small group)" in line or "not estimable" in line for line in small)


def test_an_unknown_grouping_names_the_known() -> None:
    with pytest.raises(UsageError, match=r"dose-group.*histology"):
        analysed("random", "ryu2008", Asked(by="colour"))


def test_the_baseline_table_of_the_ryu_cohort_has_61_lesions_of_which_37_evaluable() -> None:
    """The counts are the paper's (spec/endpoints.md section 18); the ages, sexes ... only have to add up."""
    table = analysed("ryu", "ryu2008", Asked(baseline=True)).baseline
    (lesions,) = [one for one in table if one.name == "lesions"]
    assert (lesions.all, lesions.evaluable, lesions.not_evaluable) == ((61, 61), (37, 37), (24, 24))
    (patients,) = [one for one in table if one.name == "patients"]
    assert (patients.all, patients.evaluable) == ((49, 49), (33, 49))
    for name in {one.name for one in table if one.category is not None} - {"patients"}:
        rows = [one for one in table if one.name == name]
        assert sum(one.all[0] for one in rows if one.all) == 61
        for one in rows:
            assert one.all is not None
            assert one.evaluable is not None
            assert one.not_evaluable is not None
            assert one.all[0] == one.evaluable[0] + one.not_evaluable[0]
    (dose,) = [one for one in table if one.name == "dose, Gy"]
    assert dose.all is not None
    assert (dose.all[1] >= 10, dose.all[2] <= 16) == (True, True)


def test_who_died_early_is_among_those_whose_pain_was_not_evaluable() -> None:
    """Missing pain is informative: three months after treatment the ones are alive, the others are not."""
    drawing = (
        "1/A | -3 | pain | 7\n1/A | 30 | pain | 2\n1/- | 300 | contact |\n"
        "2/A | -3 | pain | 7\n2/- | 91 | death |\n"
        "3/A | -3 | pain | 7\n3/- | 40 | contact |\n"
        "4/A | -3 | pain | 7\n4/A | 30 | pain | 7\n4/- | 92 | death |"
    )
    mapped = draw(drawing)
    table = analyse(mapped, load_study("ryu2008"), LATER, Asked(baseline=True)).baseline
    found = {
        one.category: (one.evaluable, one.not_evaluable)
        for one in table
        if one.name == "91 days after treatment"
    }
    assert found == {
        "alive": ((2, 2), (0, 2)),
        "died": ((0, 2), (1, 2)),
        "not followed so long": ((0, 2), (1, 2)),
    }


def test_groups_of_dose_ascend() -> None:
    groups = analysed("random", "icpre2012", Asked(by="dose-group")).groups
    names = list(dict.fromkeys(one.group for one in groups))
    assert names[0] == "dose-group: below 10 Gy"
    assert names[1:] == sorted(names[1:], key=lambda name: name or "")


def test_opioids_at_treatment_are_known_of_lesions_whose_pain_was_not_scored() -> None:
    mapped = draw(
        "1/A | 14 | pain | 3\n1/- | -20..90 | opioid | 60\n"
        "2/A | -3 | pain | 7\n2/A | 14 | pain | 2\n2/- | -20..90 | opioid | 0 not-opioid\n"
        "3/A | 14 | pain | 3"
    )
    table = analyse(mapped, load_study("icpre2012"), CUTOFF, Asked(baseline=True)).baseline
    found = {one.category: (one.evaluable, one.not_evaluable) for one in table if "opioid at" in one.name}
    assert found == {"yes": ((0, 1), (1, 2)), "no": ((1, 1), (0, 2)), "unknown": ((0, 1), (1, 2))}


@pytest.mark.parametrize(("cuts", "expected"), [
    ([4, 6], {"0, none": 1, "1-4, mild": 2, "5-6, moderate": 2, "7-10, severe": 1}),
    ([4, 8], {"0, none": 1, "1-4, mild": 2, "5-8, moderate": 3}),
    ([5, 6], {"0, none": 1, "1-5, mild": 3, "6, moderate": 1, "7-10, severe": 1}),
])  # fmt: skip
def test_severity_of_pain_is_by_the_cut_points_of_the_study(
    cuts: list[int], expected: dict[str, int]
) -> None:
    """Section 2: Chow 2008, Chow 2016 and McDonald 2016."""
    mapped = draw(
        "\n".join(f"{number}/A | -3 | pain | {pain}" for number, pain in enumerate((0, 1, 4, 5, 6, 8)))
    )
    study = changed(load_study("icpre2012"), {"severity_cuts": cuts})
    table = analyse(mapped, study, CUTOFF, Asked(baseline=True)).baseline
    found = {one.category: one.all[0] for one in table if "severity" in one.name and one.all}
    assert found == expected


def test_other_drugs_at_treatment_are_in_the_baseline_table() -> None:
    mapped = draw(
        "1/A | -3 | pain | 7\n1/- | -20..90 | opioid | 0 not-opioid steroid\n"
        "2/A | -3 | pain | 7\n2/- | -20..-1 | opioid | 0 not-opioid steroid\n3/A | -3 | pain | 7"
    )
    table = analyse(mapped, load_study("icpre2012"), CUTOFF, Asked(baseline=True)).baseline
    found = {one.category: one.all[0] for one in table if one.name == "steroid at treatment" and one.all}
    assert found == {"yes": 1, "no": 1, "unknown": 1}


def test_the_first_sensitivity_run_is_the_study_and_imputation_moves_it_both_ways() -> None:
    runs = {one.label: one.figures for one in analysed("random", "sc24", SENSITIVE).sensitivity}
    (own,) = runs["as defined"]
    assert own in table_of("random", "sc24")
    (most,), (least,) = (runs[f"missing responses taken as {what}"] for what in ("responses", "none"))
    assert own is not None
    assert most is not None
    assert least is not None
    assert least.numerator == own.numerator
    missing = [
        row
        for row in outcomes_of("random", "sc24").responses
        if (row.endpoint, row.window, row.variant) == ("pain-response", "3-month", None)
        and row.category == "NE"
        and row.reason not in {"not-yet-due", "baseline-below-minimum"}
        and row.baseline is not None
    ]
    assert (most.numerator or 0) - (least.numerator or 0) == len(missing)


def test_a_sensitivity_run_leaves_out_lesions_whose_steroid_was_started() -> None:
    visits = (
        "{0}/A | -3 | pain | 7\n{0}/A | 91 | pain | {1}\n{0}/- | {2}..200 | opioid | 0 not-opioid steroid\n"
        "{0}/- | -20..200 | opioid | 0 not-opioid"
    )
    drawn = [visits.format(*one) for one in ((1, 0, 30), (2, 0, -20), (3, 6, 30), (4, 6, -20), (5, 6, -20))]
    runs = {one.label: one.figures for one in sensitivity(draw("\n".join(drawn)), load_study("sc24"), CUTOFF)}
    found = {label[:13]: (one.numerator, one.denominator) for label, (one,) in runs.items() if one}
    assert (found["as defined"], found["without lesio"]) == ((2, 5), (1, 3))


@pytest.mark.parametrize("name", shipped_studies())
def test_every_primary_figure_of_a_study_is_among_its_estimates(name: str) -> None:
    (run_, *_) = analysed("random", name, SENSITIVE).sensitivity
    assert len(run_.figures) == len(load_study(name).primary)
    assert all(run_.figures)


def test_a_landmark_leaves_out_who_had_died_or_was_lost() -> None:
    outcomes = outcomes_of("random", "icpre2012")
    survived = [
        row.days for row in outcomes.times if (row.endpoint, row.variant) == ("overall-survival", None)
    ]
    for mark in analysed("random", "icpre2012", Asked(landmarks=True)).landmarks:
        late = [days for days in survived if days is not None and days > mark.day]
        assert mark.left_out == len(survived) - len(late)
        compared = sum({one.group: one.n for one in mark.figures}.values())
        assert compared == mark.test.n == len(late) - mark.not_evaluable


def landmark_30(drawing: str) -> dict[str | None, int]:
    study = load_study("ryu2008")
    (mark, _) = analyse(draw(drawing), study, CUTOFF, Asked(landmarks=True)).landmarks
    counted = {one.group: one.n for one in mark.figures}
    return {**counted, "out": mark.left_out, "not evaluable": mark.not_evaluable}


def test_relief_of_a_lesion_treated_after_the_landmark_makes_no_responder_by_then() -> None:
    """One must have lived to day 100 to be treated then: a responder by day 30 would be immortal until it."""
    later = (
        "A | -3 | pain | 7\nA | 20 | pain | 7\nB | 100 | srs | L2\nB | 98 | pain | 7\nB | 105 | pain | 0\n"
        "- | 400 | contact |"
    )
    found = landmark_30("A | 0 | srs | T8\n" + later)
    assert found == {"responders by day 30": 0, "non-responders by day 30": 1, "out": 0, "not evaluable": 0}


def test_relief_on_the_day_of_the_landmark_counts_and_later_does_not() -> None:
    for day, number in ((30, 1), (31, 0)):
        found = landmark_30(f"A | -3 | pain | 7\nA | {day} | pain | 0\n- | 400 | contact |")
        assert found["responders by day 30"] == number
        assert found["non-responders by day 30"] == 1 - number


def test_a_patient_without_baseline_pain_is_no_non_responder() -> None:
    found = landmark_30("A | -3 | pain | 0\nA | 20 | pain | 0\n- | 400 | contact |")
    assert found["not evaluable"] == 1
    assert found["non-responders by day 30"] == 0


def test_a_patient_is_in_the_group_of_the_first_lesion_that_the_study_takes() -> None:
    """The first treatment here is of two fractions, which ryu2008 does not take."""
    drawing = (
        "1/A | 0..2 | sbrt | T8 2\n1/B | 100 | srs | L2\n1/B | 98 | pain | 7\n1/B | 110 | pain | 0\n"
        "1/- | 300 | contact |"
    )
    outcomes = derive(draw(drawing), study=load_study("ryu2008"), data_cutoff=CUTOFF)
    found = estimate_by(outcomes, draw(drawing).lesions, "fractions")
    survived = [one for one in found if one.endpoint == "overall-survival" and one.variant is None]
    assert {one.group: one.n for one in survived} == {"fractions: 1": 1}


def test_groups_of_repeated_patients_are_compared_by_tests_that_know_clusters() -> None:
    found = analysed("random", "icpre2012", ALL).comparisons
    methods = {(one.name.split()[0], one.method.split(";")[0]): one.method for one in found}
    assert "patients as clusters" in methods["time-to-relief", "Fine-Gray"]
    assert "ignores clustering" in methods["time-to-relief", "Gray rho 0"]
    assert "patients as clusters" in methods["time-to-relapse", "log-rank"]
    assert "patients as clusters" not in methods["overall-survival", "log-rank"]


def test_where_nobody_records_toxicity_or_fractures_there_is_no_share_of_them() -> None:
    """0 of 49 would say that radiosurgery hurts nobody."""
    quiet = "A | 90 | imaging |\n- | 300 | contact |\n2/A | 90 | imaging |\n"
    for endpoint, record in (
        ("toxicity", "2/- | 30 | toxicity | 2 CTCAEv5 C56"),
        ("vertebral-fracture", "2/A | 60 | fracture |"),
    ):
        silent, told = (
            estimate(derive(draw(one), study=load_study("ryu2008"), data_cutoff=CUTOFF))
            for one in (quiet, quiet + record)
        )
        shares = [one for one in silent if one.endpoint == endpoint]
        assert {(one.status, one.reason) for one in shares} == {("not-estimable", "nothing-recorded")}
        assert "nothing-recorded" not in {one.reason for one in told if one.endpoint == endpoint}


def counted(drawing: str, study: str, name: str) -> tuple[int | None, int | None]:
    table = estimate(derive(draw(drawing), study=load_study(study), data_cutoff=CUTOFF))
    (one,) = [one for one in table if one.name == name]
    return one.numerator, one.denominator


def test_what_rests_on_an_assumption_is_counted_in_print() -> None:
    """spec/endpoints.md 15, 16: deaths that cannot be timed, doses outside, unknown reasons."""
    undated = "1/A | -3 | pain | 7\n1/- | ? | death |\n2/A | -3 | pain | 7\n2/- | 200 | death |"
    name = "censored when last known alive: death-date-unknown"
    assert counted(undated, "ryu2008", name) == (1, 2)
    again = (
        "1/A | -3 | pain | 7\n1/A | 20 | pain | 0\n1/A | 60 | surgery |\n"
        "2/A | -3 | pain | 7\n2/A | 30 | pain | 7"
    )
    assert counted(again, "ryu2008", "relapse: retreatment-reason-unknown") == (1, 2)
    outcomes = outcomes_of("random", "ryu2008")
    outside = [
        row for row in outcomes.responses if "dose-outside-study" in row.flags and row.window == "best"
    ]
    (kept,) = [one for one in table_of("random", "ryu2008") if one.name == "kept: dose-outside-study"]
    assert kept.numerator == len({row.lesion_id for row in outside}) > 0


def test_kaplan_meier_of_a_measured_event_censors_the_dead_at_the_last_look() -> None:
    """By hand. Scans: 1 fails on day 90; 2 was seen on day 60 and died on day 100; 3 seen on day 200.

    At risk on day 90: 1 and 3, not 2, who was last looked at on day 60. S = 1/2, not 2/3.
    """
    drawing = (
        "1/A | 90 | disease-status | worsened\n1/A | 150 | disease-status | worsened\n"
        "2/A | 60 | disease-status | stable\n2/- | 100 | death |\n"
        "3/A | 60 | disease-status | stable\n3/A | 200 | disease-status | stable"
    )
    table = estimate(derive(draw(drawing), study=load_study("spino2015"), data_cutoff=CUTOFF))
    (control,) = [one for one in table if one.name.startswith("local control") and one.time_days == 183]
    assert (control.value, control.at_risk) == (0.5, 1)
    (failed, *_) = [one for one in table if one.name.startswith("local failure (cumulative")]
    assert failed.value == pytest.approx(1 / 3)  # in the incidence 2 is at risk until the death


def test_one_study_is_printed_with_all_its_columns_and_its_parameters() -> None:
    text = analyses_text([analysed("ryu", "ryu2008", ALL)])
    for words in (
        "Baseline",
        "17/37 (45.9 %)",
        "Parameters (P published",
        "Groups compared",
        "a drop of 2 points",
    ):
        assert words in text
    assert "min_baseline_pain" in text


def test_several_studies_stand_side_by_side_with_their_assumptions() -> None:
    studies = [load_study(name) for name in ("ryu2008", "icpre2012", "rtog0631")]
    text = analyses_text([analysed("ryu", one.name, Asked()) for one in studies])
    (line,) = [one for one in text.splitlines() if one.strip().startswith("CR, best [assessable]")]
    assert "17/37 (45.9 %)" in line
    assert text.startswith("Primary figures (* of that study)\n")
    first = text.split("\n\n")[0].splitlines()
    assert [one for one in first if "pain-control: pain control" in one and " *" in one]
    assert sum(one.count(" *") for one in first[1:]) == sum(len(one.primary) for one in studies)
    same = text.split("Parameters that are the same in all\n")[1]
    assert "death_gap" in same
    assert "min_baseline_pain" not in same
    assert "threshold A" in text
    assert "icpre P" in text
    assert "rtog P" in text


def test_figures_of_one_study_alone_stand_where_that_study_has_them() -> None:
    """IR and PP of ICPRE after its PR, not behind all figures of the first study."""
    lines = [
        line.strip()
        for line in analyses_text(
            [analysed("ryu", name, Asked()) for name in ("ryu2008", "icpre2012")]
        ).splitlines()
    ]
    named = [line.split("  ")[0] for line in lines]
    order = [named.index(f"{name}, best [assessable]") for name in ("PR", "IR", "PP", "STABLE", "CR+PR")]
    assert order == sorted(order)
    assert order[-1] - order[0] < 8


def test_a_curve_side_by_side_and_in_the_sensitivity_table_has_its_rows_and_who_was_at_risk() -> None:
    text = analyses_text([analysed("ryu", name, SENSITIVE) for name in ("ryu2008", "icpre2012")])
    assert "83.8 %, 59.7 to 94.1 (n 30, 16 at risk) *" in text
    assert "38/45 (84.4 %), 70.4 to 93.6 [itt]" in text
    assert "pain-response: CR+PR, 1-month [itt]" in text
    alone = analyses_text([analysed("ryu", "ryu2008", Asked())])
    assert "30 in 27 patients, 4 events, 26 censored, 16 at risk" in alone
    assert "49, 15 observed alive to the end, 34 died" in alone


def test_the_json_holds_the_estimates_and_what_was_asked_for() -> None:
    found = analysed("random", "icpre2012", ALL)
    page = json.loads(analyses_json([found], cutoff=CUTOFF, counts={}))
    assert len(page["estimates"]) == len(found.table) + len(found.groups)
    beside = page["analyses"]["icpre2012"]
    assert set(beside) == {"baseline", "comparisons", "sensitivity", "landmarks"}
    assert {one["name"] for one in beside["comparisons"]} >= {"local-failure by fractions"}


def test_endpoints_takes_all_presets_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "cohort.ndjson"
    source.write_bytes(b"\n".join(to_json(one) for one in drawn("ryu").resources))
    named = [word for name in shipped_studies() for word in ("--study", name)]
    assert run(["endpoints", str(source), *named, "--cutoff", "2026-06-30"]) == 0
    head = capsys.readouterr().out.splitlines()[1]
    assert [word for word in head.split() if word in shipped_studies()] == shipped_studies()


def test_study_check_says_where_parameters_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nversion = "2"\ntitle = "Own"\nextends = "sc24"\n', encoding="utf-8")
    assert run(["study", "check", str(own)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("own.toml: study own, version 2, is in order")
    own.write_text('name = "own"\nextends = "sc24"\ncolour = 3\n', encoding="utf-8")
    assert run(["study", "check", str(own)]) == 78
    wrong = capsys.readouterr().err
    for problem in ("version: missing", "title: missing", "colour: unknown"):
        assert problem in wrong
