"""Edge cases of restricted mean, log-rank, Gray, Turnbull and landmark: spec/statistics.md 7, 8, 10, 12.1."""

import numpy as np
import pytest

from fhir_srs.errors import UsageError
from fhir_srs.survival import (
    REASONS,
    RowError,
    fine_gray_test,
    gray_test,
    landmark,
    log_rank,
    restricted_mean,
    turnbull,
    turnbull_survival,
)

NEVER = np.inf


def why(result):
    assert result.reason.split(" (")[0] in REASONS
    return result.reason


def without_interval(estimate, reason):
    assert estimate.status == "estimated"
    assert (estimate.low, estimate.high, why(estimate)) == (None, None, reason)
    assert (estimate.low_status, estimate.high_status) == ("not-estimable", "not-estimable")


def no_test(result, reason):
    assert (result.status, result.statistic, result.df, result.p) == ("not-estimable", None, None, None)
    assert why(result) == reason


def test_a_restricted_mean_beyond_follow_up_is_not_estimable_unless_the_curve_reached_zero():
    beyond = restricted_mean([5, 8, 8], [True, False, False], 9)
    assert (beyond.value, beyond.status) == (None, "not-estimable")
    assert why(beyond) == "beyond-follow-up (last day 8, 2 at risk)"
    assert restricted_mean([5, 8, 8], [True, False, False], 8).status == "estimated"
    assert restricted_mean([5, 8], [True, True], 900).value == 6.5


def test_a_restricted_mean_without_variance_says_why():
    without_interval(restricted_mean([5, 8], [True, False], 5), "no-event-yet")
    without_interval(restricted_mean([7, 7], [True, True], 9), "survival-zero")
    without_interval(restricted_mean([4, 6, 9], [True, True, False], 8, ["a", "a", "a"]), "one-patient")
    opposite = restricted_mean([4, 9, 4, 9], [True, False, True, False], 9, ["a", "a", "b", "b"])
    without_interval(opposite, "zero-cluster-variance")
    assert restricted_mean([], [], 9).reason == "no-rows"


def test_an_event_on_day_0_takes_its_share_of_the_restricted_mean():
    assert restricted_mean([0, 10], [True, False], 10).value == 5.0


@pytest.mark.parametrize("tau", [0, -1, 30.4375, True, None])
def test_a_horizon_is_a_whole_day(tau):
    with pytest.raises(UsageError, match="whole number of days"):
        restricted_mean([5, 8], [True, False], tau)


@pytest.mark.parametrize("test", [log_rank, gray_test, fine_gray_test])
def test_what_cannot_be_compared_is_a_result_with_a_reason(test):
    no_test(test([], [], []), "no-rows")
    no_test(test([5, 8], [1, 0], ["a", "a"]), "one-group")
    no_test(test([5, 8], [0, 0], ["a", "b"]), "no-event")
    no_test(test([5, 8], [0, 1], ["a", "b"]), "groups-never-together")
    if test is not fine_gray_test:  # it has no strata
        no_test(test([5, 8], [1, 1], ["a", "b"], strata=[1, 2]), "groups-never-together")


@pytest.mark.parametrize("seed", range(3))
def test_groups_that_are_never_together_are_no_test_however_many_rows_there_are(seed):
    generator = np.random.default_rng(seed)
    days, status = generator.integers(0, 400, 600), generator.integers(0, 3, 600)
    strata = generator.integers(0, 3, 600)
    group = strata + 5  # each stratum is a group of its own
    event = status == 1
    no_test(log_rank(days, event, group, strata=strata), "groups-never-together")
    no_test(log_rank(days, event, group, strata=strata, rho=0.5), "groups-never-together")
    no_test(log_rank(days, event, group, strata=strata, cluster=np.arange(600)), "groups-never-together")
    no_test(gray_test(days, status, group, strata=strata), "groups-never-together")


def test_a_clustered_log_rank_test_needs_more_patients_than_degrees_of_freedom():
    days, event, group = [1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 0, 1], [1, 1, 2, 2, 3, 3]
    no_test(log_rank(days, event, group, cluster=["a", "a", "b", "b", "b", "b"]), "too-few-patients")
    no_test(log_rank(days, event, group, cluster=["a"] * 6), "too-few-patients")
    assert log_rank(days, event, group, cluster=list("aabcde")).df == 2


def test_a_group_that_is_never_compared_drops_out_of_the_degrees_of_freedom():
    days, event = [1, 5, 8, 9, 12, 14], [0, 1, 1, 1, 0, 1]
    three = log_rank(days, event, ["early", "a", "b", "a", "b", "a"])
    two = log_rank(days[1:], event[1:], ["a", "b", "a", "b", "a"])
    assert three.df == 1
    assert three.statistic == pytest.approx(two.statistic, abs=1e-12)


def test_groups_that_meet_in_pairs_only_leave_their_own_degrees_of_freedom():
    days, event = [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 0, 1, 1, 1, 0]
    group, strata = [1, 2, 1, 2, 3, 4, 3, 4], [1, 1, 1, 1, 2, 2, 2, 2]
    result = log_rank(days, event, group, strata)
    apart = [log_rank(days[i : i + 4], event[i : i + 4], group[i : i + 4]) for i in (0, 4)]
    assert result.df == 2
    assert result.statistic == pytest.approx(sum(one.statistic for one in apart), abs=1e-12)


def test_weights_and_clusters_are_refused_together():
    with pytest.raises(UsageError, match="weights"):
        log_rank([5, 8], [1, 1], ["a", "b"], cluster=[1, 2], rho=1)
    with pytest.raises(UsageError, match="negative"):
        log_rank([5, 8], [1, 1], ["a", "b"], rho=-1)
    with pytest.raises(UsageError, match="causes"):
        gray_test([5, 8], [1, 1], ["a", "b"], cause=0)


def test_a_test_says_whether_it_ignores_clustering():
    data = ([1, 2, 3, 4], [1, 1, 1, 1], ["a", "b", "a", "b"])
    assert "ignores clustering" in log_rank(*data).method
    assert "ignores clustering" in gray_test(*data).method
    assert "patients as clusters" in log_rank(*data, cluster=[1, 2, 3, 4]).method


def test_gray_with_an_exhausted_group_counts_only_the_days_on_which_groups_are_together():
    days, status = [1, 2, 3, 4, 8, 9, 10], [1, 2, 1, 1, 1, 1, 1]
    group = ["a", "b", "a", "b", "b", "b", "b"]
    later = gray_test([1, 2, 3, 4, 18, 19, 20], status, group)
    assert gray_test(days, status, group).statistic == later.statistic


def test_every_fault_of_every_column_is_named_at_once():
    with pytest.raises(RowError) as error:
        log_rank([1, -2, 3.0], [1, 2, None], ["a", 1, "b"], cluster=["p", "p"])
    assert error.value.row == error.value.faults[0][0] == 2
    assert {(row, rule.split()[0]) for row, rule in error.value.faults} == {
        (2, "days"),
        (1, "group"),
        (2, "event"),
        (2, "days"),
    }
    assert "row 1: group" in str(error.value)


def test_a_long_list_of_faults_is_counted():
    with pytest.raises(RowError) as error:
        restricted_mean([-1] * 50, [True] * 50, 5)
    assert len(error.value.faults) == 50
    assert str(error.value).endswith("and 30 more")


def test_no_value_of_a_row_is_in_a_message():
    with pytest.raises(RowError) as error:
        log_rank([-987654], [7], ["a"], cluster=[None])
    assert "987654" not in str(error.value)


def test_half_the_mass_in_an_open_interval_is_a_median_not_reached():
    found = turnbull([0, 7, 14, 14], [7, NEVER, NEVER, NEVER])
    assert found.median_interval() == (14.0, NEVER)
    median = found.median()
    assert (median.value, median.status) == (None, "not-reached")
    assert median.method == "Turnbull NPMLE; the median lies in (14, never]"


def test_survival_inside_a_support_interval_has_two_ends():
    found = turnbull([0, 0, 7, 7], [7, 7, 14, 14])
    assert found.survival(3) == pytest.approx((0.5, 1.0))
    assert found.survival(7) == pytest.approx((0.5, 0.5))
    assert found.survival(10) == pytest.approx((0.0, 0.5))
    assert found.survival(14) == pytest.approx((0.0, 0.0))
    assert found.median().value == 7


def test_an_exact_day_is_an_interval_of_one_day():
    found = turnbull([-1, 4], [0, 5])
    assert list(zip(found.left, found.right, strict=True)) == [(-1, 0), (4, 5)]
    assert found.survival(0) == pytest.approx((0.5, 0.5))


def test_no_interval_no_estimate():
    found = turnbull([], [])
    assert (found.status, found.reason, found.n) == ("not-estimable", "no-rows", 0)
    assert found.survival(5) is None
    assert (found.median().status, found.median().reason) == ("not-estimable", "no-rows")


@pytest.mark.parametrize(
    ("left", "right", "fault"),
    [
        ([0, 7], [7, 7], "row 1: right must be later than left"),
        ([0, -2], [7, 7], "row 1: left must not be below -1"),
        ([0, 1.5], [7, 7], "row 1: left must be a whole number"),
        ([0, 1], [7, 7.5], "row 1: right must be a whole number or infinity"),
        ([0, 1], [7, float("nan")], "row 1: right must be a whole number or infinity"),
        ([0, 1], [7, None], "row 1: right must be a whole number or infinity"),
        ([0, 1], [7], "row 1: left and right must have the same number of rows"),
    ],
)
def test_bad_intervals_are_named(left, right, fault):
    with pytest.raises(RowError) as error:
        turnbull(left, right)
    assert fault in str(error.value)


def test_a_likelihood_that_was_not_brought_to_its_maximum_is_no_result(monkeypatch):
    import fhir_srs.survival.npmle as npmle

    monkeypatch.setattr(npmle, "ROUNDS", 1)
    found = turnbull([0, 3, 5, 6, 8, 9], [7, 9, 8, NEVER, 12, 11])
    assert (found.status, found.reason, len(found.mass)) == ("not-estimable", "not-converged", 0)


def test_the_bootstrap_of_a_fixed_day_says_that_it_is_approximate_and_names_its_seed():
    left, right = [0, 0, 0, 7, 7, 14, 14, 21], [7, 7, 14, 14, 21, 21, NEVER, NEVER]
    at = turnbull_survival(left, right, 21, seed=11)
    assert at.method == "Turnbull NPMLE; approximate bootstrap of patients (1000 resamples, seed 11)"
    assert at.low < at.value < at.high
    assert turnbull_survival(left[::-1], right[::-1], 21, seed=11) == at
    both = turnbull_survival(left, right, 21, seed=11, cluster=list("aabbccdd"))
    assert (both.n, both.clusters, both.value) == (8, 4, at.value)


def test_the_bootstrap_refuses_what_it_cannot_say():
    inside = turnbull_survival([0, 7], [7, 14], 10, seed=1)
    assert (inside.status, inside.value) == ("not-estimable", None)
    assert why(inside) == "inside-support-interval (between 0.0000 and 0.5000)"
    without_interval(turnbull_survival([0, 7], [7, 14], 7, seed=1, cluster=["a", "a"]), "one-patient")
    assert turnbull_survival([], [], 7, seed=1).reason == "no-rows"
    for call in (
        lambda: turnbull_survival([0], [7], 7, seed=1, resamples=100),
        lambda: turnbull_survival([0], [7], 7.0, seed=1),
    ):
        with pytest.raises(UsageError):
            call()


def test_a_landmark_keeps_those_still_observed_and_counts_the_others():
    found = landmark([10, 90, 91, 200], 90)
    assert found.kept.tolist() == [False, False, True, True]
    assert found.days.tolist() == [1, 110]
    assert found.left_out == 2
    assert landmark([], 90).left_out == 0
    with pytest.raises(UsageError):
        landmark([10], -1)
