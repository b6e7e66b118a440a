"""Overall survival and follow-up of patients."""

from typing import Any

from fhir_srs.endpoints.patients import DEATH_UNDATED
from fhir_srs.estimates.figures import (
    HALF_YEAR,
    YEAR,
    Figures,
    clusters_of,
    counts,
    days_of,
    events_of,
    named,
    observed_figures,
    rows_of,
    survival_figures,
)
from fhir_srs.estimates.grounds import crossing, grounded, survival_terms
from fhir_srs.estimates.rows import CohortRows
from fhir_srs.survival import follow_up


def patient_figures(outcomes: CohortRows) -> Figures:
    """Overall survival at half a year, a year and its median, and median follow-up by reverse KM."""
    names: dict[str, Any] = {"grain": "patient", "population": "all"}
    survived = rows_of(outcomes, "overall-survival")
    yield from survival_figures(
        survived,
        (HALF_YEAR, YEAR),
        quantile=True,
        name="overall survival (KM)",
        endpoint="overall-survival",
        **names,
    )
    yield from survival_figures(
        rows_of(outcomes, "overall-survival", "death-month-midpoint"),
        (YEAR,),
        quantile=True,
        name="overall survival (KM, deaths known to the month in its middle)",
        endpoint="overall-survival",
        variant="death-month-midpoint",
        **names,
    )
    undated = [DEATH_UNDATED if DEATH_UNDATED in row.flags else None for row in survived]
    yield from counts(
        "censored when last known alive", survived, undated, endpoint="overall-survival", grain="patient"
    )
    rows = rows_of(outcomes, "follow-up")
    curve = follow_up(days_of(rows), events_of(rows), clusters_of(rows))
    median = crossing(curve.quantile(0.5), survival_terms(curve))
    alive = grounded(median, rows, [not died for died in events_of(rows)])
    yield named(alive, name="median follow-up (reverse KM)", endpoint="follow-up", **names)
    yield from list(observed_figures(rows, name="time observed", endpoint="follow-up", **names))[1:]
