"""Cox, its proportional hazards test and Fine-Gray against numbers and programs that we did not write."""

import warnings

import numpy as np
import pytest
import survival
from scipy.optimize import minimize

from fhir_srs.survival import cox, fine_gray, fine_gray_test
from fhir_srs.survival.regression import read_design
from fhir_srs.survival.risk_sets import block, likelihood, residuals
from tests.reference.worked import DAYS, EVENT, PATIENT, STATUS, X, Z, both_arms, drawn

TIGHT = {"eps": 1e-12, "toler_chol": 1e-14}
COVARIATES = {"x": X, "z": Z}


def near(found, *expected, places=10):
    assert found == pytest.approx(expected, abs=0.51 * 10.0**-places)


def test_cox_of_the_worked_example():
    fit = cox(DAYS, EVENT, COVARIATES, cluster=PATIENT)
    near(fit.coef, -1.6258042574, -0.0732900146)
    near(fit.model_error, 0.9564518208, 0.2527225894)
    near(fit.std_error, 0.8419959489, 0.2316059109)
    near([fit.loglik], -21.5763240759)
    assert (fit.names, fit.n, fit.clusters, fit.events) == (("x", "z"), 20, 14, 10)
    assert fit.flags == ("few-events (10 for 2 covariates)",)
    half = 1.959963984540054 * fit.std_error[0]
    near([fit.low[0], fit.high[0]], fit.coef[0] - half, fit.coef[0] + half)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [("km", (0.2076062, 0.1080485, 0.9508341)), ("rank", (0.2343745, 0.0568569, 0.8396983))],
)
def test_proportional_hazards_of_the_worked_example(transform, expected):
    tests = cox(DAYS, EVENT, COVARIATES, cluster=PATIENT).proportional_hazards(transform)
    assert list(tests) == ["x", "z", "global"]
    near([test.statistic for test in tests.values()], *expected, places=7)
    assert [test.df for test in tests.values()] == [1, 1, 2]


def test_fine_gray_of_the_worked_example():
    fit = fine_gray(DAYS, STATUS, COVARIATES, cluster=PATIENT)
    near(fit.coef, -0.7636153604, -0.1291614882)
    near(fit.std_error, 0.9619727177, 0.2997605737)


def test_cox_of_freireich():
    weeks, event, arm = both_arms()
    treated = {"6-MP": [one == "6-MP" for one in arm]}
    efron, breslow = (cox(weeks, event, treated, ties=ties) for ties in ("efron", "breslow"))
    near([*efron.coef, *efron.model_error], -1.5721, 0.4124, places=4)
    near([*breslow.coef, *breslow.model_error], -1.5092, 0.4096, places=4)
    near([efron.loglik], -85.008, places=3)


def four(seed, rows=80):
    """Days with ties, status, patients, strata, and covariates of very different size."""
    days, status, patient = drawn(seed, rows=rows)
    generator = np.random.default_rng(200 + seed)
    dose = 16 + 2.0 * generator.integers(0, 5, rows)
    covariates = {
        "dose": dose,
        "cord": generator.random(rows) < 0.3,
        "volume": 1e-4 * generator.lognormal(size=rows),
    }
    return days, status, patient, generator.integers(0, 3, rows), covariates


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_clustered_stratified_cox_equals_the_package_survival(seed, ties):
    days, status, patient, strata, covariates = four(seed)
    event = status == 1
    data = {name: np.asarray(column, dtype=float) for name, column in covariates.items()}
    data |= {"t": days, "d": event.astype(int), "s": strata, "p": patient}
    formula = "Surv(t, d) ~ dose + cord + volume + strata(s)"
    theirs = survival.coxph(formula, data=data, cluster="p", ties=ties, **TIGHT)
    ours = cox(days, event, covariates, cluster=patient, strata=strata, ties=ties)
    assert ours.coef == pytest.approx(np.ravel(theirs.coefficients), rel=1e-9)
    errors = np.sqrt(np.diag(np.asarray(theirs.var)))
    assert ours.std_error == pytest.approx(errors, rel=1e-9)
    model = np.sqrt(np.diag(np.asarray(theirs.naive_var)))
    assert ours.model_error == pytest.approx(model, rel=1e-9)
    assert ours.loglik == pytest.approx(np.ravel(theirs.loglik)[-1], rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("transform", ["km", "identity", "rank", "log"])
def test_the_proportional_hazards_test_equals_the_package_survival(seed, transform):
    days, status, _, strata, covariates = four(seed)
    days, event = days + 1, status == 1  # no logarithm of day 0
    data = {name: np.asarray(column, dtype=float) for name, column in covariates.items()}
    data |= {"t": days, "d": event.astype(int), "s": strata}
    theirs = survival.cox_zph(
        survival.coxph("Surv(t, d) ~ dose + cord + volume + strata(s)", data=data, **TIGHT),
        transform=transform,
    )
    ours = cox(days, event, covariates, strata=strata).proportional_hazards(transform)
    for test, row in zip(ours.values(), theirs.table, strict=True):
        assert test.statistic == pytest.approx(row["chisq"], rel=1e-8)
        assert test.p == pytest.approx(row["p"], rel=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_clustered_fine_gray_equals_weighted_cox_of_the_package_survival(seed):
    days, status, patient, _, covariates = four(seed)
    names = np.array(["censored", "event", "other"])
    rows = {name: np.asarray(column, dtype=float) for name, column in covariates.items()}
    rows |= {"t": days + 1, "p": patient, "id": np.arange(len(days))}
    rows["d"] = names[status]
    spread = survival.finegray("Surv(t, factor(d)) ~ .", data=rows, etype="event")
    theirs = survival.coxph(
        "Surv(fgstart, fgstop, fgstatus) ~ dose + cord + volume",
        data=spread,
        weights=spread["fgwt"],
        cluster="p",
        **TIGHT,
    )
    ours = fine_gray(days, status, covariates, cluster=patient)
    assert ours.coef == pytest.approx(np.ravel(theirs.coefficients), rel=1e-9)
    assert ours.std_error == pytest.approx(np.sqrt(np.diag(np.asarray(theirs.var))), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_clustered_test_of_incidences_equals_the_robust_score_test_of_the_package_survival(seed):
    days, status, patient, group, _ = four(seed)
    names = np.array(["censored", "event", "other"])
    rows = {"t": days + 1, "p": patient, "id": np.arange(len(days)), "d": names[status]}
    rows |= {"a": (group == 1).astype(float), "b": (group == 2).astype(float)}
    spread = survival.finegray("Surv(t, factor(d)) ~ .", data=rows, etype="event")
    theirs = survival.coxph(
        "Surv(fgstart, fgstop, fgstatus) ~ a + b",
        data=spread,
        weights=spread["fgwt"],
        cluster="p",
        **TIGHT,
    )
    ours = fine_gray_test(days, status, group, cluster=patient)
    assert ours.statistic == pytest.approx(theirs.rscore, rel=1e-9)
    assert (ours.df, ours.n, ours.clusters) == (2, 80, len(set(patient.tolist())))


@pytest.mark.parametrize("seed", range(3))
def test_coefficients_and_model_errors_equal_lifelines(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own dependencies', on import and in use
        import pandas as pd
        from lifelines import CoxPHFitter

        days, status, _, strata, covariates = four(seed)
        frame = pd.DataFrame(covariates).astype(float)
        frame = frame.assign(days=days, event=status == 1, strata=strata)
        theirs = CoxPHFitter().fit(
            frame, "days", "event", strata=["strata"], fit_options={"precision": 1e-20, "r_precision": 1e-16}
        )
    ours = cox(days, status == 1, covariates, strata=strata)
    assert ours.coef == pytest.approx(theirs.params_.to_numpy(), rel=1e-7)
    assert ours.model_error == pytest.approx(theirs.standard_errors_.to_numpy(), rel=1e-7)
    assert ours.loglik == pytest.approx(theirs.log_likelihood_, rel=1e-10)


def partial_loglik(beta, days, event, z):
    """The logarithm of Efron's partial likelihood, written from its definition, death by death."""
    total, r = 0.0, np.exp(z @ beta)
    for day in np.unique(days[event]):
        dead, at_risk = event & (days == day), days >= day
        total += (z[dead] @ beta).sum()
        for taken in range(dead.sum()):
            total -= np.log(r[at_risk].sum() - taken / dead.sum() * r[dead].sum())
    return total


@pytest.mark.parametrize("seed", range(3))
def test_coefficients_maximise_the_partial_likelihood(seed):
    days, status, _, _, covariates = four(seed, rows=40)
    event, z = status == 1, np.column_stack(list(covariates.values())).astype(float)
    z = (z - z.mean(axis=0)) / z.std(axis=0)

    def slope(beta):
        steps = 1e-30j * np.eye(3)
        return np.array([-partial_loglik(beta + step, days, event, z).imag / 1e-30 for step in steps])

    best = minimize(lambda b: -partial_loglik(b, days, event, z), np.zeros(3), jac=slope, tol=1e-9)
    ours = cox(days, event, dict(zip("abc", z.T, strict=True)))
    assert ours.coef == pytest.approx(best.x, abs=1e-7)
    assert ours.loglik == pytest.approx(-best.fun, rel=1e-12)
    assert ours.loglik >= -best.fun - 1e-12


def weighted_score(beta, days, event, z, weights):
    """Efron's score with case weights, the deaths of a day sharing their mean weight."""
    total = np.zeros(z.shape[1], dtype=complex)
    r = np.exp(z @ beta) * weights
    for day in np.unique(days[event]):
        dead, at_risk = event & (days == day), days >= day
        total += weights[dead] @ z[dead]
        shared = weights[dead].mean()
        for taken in range(dead.sum()):
            f = taken / dead.sum()
            s0 = r[at_risk].sum() - f * r[dead].sum()
            s1 = r[at_risk] @ z[at_risk] - f * (r[dead] @ z[dead])
            total -= shared * s1 / s0
    return total


@pytest.mark.parametrize("seed", range(3))
def test_residuals_are_the_derivatives_of_the_score_in_the_case_weights(seed):
    days, status, _, _, covariates = four(seed, rows=30)
    design = read_design(days, status, covariates, None, None, causes=2)
    event, z = design.status == 1, design.z
    beta = np.array([0.7, -0.4, 0.2])
    rows = block(design.days, event, z, "efron")
    found = residuals(rows, likelihood(rows, beta))
    for row in range(30):
        weights = np.ones(30, dtype=complex)
        weights[row] += 1e-30j
        derivative = weighted_score(beta, design.days, event, z, weights).imag / 1e-30
        assert found[row] == pytest.approx(derivative, abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_the_derivatives_of_the_coefficients_in_the_case_weights(seed):
    days, status, patient, _, covariates = four(seed, rows=30)
    event, z = status == 1, np.column_stack(list(covariates.values())).astype(float)
    fit = cox(days, event, covariates, cluster=patient)
    beta, ones = np.array(fit.coef), np.ones(30)
    turns = [weighted_score(beta + step, days, event, z, ones).imag for step in 1e-30j * np.eye(3)]
    information, totals = -np.array(turns).T / 1e-30, {}
    for row in range(30):
        weights = ones + 1e-30j * (np.arange(30) == row)
        slope = weighted_score(beta, days, event, z, weights).imag / 1e-30
        totals[patient[row]] = totals.get(patient[row], 0) + np.linalg.solve(information, slope)
    expected = np.sqrt(sum(total**2 for total in totals.values()))
    assert fit.std_error == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_fine_gray_is_the_weighted_score_of_its_definition(seed):
    days, status, _, _, covariates = four(seed, rows=40)
    fit = fine_gray(days, status, covariates, convention="crr")
    z = np.column_stack(list(covariates.values())).astype(float)
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    beta = np.array(fit.coef) * np.column_stack(list(covariates.values())).astype(float).std(axis=0)
    r, score = np.exp(z @ beta), np.zeros(3)

    def censoring_before(day):
        product = 1.0
        for u in np.unique(days[days < day]):
            product *= 1 - np.sum((days == u) & (status == 0)) / np.sum(days >= u)
        return product

    for row in np.flatnonzero(status == 1):
        day, s0, s1 = days[row], 0.0, np.zeros(3)
        for i in range(40):
            weight = float(days[i] >= day)
            if status[i] == 2 and days[i] < day:
                weight = censoring_before(day) / censoring_before(days[i])
            s0, s1 = s0 + weight * r[i], s1 + weight * r[i] * z[i]
        score += z[row] - s1 / s0
    assert score == pytest.approx(np.zeros(3), abs=1e-8)
