"""Edge cases of Cox and Fine-Gray: what cannot be estimated says why (spec/statistics.md 9 and 12.1)."""

import msgspec
import numpy as np
import pytest

from fhir_srs.errors import UsageError
from fhir_srs.model import Fit, to_json
from fhir_srs.survival import REASONS, RowError, cox, fine_gray

DAYS, EVENT, DOSE = [3, 5, 8, 9, 12, 15], [1, 1, 0, 1, 1, 0], [16, 24, 18, 20, 16, 22]
REGRESSIONS = [cox, fine_gray]


def not_estimable(fit, reason):
    assert fit.reason.split(" (")[0] in REASONS
    assert (fit.status, fit.reason) == ("not-estimable", reason)
    none = (None,) * len(fit.names)
    assert (fit.coef, fit.std_error, fit.low, fit.high, fit.p, fit.model_error) == (none,) * 6
    assert fit.loglik is None


@pytest.mark.parametrize("regression", REGRESSIONS)
def test_what_cannot_be_fitted_is_a_result_with_a_reason(regression):
    not_estimable(regression([], [], {"dose": []}), "no-rows")
    not_estimable(regression(DAYS, [0] * 6, {"dose": DOSE}), "no-event")
    constant = regression(DAYS, EVENT, {"dose": DOSE, "cord": [1] * 6})
    not_estimable(constant, "constant-covariate (cord)")
    twice = {"dose": DOSE, "cgy": [100 * dose for dose in DOSE]}
    not_estimable(regression(DAYS, EVENT, twice), "dependent-covariates")


@pytest.mark.parametrize("regression", REGRESSIONS)
def test_a_covariate_that_orders_the_events_has_no_coefficient(regression):
    not_estimable(regression([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 0, 0], {"x": [6, 5, 4, 3, 2, 1]}), "separation")
    everyone = [0] * 25 + [1] * 25
    not_estimable(regression(list(range(50)), [1] * 25 + [0] * 25, {"x": everyone}), "separation")
    rare = [1] + [0] * 999
    not_estimable(regression(list(range(1000)), [1] * 3 + [0] * 997, {"x": rare}), "separation")


@pytest.mark.parametrize("unit", [1e-90, 1e-9, 1e9, 1e90])
def test_the_unit_of_a_covariate_scales_its_coefficient_alone(unit):
    plain, scaled = (cox(DAYS, EVENT, {"dose": [u * dose for dose in DOSE]}) for u in (1, unit))
    assert scaled.coef[0] * unit == pytest.approx(plain.coef[0], rel=1e-9)
    assert scaled.p[0] == pytest.approx(plain.p[0], rel=1e-9)
    assert scaled.loglik == pytest.approx(plain.loglik, rel=1e-12)


def test_a_large_offset_of_a_covariate_changes_nothing():
    plain, moved = (cox(DAYS, EVENT, {"year": [one + dose for dose in DOSE]}) for one in (0, 1e6))
    assert moved.coef == pytest.approx(plain.coef, rel=1e-9)


def test_a_covariate_that_is_constant_in_each_stratum_is_named():
    fit = cox(DAYS, EVENT, {"site": [1, 2, 1, 2, 1, 2]}, strata=["a", "b"] * 3)
    not_estimable(fit, "constant-covariate (site)")


def test_a_covariate_that_varies_only_after_the_last_event_is_constant():
    fit = cox([1, 2, 3, 4], [1, 1, 0, 0], {"x": [0, 0, 0, 0]} | {"y": [1, 2, 1, 3]})
    not_estimable(fit, "constant-covariate (x)")
    early = cox([0, 2, 3, 4], [0, 1, 1, 0], {"x": [1, 0, 0, 0]})
    not_estimable(early, "constant-covariate (x)")


@pytest.mark.parametrize("regression", REGRESSIONS)
def test_one_patient_leaves_coefficients_without_errors(regression):
    fit = regression(DAYS, EVENT, {"dose": DOSE}, cluster=["a"] * 6)
    assert (fit.status, fit.reason) == ("estimated", "one-patient")
    assert fit.coef[0] is not None
    assert (fit.std_error, fit.low, fit.high, fit.p) == ((None,),) * 4
    assert fit.model_error[0] > 0


def test_opposite_outcomes_in_every_patient_leave_no_error():
    days, event, x = [1, 2, 1, 2], [1, 1, 1, 1], [0, 1, 1, 0]
    fit = cox(days, event, {"x": x}, cluster=["a", "a", "b", "b"])
    assert fit.reason in {None, "zero-cluster-variance"}
    assert (fit.std_error[0] is None) == (fit.reason is not None)


def test_all_events_on_one_day_leave_nothing_that_could_change_with_time():
    tests = cox([4, 4, 9, 9], [1, 1, 0, 0], {"x": [1, 3, 2, 1]}).proportional_hazards()
    assert {(test.status, test.reason) for test in tests.values()} == {("not-estimable", "one-event-day")}


def test_day_0_has_no_logarithm():
    fit = cox([0, 5, 8, 9, 12, 15], EVENT, {"dose": DOSE})
    assert fit.proportional_hazards("log")["global"].reason == "no-logarithm-of-day-0"
    assert fit.proportional_hazards("identity")["global"].status == "estimated"


def test_a_fit_that_failed_has_no_tests_for_the_same_reason():
    tests = cox(DAYS, [0] * 6, {"dose": DOSE}).proportional_hazards()
    assert list(tests) == ["dose", "global"]
    assert {(test.status, test.reason) for test in tests.values()} == {("not-estimable", "no-event")}


def test_few_events_for_each_covariate_are_flagged():
    assert cox(DAYS, EVENT, {"dose": DOSE}).flags == ("few-events (4 for 1 covariates)",)
    generator = np.random.default_rng(1)
    many = cox(generator.integers(0, 99, 40), [True] * 40, {"dose": generator.random(40)})
    assert many.flags == ()


def test_a_plain_fit_is_json_and_a_repr_shows_no_row():
    fit = cox(DAYS, EVENT, {"dose": DOSE})
    assert type(fit.plain()) is Fit
    assert msgspec.json.decode(to_json(fit.plain()))["names"] == ["dose"]
    assert "array" not in repr(fit)


def test_the_method_says_what_was_used():
    assert cox(DAYS, EVENT, {"dose": DOSE}, strata=[1, 2] * 3, ties="breslow").method == (
        "Cox, Breslow ties, 2 strata; sandwich errors over rows, normal"
    )
    clustered = fine_gray(DAYS, EVENT, {"dose": DOSE}, cluster=list("aabbcc"))
    assert clustered.method == "Fine-Gray, Efron ties; sandwich errors over patients, normal"


def test_every_fault_of_every_column_is_named_at_once():
    with pytest.raises(RowError) as error:
        cox([1, 2], [1, 3], {"dose": [16.0, float("nan")], "cord": ["yes", 1], "global": [1]})
    message = str(error.value)
    for fault in (
        "row 1: event must be a whole number from 0 to 1",
        "row 1: covariate dose must be a finite number, not above 1e+100 in size",
        "row 0: covariate cord must be a finite number",
        "row 1: days and covariate global must have the same number of rows",
        "a covariate must not be called global",
    ):
        assert fault in message


def test_a_covariate_may_be_called_like_a_column():
    assert cox(DAYS, EVENT, {"days": DOSE}).status == "estimated"


def test_wrong_options_are_refused():
    for call in (
        lambda: cox(DAYS, EVENT, {"dose": DOSE}, ties="exact"),
        lambda: cox(DAYS, EVENT, {"dose": DOSE}, level=95),
        lambda: cox(DAYS, EVENT, {"dose": DOSE}).proportional_hazards("spline"),
        lambda: fine_gray(DAYS, EVENT, {"dose": DOSE}, cause=3),
        lambda: fine_gray(DAYS, EVENT, {"dose": DOSE}, convention="sas"),
    ):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(RowError, match="at least one covariate"):
        cox(DAYS, EVENT, {})
