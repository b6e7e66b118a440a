"""The table of definitions names every endpoint, and every parameter that can move it."""

from datetime import date
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import Outcomes, derive, load_study, shipped_studies
from fhir_srs.endpoints.definitions import DEFINITIONS, TAKEN, definition_of
from fhir_srs.endpoints.meanings import MEANINGS
from fhir_srs.endpoints.study_file import changed
from fhir_srs.estimates import estimate
from fhir_srs.model import Mapped, Response, TimeToEvent
from fhir_srs.testing.cohort import random_cohort
from tests.properties.test_endpoint_properties import CUTOFF, drawings
from tests.spec.timelines import draw

# Another value of each parameter that an outcome may depend on; the others only say what is printed first.
OTHERS: dict[str, object] = {
    "eligibility": "as-published",
    "published_criteria": {"levels": 1, "pain": 5},
    "single_fraction": True,
    "dose_low_gy": 17,
    "dose_high_gy": 9,
    "time_zero": "first-fraction",
    "baseline_first_day": -2,
    "windows": {"1-month": [20, 25, 22], "3-month": [60, 200, 100]},
    "unit": "index-lesion",
    "attribution": "site",
    "min_baseline_pain": 6,
    "rule": "threshold",
    "pain_delta": 4,
    "analgesics": "blind",
    "omed_table": "cdc-2016",
    "prn_orders": "max-dose",
    "omed_increase": "25-percent",
    "omed_fall": 0.4,
    "omed_rise": 1.9,
    "secondary_sites": "no-worsening",
    "best_first_day": 20,
    "best_last_day": 50,
    "flare_days": 40,
    "flare": [{"name": "x", "days": 30, "points": 1}],
    "relapse_delta": 1,
    "relapse_confirm": "next-score",
    "relapse_omed": False,
    "death_gap": 10,
    "retreatment_unknown": "other-reason",
    "late_entry": 20,
    "lc_confirm": "bahig",
    "lc_window": 60,
    "fracture_pain_days": 90,
    "fracture_pain_points": 5,
    "ctcae": "3",
    "acute_days": 10,
}
PRINTED = {"response_at", "primary", "relapse_first", "duration_first", "control_first", "landmark_days"}
PRINTED |= {"sensitivity", "severity_cuts"}
BASE = load_study("icpre2012")
Key = tuple[str, str | None]


def keyed(outcomes: Outcomes) -> dict[Key, list[Response | TimeToEvent]]:
    found: dict[Key, list[Response | TimeToEvent]] = {}
    for row in (*outcomes.responses, *outcomes.times):
        variant = "flare" if row.window == "flare" else None if row.endpoint == "toxicity" else row.variant
        found.setdefault((row.endpoint, variant), []).append(row)
    return found


def moved_by(before: Outcomes, mapped: Mapped, name: str) -> set[Key]:
    """The endpoints of which a row of *mapped* differs from *before* once *name* has its other value."""
    other = changed(before.study, {name: OTHERS[name]})
    rows, moved = keyed(before), keyed(derive(mapped, study=other, data_cutoff=before.data_cutoff))
    return {key for key in rows.keys() | moved.keys() if rows.get(key) != moved.get(key)}


def test_every_parameter_of_a_study_has_another_value_here_or_says_only_what_is_printed() -> None:
    assert set(OTHERS) | PRINTED == set(BASE.basis)
    assert {name for one in DEFINITIONS.values() for name in one.parameters} <= set(BASE.basis)
    assert set(MEANINGS) == set(BASE.basis)
    assert all(set(TAKEN) <= set(one.parameters) for one in DEFINITIONS.values())


@cache
def drawn() -> Mapped:
    return map_resources(random_cohort(80, 3).resources, profile=load_profile("mcode"))


@cache
def outcomes_of(study: str) -> Outcomes:
    return derive(drawn(), study=load_study(study), data_cutoff=date(2026, 6, 30))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("study", ["icpre2012", "rtog0631"])
def test_a_parameter_moves_only_endpoints_whose_definition_lists_it(study: str, name: str) -> None:
    for endpoint, variant in moved_by(outcomes_of(study), drawn(), name):
        assert name in definition_of(endpoint, variant).parameters, (endpoint, variant)


@settings(max_examples=150, deadline=None)
@given(drawings(), st.sampled_from(sorted(OTHERS)), st.sampled_from(shipped_studies()))
def test_that_holds_of_any_timeline_too(drawing: str, name: str, study: str) -> None:
    mapped = draw(drawing)
    before = derive(mapped, study=load_study(study), data_cutoff=CUTOFF)
    for endpoint, variant in moved_by(before, mapped, name):
        assert name in definition_of(endpoint, variant).parameters, (endpoint, variant)


def test_every_outcome_and_figure_of_every_study_has_a_definition() -> None:
    for name in shipped_studies():
        outcomes = outcomes_of(name)
        for key in keyed(outcomes):
            assert definition_of(*key).rule
        for figure in estimate(outcomes):
            assert figure.endpoint is not None
            assert definition_of(figure.endpoint, figure.variant, figure.window).rule
