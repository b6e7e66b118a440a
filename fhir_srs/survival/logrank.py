"""The log-rank test: stratified, weighted, or clustered in patients (`spec/statistics.md` section 8)."""

from dataclasses import dataclass

import numpy as np

from fhir_srs.errors import UsageError
from fhir_srs.model import TestResult
from fhir_srs.survival.chi_square import chi_square, no_test
from fhir_srs.survival.risk_sets import Ties, block, likelihood, residuals
from fhir_srs.survival.rows import Bools, Column, Floats, Ints, Reader, by_patient, parts


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Rows sorted by stratum, days, event, group and patient; *groups* and *strata* are counts."""

    days: Ints
    event: Ints
    group: Ints
    stratum: Ints
    patient: Ints
    groups: int
    strata: int
    clusters: int


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Events observed and expected in each group, both weighted, and the covariance of the difference."""

    observed: Floats
    expected: Floats
    covariance: Floats


def log_rank(
    days: Column,
    event: Column,
    group: Column,
    strata: Column | None = None,
    cluster: Column | None = None,
    rho: float = 0,
) -> TestResult:
    """
    Whether the *group*s differ in the time to *event*.

    Without *cluster*: Mantel 1966 with the hypergeometric variance, summed over *strata*; *rho* weighs each
    day by S(t-)^rho, S being the pooled curve of the stratum (Harrington and Fleming 1982; 1 is the
    Peto-Peto type). With *cluster*: the robust score test of the Cox model of the groups at no effect, with
    Efron's ties (Lee, Wei and Amato 1992), which knows no *rho*.

    Groups that are never under observation on a day of an event, together with another, drop out of the
    degrees of freedom. Fewer than two groups, no event, or too few patients: not estimable. Raises
    `RowError` with every bad row.

    >>> result = log_rank([5, 8, 13, 21], [True, True, True, False], ["a", "a", "b", "b"])
    >>> round(result.statistic, 4), result.df
    (2.8824, 1)
    """
    if cluster is not None and rho:
        raise UsageError("the clustered log-rank test knows no weights: leave out cluster or rho")
    if rho < 0:
        raise UsageError("rho must not be negative")
    rows = read_compared(days, event, group, strata, cluster)
    base = _base(rows, rho, clustered=cluster is not None)
    reason = why_not(rows.days, rows.event, rows.groups)
    if reason:
        return no_test(base, reason)
    if cluster is None:
        found = score(rows, rho)
        return chi_square(base, found.observed - found.expected, found.covariance, "groups-never-together")
    return robust(base, robust_residuals(rows, "efron"))


def read_compared(
    days: Column, event: Column, group: Column, strata: Column | None, cluster: Column | None
) -> Compared:
    """The columns of a comparison, checked and in canonical order."""
    reader = Reader()
    whole, ended = reader.days(days), reader.codes(event, "event", 1)
    groups = reader.labels(group, "group", len(whole))
    layers = reader.labels(strata, "strata", len(whole))
    patient, clusters = reader.clusters(cluster, len(whole))
    reader.done()
    keys = (groups.numbers, ended, whole, layers.numbers)
    order = np.lexsort(keys if cluster is None else (patient, *keys))
    return Compared(
        days=whole[order],
        event=ended[order],
        group=groups.numbers[order],
        stratum=layers.numbers[order],
        patient=patient if cluster is None else patient[order],
        groups=groups.count,
        strata=layers.count,
        clusters=clusters,
    )


def why_not(days: Ints, event: Ints | Bools, groups: int) -> str | None:
    """Why groups cannot be compared at all; None if they can."""
    if not len(days):
        return "no-rows"
    if groups < 2:
        return "one-group"
    return None if event.any() else "no-event"


def score(rows: Compared, rho: float) -> Score:
    """Observed and expected events of each group and their covariance, summed over strata."""
    found = [_stratum(rows, inside, rho) for inside in parts(rows.stratum, rows.strata)]
    return Score(
        np.sum([one.observed for one in found], axis=0),
        np.sum([one.expected for one in found], axis=0),
        np.sum([one.covariance for one in found], axis=0),
    )


def counts(place: Ints, group: Ints, taken: Ints, days: int, groups: int) -> Floats:
    """How many of the *taken* rows each group has on each distinct day: a row a day, a column a group."""
    cells = np.bincount(place * groups + group, weights=taken, minlength=days * groups)
    return np.asarray(cells.reshape(days, groups), dtype=np.float64)


def _stratum(rows: Compared, inside: slice, rho: float) -> Score:
    days, place = np.unique(rows.days[inside], return_inverse=True)
    group, event = rows.group[inside], rows.event[inside]
    leaving = counts(place, group, np.ones_like(event), len(days), rows.groups)
    at_risk = np.cumsum(leaving[::-1], axis=0)[::-1]
    died = counts(place, group, event, len(days), rows.groups)
    n, d = at_risk.sum(axis=1), died.sum(axis=1)
    before = np.concatenate(([1.0], np.cumprod(1 - d / n)[:-1]))
    weight = before**rho
    share = at_risk / n[:, None]
    spread = weight**2 * d * (n - d) / np.maximum(n - 1, 1)
    covariance = -(share * spread[:, None]).T @ share
    np.fill_diagonal(covariance, spread @ (share * (1 - share)))  # 0, and not nearly, for a group alone
    return Score(weight @ died, (weight * d) @ share, covariance)


def robust_residuals(rows: Compared, ties: Ties) -> Floats:
    """The score residuals of the group indicators at no effect, summed by patient: a row a patient."""
    indicators = (rows.group[:, None] == np.arange(rows.groups)).astype(np.float64)
    found = np.zeros_like(indicators)
    for inside in parts(rows.stratum, rows.strata):
        if rows.event[inside].any():
            one = block(rows.days[inside], rows.event[inside] == 1, indicators[inside], ties)
            found[inside] = residuals(one, likelihood(one, np.zeros(rows.groups)))
    return by_patient(found, rows.patient, rows.clusters)


def robust(base: TestResult, psi: Floats) -> TestResult:
    """The test of a score whose residuals, a row a patient, are *psi* (section 8, clustered)."""
    informative = np.count_nonzero(np.abs(psi).max(axis=1) > 1e-12)
    if not informative:
        return no_test(base, "groups-never-together")
    if informative <= psi.shape[1] - 1:
        return no_test(base, "too-few-patients")
    return chi_square(base, psi.sum(axis=0), psi.T @ psi, "groups-never-together")


def _base(rows: Compared, rho: float, *, clustered: bool) -> TestResult:
    name = "log-rank" if not rho else f"Fleming-Harrington rho {rho:g}"
    layers = f", {rows.strata} strata" if rows.strata > 1 else ""
    how = "robust score test, Efron ties, patients as clusters" if clustered else "ignores clustering"
    return TestResult(
        name="log-rank",
        n=len(rows.days),
        clusters=rows.clusters if clustered else None,
        events=int(rows.event.sum()),
        method=f"{name}{layers}; {how}",
    )
