"""Outcomes to estimates: which estimator answers which endpoint. The one place where the two meet."""

from fhir_srs.estimates.table import estimate, figures

__all__ = ["estimate", "figures"]
