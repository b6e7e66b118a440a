"""Derived endpoints against the latent courses: relief and relapse on the days on which they truly came."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import derive, load_study
from fhir_srs.model import Mapped, Status
from fhir_srs.testing.cohort import Cohort, TruthRow, random_cohort, ryu2008_cohort

Key = tuple[str | None, str | None, tuple[str, ...]]


def days_to_event(
    mapped: Mapped, study: str, cutoff: date, endpoint: str, variant: str | None = None
) -> dict[Key, int | None]:
    """Days from the endpoint's origin to its event, by lesion; lesions without the event are absent."""
    outcomes = derive(mapped, study=load_study(study), data_cutoff=cutoff)
    lesions = {lesion.lesion_id: lesion for lesion in mapped.lesions}
    found: dict[Key, int | None] = {}
    for time in outcomes.times:
        named = time.endpoint == endpoint and (variant is None or time.variant == variant)
        if named and time.status is Status.EVENT and time.lesion_id is not None:
            lesion = lesions[time.lesion_id]
            start = lesion.start.text if lesion.start else None
            found[lesion.patient_identifier, start, lesion.levels] = time.days
    return found


def key_of(row: TruthRow) -> Key:
    return row.patient_identifier, row.start.isoformat(), row.levels


def relief_of(rows: Iterable[TruthRow]) -> dict[Key, int | None]:
    return {key_of(row): row.relief_day for row in rows if row.relief_day is not None}


def relapse_of(rows: Iterable[TruthRow]) -> dict[Key, int | None]:
    return {key_of(row): row.relapse_day for row in rows if row.relapse_day is not None}


def duration_of(rows: Iterable[TruthRow]) -> dict[Key, int | None]:
    return {
        key_of(row): row.relapse_day - row.relief_day
        for row in rows
        if row.relief_day is not None and row.relapse_day is not None
    }


@pytest.fixture(scope="module")
def drawn() -> Cohort:
    return random_cohort(150, 23)


@pytest.fixture(scope="module")
def mapped(drawn: Cohort) -> Mapped:
    return map_resources(drawn.resources, profile=load_profile("mcode"))


def rows_for(study: str, drawn: Cohort) -> list[TruthRow]:
    """Both studies take radiosurgery, Ryu's in one fraction; for the other more opioid is no relief."""
    raised = {
        (one.patient_identifier, one.start) for one in drawn.findings if one.opioid_raised_day is not None
    }
    rows = [row for row in drawn.truth if row.technique != "other"]
    if study == "ryu2008":
        return [row for row in rows if row.fractions == 1]
    assert raised
    return [row for row in rows if (row.patient_identifier, row.start) not in raised]


@pytest.mark.parametrize("study", ["ryu2008", "icpre2012"])
def test_relief_is_found_on_its_day_and_nowhere_else(study: str, drawn: Cohort, mapped: Mapped) -> None:
    found = days_to_event(mapped, study, drawn.cutoff, "time-to-relief")
    assert found == relief_of(rows_for(study, drawn))


@pytest.mark.parametrize("study", ["ryu2008", "icpre2012"])
def test_relief_lasts_until_the_relapse_that_truly_came(study: str, drawn: Cohort, mapped: Mapped) -> None:
    found = days_to_event(mapped, study, drawn.cutoff, "relief-duration", "kaplan-meier")
    assert found == duration_of(rows_for(study, drawn))


@pytest.mark.long
def test_reliefs_and_relapses_of_2000_random_patients_are_found_from_fhir_on_their_days() -> None:
    cohort = random_cohort(2000, 29)
    mapped = map_resources(cohort.resources, profile=load_profile("mcode"))
    for study in ("ryu2008", "icpre2012"):
        rows = rows_for(study, cohort)
        assert len(rows) > 1000
        relieved = days_to_event(mapped, study, cohort.cutoff, "time-to-relief")
        assert relieved == relief_of(rows)
        lasted = days_to_event(mapped, study, cohort.cutoff, "relief-duration", "kaplan-meier")
        assert lasted == duration_of(rows)


@pytest.fixture(scope="module", params=[2008])
def ryu(request: pytest.FixtureRequest) -> tuple[Cohort, dict[str, Any]]:
    cohort = ryu2008_cohort(request.param)
    made = map_resources(cohort.resources, profile=load_profile("mcode"))
    endpoints = ("time-to-relief", "time-to-relapse")
    return cohort, {name: days_to_event(made, "ryu2008", cohort.cutoff, name) for name in endpoints}


def test_the_reproduction_cohort_has_its_29_reliefs(ryu: tuple[Cohort, dict[str, Any]]) -> None:
    cohort, found = ryu
    assert found["time-to-relief"] == relief_of(cohort.truth)
    assert len(found["time-to-relief"]) == 29


def test_the_reproduction_cohort_has_its_four_relapses(ryu: tuple[Cohort, dict[str, Any]]) -> None:
    cohort, found = ryu
    assert found["time-to-relapse"] == relapse_of(cohort.truth)
    assert len(found["time-to-relapse"]) == 4
