"""The figures of Ryu 2008 from lesions with its margins (decisions.md 12, spec/endpoints.md section 18).

The lesions are the latent courses of the synthetic cohort, given to `derive` as mapping would: no FHIR
between. `tests/unit/test_cohort_ryu.py` proves the margins of those courses by arithmetic of its own.
"""

from collections import Counter
from decimal import Decimal

import pytest
from msgspec.structs import replace

from fhir_srs.dates import parse_date
from fhir_srs.endpoints import Outcomes, derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.model import Estimate, Event, Lesion, Mapped, Patient, ResourceCounts
from fhir_srs.testing.cohort_latent import LatentLesion, LatentPatient
from fhir_srs.testing.cohort_ryu import RYU_CUTOFF, ryu_patients


def _lesion(patient: str, number: int, latent: LatentLesion) -> Lesion:
    return Lesion(
        lesion_id=f"{patient}/{number}",
        patient=patient,
        patient_identifier=None,
        course=None,
        target=None,
        target_label=None,
        levels=latent.levels,
        region=latent.region,
        start=parse_date(latent.start.isoformat()),
        end=parse_date(latent.end.isoformat()),
        dose_gy=Decimal(latent.dose_cgy) / 100,
        fractions=latent.fractions,
        technique=latent.technique,
        modality=None,
        intent=None,
        histology=None,
        reirradiation_of=None,
        cord_compression=None,
        sources=(f"Procedure/{patient}-{number}",),
        issues=(),
    )


def _pains(lesion: Lesion, latent: LatentLesion) -> list[Event]:
    return [
        Event(
            patient=lesion.patient,
            lesion_id=lesion.lesion_id,
            link="body-site-level",
            kind="pain",
            on=parse_date(score.on.isoformat()),
            value=Decimal(score.value),
            source=f"Observation/{lesion.lesion_id}-{number}",
        )
        for number, score in enumerate(latent.scores)
    ]


def _ends(name: str, latent: LatentPatient) -> list[Event]:
    days = [("contact", latent.last_contact), ("death", latent.death)]
    return [
        Event(
            patient=name,
            lesion_id=None,
            link="patient",
            kind=kind,  # type: ignore[arg-type]
            on=parse_date(on.isoformat()),
            source=f"Patient/{name}-{kind}",
        )
        for kind, on in days
        if on is not None
    ]


def as_mapped(latents: list[LatentPatient]) -> Mapped:
    lesions: list[Lesion] = []
    events: list[Event] = []
    for latent in latents:
        name = f"Patient/{latent.number:03}"
        events += _ends(name, latent)
        for number, one in enumerate(latent.lesions):
            lesions.append(_lesion(name, number, one))
            events += _pains(lesions[-1], one)
    names = sorted({lesion.patient for lesion in lesions})
    return Mapped(
        lesions=lesions,
        patients=[Patient(patient=name, identifier=None, key=name) for name in names],
        events=events,
        issues=[],
        counts=ResourceCounts(read=0, used=0, ignored=0, refused=0),
    )


@pytest.fixture(scope="module", params=[2008, 1])
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    mapped = as_mapped(ryu_patients(request.param))
    return derive(mapped, study=load_study("ryu2008"), data_cutoff=RYU_CUTOFF)


@pytest.fixture(scope="module")
def table(outcomes: Outcomes) -> list[Estimate]:
    return estimate(outcomes)


def pick(table: list[Estimate], **wanted: object) -> Estimate:
    (found,) = [one for one in table if all(getattr(one, key) == value for key, value in wanted.items())]
    return found


def test_the_first_figure_is_17_complete_responses_of_37(table: list[Estimate]) -> None:
    first = table[0]
    assert (first.study, first.endpoint, first.variant, first.window) == (
        "ryu2008",
        "pain-response",
        None,
        "best",
    )
    assert (first.population, first.name, first.numerator, first.denominator) == ("assessable", "CR", 17, 37)


@pytest.mark.parametrize(
    ("name", "numerator"),
    [("CR", 17), ("PR", 7), ("STABLE", 6), ("PROG", 7), ("CR+PR", 24), ("CR+PR+STABLE", 30)],
)
def test_response_of_37_assessable_lesions(table: list[Estimate], name: str, numerator: int) -> None:
    found = pick(
        table, endpoint="pain-response", variant=None, window="best", population="assessable", name=name
    )
    assert (found.numerator, found.denominator) == (numerator, 37)
    assert found.value == pytest.approx(numerator / 37, abs=1e-12)


def test_24_of_61_lesions_are_not_evaluable_for_three_reasons(outcomes: Outcomes) -> None:
    rows = [row for row in outcomes.responses if (row.window, row.variant) == ("best", None)]
    reasons = Counter(row.reason for row in rows)
    in_window = reasons["no-score-in-window"] + reasons["died-before-window"]
    assert (len(rows), reasons[None]) == (61, 37)
    assert (reasons["no-baseline-score"], reasons["baseline-below-minimum"], in_window) == (10, 6, 8)


@pytest.mark.parametrize(
    ("population", "numerator", "denominator"),
    [("with-follow-up", 4, 58), ("responders", 2, 29), ("ever-controlled", 4, 30)],
)
def test_relapse_over_its_three_denominators(
    table: list[Estimate], population: str, numerator: int, denominator: int
) -> None:
    found = pick(table, endpoint="time-to-relapse", variant="descriptive", population=population)
    assert (found.numerator, found.denominator) == (numerator, denominator)


def test_relapse_of_lesions_with_follow_up_is_shown_first(table: list[Estimate]) -> None:
    first = next(one for one in table if one.endpoint == "time-to-relapse")
    assert first.population == "with-follow-up"


def test_median_time_to_relief_is_14_days_the_earliest_1(table: list[Estimate]) -> None:
    rows = [one for one in table if one.endpoint == "time-to-relief" and one.variant == "visit-date"]
    values = {one.name.split(",")[0]: one.value for one in rows}
    assert (values["median"], values["minimum"]) == (14, 1)
    assert {one.n for one in rows} == {29}
    assert all(one.low is one.high is None for one in rows)


def test_descriptive_median_duration_is_405_days_and_stands_first(table: list[Estimate]) -> None:
    first = next(one for one in table if one.endpoint == "relief-duration")
    assert (first.variant, first.value, first.n) == ("descriptive", 405, 29)
    assert first.name.startswith("median")


def test_pain_control_a_is_838_per_mille_with_16_at_risk_and_stands_first(table: list[Estimate]) -> None:
    """26/27 x 24/25 x 21/22 x 19/20; the published 84 %."""
    first = next(one for one in table if one.endpoint == "pain-control")
    found = pick(table, endpoint="pain-control", variant="A", time_days=365)
    assert first.variant == "A"
    assert found.value == pytest.approx(26 / 27 * 24 / 25 * 21 / 22 * 19 / 20, abs=1e-12)
    assert round(found.value or 0, 3) == 0.838
    assert (found.at_risk, found.n, found.events) == (16, 30, 4)
    assert "censored at last assessment" in found.name


def test_pain_control_e_stays_below_its_ceiling(table: list[Estimate]) -> None:
    found = pick(table, endpoint="pain-control", variant="E", time_days=365)
    assert found.n == 37
    assert found.value is not None
    assert found.value < 30 / 37


def test_no_two_figures_share_their_identity(table: list[Estimate]) -> None:
    keys = [
        (one.endpoint, one.variant, one.grain, one.group, one.population, one.window, one.time_days, one.name)
        for one in table
    ]
    assert len(set(keys)) == len(keys)


def test_every_figure_says_population_and_method(table: list[Estimate]) -> None:
    known = {"itt", "assessable", "per-visit", "responders", "ever-controlled", "with-follow-up", "all"}
    assert {one.population for one in table} <= known
    assert all(one.method and one.grain and one.name for one in table)
    assert all((one.value is None) == (one.status != "estimated") for one in table)


def test_lesions_left_out_are_counted_by_reason(table: list[Estimate]) -> None:
    """61 = 37 + 6 + 10 + 8; 61 = 29 responders + 6 + 10 + 16; 61 = 30 ever controlled + 31."""
    for endpoint, variant, taken in (
        ("pain-response", None, 37),
        ("relief-duration", "descriptive", 29),
        ("pain-control", "A", 30),
        ("pain-control", "C", 58),
    ):
        rows = [
            one
            for one in table
            if (one.endpoint, one.variant, one.method) == (endpoint, variant, "count")
            and one.window != "flare"
        ]
        assert taken + sum(one.numerator or 0 for one in rows) == 61
        assert {one.denominator for one in rows} == {61}


def test_lesions_of_several_fractions_are_counted_as_not_eligible() -> None:
    latent = ryu_patients(2008)
    mapped = as_mapped(latent)
    first, *others = mapped.lesions
    three = [replace(first, fractions=3), *others]
    outcomes = derive(replace(mapped, lesions=three), study=load_study("ryu2008"), data_cutoff=RYU_CUTOFF)
    found = pick(estimate(outcomes), name="not eligible: more-than-one-fraction")
    assert (found.numerator, found.denominator) == (1, 61)


def test_survival_and_follow_up_are_of_49_patients(table: list[Estimate]) -> None:
    rows = [one for one in table if one.endpoint in {"overall-survival", "follow-up"}]
    assert {one.grain for one in rows} == {"patient"}
    assert {one.n for one in rows} == {49}
