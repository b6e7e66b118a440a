"""Restricted mean survival time with patient-clustered variance (`spec/statistics.md` section 7)."""

from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from fhir_srs.errors import UsageError
from fhir_srs.model import Estimate
from fhir_srs.survival.exits import NOISE
from fhir_srs.survival.interval import PRESETS, VARIANCE_LABELS, upper_quantile
from fhir_srs.survival.km import Hazards, hazards
from fhir_srs.survival.rows import Column, Rows, read_rows


@dataclass(frozen=True, slots=True)
class Mean:
    """The area under the curve until the horizon, in days, with both of its standard errors."""

    days: float
    std_error: float
    unclustered: float


def restricted_mean(
    days: Column, event: Column, tau: int, cluster: Column | None = None, *, level: float = 0.95
) -> Estimate:
    """
    The mean of the time to *event* until day *tau*: the area under the Kaplan-Meier curve, in days.

    Its interval is plain, with the clustered infinitesimal jackknife times G/(G-1) and Student's t on
    G-1 degrees of freedom (Royston and Parmar 2013; Jaeckel 1972). Not estimable if *tau* lies beyond
    the last observed day, unless the curve has reached 0 by then. No event until *tau* gives *tau* itself
    without an interval. Raises `RowError` with every bad row.

    >>> restricted_mean([5, 8, 13, 21], [True, True, False, False], 10).value
    8.25
    """
    horizon = _horizon(tau)
    rows = read_rows(days, event, cluster, causes=1)
    base = _base(rows, horizon, level)
    if not len(rows.days):
        return replace(base, status="not-estimable", reason="no-rows")
    h = hazards(rows, rows.status)
    if horizon > h.days[-1] and h.survival[-1] > 0:
        last = f"beyond-follow-up (last day {h.days[-1]}, {h.at_risk[-1]} at risk)"
        return replace(base, status="not-estimable", reason=last)
    mean = area(rows, h, horizon)
    return _bounded(replace(base, value=mean.days), mean, rows.clusters, level)


def area(rows: Rows, h: Hazards, horizon: int) -> Mean:
    """The area under the curve until *horizon*, which the curve must reach, and its standard errors."""
    ends = np.minimum(np.append(h.days, horizon), horizon)
    pieces = h.survival * np.diff(ends)
    after = np.append(np.cumsum(pieces[::-1])[::-1][1:], 0.0) + pieces
    steps = np.diff(h.hazard, prepend=0.0)
    drawn = np.cumsum(after * steps)
    influence = drawn[h.place] - rows.status * after[h.place] * h.inverse[h.place]
    summed = np.bincount(rows.patient, weights=influence)
    squares, most = float(np.sum(summed**2)), float(np.sum(influence**2))
    clustered = np.sqrt(squares) if squares > NOISE * most else 0.0
    alone = np.sqrt(np.sum(after**2 * steps))
    return Mean(float(ends[0] + pieces.sum()), float(clustered), float(alone))


def _horizon(tau: int) -> int:
    if isinstance(tau, bool) or not isinstance(tau, (int, np.integer)) or tau < 1:
        raise UsageError("a restricted mean needs a horizon of a whole number of days from 1 on")
    return int(tau)


def _base(rows: Rows, horizon: int, level: float) -> Estimate:
    interval = PRESETS["default"]
    return Estimate(
        level=level,
        n=len(rows.days),
        clusters=rows.clusters,
        events=int(rows.status.sum()),
        at_risk=int(np.count_nonzero(rows.days >= horizon)),
        time_days=horizon,
        method=f"restricted mean; plain CI ({VARIANCE_LABELS[interval.variance]}, t {rows.clusters - 1} df)",
    )


def _bounded(estimate: Estimate, mean: Mean, clusters: int, level: float) -> Estimate:
    why = _why(mean, estimate.time_days or 0, clusters)
    if why:
        return replace(estimate, low_status="not-estimable", high_status="not-estimable", reason=why)
    half = upper_quantile(PRESETS["default"], clusters, level) * mean.std_error
    half *= float(np.sqrt(clusters / (clusters - 1)))
    return replace(
        estimate,
        low=mean.days - half,
        high=mean.days + half,
        low_status="estimated",
        high_status="estimated",
    )


def _why(mean: Mean, horizon: int, clusters: int) -> str | None:
    """Why there is no interval; None if there is one."""
    if mean.unclustered == 0:
        return "no-event-yet" if mean.days == horizon else "survival-zero"
    if clusters == 1:
        return "one-patient"
    return "zero-cluster-variance" if mean.std_error == 0 else None
