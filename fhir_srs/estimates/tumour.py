"""Local failure and vertebral fracture: cumulative incidence beside Kaplan-Meier, and what was left open."""

from typing import Any

from fhir_srs.endpoints.fracture import SYMPTOMATIC, UNKNOWN
from fhir_srs.endpoints.local_failure import AS_EVENT, EPIDURAL
from fhir_srs.estimates.figures import (
    CIF,
    HALF_YEAR,
    YEAR,
    Figures,
    beside_figures,
    counts,
    if_recorded,
    incidence_figures,
    left_out,
    rows_of,
    survival_figures,
)
from fhir_srs.estimates.grounds import untimed
from fhir_srs.estimates.rows import CohortRows

TWO_YEARS = 730
DAYS = (HALF_YEAR, YEAR, TWO_YEARS)
IMAGED = "KM, censored at last imaging"
# Readings of local failure beside its own, and how they are named.
READINGS = {
    AS_EVENT: "local failure, growth that was not settled counted as an event",
    EPIDURAL: "epidural progression",
}
COMPETING = "cumulative incidence, death, stabilisation and retreatment competing"
OPEN = ("indeterminate", "pseudoprogression", "unconfirmed")


def local_figures(outcomes: CohortRows) -> Figures:
    """Local failure by cumulative incidence, local control by KM, growth that was not confirmed."""
    names: dict[str, Any] = {
        "endpoint": "local-failure",
        "grain": "lesion",
        "population": "with-follow-up",
    }
    rows = rows_of(outcomes, "local-failure")
    names["left_out"] = untimed(outcomes, "local-failure", None)
    yield from incidence_figures(rows, DAYS, name=f"local failure ({CIF})", **names)
    yield from survival_figures(rows, DAYS, quantile=True, name=f"local control ({IMAGED})", **names)
    for variant, name in READINGS.items():
        found = rows_of(outcomes, "local-failure", variant)
        yield from incidence_figures(found, DAYS, name=f"{name} ({CIF})", variant=variant, **names)
        yield from beside_figures(found, DAYS, name=f"{name} (1 - {IMAGED})", variant=variant, **names)
    del names["left_out"]
    for flag in OPEN:
        said = [flag if flag in row.flags else None for row in rows]
        yield from counts("growth on imaging", rows, said, **names)
    yield from left_out(outcomes, "local-failure")


def fracture_figures(outcomes: CohortRows) -> Figures:
    """
    Fracture of treated segments; death, stabilisation and retreatment compete (section 12).

    A site that records no fracture of anybody has none to count: `nothing-recorded`, not 0 %.
    """
    names: dict[str, Any] = {
        "endpoint": "vertebral-fracture",
        "grain": "segment",
        "population": "with-follow-up",
    }
    rows = rows_of(outcomes, "vertebral-fracture")
    text = f"vertebral fracture ({COMPETING})"
    names["left_out"] = untimed(outcomes, "vertebral-fracture", None)
    free = f"free of fracture ({IMAGED})"
    figures = [
        *incidence_figures(rows, DAYS, name=text, **names),
        *survival_figures(rows, DAYS, quantile=False, name=free, **names),
    ]
    yield from (if_recorded("fracture", outcomes, one) for one in figures)
    yield from _symptomatic(outcomes, names)
    yield from left_out(outcomes, "vertebral-fracture", grain="segment")


def _symptomatic(outcomes: CohortRows, names: dict[str, Any]) -> Figures:
    """The fractures that hurt, and how many nobody knows of whether they did."""
    rows = rows_of(outcomes, "vertebral-fracture", SYMPTOMATIC)
    words = names | {"variant": SYMPTOMATIC, "left_out": untimed(outcomes, "vertebral-fracture", SYMPTOMATIC)}
    for one in incidence_figures(rows, DAYS, name=f"symptomatic vertebral fracture ({COMPETING})", **words):
        yield if_recorded("fracture", outcomes, one)
    del words["left_out"]
    said = [UNKNOWN if UNKNOWN in row.flags else None for row in rows]
    yield from counts("fracture", rows, said, **words)


def retreatment_figures(outcomes: CohortRows) -> Figures:
    """Retreatment of the segment for whatever reason, death competing."""
    names: dict[str, Any] = {"endpoint": "retreatment", "grain": "lesion", "population": "all"}
    rows = rows_of(outcomes, "retreatment")
    names["left_out"] = untimed(outcomes, "retreatment", None)
    yield from incidence_figures(rows, DAYS, name=f"retreatment ({CIF})", **names)
    yield from beside_figures(rows, DAYS, name="retreatment (1 - KM, deaths censored)", **names)
    yield from left_out(outcomes, "retreatment")
