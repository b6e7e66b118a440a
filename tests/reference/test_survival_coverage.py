"""Coverage of the default intervals by simulation: the designs of spec/statistics.md sections 5 and 11."""

import numpy as np
import pytest

from fhir_srs.survival import aalen_johansen, kaplan_meier, proportion

pytestmark = pytest.mark.long

STUDIES = 2_000
HORIZON, TRUTH = 365, 0.70
DESIGNS = [(60, 48), (40, 32), (60, 24)]


def spread(lesions, patients):
    """A patient number for each lesion, as even as can be."""
    return np.sort(np.arange(lesions) % patients)


def frailties(generator, patients, variance):
    if variance == 0:
        return np.ones(patients)
    return generator.gamma(1 / variance, variance, patients)


def marginal_hazard(variance, survival):
    """The rate at which survival at the horizon, averaged over a gamma frailty, is *survival*."""
    if variance == 0:
        return -np.log(survival) / HORIZON
    return (survival**-variance - 1) / (variance * HORIZON)


def lesion_times(generator, patient, patients, variance):
    rate = marginal_hazard(variance, TRUTH) * frailties(generator, patients, variance)[patient]
    return np.ceil(generator.exponential(1 / rate))


def holds(estimate, truth):
    return estimate.low is not None and estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("variance", [0, 1, 3])
@pytest.mark.parametrize(("lesions", "patients"), DESIGNS)
def test_the_default_interval_of_kaplan_meier_covers(lesions, patients, variance):
    generator, covered, made = np.random.default_rng(lesions + patients + variance), 0, 0
    patient = spread(lesions, patients)
    for _ in range(STUDIES):
        event = lesion_times(generator, patient, patients, variance)
        end = generator.integers(200, 1100, patients)[patient]  # one follow-up for all lesions of a patient
        days = np.minimum(event, end).astype(np.int64)
        at = kaplan_meier(days, event <= end, patient).at(HORIZON)
        made += at.low is not None
        covered += holds(at, TRUTH)
    assert made > 0.99 * STUDIES
    assert covered / made >= 0.925


@pytest.mark.parametrize("variance", [0, 1, 3])
@pytest.mark.parametrize(("lesions", "patients"), DESIGNS)
def test_the_default_interval_of_an_incidence_covers(lesions, patients, variance):
    patient, death_rate = spread(lesions, patients), 1 / 900

    def study(generator, patient, patients):
        event = lesion_times(generator, patient, patients, variance)
        death = np.ceil(generator.exponential(1 / death_rate, patients))[patient]
        end = generator.integers(200, 1100, patients)[patient]
        days = np.minimum(np.minimum(event, death), end)
        status = np.where(days == event, 1, np.where(days == death, 2, 0))
        return days.astype(np.int64), status, event, death

    generator = np.random.default_rng(1000 + lesions + patients + variance)
    many = np.arange(400_000)
    _, _, event, death = study(generator, many, len(many))
    truth = float(np.mean((event <= HORIZON) & (event <= death)))
    covered = made = 0
    for _ in range(STUDIES):
        days, status, _, _ = study(generator, patient, patients)
        at = aalen_johansen(days, status, patient).at(HORIZON)
        made += at.low is not None
        covered += holds(at, truth)
    assert made > 0.99 * STUDIES
    assert covered / made >= 0.925


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("share", [0.50, 0.70, 0.85, 0.95])
def test_korn_graubard_covers(share, correlation):
    generator, covered = np.random.default_rng(int(1000 * share + 10 * correlation)), 0
    patient, patients = spread(40, 32), 32
    for _ in range(STUDIES):
        shared = generator.random(patients) < share
        copied = generator.random(40) < np.sqrt(correlation)  # two rows agree if both copy their patient
        success = np.where(copied, shared[patient], generator.random(40) < share)
        covered += holds(proportion(success, patient), share)
    assert covered / STUDIES >= 0.945
