"""Aalen-Johansen cumulative incidence with patient-clustered variance (`spec/statistics.md` section 4).

All causes share one risk set. Tied times are never jittered: on one day events of all causes count at
once, before censorings.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fhir_srs.errors import UsageError
from fhir_srs.model import Estimate
from fhir_srs.survival.exits import Exits, Total, exits, sums_over_rows
from fhir_srs.survival.interval import Flat, Interval, Points, choose
from fhir_srs.survival.km import Hazards, hazards
from fhir_srs.survival.rows import Column, Floats, Ints, Rows, read_rows
from fhir_srs.survival.steps import Steps, estimate_at, estimate_quantile, on_day_0

CAUSES = (1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Cause:
    """The incidence of one cause over the distinct days, its standard errors and its events."""

    incidence: Floats
    std_error: Floats
    unclustered: Floats
    events: Ints


class _OnDemand(Mapping[int, Cause]):
    """Each cause when it is asked for first: most callers want one, and its variance is most of the work."""

    def __init__(self, make: Callable[[int], Cause]) -> None:
        self._make, self._made = make, dict[int, Cause]()

    def __getitem__(self, cause: int) -> Cause:
        if cause not in CAUSES:
            raise KeyError(cause)
        if cause not in self._made:
            self._made[cause] = self._make(cause)
        return self._made[cause]

    def __iter__(self) -> Iterator[int]:
        return iter(CAUSES)

    def __len__(self) -> int:
        return len(CAUSES)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Incidence:
    """
    Cumulative incidences over the distinct observed *days*; *survival* is free of all events.

    *failed* counts the events of any cause. Without a repr: *causes* keep the rows that they are made of.
    """

    days: Ints
    survival: Floats
    at_risk: Ints
    failed: Ints
    censored: Ints
    causes: Mapping[int, Cause]
    n: int
    clusters: int

    def incidence(self, cause: int = 1) -> Floats:
        """The cumulative incidence of *cause* on each of the distinct days."""
        return self._cause(cause).incidence

    def std_error(self, cause: int = 1) -> Floats:
        """Its clustered infinitesimal jackknife standard error."""
        return self._cause(cause).std_error

    def events(self, cause: int = 1) -> Ints:
        """The number of events of *cause* on each of the distinct days."""
        return self._cause(cause).events

    def at(
        self, day: int, cause: int = 1, preset: str | Interval = "default", level: float = 0.95
    ) -> Estimate:
        """
        The incidence of *cause* by *day* with its pointwise interval at *level*.

        Not estimable beyond the last observed day unless nobody is left free of events.
        """
        return estimate_at(self._steps(cause), day, choose(preset), level)

    def quantile(
        self,
        share: float = 0.5,
        cause: int = 1,
        preset: str | Interval = "default",
        flat: Flat | None = None,
        level: float = 0.95,
    ) -> Estimate:
        """The first day by which the incidence of *cause* is *share* or more, with its limits."""
        return estimate_quantile(self._steps(cause), share, choose(preset), flat=flat, level=level)

    def _cause(self, cause: int) -> Cause:
        if cause not in self.causes:
            raise UsageError("the causes are 1 (event) and 2 (competing)")
        return self.causes[cause]

    def _steps(self, cause: int) -> Steps:
        one = self._cause(cause)
        points = Points(one.incidence, one.std_error**2, one.unclustered**2, self.clusters)
        own = int(one.events.sum())
        return Steps(
            estimator="Aalen-Johansen",
            days=self.days,
            at_risk=self.at_risk,
            alive=self.survival,
            points=points,
            n=self.n,
            events=own,
            competing=int(self.failed.sum()) - own,
            on_day_0=on_day_0(self.days, one.events),
            rises=True,
        )


def aalen_johansen(days: Column, status: Column, cluster: Column | None = None) -> Incidence:
    """
    The cumulative incidences of *status* 1 (event) and 2 (competing); 0 is censored. In O(n log n).

    *cluster* holds patient ids; None makes each row its own. Raises `RowError` naming a bad row.

    >>> incidence = aalen_johansen([5, 8, 13, 21], [1, 2, 0, 0])
    >>> incidence.at(10).value
    0.25
    """
    rows = read_rows(days, status, cluster, causes=max(CAUSES))
    h = hazards(rows, (rows.status > 0).astype(np.int64))
    leaving = np.append(h.at_risk[1:], 0)
    alone = rows.clusters == len(rows.days)
    leavers = None if alone else _Leavers(exits(rows.patient, h.place, len(h.days)))
    return Incidence(
        days=h.days,
        survival=h.survival,
        at_risk=h.at_risk,
        failed=h.events,
        censored=h.at_risk - leaving - h.events,
        causes=_OnDemand(lambda cause: _cause(rows, h, cause, leavers)),
        n=len(rows.days),
        clusters=rows.clusters,
    )


class _Leavers:
    """The exits of all rows, and the sum over patients of their squared members: the same for all causes."""

    def __init__(self, out: Exits) -> None:
        self.out, self.members = out, out.members()
        self.members_squared = out.sum_of_products(self.members, self.members, out.squared_sizes())


def _cause(rows: Rows, h: Hazards, cause: int, leavers: _Leavers | None) -> Cause:
    own = (rows.status == cause).astype(np.int64)
    events = np.bincount(h.place, weights=own, minlength=len(h.days)).astype(np.int64)
    before = np.concatenate(([1.0], h.survival[:-1]))[: len(h.days)]
    jump = before / h.at_risk
    incidence = np.cumsum(events * jump)
    incidence = np.where(incidence > 1 - 1e-12, 1.0, incidence)  # a sum that is 1 but for rounding
    influence = _influence(h, rows, own, jump, events * jump, incidence)
    alone = np.sqrt(_unclustered(h, influence))
    clustered = alone if leavers is None else np.sqrt(_variance(leavers, influence))
    return Cause(incidence, clustered, alone, events)


@dataclass(frozen=True, slots=True, eq=False)
class _Influence:
    """Each row's derivative: *staying* at time j while at risk, *fixed* + *slope* F_j once it has left."""

    staying: Floats
    fixed: Floats
    slope: Floats
    incidence: Floats


def _influence(
    h: Hazards, rows: Rows, own: Ints, jump: Floats, step: Floats, incidence: Floats
) -> _Influence:
    """The infinitesimal jackknife of section 4: E, and alpha and beta of each row."""
    hazard_before = np.concatenate(([0.0], h.hazard[:-1]))[: len(h.days)]
    staying = np.cumsum(step * (hazard_before - 1 / h.at_risk))
    k, failed = h.place, rows.status > 0
    everyone = h.at_risk[k] == h.events[k]
    slope = np.where(everyone, 0.0, h.hazard[k] - failed * h.inverse[k])
    fixed = staying[k] + own * jump[k] - slope * incidence[k]
    return _Influence(staying, fixed, slope, incidence)


def _unclustered(h: Hazards, i: _Influence) -> Floats:
    """The sum over rows of their squared influences, at each distinct time."""
    f, times = i.incidence, len(h.days)
    total = Total(i.staying**2 * np.append(h.at_risk[1:], 0))
    total.add(sums_over_rows(i.fixed**2, h.place, times))
    total.add(f**2 * sums_over_rows(i.slope**2, h.place, times))
    total.add(2 * f * sums_over_rows(i.fixed * i.slope, h.place, times))
    return total.variance()


def _variance(leavers: _Leavers, i: _Influence) -> Floats:
    """The sum over patients of the squared sum of their influences, at each distinct time."""
    out, members = leavers.out, leavers.members
    fixed, slope = out.running(i.fixed), out.running(i.slope)
    e, f = i.staying, i.incidence
    total = Total(e**2 * leavers.members_squared)
    total.add(out.sum_of_products(fixed, fixed))
    total.add(f**2 * out.sum_of_products(slope, slope))
    total.add(2 * e * out.sum_of_products(members, fixed))
    total.add(2 * e * f * out.sum_of_products(members, slope))
    total.add(2 * f * out.sum_of_products(fixed, slope))
    return total.variance()
