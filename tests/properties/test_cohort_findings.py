"""Outcomes beside pain against the latent course: function, imaging, fracture, toxicity, retreatment.

From FHIR through the mapper and `derive` back to the truth, under every study that ships with us. What the
definitions make of the latent days is written here by hand.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import Outcomes, derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.model import Mapped, Status
from fhir_srs.testing.cohort import Cohort, FindingsRow, random_cohort, ryu2008_cohort
from fhir_srs.testing.cohort_spine import BILSKY, SCALES

STUDIES = ("ryu2008", "icpre2012", "spino2015", "rtog0631", "sc24")
WINDOWS = {"3-month": (76, 120), "6-month": (150, 240), "12-month": (300, 420)}  # endpoints.md section 1
Key = tuple[str | None, str, tuple[str, ...]]


def key_of(row: FindingsRow) -> Key:
    return row.patient_identifier, row.start.isoformat(), row.levels


@pytest.fixture(scope="module")
def drawn() -> Cohort:
    return random_cohort(250, 31)


@pytest.fixture(scope="module")
def mapped(drawn: Cohort) -> Mapped:
    return map_resources(drawn.resources, profile=load_profile("mcode"))


@pytest.fixture(scope="module", params=STUDIES)
def outcomes(request: pytest.FixtureRequest, drawn: Cohort, mapped: Mapped) -> Outcomes:
    return derive(mapped, study=load_study(request.param), data_cutoff=drawn.cutoff)


def keys(mapped: Mapped) -> dict[str, Key]:
    return {
        one.lesion_id: (one.patient_identifier, one.start.text if one.start else "", one.levels)
        for one in mapped.lesions
    }


def taken(outcomes: Outcomes, mapped: Mapped, drawn: Cohort) -> list[FindingsRow]:
    """The truth of the lesions that the study takes: each is in its table of responses."""
    named = keys(mapped)
    inside = {named[row.lesion_id] for row in outcomes.responses if row.lesion_id}
    rows = [row for row in drawn.findings if key_of(row) in inside]
    assert len(rows) == len(inside) > 60
    return rows


def events(
    outcomes: Outcomes, mapped: Mapped, endpoint: str, variant: str | None = None
) -> dict[Key, int | None]:
    named = keys(mapped)
    found = [row for row in outcomes.times if (row.endpoint, row.variant) == (endpoint, variant)]
    return {named[row.lesion_id or ""]: row.days for row in found if row.status is Status.EVENT}


def first(*days: int | None) -> int | None:
    known = [day for day in days if day is not None]
    return min(known, default=None)


def happened(days: dict[Key, int | None]) -> dict[Key, int]:
    return {key: day for key, day in days.items() if day is not None}


def test_local_failure_is_growth_that_stays_or_retreatment_and_never_growth_that_passes(
    outcomes: Outcomes, mapped: Mapped, drawn: Cohort
) -> None:
    """Of lesions with a scan; a retreatment whose reason nobody tells is a failure (section 15)."""
    rows = [row for row in taken(outcomes, mapped, drawn) if row.visits]
    truth = happened({key_of(row): first(row.growth_day, row.retreatment_day) for row in rows})
    assert events(outcomes, mapped, "local-failure") == truth
    assert any(row.growth_day for row in rows)
    assert any(row.pseudoprogression_day for row in rows)


def test_growth_that_passes_is_flagged_whatever_ended_follow_up(
    outcomes: Outcomes, mapped: Mapped, drawn: Cohort
) -> None:
    named = keys(mapped)
    found = {
        named[row.lesion_id or ""]: row.status
        for row in outcomes.times
        if row.endpoint == "local-failure" and row.variant is None and "pseudoprogression" in row.flags
    }
    rows = taken(outcomes, mapped, drawn)
    assert set(found) == {key_of(row) for row in rows if row.pseudoprogression_day}
    assert {Status.CENSORED, Status.COMPETING} <= set(found.values())


def test_epidural_progression_is_the_first_higher_grade_of_bilsky(
    outcomes: Outcomes, mapped: Mapped, drawn: Cohort
) -> None:
    rows = [row for row in taken(outcomes, mapped, drawn) if row.visits]

    def higher(row: FindingsRow) -> int | None:
        grew = row.epidural_later and BILSKY.index(row.epidural_later) > BILSKY.index(row.epidural)
        return row.epidural_day if grew else None

    truth = happened({key_of(row): first(higher(row), row.retreatment_day) for row in rows})
    assert events(outcomes, mapped, "local-failure", "epidural") == truth


def test_a_fracture_counts_once_on_its_day_before_a_retreatment(
    outcomes: Outcomes, mapped: Mapped, drawn: Cohort
) -> None:
    rows = [row for row in taken(outcomes, mapped, drawn) if row.visits]
    truth = happened({key_of(row): row.fracture_day for row in rows})
    assert events(outcomes, mapped, "vertebral-fracture") == truth
    assert truth


def test_retreatment_is_found_on_its_day(outcomes: Outcomes, mapped: Mapped, drawn: Cohort) -> None:
    truth = happened({key_of(row): row.retreatment_day for row in taken(outcomes, mapped, drawn)})
    assert events(outcomes, mapped, "retreatment") == truth


def change(row: FindingsRow, day: int) -> str:
    """The neurological response at a visit by the truth."""
    if row.neuro_day is None or day < row.neuro_day or row.neuro_later is None or row.neuro is None:
        return "STABLE"
    levels = SCALES[row.neuro_scale or ""]
    return "IMPROVED" if levels.index(row.neuro_later) > levels.index(row.neuro) else "WORSE"


def walking(row: FindingsRow, day: int) -> str:
    changed = row.walking_day is not None and day >= row.walking_day
    return "AMBULATORY" if (row.walks_later if changed else row.walks) else "NOT-AMBULATORY"


def in_windows(rows: Iterable[FindingsRow], cutoff: date) -> Iterable[tuple[FindingsRow, str, int]]:
    """Each visit with its window, where that is due."""
    for row in rows:
        for day in row.visits:
            name, (_, last) = next(one for one in WINDOWS.items() if one[1][0] <= day <= one[1][1])
            if (cutoff - row.end).days >= last:
                yield row, name, day


def categories(outcomes: Outcomes, mapped: Mapped, endpoint: str) -> dict[tuple[Key, str], str]:
    named = keys(mapped)
    return {
        (named[row.lesion_id or ""], row.window): row.category
        for row in outcomes.responses
        if row.endpoint == endpoint and row.category != "NE"
    }


def test_function_is_improved_stable_or_worse_as_it_truly_was(
    outcomes: Outcomes, mapped: Mapped, drawn: Cohort
) -> None:
    rows = [row for row in taken(outcomes, mapped, drawn) if row.neuro is not None]
    truth = {(key_of(row), name): change(row, day) for row, name, day in in_windows(rows, drawn.cutoff)}
    assert categories(outcomes, mapped, "neurological-response") == truth
    assert set(truth.values()) == {"IMPROVED", "STABLE", "WORSE"}


def test_who_walks_is_told_as_it_truly_was(outcomes: Outcomes, mapped: Mapped, drawn: Cohort) -> None:
    rows = [row for row in taken(outcomes, mapped, drawn) if row.walks is not None]
    truth = {(key_of(row), name): walking(row, day) for row, name, day in in_windows(rows, drawn.cutoff)}
    assert categories(outcomes, mapped, "ambulation") == truth
    assert set(truth.values()) == {"AMBULATORY", "NOT-AMBULATORY"}


def test_toxicity_is_of_its_grade_acute_or_late(outcomes: Outcomes, mapped: Mapped, drawn: Cohort) -> None:
    """Of patients all of whose lesions the study takes: days count from the last of these."""
    kept = {key_of(row) for row in taken(outcomes, mapped, drawn)}
    lesions: dict[str, list[FindingsRow]] = {}
    for row in drawn.findings:
        lesions.setdefault(row.patient_identifier, []).append(row)
    whole = {name: rows for name, rows in lesions.items() if all(key_of(row) in kept for row in rows)}
    truth = {
        (name, period): grade
        for name, rows in whole.items()
        for period, grade in (("acute", rows[0].acute), ("late", rows[0].late))
        if grade is not None
    }
    identifier = {one.patient: one.patient_identifier for one in mapped.lesions}
    found = {
        (identifier[row.patient], row.window): int(row.value or 0)
        for row in outcomes.responses
        if row.endpoint == "toxicity" and identifier[row.patient] in whole
    }
    assert found == truth
    assert {period for _, period in truth} == {"acute", "late"}


def test_cord_compression_is_known_of_the_lesions_that_have_it(mapped: Mapped, drawn: Cohort) -> None:
    named = keys(mapped)
    found = {named[one.lesion_id] for one in mapped.lesions if one.cord_compression}
    assert found == {key_of(row) for row in drawn.findings if row.cord_compression}


@pytest.mark.parametrize("cohort", ["random", "ryu2008"])
@pytest.mark.parametrize("study", STUDIES)
def test_every_endpoint_of_every_preset_has_a_figure_from_fhir_to_table(study: str, cohort: str) -> None:
    """Estimated, not merely printed as missing."""
    made = random_cohort(80, 5) if cohort == "random" else ryu2008_cohort()
    mapped = map_resources(made.resources, profile=load_profile("mcode"))
    table = estimate(derive(mapped, study=load_study(study), data_cutoff=made.cutoff))
    estimated = Counter(one.endpoint for one in table if one.status == "estimated")
    for endpoint in (
        "pain-response",
        "time-to-relief",
        "time-to-relapse",
        "relief-duration",
        "pain-control",
        "local-failure",
        "vertebral-fracture",
        "neurological-response",
        "ambulation",
        "retreatment",
        "toxicity",
        "overall-survival",
        "follow-up",
    ):
        assert estimated[endpoint], endpoint
