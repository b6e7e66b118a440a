"""Gray's test and Turnbull's estimator against spec/statistics.md 12.4, permutation, published results."""

import numpy as np
import pytest

from fhir_srs.survival import gray_test, kaplan_meier, log_rank, turnbull
from fhir_srs.survival.gray import score
from fhir_srs.survival.logrank import read_compared
from fhir_srs.survival.logrank import score as log_rank_score
from tests.reference.worked import DAYS, STATUS, X, drawn

# Finkelstein and Wolfe, Biometrics 1985;41:933: breast cosmesis, radiotherapy alone, months, (left, right].
COSMESIS = (
    "0-7 0-8 0-5 4-11 5-12 5-11 6-10 7-16 7-14 11-15 11-18 17-25 17-25 19-35 18-26 25-37 26-40 27-34 36-44 "
    "36-48 37-44 15- 17- 18- 22- 24- 24- 32- 33- 34- 36- 36- 37- 37- 37- 38- 40- 45- "
    "46- 46- 46- 46- 46- 46- 46- 46-"
)


def sides(text):
    pairs = [one.partition("-") for one in text.split()]
    return [int(low) for low, _, _ in pairs], [float(high or "inf") for _, _, high in pairs]


def test_gray_of_the_worked_example():
    order = np.lexsort((X, STATUS, DAYS))
    z, variance = score(*(np.array(column)[order] for column in (DAYS, STATUS, X)), groups=2, rho=0)
    assert z[0] == pytest.approx(1.8757512182, abs=5e-11)
    assert variance[0, 0] == pytest.approx(1.9759233092, abs=5e-11)
    result = gray_test(DAYS, STATUS, X)
    assert result.statistic == pytest.approx(1.7806574861, abs=5e-11)
    assert (result.df, result.events) == (1, 10)


@pytest.mark.parametrize("seed", range(4))
def test_without_a_competing_event_the_score_is_that_of_the_log_rank_test(seed):
    days, status, _ = drawn(seed)
    event, group = status == 1, np.random.default_rng(seed).integers(0, 3, 60)
    order = np.lexsort((group, event, days))
    z, _ = score(days[order], event[order].astype(int), group[order], groups=3, rho=0)
    expected = log_rank_score(read_compared(days, event, group, None, None), rho=0)
    assert z == pytest.approx(expected.observed - expected.expected, abs=1e-10)


def test_the_p_value_of_gray_is_that_of_permuted_groups():
    days, status, _ = drawn(8, rows=200, last=120)
    generator = np.random.default_rng(5)
    group = generator.integers(0, 2, 200)
    ours = gray_test(days, status, group)
    higher = [
        gray_test(days, status, generator.permutation(group)).statistic >= ours.statistic for _ in range(1000)
    ]
    # Four standard errors of 1,000 draws, and a little for a chi-square that holds for many rows only.
    assert np.mean(higher) == pytest.approx(ours.p, abs=4 * np.sqrt(0.25 / 1000) + 0.01)


@pytest.mark.long
@pytest.mark.parametrize("rho", [0, 1])
def test_gray_rejects_a_true_null_hypothesis_as_often_as_it_should(rho):
    rejected, generator = 0, np.random.default_rng(17 + rho)
    for _ in range(2000):
        event, death = generator.exponential(400, 60), generator.exponential(600, 60)
        end = generator.integers(200, 1100, 60)
        days = np.ceil(np.minimum(np.minimum(event, death), end)).astype(int)
        status = np.where(end < np.minimum(event, death), 0, np.where(event < death, 1, 2))
        rejected += gray_test(days, status, np.arange(60) % 2, rho=rho).p < 0.05
    assert 0.035 <= rejected / 2000 <= 0.07


@pytest.mark.long
def test_the_clustered_log_rank_test_holds_its_size_where_the_plain_one_does_not():
    generator, plain, robust = np.random.default_rng(23), 0, 0
    patient = np.repeat(np.arange(40), 3)
    group = (patient % 2).tolist()  # all lesions of a patient in one group: clustering matters most
    for _ in range(1000):
        rate = generator.gamma(1, 1, 40)[patient] / 400
        event, end = generator.exponential(1 / rate), generator.integers(200, 1100, 40)[patient]
        days = np.ceil(np.minimum(event, end)).astype(int)
        plain += log_rank(days, event <= end, group).p < 0.05
        robust += log_rank(days, event <= end, group, cluster=patient).p < 0.05
    assert 0.03 <= robust / 1000 <= 0.075
    assert plain / 1000 > 0.1


def test_turnbull_of_the_cosmesis_data():
    low, high = sides(COSMESIS)
    found = turnbull(low, high)
    kept = found.mass > 5e-5
    intervals = list(zip(found.left[kept], found.right[kept], strict=True))
    assert intervals == [(4, 5), (6, 7), (7, 8), (11, 12), (24, 25), (33, 34), (38, 40), (46, 48)]
    expected = [0.0463, 0.0334, 0.0887, 0.0708, 0.0926, 0.0818, 0.1209, 0.4656]
    assert found.mass[kept] == pytest.approx(expected, abs=5e-5)
    assert found.loglik == pytest.approx(-58.0600, abs=5e-5)
    assert found.n == 46


def test_turnbull_of_exact_and_right_censored_days_is_kaplan_meier():
    days, status, _ = drawn(2, rows=40)
    event = status == 1
    found = turnbull(np.where(event, days - 1, days), np.where(event, days, np.inf))
    curve = kaplan_meier(days, event)
    for day, expected in zip(curve.days, curve.survival, strict=True):
        assert found.survival(int(day)) == pytest.approx((expected, expected), abs=1e-7)
    assert found.median().value == curve.quantile(0.5).value


@pytest.mark.parametrize("seed", range(4))
def test_the_certificate_of_turnbull_holds_by_its_definition(seed):
    generator = np.random.default_rng(seed)
    low = generator.integers(-1, 30, 50)
    high = np.where(generator.random(50) < 0.3, np.inf, low + generator.integers(1, 15, 50))
    found = turnbull(low, high)
    holds = (low[:, None] <= found.left) & (found.right <= high[:, None])
    gain = (holds / (holds @ found.mass)[:, None]).mean(axis=0)
    assert gain.max() - 1 <= 1.1e-9
    assert found.mass.sum() == pytest.approx(1, abs=1e-12)
    assert found.loglik == pytest.approx(np.log(holds @ found.mass).sum(), abs=1e-10)
