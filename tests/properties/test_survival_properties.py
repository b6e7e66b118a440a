"""What holds for any rows: spec/statistics.md section 12.5, item 3."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs.survival import aalen_johansen, kaplan_meier, proportion

ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=25)
FEW = settings(max_examples=60, deadline=None)


def columns(rows):
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@FEW
@given(ROWS)
def test_survival_and_the_incidences_add_up_and_stay_in_bounds(rows):
    days, status, patient = columns(rows)
    cif, curve = aalen_johansen(days, status, patient), kaplan_meier(days, status == 1, patient)
    total = cif.incidence(1) + cif.incidence(2) + cif.survival
    assert np.allclose(total, 1, atol=1e-12)
    assert (1 - curve.survival >= cif.incidence(1) - 1e-12).all()
    for falling in (curve.survival, 1 - cif.incidence(1), 1 - cif.incidence(2)):
        assert ((falling >= -1e-12) & (falling <= 1 + 1e-12)).all()
        assert (np.diff(falling) <= 1e-12).all()


@FEW
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    for one in (rows, shuffled):
        days, status, patient = columns(one)
        curve, cif = kaplan_meier(days, status == 1, patient), aalen_johansen(days, status, patient)
        bits = [a.tobytes() for a in (curve.survival, curve.std_error, cif.incidence(1), cif.std_error(1))]
        share = proportion(status == 1, patient)
        if one is rows:
            first = (bits, share)
    assert first == (bits, share)


@FEW
@given(ROWS, st.permutations(range(7)))
def test_the_names_of_patients_do_not_matter(rows, names):
    days, status, patient = columns(rows)
    renamed = [f"p{names[one]}" for one in patient]
    for estimator in (
        lambda p: kaplan_meier(days, status == 1, p).std_error,
        lambda p: aalen_johansen(days, status, p).std_error(1),
    ):
        assert np.allclose(estimator(patient), estimator(renamed), rtol=0, atol=1e-12)


@FEW
@given(ROWS)
def test_singletons_give_greenwood_and_one_patient_gives_nothing(rows):
    days, status, _ = columns(rows)
    apart = kaplan_meier(days, status == 1, np.arange(len(days)))
    assert np.allclose(apart.std_error, apart.greenwood, rtol=0, atol=1e-12)
    merged = kaplan_meier(days, status == 1, np.zeros(len(days), dtype=int)).at(int(days.max()))
    assert (merged.low, merged.high) == (None, None)


@FEW
@given(ROWS, st.integers(2, 30))
def test_a_change_of_unit_scales_the_days_alone(rows, factor):
    days, status, patient = columns(rows)
    curve, scaled = (kaplan_meier(d, status == 1, patient) for d in (days, days * factor))
    assert (scaled.days == curve.days * factor).all()
    assert (scaled.survival == curve.survival).all()
    assert (scaled.std_error == curve.std_error).all()
    one, other = curve.quantile(0.5), scaled.quantile(0.5)
    assert (one.status, one.value and one.value * factor) == (other.status, other.value)


@FEW
@given(ROWS)
def test_korn_graubard_holds_clopper_pearson_when_patients_repeat(rows):
    _, status, patient = columns(rows)
    ours = proportion(status == 1, patient)
    plain = proportion(status == 1, patient, "clopper-pearson")
    if ours.low is not None and 1 < ours.clusters < ours.n and 0 < ours.numerator < ours.n:
        assert ours.low <= plain.low + 1e-12
        assert ours.high >= plain.high - 1e-12


@FEW
@given(ROWS, st.integers(0, 15))
def test_no_result_holds_nan_or_infinity(rows, day):
    days, status, patient = columns(rows)
    curve, cif = kaplan_meier(days, status == 1, patient), aalen_johansen(days, status, patient)
    for preset in ("default", "ij_log", "greenwood_loglog"):
        figures = [curve.at(day, preset), cif.at(day, preset=preset), curve.quantile(0.5, preset)]
        for figure in [*figures, cif.quantile(0.3, preset=preset)]:
            numbers = [one for one in (figure.value, figure.low, figure.high) if one is not None]
            assert np.isfinite(numbers).all()
            assert figure.value is None or figure.low is None or figure.low <= figure.value + 1e-9
