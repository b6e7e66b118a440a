"""Estimators against numbers we did not make: statistics.md 12.4, Freireich 1963, lifelines, derivatives."""

import warnings

import numpy as np
import pytest
import survival

from fhir_srs.survival import aalen_johansen, follow_up, kaplan_meier, proportion
from fhir_srs.survival.proportions import _count, _effective
from tests.reference.worked import (
    DAYS,
    EVENT,
    PATIENT,
    PLACEBO,
    SIX_MP,
    STATUS,
    Z,
    clustered_error,
    drawn,
    freireich,
    weighted_survival,
)


def on(curve, day):
    return list(curve.days).index(day)


def test_survival_and_both_standard_errors_of_the_worked_example():
    curve = kaplan_meier(DAYS, EVENT, PATIENT)
    j = on(curve, 9)
    assert curve.survival[j] == pytest.approx(0.6095833333, abs=5e-11)
    assert curve.greenwood[j] == pytest.approx(0.1175586848, abs=5e-11)
    assert curve.std_error[j] == pytest.approx(0.1208319842, abs=5e-11)
    assert (curve.n, curve.clusters, curve.at_risk[j]) == (20, 14, 10)


@pytest.mark.parametrize(
    ("preset", "low", "high"),
    [
        ("default", 0.296774, 0.817352),
        ("ij_loglog", 0.337875, 0.797882),
        ("greenwood_loglog", 0.345677, 0.794020),
    ],
)
def test_intervals_of_the_worked_example(preset, low, high):
    at = kaplan_meier(DAYS, EVENT, PATIENT).at(9, preset)
    assert at.low == pytest.approx(low, abs=5e-7)
    assert at.high == pytest.approx(high, abs=5e-7)
    assert (at.n, at.clusters, at.events, at.at_risk, at.time_days) == (20, 14, 10, 10, 9)


def test_median_of_the_worked_example_has_no_upper_limit():
    median = kaplan_meier(DAYS, EVENT, PATIENT).quantile(0.5)
    assert (median.value, median.low, median.high) == (12.0, 5.0, None)
    assert (median.status, median.low_status, median.high_status) == ("estimated", "estimated", "not-reached")


def test_incidences_of_the_worked_example():
    cif = aalen_johansen(DAYS, STATUS, PATIENT)
    alone = aalen_johansen(DAYS, STATUS)
    j = on(cif, 9)
    assert cif.incidence(1)[j] == pytest.approx(0.3576923077, abs=5e-11)
    assert alone.std_error(1)[j] == pytest.approx(0.1088021321, abs=5e-11)
    assert cif.std_error(1)[j] == pytest.approx(0.1187190352, abs=5e-11)
    assert cif.incidence(2)[j] == pytest.approx(0.2115384615, abs=5e-11)
    assert cif.std_error(2)[j] == pytest.approx(0.1006791845, abs=5e-11)
    at = cif.at(9, cause=1)
    assert (at.low, at.high) == (pytest.approx(0.120018, abs=5e-7), pytest.approx(0.607419, abs=5e-7))
    assert (at.events, at.competing) == (10, 4)


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        ("korn-graubard", 0.272619, 0.871627),
        ("clopper-pearson", 0.360543, 0.808810),
        # The spec prints .836737 for the upper limit: its own formula, deff and lower limit give .836777.
        ("rao-scott-wilson", 0.305020, 0.836777),
    ],
)
def test_proportion_of_the_worked_example(method, low, high):
    share = proportion([z <= 3 for z in Z], PATIENT, method)
    assert (share.numerator, share.denominator, share.value) == (12, 20, 0.6)
    assert (share.low, share.high) == (pytest.approx(low, abs=5e-7), pytest.approx(high, abs=5e-7))


def test_design_effect_and_effective_rows_of_the_worked_example():
    """As the figure itself says them: deff 1.7589743590, n_e 10.6724269452."""
    said = proportion([z <= 3 for z in Z], PATIENT).grounds.arithmetic
    assert said[1] == "design effect 1.7590 between 14 patients"
    assert said[2] == "effective rows: 20/1.7590 x (t(19)/t(13))^2 = 10.6724"
    count = _count([z <= 3 for z in Z], PATIENT)
    assert count.design_effect == pytest.approx(1.7589743590, abs=5e-11)
    assert _effective(count, 0.95, 1.0, korn=True) == pytest.approx(10.6724269452, abs=5e-11)


@pytest.mark.parametrize(
    ("week", "survival", "error"),
    [
        (6, 0.8571, 0.0764),
        (7, 0.8067, 0.0869),
        (10, 0.7529, 0.0963),
        (13, 0.6902, 0.1068),
        (16, 0.6275, 0.1141),
        (22, 0.5378, 0.1282),
        (23, 0.4482, 0.1346),
    ],
)
def test_freireich_6_mp(week, survival, error):
    curve = kaplan_meier(*freireich(SIX_MP))
    j = on(curve, week)
    assert curve.survival[j] == pytest.approx(survival, abs=5.1e-5)
    assert curve.std_error[j] == pytest.approx(error, abs=5.1e-5)


def test_freireich_medians():
    assert kaplan_meier(*freireich(SIX_MP)).quantile(0.5).value == 23
    assert kaplan_meier(*freireich(PLACEBO)).quantile(0.5).value == 8


@pytest.mark.parametrize("seed", range(5))
def test_survival_greenwood_and_loglog_limits_equal_lifelines(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own dependencies', on import and in use
        from lifelines import KaplanMeierFitter

        days, status, _ = drawn(seed)
        theirs = KaplanMeierFitter().fit(days, status == 1)
    curve = kaplan_meier(days, status == 1)
    assert curve.survival == pytest.approx(theirs.predict(curve.days).to_numpy(), abs=1e-12)
    limits = theirs.confidence_interval_.loc[curve.days].to_numpy()
    for day, (low, high) in zip(curve.days, limits, strict=True):
        ours = curve.at(int(day), "greenwood_loglog")
        if ours.low is not None and 0 < ours.value < 1:
            assert (ours.low, ours.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clustered", [True, False])
def test_survival_its_errors_and_limits_equal_the_package_survival(seed, clustered):
    days, status, patient = drawn(seed)
    data = {"t": days, "d": (status == 1).astype(int), "p": patient}
    keys = {"cluster": "p"} if clustered else {}
    curve = kaplan_meier(days, status == 1, patient if clustered else None)
    for scale, preset in (("log", "ij_log"), ("log-log", "ij_loglog")):
        theirs = survival.survfit("Surv(t, d) ~ 1", data=data, conf_type=scale, **keys)
        assert list(theirs.time) == list(curve.days)
        assert curve.survival == pytest.approx(np.array(theirs.surv), abs=1e-12)
        # Without clusters the package tells the error of the logarithm.
        errors = np.array(theirs.std_err) * (np.array(theirs.surv) if theirs.logse else 1)
        alive = curve.survival > 0
        assert curve.std_error[alive] == pytest.approx(errors[alive], abs=1e-12)
        for day, low, high in zip(theirs.time, theirs.lower, theirs.upper, strict=True):
            ours = curve.at(int(day), preset)
            if ours.value not in (0, 1) and ours.low is not None:
                assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-11)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clustered", [True, False])
def test_incidences_and_their_errors_equal_the_package_survival(seed, clustered):
    days, status, patient = drawn(seed)
    names = np.array(["censored", "event", "other"])
    data = {"t": days + 1, "d": names[status], "p": patient, "id": np.arange(len(days))}
    keys = {"cluster": "p"} if clustered else {"cluster": "id"}
    theirs = survival.survfit("Surv(t, factor(d)) ~ 1", data=data, id="id", **keys)
    cif = aalen_johansen(days, status, patient if clustered else None)
    assert [day - 1 for day in theirs.time] == list(cif.days)
    for cause in (1, 2):
        assert cif.incidence(cause) == pytest.approx(np.array(theirs.pstate)[:, cause], abs=1e-12)
        assert cif.std_error(cause) == pytest.approx(np.array(theirs.std_err)[:, cause], abs=1e-11)
    assert cif.survival == pytest.approx(np.array(theirs.pstate)[:, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("days", "event"),
    [
        (DAYS, EVENT),
        ([3, 5, 8, 10, 13, 15], [True] * 6),
        ([2, 4, 9, 9], [True, True, False, False]),
        ([2, 2, 7, 9], [True, True, True, False]),
        (*freireich(SIX_MP),),
        (*freireich(PLACEBO),),
    ],
)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_quantiles_with_the_middle_of_flat_pieces_equal_the_package_survival(days, event, share):
    data = {"t": np.array(days), "d": np.array(event).astype(int)}
    fitted = survival.survfit("Surv(t, d) ~ 1", data=data)
    theirs = survival.quantile(fitted, [share])
    ours = kaplan_meier(days, event).quantile(share, "greenwood_log")
    for mine, other in zip(
        (ours.value, ours.low, ours.high), (theirs.quantile, theirs.lower, theirs.upper), strict=True
    ):
        expected = np.ravel(other)[0]
        assert mine is None if np.isnan(expected) else mine == pytest.approx(expected)


def weighted_incidence(days, status, weights, until, cause):
    """Aalen-Johansen with case weights, likewise."""
    total = 0.0
    for day in sorted({int(d) for d in days if d <= until}):
        at_risk = sum(w for d, w in zip(days, weights, strict=True) if d >= day)
        events = sum(w for d, s, w in zip(days, status, weights, strict=True) if d == day and s == cause)
        total = total + weighted_survival(days, status > 0, weights, day - 1) * events / at_risk
    return total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clustered", [True, False])
def test_standard_errors_are_the_derivatives_in_the_case_weights(seed, clustered):
    days, status, patient = drawn(seed, rows=18, patients=7, last=9)
    rows, ids = len(days), patient if clustered else np.arange(len(days))
    curve, cif = kaplan_meier(days, status == 1, ids), aalen_johansen(days, status, ids)
    for j in range(1, len(curve.days) - 1):
        day = curve.days[j]
        by_weights = clustered_error(lambda w, d=day: weighted_survival(days, status == 1, w, d), rows, ids)
        assert curve.std_error[j] == pytest.approx(by_weights, abs=1e-10)
        for cause in (1, 2):
            by_weights = clustered_error(
                lambda w, d=day, c=cause: weighted_incidence(days, status, w, d, c), rows, ids
            )
            assert cif.std_error(cause)[j] == pytest.approx(by_weights, abs=1e-10)


def test_the_variance_tends_to_that_of_the_delete_one_patient_jackknife():
    ratios = []
    for copies in (1, 8, 32):
        days, status = np.tile(DAYS, copies), np.tile(STATUS, copies)
        patient = np.concatenate([np.array(PATIENT) + 100 * copy for copy in range(copies)])
        cif = aalen_johansen(days, status, patient)
        left_out = []
        for one in range(1, 15):  # copies of a patient are alike: one of each stands for all
            keep = patient != one
            left_out.append(aalen_johansen(days[keep], status[keep], patient[keep]).at(9).value)
        clusters = 14 * copies
        jackknife = np.sqrt(copies * np.sum((np.array(left_out) - cif.at(9).value) ** 2))
        ratios.append(abs(jackknife * (clusters - 1) / clusters / cif.std_error(1)[on(cif, 9)] - 1))
    assert ratios[0] > ratios[1] > ratios[2]
    assert ratios[2] < 0.005


def test_follow_up_is_the_curve_of_the_censorings():
    days, died = [10, 20, 30, 40, 50], [True, False, True, False, False]
    swapped = kaplan_meier(days, [not one for one in died])
    reverse = follow_up(days, died)
    assert list(reverse.survival) == list(swapped.survival)
    assert reverse.quantile(0.5).value == 40
