"""Fine-Gray regression of a cumulative incidence, clustered in patients (`spec/statistics.md` section 9).

Its score at no effect is a test between groups that knows clusters, as Gray's does not (section 8).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from fhir_srs.errors import UsageError
from fhir_srs.model import Fit, TestResult
from fhir_srs.survival.chi_square import no_test
from fhir_srs.survival.logrank import robust, why_not
from fhir_srs.survival.regression import blank, fit, read_design
from fhir_srs.survival.risk_sets import Block, block, likelihood, residuals
from fhir_srs.survival.rows import Column, Floats, Ints, Reader, by_patient

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
    rows = _block(design.days, design.status, design.z, cause, convention) if events else None
    return fit(base, design, [] if rows is None else [(slice(0, len(design.days)), rows)])[0]


def fine_gray_test(
    days: Column, status: Column, group: Column, cause: int = 1, cluster: Column | None = None
) -> TestResult:
    """
    Whether the *group*s differ in the cumulative incidence of *cause*, patients as clusters.

    The robust score test of the Fine-Gray model of the groups at no effect, with Efron's ties, as
    `log_rank` with clusters is that of Cox's (Lee, Wei and Amato 1992; Zhou et al 2012). Without *cluster*
    each row is its own patient. Not estimable as there. Raises `RowError` with every bad row.

    >>> result = fine_gray_test([5, 8, 13, 21, 30, 34], [1, 1, 2, 0, 1, 2], list("ababab"))
    >>> result.df
    1
    """
    if cause not in (1, 2):
        raise UsageError("the causes are 1 (event) and 2 (competing)")
    reader = Reader()
    whole, ended = reader.days(days), reader.codes(status, "status", 2)
    groups = reader.labels(group, "group", len(whole))
    patient, clusters = reader.clusters(cluster, len(whole))
    reader.done()
    order = np.lexsort((patient, groups.numbers, ended, whole))
    whole, ended, patient = whole[order], ended[order], patient[order]
    who = "rows" if cluster is None else "patients"
    base = TestResult(
        name="fine-gray",
        n=len(whole),
        clusters=clusters,
        events=int(np.count_nonzero(ended == cause)),
        method=f"Fine-Gray; robust score test, Efron ties, {who} as clusters",
    )
    reason = why_not(whole, ended == cause, groups.count)
    if reason:
        return no_test(base, reason)
    indicators = (groups.numbers[order][:, None] == np.arange(groups.count)).astype(np.float64)
    rows = _block(whole, ended, indicators, cause, "default")
    psi = residuals(rows, likelihood(rows, np.zeros(groups.count)))
    return robust(base, by_patient(psi, patient, clusters))


def _block(days: Ints, status: Ints, z: Floats, cause: int, convention: Convention) -> Block:
    """All rows as one block in which those with another event stay."""
    ties: Literal["efron", "breslow"] = "breslow" if convention == "crr" else "efron"
    rows = block(days, status == cause, z, ties)
    left = _censoring_before(status, rows, convention)
    other = (status != cause) & (status > 0)
    if not other.any():
        return rows
    return replace(rows, carried=np.where(other, 1 / left[rows.place], 0.0), later=left[rows.event_day])


def _censoring_before(status: Ints, rows: Block, convention: Convention) -> Floats:
    """G(t-) on each distinct day."""
    leaving = np.bincount(rows.place)
    at_risk = len(status) - np.cumsum(leaving) + leaving
    events = np.bincount(rows.place, weights=status > 0)
    exposed = at_risk - (0 if convention == "crr" else events)
    lost = np.divide(leaving - events, exposed, out=np.zeros(len(exposed)), where=exposed > 0)
    return np.concatenate(([1.0], np.cumprod(1 - lost)[:-1]))
