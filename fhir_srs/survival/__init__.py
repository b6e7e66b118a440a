"""Estimators on arrays of days: no FHIR word, no lifelines, and scipy only inside functions.

`kaplan_meier`, `aalen_johansen`, `follow_up` and `proportion` return what `spec/statistics.md` defines;
lesions are clustered in patients. Figures are `fhir_srs.model.Estimate`.
"""

from fhir_srs.survival.cuminc import Incidence, aalen_johansen
from fhir_srs.survival.interval import PRESETS, Interval
from fhir_srs.survival.km import Curve, follow_up, kaplan_meier
from fhir_srs.survival.proportions import proportion
from fhir_srs.survival.rows import RowError

__all__ = [
    "PRESETS",
    "Curve",
    "Incidence",
    "Interval",
    "RowError",
    "aalen_johansen",
    "follow_up",
    "kaplan_meier",
    "proportion",
]
