"""Kaplan-Meier with patient-clustered variance, and follow-up by the reverse of it.

`spec/statistics.md` sections 3, 5, 6 and 12.1. On one day events come first: a row censored on day t is
at risk for the events of day t. Competing events are censored here; the caller's label must say so.
"""

from dataclasses import dataclass

import numpy as np

from fhir_srs.model import Estimate
from fhir_srs.survival.exits import exits, without_noise
from fhir_srs.survival.interval import Flat, Interval, Points, choose
from fhir_srs.survival.rows import Column, Floats, Ints, RowError, Rows, read_rows
from fhir_srs.survival.steps import Steps, estimate_at, estimate_quantile, on_day_0


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A survival curve over the distinct observed *days*, censorings included.

    *std_error* is the clustered infinitesimal jackknife, *greenwood* ignores clusters; they are equal
    where each patient has one row. *at_risk* counts rows observed on that day or later.
    """

    estimator: str
    days: Ints
    survival: Floats
    std_error: Floats
    greenwood: Floats
    at_risk: Ints
    events: Ints
    censored: Ints
    n: int
    clusters: int

    def at(self, day: int, preset: str | Interval = "default", level: float = 0.95) -> Estimate:
        """
        Survival on *day* with its pointwise interval at *level*.

        Not estimable beyond the last observed day unless the curve has reached 0 there: the value is
        never carried forward. Where only the interval does not exist, *reason* says why.
        """
        return estimate_at(self._steps(), day, choose(preset), level)

    def quantile(
        self,
        share: float = 0.5,
        preset: str | Interval = "default",
        flat: Flat | None = None,
        level: float = 0.95,
    ) -> Estimate:
        """
        The first day on which survival is 1 - *share* or less (0.5: the median), with its limits.

        *flat* None takes the rule of the preset: `inf` for the default, `midpoint` as R does.
        """
        return estimate_quantile(self._steps(), share, choose(preset), flat=flat, level=level)

    def _steps(self) -> Steps:
        points = Points(self.survival, self.std_error**2, self.greenwood**2, self.clusters)
        return Steps(
            estimator=self.estimator,
            days=self.days,
            at_risk=self.at_risk,
            alive=self.survival,
            points=points,
            n=self.n,
            events=int(self.events.sum()),
            on_day_0=on_day_0(self.days, self.events),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Hazards:
    """The quantities of section 2 at the distinct times, and each row's place among them.

    *inverse* is 1/(n-d), *hazard* the running sum of d/(n(n-d)); both take 0 where all at risk fail.
    """

    days: Ints
    place: Ints
    at_risk: Ints
    events: Ints
    inverse: Floats
    hazard: Floats
    survival: Floats


def kaplan_meier(days: Column, event: Column, cluster: Column | None = None) -> Curve:
    """
    The Kaplan-Meier curve of *days* (whole, from 0 on) to *event* (true or false), in O(n log n).

    *cluster* holds patient ids; None makes each row its own. Raises `RowError` naming a bad row.

    >>> curve = kaplan_meier([5, 8, 13, 21], [True, True, False, False])
    >>> curve.at(10).value
    0.5
    """
    rows = read_rows(days, event, cluster, causes=1)
    return _curve("Kaplan-Meier", rows, rows.status)


def follow_up(days: Column, died: Column, cluster: Column | None = None) -> Curve:
    """
    The reverse Kaplan-Meier curve: the end of observation is the event, a death is censored.

    One row for each patient: a repeated *cluster* is an error, since follow-up is a patient's.
    `.quantile(0.5)` is the median follow-up; the range is that of *days*.
    """
    rows = read_rows(days, died, cluster, causes=1)
    if rows.clusters != len(rows.days):
        raise RowError("follow-up takes one row for each patient")
    return _curve("reverse Kaplan-Meier", rows, 1 - rows.status)


def hazards(rows: Rows, failed: Ints) -> Hazards:
    """The risk set and the hazard sums of sorted *rows*; *failed* is 1 for each row with any event."""
    first = np.flatnonzero(np.diff(rows.days, prepend=-1))
    days = rows.days[first]
    at_risk = len(rows.days) - first
    place = np.repeat(np.arange(len(first)), np.diff(first, append=len(rows.days)))
    events = np.bincount(place, weights=failed, minlength=len(days)).astype(np.int64)
    left = at_risk - events
    inverse = np.divide(1.0, left, out=np.zeros(len(days)), where=left > 0)
    hazard = np.cumsum(events / at_risk * inverse)
    survival = np.asarray(np.cumprod(1 - events / at_risk), dtype=np.float64)
    return Hazards(days, place, at_risk, events, inverse, hazard, survival)


def _curve(estimator: str, rows: Rows, failed: Ints) -> Curve:
    h = hazards(rows, failed)
    greenwood = h.survival * np.sqrt(h.hazard)
    alone = rows.clusters == len(rows.days)
    leaving = np.append(h.at_risk[1:], 0)
    return Curve(
        estimator=estimator,
        days=h.days,
        survival=h.survival,
        std_error=greenwood if alone else np.sqrt(_clustered_variance(rows, failed, h)),
        greenwood=greenwood,
        at_risk=h.at_risk,
        events=h.events,
        censored=h.at_risk - leaving - h.events,
        n=len(rows.days),
        clusters=rows.clusters,
    )


def _clustered_variance(rows: Rows, failed: Ints, h: Hazards) -> Floats:
    """V = S^2 (P - 2HQ + H^2 R): the clustered infinitesimal jackknife of section 3."""
    out = exits(rows.patient, h.place, len(h.days))
    gone = out.running(failed * h.inverse[h.place] - h.hazard[h.place])
    members = out.members()
    p = out.sum_of_products(gone, gone)
    q = out.sum_of_products(gone, members)
    r = out.sum_of_products(members, members, out.squared_sizes())
    terms = p + 2 * np.abs(h.hazard * q) + h.hazard**2 * r
    return h.survival**2 * without_noise(p - 2 * h.hazard * q + h.hazard**2 * r, terms)
