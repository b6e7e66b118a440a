"""Coverage of the default intervals by simulation: the designs of spec/statistics.md sections 5 and 11.

`python -m tests.reference.test_survival_coverage` keeps what it finds in docs/measured/coverage.json; the
table in docs/statistics.md is made of that.
"""

import numpy as np
import pytest

from fhir_srs.survival import aalen_johansen, kaplan_meier, proportion, restricted_mean
from tests.measured import keep

pytestmark = pytest.mark.long

STUDIES = 2_000
HORIZON, TRUTH = 365, 0.70
DESIGNS = [(60, 48), (40, 32), (60, 24)]
COHORT = (61, 49)  # lesions and patients of Ryu et al. 2008
COHORT_STUDIES = 4_000
FRAILTIES = [0, 1, 3]
CORRELATIONS, SHARES = [0.0, 0.3, 0.6, 0.9], [0.50, 0.70, 0.85, 0.95]
DEATH_RATE = 1 / 900


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


def covered(figures, truth):
    """The share of *figures* with an interval whose interval holds *truth*; nearly all must have one."""
    figures = list(figures)
    made = [one for one in figures if one.low is not None]
    assert len(made) > 0.99 * len(figures)
    return np.mean([holds(one, truth) for one in made])


def followed(generator, patient, patients, variance):
    """Days and events of one study; all lesions of a patient are followed equally long."""
    event = lesion_times(generator, patient, patients, variance)
    end = generator.integers(200, 1100, patients)[patient]
    return np.minimum(event, end).astype(np.int64), event <= end


def survival_coverage(lesions, patients, variance, studies=STUDIES):
    generator, patient = np.random.default_rng(lesions + patients + variance), spread(lesions, patients)
    rows = (followed(generator, patient, patients, variance) for _ in range(studies))
    return covered((kaplan_meier(*row, patient).at(HORIZON) for row in rows), TRUTH)


def mean_coverage(lesions, patients, variance, studies=STUDIES):
    generator, patient = np.random.default_rng(500 + lesions + variance), spread(lesions, patients)
    many = lesion_times(np.random.default_rng(99), np.arange(400_000), 400_000, variance)
    truth = float(np.minimum(many, HORIZON).mean())  # its own error is 0.2 days
    rows = (followed(generator, patient, patients, variance) for _ in range(studies))
    return covered((restricted_mean(*row, HORIZON, patient) for row in rows), truth)


def competing(generator, patient, patients, variance):
    """Days and status of one study in which death competes, and the true times behind them."""
    event = lesion_times(generator, patient, patients, variance)
    death = np.ceil(generator.exponential(1 / DEATH_RATE, patients))[patient]
    end = generator.integers(200, 1100, patients)[patient]
    days = np.minimum(np.minimum(event, death), end)
    status = np.where(days == event, 1, np.where(days == death, 2, 0))
    return days.astype(np.int64), status, event, death


def incidence_coverage(lesions, patients, variance, studies=STUDIES):
    generator, patient = (
        np.random.default_rng(1000 + lesions + patients + variance),
        spread(lesions, patients),
    )
    _, _, event, death = competing(generator, np.arange(400_000), 400_000, variance)
    truth = float(np.mean((event <= HORIZON) & (event <= death)))
    rows = (competing(generator, patient, patients, variance) for _ in range(studies))
    return covered((aalen_johansen(*row[:2], patient).at(HORIZON) for row in rows), truth)


def proportion_coverage(share, correlation, lesions, patients, method="korn-graubard", studies=STUDIES):
    generator = np.random.default_rng(int(1000 * share + 10 * correlation) + lesions - 40)
    patient, figures = spread(lesions, patients), []
    for _ in range(studies):
        shared = generator.random(patients) < share
        copied = generator.random(lesions) < np.sqrt(correlation)  # two rows agree if both copy their patient
        success = np.where(copied, shared[patient], generator.random(lesions) < share)
        figures.append(holds(proportion(success, patient, method), share))
    return np.mean(figures)


@pytest.mark.parametrize("variance", FRAILTIES)
@pytest.mark.parametrize(("lesions", "patients"), DESIGNS)
def test_the_default_interval_of_kaplan_meier_covers(lesions, patients, variance):
    assert survival_coverage(lesions, patients, variance) >= 0.925


@pytest.mark.parametrize("variance", FRAILTIES)
@pytest.mark.parametrize(("lesions", "patients"), DESIGNS)
def test_the_default_interval_of_an_incidence_covers(lesions, patients, variance):
    assert incidence_coverage(lesions, patients, variance) >= 0.925


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("share", SHARES)
def test_korn_graubard_covers(share, correlation):
    assert proportion_coverage(share, correlation, 40, 32) >= 0.945


@pytest.mark.parametrize("variance", FRAILTIES)
def test_intervals_of_a_cohort_of_61_lesions_in_49_patients_cover_what_they_say(variance):
    assert 0.935 <= survival_coverage(*COHORT, variance, COHORT_STUDIES) <= 0.97
    assert 0.935 <= incidence_coverage(*COHORT, variance, COHORT_STUDIES) <= 0.97


@pytest.mark.parametrize("variance", FRAILTIES)
def test_the_interval_of_a_restricted_mean_covers(variance):
    assert mean_coverage(*COHORT, variance) >= 0.925


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("share", SHARES)
def test_korn_graubard_covers_at_61_lesions_in_49_patients(share, correlation):
    assert proportion_coverage(share, correlation, *COHORT) >= 0.945


FIGURES = {
    "Kaplan-Meier at 365 days": survival_coverage,
    "cumulative incidence at 365 days": incidence_coverage,
    "restricted mean to 365 days": mean_coverage,
}
METHODS = ("korn-graubard", "clopper-pearson")


def curve_row(name):
    """The coverage of a figure at 61 lesions in 49 patients, by the variance of the frailty."""
    return [round(float(FIGURES[name](*COHORT, variance, COHORT_STUDIES)), 4) for variance in FRAILTIES]


def share_row(share, method):
    """The coverage of a proportion at 61 lesions in 49 patients, by the correlation within patients."""
    found = (proportion_coverage(share, one, *COHORT, method, COHORT_STUDIES) for one in CORRELATIONS)
    return [round(float(one), 4) for one in found]


def main():
    """Keeps the coverage of 95 % intervals in the cohort's design."""
    lesions, patients = COHORT
    keep(
        "coverage",
        {
            "lesions": lesions,
            "patients": patients,
            "studies": COHORT_STUDIES,
            "truth": TRUTH,
            "frailties": FRAILTIES,
            "curves": {name: curve_row(name) for name in FIGURES},
            "correlations": CORRELATIONS,
            "proportions": {
                f"{share:.2f}, {method}": share_row(share, method) for share in SHARES for method in METHODS
            },
        },
    )


if __name__ == "__main__":
    main()
