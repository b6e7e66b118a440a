"""Fine-Gray regression of a cumulative incidence, clustered in patients (`spec/statistics.md` section 9)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from fhir_srs.errors import UsageError
from fhir_srs.model import Fit
from fhir_srs.survival.regression import Design, blank, fit, read_design
from fhir_srs.survival.risk_sets import Block, block
from fhir_srs.survival.rows import Column, Floats

Convention: TypeAlias = Literal["default", "crr"]


def fine_gray(
    days: Column,
    status: Column,
    covariates: Mapping[str, Column],
    cause: int = 1,
    cluster: Column | None = None,
    *,
    convention: Convention = "default",
    level: float = 0.95,
) -> Fit:
    """
    Fine and Gray 1999 regression of the subdistribution hazard of *cause* on *covariates*.

    Rows with another event stay at risk after it with the weight G(t-)/G(T-), G being the Kaplan-Meier
    curve of censoring, in which events come before censorings of their day (Geskus 2011). Ties by Efron.
    Errors are the sandwich over patients (Zhou et al 2012) without the term for estimating G, which is
    well under 1 % of the error in the measurements of `spec/statistics.md`. *convention* `crr` takes
    Breslow's ties and all at risk in G, which reproduces that program's coefficients.

    With no competing event this is `cox`. Not estimable as there; `loglik` is a pseudo-likelihood. Raises
    `RowError` with every bad row.
    """
    if convention not in ("default", "crr"):
        raise UsageError("a convention is default or crr")
    if cause not in (1, 2):
        raise UsageError("the causes are 1 (event) and 2 (competing)")
    design = read_design(days, status, covariates, cluster, None, causes=2)
    events = int(np.count_nonzero(design.status == cause))
    who = "rows" if cluster is None else "patients"
    ties = "Breslow ties, crr" if convention == "crr" else "Efron ties"
    base = blank(design, events, f"Fine-Gray, {ties}; sandwich errors over {who}, normal", level)
    blocks = [(slice(0, len(design.days)), _block(design, cause, convention))] if events else []
    return fit(base, design, blocks)[0]


def _block(design: Design, cause: int, convention: Convention) -> Block:
    """All rows as one block in which those with another event stay."""
    ties: Literal["efron", "breslow"] = "breslow" if convention == "crr" else "efron"
    rows = block(design.days, design.status == cause, design.z, ties)
    left = _censoring_before(design, rows, convention)
    other = (design.status != cause) & (design.status > 0)
    if not other.any():
        return rows
    return replace(rows, carried=np.where(other, 1 / left[rows.place], 0.0), later=left[rows.event_day])


def _censoring_before(design: Design, rows: Block, convention: Convention) -> Floats:
    """G(t-) on each distinct day."""
    leaving = np.bincount(rows.place)
    at_risk = len(design.days) - np.cumsum(leaving) + leaving
    events = np.bincount(rows.place, weights=design.status > 0)
    exposed = at_risk - (0 if convention == "crr" else events)
    lost = np.divide(leaving - events, exposed, out=np.zeros(len(exposed)), where=exposed > 0)
    return np.concatenate(([1.0], np.cumprod(1 - lost)[:-1]))
