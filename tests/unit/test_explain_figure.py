"""A printed figure tells what it is made of, kept when it was computed: rows, arithmetic, versions."""

import json
import math
import re
from collections.abc import Iterable
from datetime import date
from functools import cache, reduce
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta, chi2, t

from fhir_srs.cli import run
from fhir_srs.endpoints import load_study, shipped_studies
from fhir_srs.errors import UsageError
from fhir_srs.estimates.analysis import Analysis, Asked
from fhir_srs.model import TestResult, TimeToEvent, to_json
from fhir_srs.report.explain import explanation_json
from fhir_srs.report.figure import (
    Printed,
    explain_figure,
    figure_explanation,
    figure_text,
    find_figure,
    printed,
    words_of,
)
from tests.cohorts import CUTOFF, analysed, drawn, mapped, outcomes_of, table_of

STUDIES = shipped_studies()
RYU_CUTOFF = date(2007, 12, 31)


@cache
def ryu_table() -> Printed:
    """The figures of Ryu 2008 alone."""
    study, figures = load_study("ryu2008"), table_of("ryu", "ryu2008", RYU_CUTOFF)
    return Printed(study=study, data_cutoff=RYU_CUTOFF, figures=figures)


@cache
def whole() -> Analysis:
    """The same with groups, sensitivity runs and landmarks."""
    asked = Asked(by="dose-group", sensitivity=True, landmarks=True)
    return analysed("ryu", "ryu2008", asked, RYU_CUTOFF)


@cache
def everything() -> tuple[Printed, ...]:
    return tuple(printed(whole(), RYU_CUTOFF))


@pytest.mark.parametrize("study", STUDIES)
def test_the_rows_of_every_figure_are_its_numerator_and_its_denominator(study: str) -> None:
    for one in table_of("random", study):
        assert one.grounds is not None, words_of(one)
        counted, others = one.grounds.counted, one.grounds.others
        told = len(counted) + len(others)
        if one.name.startswith("not eligible"):
            assert len(one.grounds.left_out) == one.numerator
        elif one.variant == "net" or one.reason == "nothing-recorded":
            assert told == one.n
        elif one.numerator is not None:
            assert (len(counted), told) == (one.numerator, one.denominator), words_of(one)
        else:
            assert told == one.n, words_of(one)
            if one.events is not None:
                assert len(counted) == one.events, words_of(one)


@pytest.mark.parametrize("study", STUDIES)
def test_a_lesion_is_in_a_figure_or_left_out_of_it_with_a_reason_and_never_both(study: str) -> None:
    lesions = {one.lesion_id for one in mapped("random").lesions}
    for one in table_of("random", study):
        if one.grain != "lesion" or one.method in {"count", "ratio of sums, no interval"} or not one.grounds:
            continue
        if one.endpoint == "relief-duration" and "best class CR" in one.name:
            continue  # a part of the responders, whose own figure has the others
        inside = [row.lesion_id for row in (*one.grounds.counted, *one.grounds.others)]
        outside = [row.lesion_id for row in one.grounds.left_out]
        assert len(set(inside)) == len(inside), words_of(one)
        assert not set(inside) & set(outside), words_of(one)
        assert set(inside) | set(outside) == lesions, words_of(one)
        assert all(row.reason for row in one.grounds.left_out), words_of(one)
    assert outcomes_of("random", study).excluded


@pytest.mark.parametrize("study", STUDIES)
def test_the_terms_of_a_curve_give_its_value_by_the_textbook(study: str) -> None:
    """Kaplan-Meier and Aalen-Johansen written out over the terms alone."""
    checked = 0
    for one in table_of("random", study):
        terms = one.grounds.terms if one.grounds else ()
        if not terms or one.time_days is None or one.value is None:
            continue
        value = 1 - one.value if one.method.startswith("1 - ") else one.value
        if "Kaplan-Meier" in one.method:
            expected = reduce(lambda s, t: s * (1 - t.events / t.at_risk), terms, 1.0)
        else:
            survival, expected = 1.0, 0.0
            for term in terms:
                expected += survival * term.events / term.at_risk
                survival *= 1 - (term.events + term.competing) / term.at_risk
        assert value == pytest.approx(expected, abs=1e-9), words_of(one)
        assert all(term.day <= one.time_days for term in terms)
        checked += 1
    assert checked > 20


def number(pattern: str, lines: Iterable[str]) -> float:
    """The number that follows *pattern* in the one line that has it."""
    (found,) = [match for line in lines if (match := re.search(pattern + r"([-+0-9.e]+)", line))]
    return float(found[1])


@pytest.mark.parametrize("study", STUDIES)
def test_the_interval_of_a_curve_follows_from_the_numbers_that_are_shown(study: str) -> None:
    """Log-log limits by hand; Student's t from scipy.stats, which the program does not use."""
    checked = 0
    for one in table_of("random", study):
        said = one.grounds.arithmetic if one.grounds else ()
        if one.low is None or one.high is None or one.time_days is None or one.numerator is not None:
            continue
        error = number(r"standard error, clustered: .* = ", said)
        own = number(r"standard error, clustered: ", said)
        clusters = one.clusters or 0
        assert error == pytest.approx(own * math.sqrt(clusters / (clusters - 1)), abs=2e-6)
        q = number(r"quantile: t\(\d+ df\) = ", said)
        assert q == pytest.approx(t.ppf(0.975, clusters - 1), abs=1e-6)
        value = 1 - one.value if one.method.startswith("1 - ") else one.value
        w = q * error / (value * abs(math.log(value)))
        limits = [math.exp(-math.exp(math.log(-math.log(value)) + sign * w)) for sign in (1, -1)]
        limits = sorted(1 - limit for limit in limits) if one.method.startswith("1 - ") else limits
        assert (one.low, one.high) == pytest.approx(limits, abs=2e-5), words_of(one)
        checked += 1
    assert checked > 15


@pytest.mark.parametrize("study", STUDIES)
def test_the_interval_of_a_share_follows_from_the_numbers_that_are_shown(study: str) -> None:
    """Beta and t quantiles from scipy.stats, which the program does not use."""
    checked = 0
    for one in table_of("random", study):
        said = one.grounds.arithmetic if one.grounds else ()
        effective = [line for line in said if line.startswith("effective rows")]
        if not effective or one.low is None or one.high is None or one.method != "korn-graubard":
            continue
        x, rows = number(r"interval of ", said), number(r"effective rows: .* = ", said)
        deff, n, clusters = number(r"design effect ", said), one.n, one.clusters or 0
        ratio = t.ppf(0.975, n - 1) / t.ppf(0.975, clusters - 1)
        assert rows == pytest.approx(n / max(1, deff) * ratio**2, rel=1e-3)
        low, high = beta.ppf(0.025, x, rows - x + 1), beta.ppf(0.975, x + 1, rows - x)
        assert (one.low, one.high) == pytest.approx((low, high), abs=1e-4), words_of(one)
        checked += 1
    assert checked > 20


@pytest.mark.parametrize("study", STUDIES)
def test_a_median_between_visits_shows_the_mass_that_reaches_one_half(study: str) -> None:
    (one,) = [one for one in table_of("random", study) if one.name == "median, relief between two visits"]
    assert one.grounds is not None
    *masses, certificate = one.grounds.arithmetic
    totals = [float(line.rpartition(" ")[2]) for line in masses]
    held = [number(r"holds ", [line]) for line in masses]
    assert totals == pytest.approx(list(accumulate(held)), abs=1e-4)
    assert totals[-1] >= 0.5 - 1e-6
    assert all(total < 0.5 for total in totals[:-1])
    assert certificate.startswith("no mass would gain")
    assert masses[-1].partition(" holds")[0] in one.method


def test_a_figure_of_a_group_is_explained_by_the_rows_of_that_group() -> None:
    doses = {one.lesion_id: one.dose_gy for one in mapped("ryu").lesions}
    told = explain_figure(everything(), "dose-group: 10 to 16 Gy best assessable CR")
    assert told.figure["group"] == "dose-group: 10 to 16 Gy"
    assert (len(told.counted), len(told.counted) + len(told.others)) == (17, 37)
    assert all(10 <= (doses[row.lesion_id or ""] or 0) <= 16 for row in (*told.counted, *told.others))


def test_without_a_group_the_words_name_the_figure_of_the_whole_cohort() -> None:
    assert explain_figure(everything(), "ryu2008 pain-control a 365").figure["group"] is None


def test_every_figure_of_groups_sensitivity_runs_and_landmarks_can_be_asked_for_and_names_its_rows() -> None:
    figures = [one for table in everything() for one in table.figures]
    groups = {one.group.partition(":")[0] for one in figures if one.group}
    assert groups == {
        "dose-group", "sensitivity", "responders by day 30", "non-responders by day 30",
        "responders by day 90", "non-responders by day 90",
    }  # fmt: skip
    for table in everything():
        for one in table.figures:
            told = figure_explanation(table, find_figure(figures, words_of(one)))
            assert told.figure == figure_explanation(table, one).figure
            rows = (*told.counted, *told.others)
            assert set(told.resources) == {source for row in rows for source in row.sources}


def test_a_sensitivity_run_is_explained_by_its_own_parameters() -> None:
    own = explain_figure(everything(), "best assessable CR+PR+STABLE")
    delta = whole().study.pain_delta
    label = next(run.label for run in whole().sensitivity if run.study.pain_delta != delta)
    changed = explain_figure(everything(), f"sensitivity: {label} best assessable CR+PR+STABLE")
    told_delta = [
        next(one.value for one in told.parameters if one.name == "pain_delta") for told in (own, changed)
    ]
    assert told_delta[0] == delta != told_delta[1]


@cache
def group_tests(study: str) -> list[tuple[Printed, TestResult]]:
    """Every test between groups of random patients, with the table that it stands in."""
    found = analysed("random", study, Asked(by="fractions", landmarks=True))
    return [(table, test) for table in printed(found, CUTOFF) for test in table.tests]


@pytest.mark.parametrize("study", ["icpre2012", "rtog0631"])
def test_a_test_between_groups_follows_from_the_score_and_the_covariance_that_are_shown(study: str) -> None:
    """By numpy's pseudo-inverse and scipy's chi-square, from the printed digits."""
    estimable = [follows_from_what_is_shown(table, test) for table, test in group_tests(study)]
    assert sum(estimable) >= 8


def follows_from_what_is_shown(table: Printed, test: TestResult) -> bool:
    """Asserts it; whether *test* has a result at all."""
    told = explain_figure([table], words_of(test))
    assert told.figure["method"] == test.method
    rows = [line for line in told.arithmetic if " rows, " in line]
    assert sum(int(re.findall(r"(\d+) rows", line)[0]) for line in rows) == test.n
    assert len(told.counted) == test.events == sum(int(re.findall(r"(\d+) events", line)[0]) for line in rows)
    assert len(told.counted) + len(told.others) == test.n
    if test.statistic is None or test.p is None or test.df is None:
        assert told.arithmetic[-1] == f"not estimable: {test.reason}"
        return False
    score = np.array([float(line.rsplit(" ", 1)[1]) for line in rows])
    shown = [line.split(": ")[1] for line in told.arithmetic if line.startswith("V of ")]
    covariance = np.array([[float(one) for one in line.split(", ")] for line in shown])
    inverse = np.linalg.pinv(covariance, rcond=1e-4)  # six decimals are shown
    assert score @ inverse @ score == pytest.approx(test.statistic, rel=1e-3, abs=1e-4)
    assert np.linalg.matrix_rank(covariance, tol=1e-4) == test.df
    assert chi2.sf(test.statistic, test.df) == pytest.approx(test.p, rel=1e-9)
    return True


def test_the_rows_of_a_test_say_their_group_and_what_it_leaves_out_has_a_reason() -> None:
    told = explain_figure([group_tests("icpre2012")[0][0]], "icpre2012 time-to-relief fractions gray")
    names = {line.split(":")[0] for line in told.arithmetic if " rows, " in line}
    assert {row.working[0].removeprefix("group: ") for row in (*told.counted, *told.others)} == names
    assert told.left_out
    assert all(row.reason for row in told.left_out)
    assert set(told.resources) == {source for row in (*told.counted, *told.others) for source in row.sources}
    text = figure_text(told)
    assert text.startswith("time-to-relief by fractions: chi-square ")
    assert f"Ended in the event: {len(told.counted)}" in text


def test_words_of_several_tests_are_an_error_that_names_them() -> None:
    with pytest.raises(UsageError, match="several tests fit:\n  icpre2012 time-to-relief"):
        explain_figure([group_tests("icpre2012")[0][0]], "time-to-relief by fractions")


def test_the_first_figure_of_ryu_names_its_17_lesions_and_those_left_out() -> None:
    told = explain_figure([ryu_table()], "best assessable CR")
    assert (len(told.counted), len(told.counted) + len(told.others)) == (17, 37)
    assert {row.working[0] for row in told.counted} == {"pain 0"}
    assert sorted({row.reason for row in told.left_out}) == [
        "baseline-below-minimum",
        "no-baseline-score",
        "no-score-in-window",
    ]
    assert told.arithmetic[0] == "17/37 = 0.4595"
    assert "effective rows" in told.arithmetic[-1]
    names = {one.name: one.basis for one in told.parameters}
    assert names["pain_delta"] == "assumed"
    assert "lc_window" not in names


def test_the_84_per_cent_are_spelled_out_as_a_product_over_four_relapses() -> None:
    """decisions.md 12: at risk 27, 25, 22, 20 at the four."""
    told = explain_figure([ryu_table()], "ryu2008 pain-control a 365")
    assert told.arithmetic[0] == "S(365) = 26/27 x 24/25 x 21/22 x 19/20 = 0.838303"
    assert [(one.at_risk, one.events) for one in told.terms] == [(27, 1), (25, 1), (22, 1), (20, 1)]
    assert all(isinstance(row, TimeToEvent) and "against nadir" in row.working[0] for row in told.counted)


def test_every_resource_version_of_a_figure_is_one_that_was_mapped() -> None:
    ryu = mapped("ryu")
    known = {source for one in ryu.lesions for source in one.sources}
    known |= {one.source for one in ryu.events} | {s for one in ryu.patients for s in one.sources}
    for one in ryu_table().figures:
        told = figure_explanation(ryu_table(), one)
        assert set(told.resources) <= known
        assert told.resources or not told.counted


def test_text_and_json_say_the_same_and_no_name_of_a_patient() -> None:
    told = explain_figure([ryu_table()], "pain-control D 365")
    text, page = figure_text(told), json.loads(explanation_json(told))
    assert page["figure"]["time_days"] == 365
    assert {row["status"] for row in page["others"]} == {"censored", "competing"}
    assert {row["status"] for row in page["counted"]} == {"event"}
    for one in (*page["arithmetic"], *page["resources"], page["rule"]["rule"]):
        assert one in text
    for row in page["counted"]:
        assert row["lesion_id"] in text
    assert "zzmarker" not in text.lower()


def test_words_that_fit_no_figure_or_several_are_an_error_that_names_figures() -> None:
    with pytest.raises(UsageError, match="no figure has all of these words"):
        find_figure(ryu_table().figures, "happiness")
    with pytest.raises(UsageError, match=r"several figures fit:\n  ryu2008 pain-control A all left"):
        find_figure(sorted(ryu_table().figures, key=words_of), "pain-control A")


def test_every_figure_can_be_asked_for_by_all_of_its_words() -> None:
    for one in ryu_table().figures:
        assert find_figure(ryu_table().figures, words_of(one)) is one, words_of(one)


def test_the_repr_of_a_figure_shows_no_lesion() -> None:
    one = find_figure(ryu_table().figures, "best assessable CR")
    assert one.grounds is not None
    assert "<17 counted, 20 others, 24 left out>" in repr(one)
    assert one.grounds.counted[0].patient not in repr(one)


def test_endpoints_explains_a_figure_instead_of_printing_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "cohort.ndjson"
    source.write_bytes(b"\n".join(to_json(one) for one in drawn("ryu").resources))
    command = ["endpoints", str(source), "--study", "ryu2008", "--cutoff", str(RYU_CUTOFF)]
    assert run([*command, "--figure", "best assessable CR"]) == 0
    assert capsys.readouterr().out.startswith("CR, best: 17/37 (45.9 %)")
    assert run([*command, "--figure", "best assessable CR", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["figure"]["numerator"] == 17
    assert run([*command, "--figure", "nothing"]) == 64
    capsys.readouterr()
    assert run([*command, "--by", "region", "--figure", "region: lumbar best assessable CR"]) == 0
    assert capsys.readouterr().out.startswith("CR, best, region: lumbar: ")
    assert run([*command, "--as-published", "--figure", "best assessable CR"]) == 0
    assert not capsys.readouterr().out.startswith("CR, best: 17/37")
