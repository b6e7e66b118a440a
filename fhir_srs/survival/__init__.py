"""Estimators on arrays of days: no FHIR word, no lifelines, and scipy only inside functions.

Each returns what `spec/statistics.md` defines; lesions are clustered in patients. Figures are
`fhir_srs.model.Estimate`, tests `TestResult`, regressions `Fit`. docs/statistics.md has the formulas.
"""

from fhir_srs.survival.cuminc import Incidence, aalen_johansen
from fhir_srs.survival.gray import gray_test
from fhir_srs.survival.interval import PRESETS, Interval
from fhir_srs.survival.km import Curve, follow_up, kaplan_meier
from fhir_srs.survival.landmarks import Landmark, landmark
from fhir_srs.survival.logrank import log_rank
from fhir_srs.survival.mean import restricted_mean
from fhir_srs.survival.npmle import Turnbull, turnbull
from fhir_srs.survival.npmle_interval import turnbull_survival
from fhir_srs.survival.proportions import proportion
from fhir_srs.survival.reasons import REASONS
from fhir_srs.survival.regression import CoxFit, cox
from fhir_srs.survival.rows import RowError
from fhir_srs.survival.subdistribution import fine_gray, fine_gray_test

__all__ = [
    "PRESETS",
    "REASONS",
    "CoxFit",
    "Curve",
    "Incidence",
    "Interval",
    "Landmark",
    "RowError",
    "Turnbull",
    "aalen_johansen",
    "cox",
    "fine_gray",
    "fine_gray_test",
    "follow_up",
    "gray_test",
    "kaplan_meier",
    "landmark",
    "log_rank",
    "proportion",
    "restricted_mean",
    "turnbull",
    "turnbull_survival",
]
