"""Gray's test of cumulative incidences between groups (`spec/statistics.md` section 8)."""

from dataclasses import dataclass

import numpy as np

from fhir_srs.errors import UsageError
from fhir_srs.model import TestResult
from fhir_srs.survival.chi_square import RANK, chi_square, no_test
from fhir_srs.survival.logrank import counts, why_not
from fhir_srs.survival.rows import Bools, Column, Floats, Ints, Reader, parts


@dataclass(frozen=True, slots=True, eq=False)
class Daily:
    """One stratum on its event days, a row a day and a column a group, under Gray's null hypothesis.

    *own* and *other* are events of the cause and of the rest, *before* and *after* each group's survival
    from all events left and right of the day, *share* h = Y/S(t-). *null* is the pooled incidence right of
    the day, *step* its jump. *weight* is (1-F(t-))^rho, 0 where fewer than two groups are at risk.
    """

    at_risk: Floats
    own: Floats
    other: Floats
    before: Floats
    after: Floats
    incidence_before: Floats
    share: Floats
    step: Floats
    null: Floats
    weight: Floats


class _NullIncidenceOne(Exception):
    """The pooled incidence reaches 1 while two groups are still at risk."""


def gray_test(
    days: Column,
    status: Column,
    group: Column,
    cause: int = 1,
    strata: Column | None = None,
    rho: float = 0,
) -> TestResult:
    """
    Whether the *group*s differ in the cumulative incidence of *cause* (Gray 1988), summed over *strata*.

    *status* is 0 censored, 1 event, 2 competing; the cause that is not *cause* competes. *rho* weighs each
    day by (1-F(t-))^rho, F being the pooled incidence under the null hypothesis. Ties follow the factors of
    the spec. The test ignores clustering: with several lesions in a patient use `fine_gray` with *cluster*.

    Fewer than two groups, no event of the cause, groups never at risk together, or a pooled incidence that
    reaches 1 too early: not estimable. Raises `RowError` with every bad row.
    """
    if cause not in (1, 2):
        raise UsageError("the causes are 1 (event) and 2 (competing)")
    if rho < 0:
        raise UsageError("rho must not be negative")
    reader = Reader()
    whole, ended = reader.days(days), reader.codes(status, "status", 2)
    groups = reader.labels(group, "group", len(whole))
    layers = reader.labels(strata, "strata", len(whole))
    reader.done()
    own = np.where(ended == 0, 0, np.where(ended == cause, 1, 2))
    order = np.lexsort((groups.numbers, own, whole, layers.numbers))
    whole, own, numbers = whole[order], own[order], groups.numbers[order]
    base = _base(len(whole), int(np.count_nonzero(own == 1)), rho, layers.count)
    reason = why_not(whole, own == 1, groups.count)
    if reason:
        return no_test(base, reason)
    inside = parts(layers.numbers[order], layers.count)
    try:
        found = [score(whole[s], own[s], numbers[s], groups.count, rho) for s in inside]
    except _NullIncidenceOne:
        return no_test(base, "null-incidence-one")
    total, covariance = (np.sum(one, axis=0) for one in zip(*found, strict=True))
    return _tested(base, total, covariance)


def score(days: Ints, own: Ints, group: Ints, groups: int, rho: float) -> tuple[Floats, Floats]:
    """Gray's score of each group in one stratum, and its covariance."""
    d = _daily(days, own, group, groups, rho)
    pooled = d.own.sum(axis=1)
    rate = d.share * (1 - d.incidence_before)
    total = rate.sum(axis=1)
    mine = np.divide(rate, total[:, None], out=np.zeros_like(rate), where=total[:, None] > 0)
    z = d.weight @ (d.own - pooled[:, None] * mine)
    return z, _covariance(d, pooled)


def _daily(days: Ints, own: Ints, group: Ints, groups: int, rho: float) -> Daily:
    distinct, place = np.unique(days, return_inverse=True)

    def count(taken: Bools) -> Floats:
        return counts(place, group, taken.astype(np.int64), len(distinct), groups)

    leaving, first, second = count(own >= 0), count(own == 1), count(own == 2)
    at_risk = np.cumsum(leaving[::-1], axis=0)[::-1]
    after = np.asarray(np.cumprod(1 - _ratio(first + second, at_risk), axis=0), dtype=np.float64)
    before = _shifted(after, 1.0)
    incidence: Floats = np.cumsum(before * _ratio(first, at_risk), axis=0)
    share = _ratio(at_risk, before)
    step = first.sum(axis=1) / share.sum(axis=1)
    null: Floats = np.cumsum(step)
    left = 1 - _shifted(null, 0.0)
    together = (np.count_nonzero(at_risk, axis=1) > 1) & ((first + second).sum(axis=1) > 0)
    if (left[together] <= 0).any():
        raise _NullIncidenceOne
    weight = np.where(together, np.where(together, left, 1.0) ** rho, 0.0)
    taken = (first + second).sum(axis=1) > 0
    columns = (at_risk, first, second, before, after, _shifted(incidence, 0.0), share, step, null, weight)
    return Daily(*(column[taken] for column in columns))


def _covariance(d: Daily, pooled: Floats) -> Floats:
    """The sum over groups r and days of a a' v1 + b b' v2: the variance of the score as martingales."""
    share = d.share.sum(axis=1)
    mix = np.eye(d.share.shape[1]) - (d.share / share[:, None])[:, :, None]
    direct = d.weight[:, None, None] * d.share[:, None, :] * mix
    left = 1 - _shifted(d.null, 0.0)
    rate = np.divide(d.step, left, out=np.zeros_like(d.step), where=(d.weight > 0) & (left > 0))
    drawn = direct * rate[:, None, None]
    later = np.cumsum(drawn[::-1], axis=0)[::-1] - drawn
    q = _ratio(np.broadcast_to((1 - d.null)[:, None], d.after.shape), d.after)[:, None, :]
    a, b = direct + (1 - q) * later, -q * later
    there = d.at_risk > 0
    v1 = np.where(there, _ratio(np.broadcast_to(d.step[:, None], there.shape), d.share), 0.0)
    v1 = v1 * _tie_factor(pooled[:, None], share[:, None] * d.before)
    v2 = _ratio(d.other, d.share**2) * _tie_factor(d.other, d.at_risk)
    first = np.einsum("jkr,jlr,jr->kl", a, a, v1, optimize=True)
    second = np.einsum("jkr,jlr,jr->kl", b, b, np.where(there, v2, 0.0), optimize=True)
    return np.asarray(first + second, dtype=np.float64)


def _tie_factor(events: Floats, at_risk: Floats) -> Floats:
    """1 - (d-1)/(n-1), and 1 where there is at most one event."""
    factor = 1 - _ratio(events - 1, at_risk - 1)
    return np.where(events > 1, factor, 1.0)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """*top* / *bottom*, 0 where *bottom* is."""
    top, bottom = np.broadcast_arrays(top, bottom)
    return np.divide(top, bottom, out=np.zeros(top.shape), where=bottom != 0)


def _shifted(values: Floats, start: float) -> Floats:
    """The left limits of a step curve that starts at *start*."""
    return np.concatenate((np.full((1, *values.shape[1:]), start), values[:-1]))


def _tested(base: TestResult, total: Floats, covariance: Floats) -> TestResult:
    values = np.linalg.eigvalsh(covariance)
    if values[0] < -RANK * np.abs(values).max():
        return no_test(base, "variance-not-positive")
    return chi_square(base, total, covariance, "groups-never-together")


def _base(rows: int, events: int, rho: float, strata: int) -> TestResult:
    layers = f", {strata} strata" if strata > 1 else ""
    return TestResult(
        name="Gray", n=rows, events=events, method=f"Gray rho {rho:g}{layers}; ignores clustering"
    )
