"""The ryu2008 cohort has the published margins, by arithmetic written from `spec/endpoints.md` alone.

Nothing of `fhir_srs.endpoints` or `fhir_srs.survival` runs here: the rules are typed a second time, on
the latent scores, so that the table in the README is compared with something that did not make it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from statistics import median

import pytest

from fhir_srs.testing.cohort_latent import LatentLesion, LatentPatient
from fhir_srs.testing.cohort_ryu import RYU_CUTOFF, ryu_patients

SEEDS = (2008, 0, 1, 2, 3)
MINIMUM, DELTA = 1, 3  # endpoints.md section 16, ryu2008


@dataclass(frozen=True)
class Row:
    """One lesion as section 1 sees it: baseline score, (day, score) after t0, death in days from t0."""

    baseline: int | None
    after: tuple[tuple[int, int], ...]
    death: int | None
    truth: LatentLesion

    @property
    def painful(self) -> bool:
        return self.baseline is not None and self.baseline >= MINIMUM

    def category(self, score: int) -> str:
        assert self.baseline is not None
        if score == 0:
            return "CR"
        change = score - self.baseline
        return "PR" if change <= -DELTA else "PROG" if change >= DELTA else "STABLE"

    @property
    def best(self) -> str | None:
        """CR before PR before STABLE before PROG on days 1-90; days 1-14 count for CR and PR only (E5)."""
        if not self.painful:
            return None
        seen = {
            self.category(score)
            for day, score in self.after
            if 1 <= day <= 90 and (day > 14 or self.category(score) in ("CR", "PR"))
        }
        return next((name for name in ("CR", "PR", "STABLE", "PROG") if name in seen), None)

    @property
    def relief(self) -> int | None:
        """Section 5: the first assessment after t0 in CR or PR, days 1-14 included."""
        if not self.painful:
            return None
        return next((day for day, score in self.after if self.category(score) in ("CR", "PR")), None)

    @property
    def relapse(self) -> int | None:
        """Section 6a: the first score after day 14 that is 3 above the lowest so far."""
        if self.relief is None and self.best != "STABLE":
            return None
        since = self.relief if self.relief is not None else 1
        nadir = 11
        for day, score in self.after:
            if day < since:
                continue
            if day > 14 and day > since and score >= nadir + DELTA:
                return day
            nadir = min(nadir, score)
        return None

    @property
    def last(self) -> int:
        return max(day for day, _ in self.after)

    @property
    def descriptive(self) -> int:
        """Section 7: to relapse, else to death within 183 days of the last score, else to the last score."""
        assert self.relief is not None
        if self.relapse is not None:
            return self.relapse - self.relief
        died = self.death is not None and self.death - self.last <= 183
        return (self.death if died and self.death is not None else self.last) - self.relief


def rows_of(patients: list[LatentPatient]) -> list[Row]:
    return [row_of(patient, lesion) for patient in patients for lesion in patient.lesions]


def row_of(patient: LatentPatient, lesion: LatentLesion) -> Row:
    days = sorted(((score.on - lesion.end).days, score.value) for score in lesion.scores)
    before = [value for day, value in days if -28 <= day <= 0]
    return Row(
        baseline=before[-1] if before else None,
        after=tuple((day, value) for day, value in days if day > 0),
        death=None if patient.death is None else (patient.death - lesion.end).days,
        truth=lesion,
    )


@pytest.fixture(params=SEEDS, scope="module")
def patients(request: pytest.FixtureRequest) -> list[LatentPatient]:
    return ryu_patients(request.param)


@pytest.fixture(scope="module")
def rows(patients: list[LatentPatient]) -> list[Row]:
    return rows_of(patients)


def test_49_patients_have_61_lesions_treated_once_with_10_to_16_gy(patients: list[LatentPatient]) -> None:
    lesions = [lesion for patient in patients for lesion in patient.lesions]
    assert (len(patients), len(lesions)) == (49, 61)
    assert {lesion.fractions for lesion in lesions} == {1}
    assert all(lesion.start == lesion.end and 1000 <= lesion.dose_cgy <= 1600 for lesion in lesions)
    assert sorted(len(patient.lesions) for patient in patients) == [1] * 39 + [2] * 8 + [3] * 2


def test_37_lesions_are_evaluable_17_complete_7_partial_6_stable_7_other(rows: list[Row]) -> None:
    best = [row.best for row in rows]
    assert {name: best.count(name) for name in ("CR", "PR", "STABLE", "PROG")} == {
        "CR": 17,
        "PR": 7,
        "STABLE": 6,
        "PROG": 7,
    }


def test_24_lesions_are_not_evaluable_each_for_one_reason(rows: list[Row]) -> None:
    left_out = [row for row in rows if row.best is None]
    assert len(left_out) == 24
    assert sum(row.baseline is None for row in left_out) == 10
    assert sum(row.baseline == 0 for row in left_out) == 6
    unseen = [row for row in left_out if row.painful]
    assert all(not any(1 <= day <= 90 for day, _ in row.after) for row in unseen)
    assert len(unseen) == 8
    assert sum(not row.after for row in unseen) == 3
    late = [row for row in unseen if row.after]
    assert all(row.relief == row.after[0][0] and 92 <= row.relief <= 149 for row in late)


def test_29_lesions_respond_earliest_on_day_1_half_of_them_by_day_14(rows: list[Row]) -> None:
    relief = [row.relief for row in rows if row.relief is not None]
    assert (len(relief), min(relief), median(relief)) == (29, 1, 14)


def test_the_median_time_in_relief_is_405_days(rows: list[Row]) -> None:
    assert median(row.descriptive for row in rows if row.relief is not None) == 405


def test_four_of_58_lesions_with_follow_up_relapse_two_of_them_among_29_responders(rows: list[Row]) -> None:
    relapsed = [row for row in rows if row.relapse is not None]
    assert len([row for row in rows if row.after]) == 58
    assert len(relapsed) == 4
    assert sum(row.relief is not None for row in relapsed) == 2


def test_pain_control_a_is_838_per_mille_with_16_lesions_at_risk_at_one_year(rows: list[Row]) -> None:
    """Section 8 A: from t0 among the 30 ever controlled, censored at the last pain assessment."""
    controlled = [row for row in rows if row.best in ("CR", "PR", "STABLE")]
    ends = [row.relapse or row.last for row in controlled]
    events = sorted(row.relapse for row in controlled if row.relapse is not None)
    at_risk = [sum(end >= day for end in ends) for day in events]
    free = Fraction(1)
    for number in at_risk:
        free *= 1 - Fraction(1, number)
    assert len(controlled) == 30
    assert at_risk == [27, 25, 22, 20]
    assert max(events) < 365
    assert sum(end >= 365 for end in ends) == 16
    assert round(float(free), 3) == 0.838


def test_the_truth_says_relief_and_relapse_of_the_rules(rows: list[Row]) -> None:
    assert [row.truth.relief_day for row in rows] == [row.relief for row in rows]
    assert [row.truth.relapse_day for row in rows] == [row.relapse for row in rows]


def test_nothing_happens_after_a_death_or_the_cutoff_and_no_lesion_enters_late(
    patients: list[LatentPatient], rows: list[Row]
) -> None:
    for patient in patients:
        ends = [patient.last_contact, *(lesion.last_score for lesion in patient.lesions)]
        assert max(ends) <= min(RYU_CUTOFF, patient.death or date.max)
        assert patient.death is None or patient.death <= RYU_CUTOFF
    assert all(row.after[0][0] <= 183 for row in rows if row.after)


def test_the_best_class_of_every_lesion_is_due(patients: list[LatentPatient]) -> None:
    assert all(
        lesion.end + timedelta(days=90) <= RYU_CUTOFF for patient in patients for lesion in patient.lesions
    )


def test_lesions_of_one_patient_share_no_level(patients: list[LatentPatient]) -> None:
    for patient in patients:
        levels = [level for lesion in patient.lesions for level in lesion.levels]
        assert len(levels) == len(set(levels))
