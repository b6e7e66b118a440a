"""A million rows: the estimators find what the rows were drawn from (untimed)."""

import numpy as np
import pytest

from fhir_srs.survival import (
    aalen_johansen,
    cox,
    fine_gray,
    gray_test,
    kaplan_meier,
    log_rank,
    restricted_mean,
)

ROWS = 1_000_000


@pytest.fixture(scope="module")
def drawn():
    generator = np.random.default_rng(3)
    x = generator.integers(0, 2, ROWS)
    event = generator.exponential(500 / np.exp(0.2 * x))
    death, end = generator.exponential(900, ROWS), generator.integers(100, 1500, ROWS)
    days = np.ceil(np.minimum(np.minimum(event, death), end)).astype(np.int64)
    status = np.where(days == np.ceil(event), 1, np.where(days == np.ceil(death), 2, 0))
    return days, status, x, np.arange(ROWS) // 2


def test_curves_of_a_million_rows(drawn):
    days, status, x, patient = drawn
    plain = x == 0
    curve = kaplan_meier(days[plain], status[plain] == 1, patient[plain])
    j = int(np.searchsorted(curve.days, 365))
    assert curve.survival[j] == pytest.approx(np.exp(-365 / 500), abs=5 * curve.std_error[j])
    cif = aalen_johansen(days[plain], status[plain], patient[plain])
    both = 1 / 500 + 1 / 900
    truth = (1 / 500) / both * (1 - np.exp(-365 * both))
    assert cif.incidence(1)[j] == pytest.approx(truth, abs=5 * cif.std_error(1)[j])
    mean = restricted_mean(days[plain], status[plain] == 1, 365, patient[plain])
    half_a_day = 0.5 * (1 - np.exp(-365 / 500))  # days are rounded up
    truth = 500 * (1 - np.exp(-365 / 500)) + half_a_day
    assert mean.value == pytest.approx(truth, abs=5 * (mean.high - mean.low) / 4)


def test_tests_of_a_million_rows(drawn):
    days, status, x, _ = drawn
    assert log_rank(days, status == 1, x).p < 1e-300
    assert gray_test(days, status, x).p < 1e-300
    none = np.random.default_rng(4).integers(0, 2, ROWS)
    assert log_rank(days, status == 1, none).p > 1e-4
    assert gray_test(days, status, none).p > 1e-4


@pytest.mark.long
def test_regressions_of_a_million_rows(drawn):
    days, status, x, patient = drawn
    fit = cox(days, status == 1, {"x": x, "noise": patient % 7}, cluster=patient)
    assert fit.coef == pytest.approx((0.2, 0), abs=5 * max(fit.std_error))
    assert fit.std_error == pytest.approx(fit.model_error, rel=0.02)  # patients share nothing here
    assert fine_gray(days, status, {"x": x}, cluster=patient).coef[0] > 0.1
