"""What holds for any rows of tests and regressions: spec/statistics.md section 12.5, item 3."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fhir_srs.model import TestResult
from fhir_srs.survival import cox, fine_gray, fine_gray_test, gray_test, log_rank, restricted_mean, turnbull
from fhir_srs.survival.regression import read_design
from fhir_srs.survival.risk_sets import block, likelihood, residuals

ROW = st.tuples(
    st.integers(0, 12),
    st.integers(0, 2),
    st.integers(0, 6),
    st.integers(0, 2),
    st.sampled_from([-1.5, 0, 2, 7]),
)
ROWS = st.lists(ROW, min_size=2, max_size=25)
FEW = settings(max_examples=50, deadline=None)


def columns(rows):
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def figures(rows, *, factor=1, names=None):
    """Every test and fit of *rows*, by name."""
    days, status, patient, group, x = columns(rows)
    days, event = days * factor, status == 1
    people = patient if names is None else np.array([f"p{names[one]}" for one in patient])
    covariates = {"x": x, "group": group}
    return {
        "mean": restricted_mean(days, event, 6 * factor, people),
        "log-rank": log_rank(days, event, group, strata=patient % 2),
        "weighted": log_rank(days, event, group, rho=1),
        "clustered": log_rank(days, event, group, cluster=people),
        "gray": gray_test(days, status, group),
        "incidence": fine_gray_test(days, status, group, cluster=people),
        "cox": cox(days, event, covariates, cluster=people).plain(),
        "ph": cox(days, event, covariates).proportional_hazards("km")["global"],
        "fine-gray": fine_gray(days, status, covariates, cluster=people),
    }


def close(one, other):
    if one is None or other is None:
        return one is other
    return bool(np.isclose(one, other, rtol=1e-6, atol=1e-9))


def alike(one, other):
    if isinstance(one, TestResult):
        return one.reason == other.reason and close(one.statistic, other.statistic) and one.df == other.df
    fields = ("coef", "std_error") if hasattr(one, "coef") else ("value", "low", "high")
    pairs = [(getattr(one, name), getattr(other, name)) for name in fields]
    flat = [(p if isinstance(p, tuple) else (p,), q if isinstance(q, tuple) else (q,)) for p, q in pairs]
    return one.reason == other.reason and all(close(*two) for p, q in flat for two in zip(p, q, strict=True))


@FEW
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert figures(rows) == figures(shuffled)
    lows = ([day - 1 for day, *_ in order] for order in (rows, shuffled))
    first, second = (turnbull(low, [day + 3 for day in low]) for low in lows)
    assert (first.mass.tobytes(), first.left.tobytes()) == (second.mass.tobytes(), second.left.tobytes())


@FEW
@given(ROWS, st.permutations(range(7)))
def test_the_names_of_patients_do_not_matter(rows, names):
    renamed = figures(rows, names=names)
    for name, figure in figures(rows).items():
        assert alike(figure, renamed[name]), name


@FEW
@given(ROWS, st.integers(2, 30))
def test_a_change_of_unit_changes_no_test_and_no_coefficient(rows, factor):
    scaled = figures(rows, factor=factor)
    for name, figure in figures(rows).items():
        if name != "mean":
            assert figure == scaled[name], name
        elif figure.value is not None:
            assert scaled[name].value == pytest.approx(factor * figure.value, rel=1e-12)


@FEW
@given(ROWS)
def test_no_result_holds_nan_or_infinity(rows):
    for name, figure in figures(rows).items():
        values = [
            number
            for field in (
                "value",
                "low",
                "high",
                "statistic",
                "p",
                "coef",
                "std_error",
                "model_error",
                "loglik",
            )
            for number in np.atleast_1d(np.array(getattr(figure, field, None), dtype=object))
            if number is not None
        ]
        assert np.isfinite(np.array(values, dtype=float)).all(), name
        assert (figure.status == "estimated") or figure.reason, name


@FEW
@given(ROWS)
def test_each_row_its_own_patient_is_what_no_patients_mean(rows):
    days, status, _, _, x = columns(rows)
    alone, event = np.arange(len(days)), status == 1
    named, unnamed = (fine_gray(days, status, {"x": x}, cluster=one) for one in (alone, None))
    assert alike(named, unnamed)
    assert alike(cox(days, event, {"x": x}, cluster=alone), cox(days, event, {"x": x}))
    mean, robust = (restricted_mean(days, event, 6, one) for one in (None, alone))
    assert alike(mean, robust)


@FEW
@given(ROWS)
def test_without_competing_events_fine_gray_is_cox(rows):
    days, status, patient, _, x = columns(rows)
    event = status == 1
    model, ours = (
        cox(days, event, {"x": x}, cluster=patient).plain(),
        fine_gray(days, event.astype(int), {"x": x}, cluster=patient),
    )
    assert (model.coef, model.std_error, model.loglik, model.reason) == (
        ours.coef,
        ours.std_error,
        ours.loglik,
        ours.reason,
    )


@FEW
@given(ROWS)
def test_without_competing_events_the_test_of_incidences_is_the_clustered_log_rank_test(rows):
    days, status, patient, group, _ = columns(rows)
    event = status == 1
    one = log_rank(days, event, group, cluster=patient)
    other = fine_gray_test(days, event.astype(int), group, cluster=patient)
    assert (one.reason, one.df) == (other.reason, other.df)
    assert close(one.statistic, other.statistic)


@FEW
@given(ROWS)
def test_residuals_sum_to_the_score_which_is_zero_at_the_maximum(rows):
    days, status, _, _, x = columns(rows)
    fit = cox(days, status == 1, {"x": x})
    assume(fit.status == "estimated")
    design = read_design(days, status == 1, {"x": x}, None, None, causes=1)
    one = block(design.days, design.status == 1, design.z, "efron")
    at = likelihood(one, np.array(fit.coef) * design.scale)
    assert residuals(one, at).sum(axis=0) == pytest.approx(at.score, abs=1e-9)
    assert at.score == pytest.approx([0.0], abs=1e-7)


@FEW
@given(ROWS)
def test_names_of_groups_do_not_matter_to_a_test(rows):
    days, status, patient, group, _ = columns(rows)
    event = status == 1
    tests = (
        lambda g: log_rank(days, event, g),
        lambda g: log_rank(days, event, g, cluster=patient),
        lambda g: gray_test(days, status, g),
        lambda g: fine_gray_test(days, status, g, cluster=patient),
    )
    for test, order in itertools.product(tests, [(2, 1, 0), (1, 2, 0)]):
        assert alike(test(group), test(np.array(order)[group]))


@FEW
@given(ROWS)
def test_swapping_two_groups_turns_the_sign_of_the_coefficient_only(rows):
    days, status, patient, group, _ = columns(rows)
    one, other = (cox(days, status == 1, {"g": g}, cluster=patient) for g in (group == 0, group != 0))
    assume(one.status == "estimated")
    assert other.coef[0] == pytest.approx(-one.coef[0], abs=1e-9)
    assert close(other.std_error[0], one.std_error[0])


@FEW
@given(ROWS, st.integers(1, 6))
def test_turnbull_holds_its_certificate_and_a_whole_mass(rows, width):
    days, status, *_ = columns(rows)
    low, high = days - 1, np.where(status == 0, np.inf, days + width)
    found = turnbull(low, high)
    assert found.status == "estimated"
    assert found.mass.sum() == pytest.approx(1, abs=1e-12)
    holds = (low[:, None] <= found.left) & (found.right <= high[:, None])
    assert (holds / (holds @ found.mass)[:, None]).mean(axis=0).max() <= 1 + 2e-9
    for day in range(15):
        low_end, high_end = found.survival(day)
        assert 0 <= low_end <= high_end <= 1
