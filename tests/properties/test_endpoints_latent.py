"""Endpoints against latent courses: relief and relapse on the days on which they truly came.

The latent patients go to `derive` as mapped values, without FHIR between: a difference here is the
endpoints' own. `test_cohort_endpoints.py` goes the whole way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

import pytest

from fhir_srs.dates import PartialDate
from fhir_srs.endpoints import derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.model import (
    Estimate,
    Event,
    EventKind,
    Lesion,
    Mapped,
    Patient,
    ResourceCounts,
    Rung,
    Status,
    content_id,
)
from fhir_srs.testing.cohort_latent import RANDOM_CUTOFF, LatentLesion, LatentPatient, random_patient
from fhir_srs.testing.cohort_ryu import RYU_CUTOFF, ryu_patients

STUDIES = ("ryu2008", "icpre2012")
# endpoints.md section 4, cdc-2022.
FACTORS = {"morphine": "1", "oxycodone": "1.5", "hydromorphone": "5", "tramadol": "0.2"}


@dataclass(frozen=True)
class Known:
    """Mapped values, the latent lesion behind each lesion_id, and those relieved with more opioid only."""

    mapped: Mapped
    lesions: dict[str, LatentLesion]
    raised: frozenset[str]


def day(on: date) -> PartialDate:
    return PartialDate(on.isoformat(), on, on)


def event(patient: str, kind: EventKind, on: date, source: str, *, lesion_id: str | None = None) -> Event:
    link: Rung = "patient" if lesion_id is None else "focus-lesion"
    return Event(patient=patient, lesion_id=lesion_id, link=link, kind=kind, on=day(on), source=source)


def replaced(one: Event, **changes: object) -> Event:
    return Event(**{name: getattr(one, name) for name in Event.__struct_fields__} | changes)


def known(patients: list[LatentPatient]) -> Known:
    lesions: dict[str, LatentLesion] = {}
    raised: set[str] = set()
    rows: list[Lesion] = []
    events: list[Event] = []
    for patient in patients:
        ref = f"Patient/p{patient.number}"
        ids = [content_id(ref, number) for number in range(len(patient.lesions))]
        lesions.update(zip(ids, patient.lesions, strict=True))
        raised.update(ids if patient.opioid_raised_day is not None else ())
        rows.extend(lesion_of(ref, ids, number, each) for number, each in enumerate(patient.lesions))
        events.extend(events_of(ref, ids, patient))
    return Known(
        Mapped(
            lesions=rows,
            patients=[person(patient) for patient in patients],
            events=events,
            issues=[],
            counts=ResourceCounts(read=0, used=0, ignored=0, refused=0),
        ),
        lesions,
        frozenset(raised),
    )


def person(patient: LatentPatient) -> Patient:
    ref = f"Patient/p{patient.number}"
    return Patient(
        patient=ref, identifier=f"mrn|{patient.number}", key=ref, deceased=patient.death is not None
    )


def lesion_of(ref: str, ids: list[str], number: int, latent: LatentLesion) -> Lesion:
    return Lesion(
        lesion_id=ids[number],
        patient=ref,
        patient_identifier=None,
        course=None,
        target=None,
        target_label=None,
        levels=latent.levels,
        region=latent.region,
        start=day(latent.start),
        end=day(latent.end),
        dose_gy=Decimal(latent.dose_cgy) / 100,
        fractions=latent.fractions,
        technique=latent.technique,
        modality=None,
        intent=None,
        histology=None,
        reirradiation_of=None if latent.before is None else ids[latent.before],
        cord_compression=None,
        sources=(f"Procedure/{ids[number]}",),
        issues=(),
    )


def events_of(ref: str, ids: list[str], patient: LatentPatient) -> Iterator[Event]:
    for lesion_id, lesion in zip(ids, patient.lesions, strict=True):
        for number, score in enumerate(lesion.scores):
            pain = event(ref, "pain", score.on, f"Observation/{lesion_id}-{number}", lesion_id=lesion_id)
            yield replaced(pain, value=Decimal(score.value), code="loinc|72514-3")
    yield from drugs_of(ref, patient)
    if patient.death is not None:
        yield event(ref, "death", patient.death, ref)
    yield event(ref, "contact", patient.last_contact, f"Observation/{ref}-contact")


def drugs_of(ref: str, patient: LatentPatient) -> Iterator[Event]:
    """Opioids as OMED, and one other drug throughout as evidence of absence."""
    until = patient.death or patient.last_contact
    for number, spell in enumerate(patient.opioids):
        drug = event(ref, "opioid", spell.start, f"MedicationStatement/{ref}-{number}")
        omed = spell.mg_per_day * Decimal(FACTORS[spell.ingredient])
        yield replaced(drug, until=day(spell.end), value=omed, evidence="statement", code=spell.ingredient)
    first = min(lesion.start for lesion in patient.lesions) - timedelta(days=45)
    other = event(ref, "opioid", first, f"MedicationStatement/{ref}-other")
    yield replaced(other, until=day(until), value=Decimal(0), evidence="statement", flags=("not-opioid",))


@pytest.fixture(scope="module")
def drawn() -> Known:
    return known([random_patient(number, Random(f"endpoints:{number}")) for number in range(1, 300)])


def expected(cohort: Known, study: str, days: Callable[[LatentLesion], int | None]) -> dict[str, int]:
    """Days of the truth. Both studies take radiosurgery, Ryu's in one fraction, whatever the opioid."""
    return {
        lesion_id: found
        for lesion_id, lesion in cohort.lesions.items()
        if lesion.technique != "other"
        if (lesion.fractions == 1 if study == "ryu2008" else lesion_id not in cohort.raised)
        if (found := days(lesion)) is not None
    }


def derived(
    cohort: Known, study: str, cutoff: date, endpoint: str, variant: str | None
) -> dict[str, int | None]:
    outcomes = derive(cohort.mapped, study=load_study(study), data_cutoff=cutoff)
    return {
        time.lesion_id: time.days
        for time in outcomes.times
        if time.endpoint == endpoint and time.variant == variant
        if time.status is Status.EVENT and time.lesion_id is not None
    }


def duration(lesion: LatentLesion) -> int | None:
    if lesion.relief_day is None or lesion.relapse_day is None:
        return None
    return lesion.relapse_day - lesion.relief_day


@pytest.mark.parametrize("study", STUDIES)
def test_relief_is_found_on_its_day_and_nowhere_else(study: str, drawn: Known) -> None:
    truth = expected(drawn, study, lambda lesion: lesion.relief_day)
    assert len(truth) > 60
    assert derived(drawn, study, RANDOM_CUTOFF, "time-to-relief", None) == truth


@pytest.mark.parametrize("study", STUDIES)
def test_relief_lasts_until_the_relapse_that_truly_came(study: str, drawn: Known) -> None:
    truth = expected(drawn, study, duration)
    assert len(truth) > 20
    assert derived(drawn, study, RANDOM_CUTOFF, "relief-duration", "kaplan-meier") == truth


def test_pain_that_falls_with_more_opioid_is_relief_for_a_study_blind_to_it_alone(drawn: Known) -> None:
    fallen = {one for one in drawn.raised if drawn.lesions[one].technique == "SRS"}
    assert len(fallen) > 4
    blind, aware = (derived(drawn, one, RANDOM_CUTOFF, "time-to-relief", None) for one in STUDIES)
    assert fallen <= blind.keys()
    assert fallen.isdisjoint(aware)


@pytest.fixture(scope="module", params=[2008, 1])
def ryu(request: pytest.FixtureRequest) -> Known:
    return known(ryu_patients(request.param))


def test_the_reproduction_cohort_has_its_reliefs_and_relapses(ryu: Known) -> None:
    relief = expected(ryu, "ryu2008", lambda lesion: lesion.relief_day)
    relapse = expected(ryu, "ryu2008", lambda lesion: lesion.relapse_day)
    assert derived(ryu, "ryu2008", RYU_CUTOFF, "time-to-relief", None) == relief
    assert derived(ryu, "ryu2008", RYU_CUTOFF, "time-to-relapse", None) == relapse


def test_the_estimates_of_the_reproduction_cohort_are_the_published_margins(ryu: Known) -> None:
    """endpoints.md section 18 and decisions.md 12; the same by arithmetic in test_cohort_ryu.py."""
    outcomes = derive(ryu.mapped, study=load_study("ryu2008"), data_cutoff=RYU_CUTOFF)
    table = estimate(outcomes)

    def shares(label: str) -> set[tuple[int | None, int | None]]:
        rows = [row for row in table if row.endpoint == "pain-response" and row.variant is None]
        best = [row for row in rows if row.window == "best" and row.population == "assessable"]
        return {(row.numerator, row.denominator) for row in best if row.name == label}

    def values(endpoint: str, variant: str, population: str, time_days: int | None = None) -> list[Estimate]:
        return [
            row
            for row in table
            if (row.endpoint, row.variant, row.population, row.time_days)
            == (endpoint, variant, population, time_days)
        ]

    assert {label: shares(label) for label in ("CR", "PR", "STABLE", "PROG")} == {
        "CR": {(17, 37)},
        "PR": {(7, 37)},
        "STABLE": {(6, 37)},
        "PROG": {(7, 37)},
    }
    assert [row.value for row in values("time-to-relief", "visit-date", "responders")][:2] == [14, 1]
    assert values("relief-duration", "descriptive", "responders")[0].value == 405
    relapses = {
        population: [
            (row.numerator, row.denominator) for row in values("time-to-relapse", "descriptive", population)
        ]
        for population in ("with-follow-up", "responders", "ever-controlled")
    }
    assert relapses == {"with-follow-up": [(4, 58)], "responders": [(2, 29)], "ever-controlled": [(4, 30)]}
    (control,) = values("pain-control", "A", "ever-controlled", 365)
    assert control.value == pytest.approx(26 / 27 * 24 / 25 * 21 / 22 * 19 / 20, abs=1e-12)
    assert control.at_risk == 16
