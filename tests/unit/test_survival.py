"""Edge cases of the estimators: the tables of spec/statistics.md sections 5, 6, 11 and 12.1, row by row."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from fhir_srs.errors import UsageError
from fhir_srs.survival import PRESETS, RowError, aalen_johansen, follow_up, kaplan_meier, proportion

NAMED = [name for name in PRESETS if name != "default"]


@pytest.mark.parametrize("preset", NAMED)
def test_before_the_first_event_a_named_preset_publishes_one_to_one(preset):
    at = kaplan_meier([5, 8], [True, False]).at(3, preset)
    assert (at.value, at.low, at.high, at.status) == (1.0, 1.0, 1.0, "estimated")


def not_estimable(at, reason):
    assert (at.low, at.high, at.reason) == (None, None, reason)
    assert (at.low_status, at.high_status) == ("not-estimable", "not-estimable")


def test_before_the_first_event_the_default_has_no_interval():
    curve = kaplan_meier([5, 8], [True, False])
    not_estimable(curve.at(3), "no-event-yet")
    not_estimable(kaplan_meier([5, 8], [False, False]).at(6), "no-event-yet")


@pytest.mark.parametrize("preset", PRESETS)
def test_at_zero_no_preset_has_an_interval(preset):
    at = kaplan_meier([5, 8, 8], [True, True, True]).at(8, preset)
    assert (at.value, at.status) == (0.0, "estimated")
    not_estimable(at, "survival-zero")


@pytest.mark.parametrize("preset", PRESETS)
def test_without_an_event_of_the_cause_no_preset_has_an_interval(preset):
    at = aalen_johansen([5, 8, 9], [1, 1, 0]).at(8, cause=2, preset=preset)
    assert at.value == 0.0
    not_estimable(at, "no-event-of-this-cause")


@pytest.mark.parametrize("preset", PRESETS)
def test_when_everyone_had_the_event_no_preset_has_an_interval(preset):
    at = aalen_johansen([1, 2, 3], [1, 1, 1]).at(3, preset=preset)
    assert at.value == 1.0
    not_estimable(at, "incidence-one")


def test_outcomes_that_cancel_inside_every_patient_leave_no_variance():
    days, event, patient = [4, 9, 4, 9], [True, False, True, False], ["a", "a", "b", "b"]
    curve = kaplan_meier(days, event, patient)
    not_estimable(curve.at(4), "zero-cluster-variance")
    published = curve.at(4, "ij_log")
    assert (published.low, published.high) == (0.5, 0.5)


@pytest.mark.parametrize("preset", PRESETS)
def test_one_patient_has_no_interval(preset):
    curve = kaplan_meier([4, 6, 9], [True, True, False], ["a", "a", "a"])
    not_estimable(curve.at(4, preset), "one-patient")
    median = curve.quantile(0.5, preset)
    assert (median.value, median.low_status, median.high_status) == (6.0, "not-estimable", "not-estimable")


def test_beyond_the_last_observed_day_nothing_is_carried_forward():
    at = kaplan_meier([5, 8, 8], [True, False, False]).at(9)
    assert (at.value, at.status, at.at_risk) == (None, "not-estimable", 2)
    assert at.reason == "beyond-follow-up (last day 8, 2 at risk)"
    assert kaplan_meier([5, 8, 8], [True, False, False]).at(8).status == "estimated"


def test_a_curve_that_reached_zero_stays_there():
    assert kaplan_meier([5, 8], [True, True]).at(900).value == 0.0
    cif = aalen_johansen([5, 8, 9], [1, 2, 2])
    assert cif.at(900, cause=1).value == pytest.approx(1 / 3)
    assert cif.at(900, cause=1).low is not None


def test_events_precede_censorings_of_one_day():
    assert kaplan_meier([5, 5], [True, False]).at(5).value == 0.5


def test_an_event_on_day_zero_counts_and_is_said():
    at = kaplan_meier([0, 5], [True, False]).at(0)
    assert at.value == 0.5
    assert at.method.endswith("; 1 of the events on day 0")
    cif = aalen_johansen([0, 0, 5], [1, 2, 1])
    assert cif.quantile(0.3).method.endswith("1 of the events on day 0; flat inf")
    assert "day 0" not in kaplan_meier([0, 5], [False, True]).at(0).method


def test_without_events_the_median_is_not_reached():
    median = kaplan_meier([5, 8], [False, False]).quantile(0.5)
    assert (median.value, median.status) == (None, "not-reached")
    assert (median.low_status, median.high_status) == ("not-reached", "not-reached")


def test_no_rows_no_figure():
    for estimate in (
        kaplan_meier([], []).at(5),
        kaplan_meier([], []).quantile(0.5),
        aalen_johansen([], [], []).at(5),
        proportion([]),
    ):
        assert (estimate.status, estimate.reason, estimate.n) == ("not-estimable", "no-rows", 0)


@pytest.mark.parametrize(
    ("days", "event", "inf", "midpoint"),
    [
        ([3, 5, 8, 10, 13, 15], [True] * 6, 8, 9),
        ([2, 4, 9, 9], [True, True, False, False], 4, 6.5),
        ([2, 2, 7, 9], [True, True, True, False], 2, 4.5),
    ],
)
def test_medians_under_both_flat_rules(days, event, inf, midpoint):
    curve = kaplan_meier(days, event)
    assert curve.quantile(0.5).value == inf
    assert curve.quantile(0.5, flat="midpoint").value == midpoint
    assert curve.quantile(0.5, "greenwood_log").value == midpoint


def test_rounding_never_moves_a_median():
    for n in range(2, 201, 2):
        assert kaplan_meier(list(range(1, n + 1)), [True] * n).quantile(0.5).value == n // 2


def test_all_on_one_day_leaves_the_limits_of_the_median_undefined():
    median = kaplan_meier([7, 7, 7], [True] * 3).quantile(0.5)
    assert (median.value, median.low, median.high) == (7.0, None, None)
    assert (median.low_status, median.high_status) == ("not-estimable", "not-reached")


def test_the_median_time_to_an_event_reads_the_incidence_upwards():
    cif = aalen_johansen([3, 5, 8, 10, 13, 15], [1, 1, 1, 1, 2, 2])
    assert cif.quantile(0.5).value == 8
    assert cif.quantile(0.9).status == "not-reached"
    curve = kaplan_meier([3, 5, 8, 10, 13, 15], [True] * 6).quantile(0.5, "greenwood_log")
    alone = aalen_johansen([3, 5, 8, 10, 13, 15], [1] * 6).quantile(0.5, preset="greenwood_log")
    assert alone.value == curve.value == 9


def test_a_part_of_a_preset_can_be_set_alone_and_the_result_says_what_was_used():
    plain = dataclasses.replace(PRESETS["greenwood_log"], name="plain", transform="plain")
    at = kaplan_meier([5, 8, 9, 12], [True, True, False, False]).at(8, plain)
    assert (at.value, at.low) == (0.5, pytest.approx(0.5 - 1.959963984540054 * 0.25))
    assert at.method == "Kaplan-Meier; plain CI (plain: unclustered, normal)"


def test_one_row_for_each_patient_gives_greenwood_exactly():
    days, event = [3, 5, 5, 8, 9, 12], [True, False, True, True, False, True]
    one = kaplan_meier(days, event, list("fedcba"))
    assert list(one.std_error) == list(kaplan_meier(days, event).greenwood)


def test_many_rows_of_unrelated_pairs_agree_with_greenwood():
    generator = np.random.default_rng(7)
    days, event = generator.integers(0, 900, 100_000), generator.random(100_000) < 0.6
    curve = kaplan_meier(days, event, np.arange(100_000) // 2)
    inside = curve.survival > 0.01
    assert curve.std_error[inside] == pytest.approx(curve.greenwood[inside], rel=0.05)


BAD = [
    ({"days": [1.0, 2.0]}, 0),
    ({"days": [1, None]}, 1),
    ({"days": [1, -1]}, 1),
    ({"days": [True, 2]}, 0),
    ({"days": [1, float("nan")]}, 1),
    ({"days": np.array([1.0, 2.0])}, 0),
    ({"event": [1, 2]}, 1),
    ({"event": [None, 1]}, 0),
    ({"event": [1, float("nan")]}, 1),
    ({"event": [1]}, 1),
    ({"cluster": ["a", None]}, 1),
    ({"cluster": ["a", ""]}, 1),
    ({"cluster": ["a", 1]}, 1),
    ({"cluster": [1, float("nan")]}, 1),
    ({"cluster": ["a"]}, 1),
]


@pytest.mark.parametrize(("change", "row"), BAD)
def test_a_row_that_breaks_the_contract_is_named(change, row):
    good = {"days": [1, 2], "event": [1, 0], "cluster": ["a", "b"]}
    with pytest.raises(RowError, match=f"^row {row}: ") as error:
        kaplan_meier(**(good | change))
    assert error.value.row == row


def test_a_status_beyond_the_causes_is_named():
    with pytest.raises(RowError, match="row 2: status must be a whole number from 0 to 2"):
        aalen_johansen([1, 2, 3], [0, 1, 3])


def test_success_must_be_yes_or_no():
    with pytest.raises(RowError, match="row 1: success"):
        proportion([True, None])
    with pytest.raises(RowError, match="row 1: "):
        proportion([True, False], ["a"])


def test_follow_up_refuses_lesions():
    with pytest.raises(RowError, match="one row for each patient"):
        follow_up([5, 8], [True, False], ["a", "a"])


def test_unknown_presets_methods_and_days_are_refused():
    curve = kaplan_meier([5, 8], [True, False])
    for call in (
        lambda: curve.at(5, "best"),
        lambda: curve.at(5.0),
        lambda: curve.at(-1),
        lambda: curve.quantile(1.0),
        lambda: proportion([True], method="wald"),
        lambda: aalen_johansen([5], [1]).at(5, cause=3),
    ):
        with pytest.raises(UsageError):
            call()


def test_with_nothing_but_successes_a_patient_counts_once():
    patients = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    share = proportion([True] * 20, patients)
    assert (share.value, share.high) == (1.0, 1.0)
    assert share.low == pytest.approx(0.768, abs=5e-4)
    none = proportion([False] * 20, patients, "rao-scott-wilson")
    assert (none.low, none.high) == (0.0, pytest.approx(1 - share.low))


def test_singletons_keep_their_published_design_effect():
    wider = proportion([True, False, True, True, False])
    plain = proportion([True, False, True, True, False], deff_min=None)
    exact = proportion([True, False, True, True, False], method="clopper-pearson")
    assert wider == plain
    assert wider.low < exact.low


def test_a_proportion_without_variance_between_patients():
    not_estimable(proportion([True, False], ["a", "a"]), "one-patient")
    both = proportion([True, False, True, False], ["a", "a", "b", "b"], deff_min=None)
    not_estimable(both, "zero-cluster-variance")
    assert proportion([True, False, True, False], ["a", "a", "b", "b"]).status == "estimated"


def test_wilson_of_10_in_20():
    share = proportion([True] * 10 + [False] * 10, method="wilson")  # Newcombe 1998, method 3
    assert (share.low, share.high) == (pytest.approx(0.2993, abs=5e-5), pytest.approx(0.7007, abs=5e-5))


def test_a_report_of_curves_imports_neither_lifelines_nor_pandas():
    code = (
        "import sys; from fhir_srs.survival import *; kaplan_meier([1, 2], [1, 0]).at(1);"
        "aalen_johansen([1, 2], [1, 2]).at(1); proportion([True, False]);"
        "cox([1, 2, 3], [1, 1, 0], {'x': [1, 3, 2]}); log_rank([1, 2], [1, 1], [1, 2]);"
        "sys.exit(bool({'lifelines', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_what_exists_is_public():
    import fhir_srs.survival as survival

    assert all(hasattr(survival, name) for name in survival.__all__)
