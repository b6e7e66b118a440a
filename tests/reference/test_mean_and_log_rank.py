"""Restricted mean and log-rank against spec/statistics.md 12.4, Freireich 1963, lifelines, permutation."""

import warnings

import numpy as np
import pytest
import survival

from fhir_srs.survival import log_rank, restricted_mean
from fhir_srs.survival.km import hazards
from fhir_srs.survival.logrank import read_compared, robust, robust_residuals, score
from fhir_srs.survival.mean import area
from fhir_srs.survival.rows import read_rows
from tests.reference.worked import (
    DAYS,
    EVENT,
    PATIENT,
    SIX_MP,
    X,
    Z,
    both_arms,
    clustered_error,
    drawn,
    freireich,
    weighted_survival,
)


def mean_of(days, event, until, cluster=None):
    rows = read_rows(days, event, cluster, causes=1)
    return area(rows, hazards(rows, rows.status), until)


def test_restricted_mean_of_the_worked_example():
    mean = mean_of(DAYS, EVENT, 12, PATIENT)
    assert mean.days == pytest.approx(9.2382002315, abs=5e-11)
    assert mean.unclustered == pytest.approx(0.8634286780, abs=5e-11)
    assert mean.std_error == pytest.approx(0.8989543438, abs=5e-11)
    figure = restricted_mean(DAYS, EVENT, 12, PATIENT)
    half = 2.1603686565 * 0.8989543438 * np.sqrt(14 / 13)  # t with 13 degrees of freedom, G/(G-1)
    assert figure.value == mean.days
    assert figure.low == pytest.approx(mean.days - half, abs=1e-8)
    assert figure.high == pytest.approx(mean.days + half, abs=1e-8)
    assert (figure.n, figure.clusters, figure.events, figure.time_days) == (20, 14, 10, 12)


def test_restricted_mean_of_freireich():
    mean = mean_of(*freireich(SIX_MP), 35)
    assert mean.days == pytest.approx(23.2874, abs=5e-5)
    assert mean.std_error == pytest.approx(2.8275, abs=5e-5)


def weighted_mean(days, failed, weights, until):
    return sum(weighted_survival(days, failed, weights, day) for day in range(until))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("until", [3, 6, 8])
def test_the_error_of_a_restricted_mean_is_the_derivative_in_the_case_weights(seed, until):
    days, status, patient = drawn(seed, rows=18, patients=7, last=9)
    days[0] = 9  # the curve is known until the horizon
    status[0] = 0
    for ids in (patient, np.arange(18)):
        found = mean_of(days, status == 1, until, ids)
        expected = clustered_error(lambda w: weighted_mean(days, status == 1, w, until), 18, ids)
        assert found.std_error == pytest.approx(expected, abs=1e-10)
    assert found.unclustered == pytest.approx(found.std_error, abs=1e-12)


def test_log_rank_of_the_worked_example():
    found = score(read_compared(DAYS, EVENT, X, None, None), rho=0)
    assert found.expected[0] == pytest.approx(2.3918300654, abs=5e-11)
    assert found.covariance[0, 0] == pytest.approx(1.5714446901, abs=5e-11)
    assert log_rank(DAYS, EVENT, X).statistic == pytest.approx(4.3288513117, abs=5e-11)
    layers = [z > 3 for z in Z]
    assert log_rank(DAYS, EVENT, X, strata=layers).statistic == pytest.approx(7.5951620265, abs=5e-11)


def test_clustered_log_rank_of_the_worked_example():
    clustered = log_rank(DAYS, EVENT, X, cluster=PATIENT)
    assert clustered.statistic == pytest.approx(3.7647431900, abs=5e-11)
    assert (clustered.df, clustered.clusters) == (1, 14)
    psi = robust_residuals(read_compared(DAYS, EVENT, X, None, PATIENT), "breslow")
    assert robust(clustered, psi).statistic == pytest.approx(3.8457679878, abs=5e-11)


def test_log_rank_of_freireich():
    weeks, event, arm = both_arms()
    found = score(read_compared(weeks, event, arm, None, None), rho=0)
    assert found.expected == pytest.approx([19.25, 10.75], abs=5e-3)
    assert found.covariance[0, 0] == pytest.approx(6.257, abs=5e-4)
    result = log_rank(weeks, event, arm)
    assert result.statistic == pytest.approx(16.793, abs=5e-4)
    assert result.df == 1


def three_groups(seed):
    days, status, patient = drawn(seed, rows=90)
    generator = np.random.default_rng(100 + seed)
    return days, status == 1, generator.integers(0, 3, 90), generator.integers(0, 4, 90), patient


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rho", [0, 1, 0.5])
def test_weighted_log_rank_of_three_groups_equals_lifelines(seed, rho):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own dependencies', on import
        from lifelines.statistics import multivariate_logrank_test

        days, event, group, _, _ = three_groups(seed)
        days = days + 1  # its weights fail on a row of day 0
        keys = {"weightings": "fleming-harrington", "p": rho, "q": 0} if rho else {}
        theirs = multivariate_logrank_test(days, group, event, **keys)
    ours = log_rank(days, event, group, rho=rho)
    assert ours.statistic == pytest.approx(theirs.test_statistic, rel=1e-10)
    assert ours.p == pytest.approx(theirs.p_value, rel=1e-9)
    assert ours.df == 2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rho", [0, 1])
def test_stratified_log_rank_equals_the_package_survival(seed, rho):
    days, event, group, strata, _ = three_groups(seed)
    data = {"t": days, "d": event.astype(int), "g": group, "s": strata}
    theirs = survival.survdiff("Surv(t, d) ~ g + strata(s)", data=data, rho=rho)
    ours = log_rank(days, event, group, strata=strata, rho=rho)
    assert ours.statistic == pytest.approx(theirs.chisq, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_clustered_log_rank_equals_the_robust_score_test_of_the_package_survival(seed):
    days, event, group, strata, patient = three_groups(seed)
    data = {"t": days, "d": event.astype(int), "a": group == 1, "b": group == 2, "s": strata, "p": patient}
    data |= {name: np.asarray(data[name]).astype(float) for name in "ab"}
    theirs = survival.coxph("Surv(t, d) ~ a + b + strata(s)", data=data, cluster="p")
    ours = log_rank(days, event, group, strata=strata, cluster=patient)
    assert ours.statistic == pytest.approx(theirs.rscore, rel=1e-9)


def test_the_p_value_is_that_of_permuted_groups():
    days, status, _ = drawn(3, rows=200, last=120)
    generator = np.random.default_rng(5)
    group = generator.integers(0, 2, 200)
    ours = log_rank(days, status == 1, group)
    higher = [
        log_rank(days, status == 1, generator.permutation(group)).statistic >= ours.statistic
        for _ in range(1000)
    ]
    # Four standard errors of 1,000 draws, and a little for a chi-square that holds for many rows only.
    assert np.mean(higher) == pytest.approx(ours.p, abs=4 * np.sqrt(0.25 / 1000) + 0.01)
