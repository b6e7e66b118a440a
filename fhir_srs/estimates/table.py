"""All figures of one study, endpoint by endpoint, in the order in which they are printed.

Times are days, proportions fractions; intervals are clustered by patient. Each figure names its
population (decisions.md 14): a proportion is never printed without its denominator.
"""

import msgspec

from fhir_srs.endpoints import Outcomes
from fhir_srs.estimates.function import flare_figures, function_figures, toxicity_figures
from fhir_srs.estimates.pain import control_figures, duration_figures, relapse_figures, relief_figures
from fhir_srs.estimates.patients import patient_figures
from fhir_srs.estimates.responses import response_figures
from fhir_srs.estimates.tumour import fracture_figures, local_figures, retreatment_figures
from fhir_srs.model import Estimate

# In the order in which the table is printed.
PARTS = (
    response_figures,
    flare_figures,
    relief_figures,
    relapse_figures,
    duration_figures,
    control_figures,
    local_figures,
    function_figures,
    fracture_figures,
    retreatment_figures,
    toxicity_figures,
    patient_figures,
)


def estimate(outcomes: Outcomes) -> list[Estimate]:
    """All figures of *outcomes*, endpoint by endpoint; the study's own first reading stands first in each."""
    table = [figure for part in PARTS for figure in part(outcomes)]
    return [msgspec.structs.replace(one, study=outcomes.study.name) for one in table]
