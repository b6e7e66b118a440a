"""The mapper against the truth of synthetic cohorts: every lesion found as it is, and none besides."""

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.model import Lesion
from fhir_srs.testing.cohort import Cohort, Shapes, TruthRow, random_cohort, ryu2008_cohort
from fhir_srs.testing.cohort_codes import PRIMARIES

Facts = tuple[Any, ...]


def facts_of_truth(row: TruthRow) -> Facts:
    return (
        row.patient_identifier,
        row.start.isoformat(),
        row.levels,
        row.end.isoformat(),
        row.region,
        row.dose_gy,
        row.fractions,
        row.technique,
        row.reirradiation,
    )


def facts_of_lesion(lesion: Lesion) -> Facts:
    return (
        lesion.patient_identifier,
        lesion.start and lesion.start.text,
        lesion.levels,
        lesion.end and lesion.end.text,
        lesion.region,
        lesion.dose_gy,
        lesion.fractions,
        lesion.technique,
        lesion.reirradiation_of is not None,
    )


def compare(truth: Iterable[TruthRow], lesions: Iterable[Lesion]) -> None:
    expected = Counter(map(facts_of_truth, truth))
    found = Counter(map(facts_of_lesion, lesions))
    assert (expected - found, found - expected) == (Counter(), Counter())


@pytest.fixture(scope="module")
def drawn() -> Cohort:
    return random_cohort(500, 11)


def test_all_lesions_of_500_random_patients_are_found_and_no_other(drawn: Cohort) -> None:
    compare(drawn.truth, map_resources(drawn.resources, profile=load_profile("mcode")).lesions)


def test_the_primary_of_every_lesion_is_the_patients(drawn: Cohort) -> None:
    groups = {code: group for group, (code, _, _) in PRIMARIES.items()}
    told = {
        one["subject"]["reference"]: groups[coding["code"]]
        for one in drawn.resources
        if one["resourceType"] == "Condition"
        for coding in one["code"]["coding"]
        if coding["code"] in groups
    }
    found = map_resources(drawn.resources, profile=load_profile("mcode")).lesions
    assert set(told.values()) == set(PRIMARIES)
    assert [one.primary for one in found] == [told[one.patient] for one in found]


@pytest.mark.long
def test_all_lesions_of_5000_random_patients_are_found_and_no_other() -> None:
    cohort = random_cohort(5000, 12)
    compare(cohort.truth, map_resources(cohort.resources, profile=load_profile("mcode")).lesions)


@pytest.mark.parametrize("seed", [2008, 1, 2])
def test_all_61_lesions_of_the_reproduction_cohort_are_found(seed: int) -> None:
    cohort = ryu2008_cohort(seed)
    compare(cohort.truth, map_resources(cohort.resources, profile=load_profile("mcode")).lesions)


def test_vitals_and_their_order_change_nothing() -> None:
    cohort = random_cohort(40, 5, shapes=Shapes(vitals=20))
    random.Random(1).shuffle(cohort.resources)
    compare(cohort.truth, map_resources(cohort.resources, profile=load_profile("mcode")).lesions)
