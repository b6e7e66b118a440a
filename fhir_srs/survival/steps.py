"""A step curve with its variances, and the printed figures read from it (`spec/statistics.md` 12.1, 12.3).

Kaplan-Meier curves and cumulative incidences are read alike. What does not exist is None with a status
and a reason of `reasons.py`; a NaN, 0 or infinity in its place never leaves this package.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from msgspec.structs import replace

from fhir_srs.errors import UsageError
from fhir_srs.model import Estimate, EstimateStatus, Grounds
from fhir_srs.survival.interval import Flat, Interval, Points, band, describe, reckoning
from fhir_srs.survival.quantile import cross
from fhir_srs.survival.rows import Floats, Ints

Limits: TypeAlias = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """
    A curve over the distinct *days*: a survival, or an incidence, which starts at 0.

    *alive* is the survival from all events: once it is 0, the curve stays as it is for ever. Events
    *on_day_0* count, and are said (`spec/statistics.md` 12.1).
    """

    estimator: str
    days: Ints
    at_risk: Ints
    alive: Floats
    points: Points
    n: int
    events: int
    competing: int | None = None
    on_day_0: int = 0
    rises: bool = False


def estimate_at(steps: Steps, day: int, interval: Interval, level: float) -> Estimate:
    """The curve on *day* with its pointwise interval; not estimable beyond the last observed day."""
    base = replace(_base(steps, interval, level), time_days=_day(day))
    if not steps.n:
        return replace(base, status="not-estimable", reason="no-rows")
    at_risk = int(steps.n if day <= steps.days[0] else _at_risk(steps, day))
    if day > steps.days[-1] and steps.alive[-1] > 0:
        last = f"beyond-follow-up (last day {steps.days[-1]}, {steps.at_risk[-1]} at risk)"
        return replace(base, status="not-estimable", reason=last, at_risk=int(steps.at_risk[-1]))
    j = int(np.searchsorted(steps.days, day, side="right")) - 1
    point = _point(steps, j)
    low, high = (float(limit[0]) for limit in _limits(steps, point, interval, level))
    value = float(point.probability[0])
    found = _bounded(replace(base, value=value, at_risk=at_risk), low, high, _why(steps, value))
    if found.low is None or not 0 < value < 1:
        return found
    return replace(found, grounds=Grounds(arithmetic=reckoning(point, interval, level)))


def estimate_quantile(
    steps: Steps, share: float, interval: Interval, *, flat: Flat | None, level: float
) -> Estimate:
    """
    The first day by which *share* have had the event, with Brookmeyer-Crowley limits.

    *flat* None takes the rule of *interval*. No crossing is `not-reached`.
    """
    if not 0 < share < 1:
        raise UsageError("a quantile lies between 0 and 1")
    rule = flat or interval.flat
    base = _base(steps, interval, level)
    base = replace(base, method=f"{base.method}; flat {rule}", at_risk=None)
    if not steps.n:
        return replace(base, status="not-estimable", reason="no-rows")
    found = cross(steps.days, *_falling(steps, interval, level), 1 - share, rule)
    status: EstimateStatus = "not-reached" if found.value is None else "estimated"
    limits = (("lower", found.low), ("upper", found.high))
    said = "; ".join(f"its {name} limit {_crosses(day)}" for name, day in limits)
    return replace(
        base,
        value=found.value,
        low=found.low,
        high=found.high,
        status=status,
        low_status=found.low_status,
        high_status=found.high_status,
        reason="one-patient" if steps.points.clusters == 1 else None,
        grounds=Grounds(arithmetic=(said,)),
    )


def _crosses(day: float | None) -> str:
    return "never crosses" if day is None else f"crosses first on day {day:g}"


def _day(day: int) -> int:
    if isinstance(day, bool) or not isinstance(day, (int, np.integer)) or day < 0:
        raise UsageError("a horizon is a whole number of days from 0 on")
    return int(day)


def on_day_0(days: Ints, events: Ints) -> int:
    """How many of *events*, counted on each of the distinct *days*, fall on day 0."""
    return int(events[days == 0].sum())


def _at_risk(steps: Steps, day: int) -> int:
    """Rows observed on *day* or later."""
    j = int(np.searchsorted(steps.days, day))
    return int(steps.at_risk[j]) if j < len(steps.days) else 0


def _base(steps: Steps, interval: Interval, level: float) -> Estimate:
    clusters = steps.points.clusters
    early = f"; {steps.on_day_0} of the events on day 0" if steps.on_day_0 else ""
    return Estimate(
        level=level,
        n=steps.n,
        clusters=clusters,
        events=steps.events,
        competing=steps.competing,
        method=f"{steps.estimator}; {describe(interval, clusters)}{early}",
    )


def _point(steps: Steps, place: int) -> Points:
    """The one point at *place* of the curve; before the first it stands where it starts."""
    whole, here = steps.points, slice(place, place + 1)
    if place < 0:
        start = np.array([0.0 if steps.rises else 1.0])
        return Points(start, np.zeros(1), np.zeros(1), whole.clusters)
    return Points(whole.probability[here], whole.clustered[here], whole.unclustered[here], whole.clusters)


def _limits(steps: Steps, points: Points, interval: Interval, level: float) -> Limits:
    """The band; an incidence that has reached 1 has none, as a survival that has reached 0."""
    low, high = band(points, interval, level)
    done = steps.rises & (points.probability == 1)
    return np.where(done, np.nan, low), np.where(done, np.nan, high)


def _falling(steps: Steps, interval: Interval, level: float) -> tuple[Floats, Limits]:
    """The curve as one that falls from 1, with its limits; both are 1 until the first event."""
    low, high = _limits(steps, steps.points, interval, level)
    curve = steps.points.probability
    if steps.rises:
        curve, low, high = 1 - curve, 1 - high, 1 - low
    whole = curve == 1
    return curve, (np.where(whole, 1.0, low), np.where(whole, 1.0, high))


def _why(steps: Steps, value: float) -> str:
    """Why an interval would not exist at *value*; the first row of the table that applies."""
    if value == (0 if steps.rises else 1):
        return "no-event-of-this-cause" if steps.rises else "no-event-yet"
    if value in (0, 1):
        return "incidence-one" if steps.rises else "survival-zero"
    return "one-patient" if steps.points.clusters == 1 else "zero-cluster-variance"


def _bounded(estimate: Estimate, low: float, high: float, why: str) -> Estimate:
    if np.isnan(low) or np.isnan(high):
        return replace(estimate, low_status="not-estimable", high_status="not-estimable", reason=why)
    return replace(estimate, low=low, high=high, low_status="estimated", high_status="estimated")
