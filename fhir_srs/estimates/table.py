"""All figures of one study, endpoint by endpoint, in the order in which they are printed.

Times are days, proportions fractions; intervals are clustered by patient. Each figure names its
population (decisions.md 14): a proportion is never printed without its denominator.
"""

from collections.abc import Collection, Iterator

import msgspec

from fhir_srs.estimates.function import flare_figures, function_figures, toxicity_figures
from fhir_srs.estimates.pain import control_figures, duration_figures, relapse_figures, relief_figures
from fhir_srs.estimates.patients import patient_figures
from fhir_srs.estimates.responses import response_figures
from fhir_srs.estimates.rows import CohortRows
from fhir_srs.estimates.tumour import fracture_figures, local_figures, retreatment_figures
from fhir_srs.model import Estimate

# In the order in which the table is printed: what makes figures, and the endpoints that they are of.
PARTS = (
    (response_figures, ("pain-response",)),
    (flare_figures, ("pain-response",)),
    (relief_figures, ("time-to-relief",)),
    (relapse_figures, ("time-to-relapse",)),
    (duration_figures, ("relief-duration",)),
    (control_figures, ("pain-control",)),
    (local_figures, ("local-failure",)),
    (function_figures, ("neurological-response", "ambulation")),
    (fracture_figures, ("vertebral-fracture",)),
    (retreatment_figures, ("retreatment",)),
    (toxicity_figures, ("toxicity",)),
    (patient_figures, ("overall-survival", "follow-up")),
)


def estimate(outcomes: CohortRows) -> list[Estimate]:
    """All figures of *outcomes*, endpoint by endpoint; the study's own first reading stands first in each."""
    return list(figures(outcomes))


def figures(outcomes: CohortRows) -> Iterator[Estimate]:
    """As `estimate`, one after another: who lets go of their grounds holds the rows of one at a time."""
    for part, _ in PARTS:
        yield from _named(part(outcomes), outcomes)


def figures_of(outcomes: CohortRows, endpoints: Collection[str]) -> Iterator[Estimate]:
    """The figures of `estimate` that are of *endpoints*, each made as it is taken."""
    for part, makes in PARTS:
        if not set(makes).isdisjoint(endpoints):
            yield from (one for one in _named(part(outcomes), outcomes) if one.endpoint in endpoints)


def _named(found: Iterator[Estimate], outcomes: CohortRows) -> Iterator[Estimate]:
    return (msgspec.structs.replace(one, study=outcomes.study.name) for one in found)
