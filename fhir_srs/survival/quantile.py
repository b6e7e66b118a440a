"""Quantiles of time and their Brookmeyer-Crowley limits (`spec/statistics.md` section 6)."""

from dataclasses import dataclass

import numpy as np

from fhir_srs.model import EstimateStatus
from fhir_srs.survival.interval import Flat
from fhir_srs.survival.rows import Floats, Ints

# Plain products overshoot 0.5 by rounding for 49 of the 100 even n up to 200 (one event a day).
TOL = 1.5e-8


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the curve and its limits cross: days, or None with the status that says why."""

    value: float | None
    low: float | None
    high: float | None
    low_status: EstimateStatus | None
    high_status: EstimateStatus | None


def first_crossing(days: Ints, curve: Floats, target: float, flat: Flat) -> float | None:
    """
    The first day on which *curve*, which falls, is at or below *target*; None if it never is.

    NaN crosses nothing. On a flat piece at the target, `midpoint` takes the mean of its first day and
    the next day on which the curve drops, else the last observed day.
    """
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero(curve <= target + TOL)
        if not len(at):
            return None
        j = int(at[0])
        if flat == "inf" or abs(curve[j] - target) > TOL:
            return float(days[j])
        later = np.flatnonzero(curve[j:] < curve[j] - TOL)
    end = j + int(later[0]) if len(later) else len(days) - 1
    return (float(days[j]) + float(days[end])) / 2


def cross(days: Ints, curve: Floats, limits: tuple[Floats, Floats], target: float, flat: Flat) -> Crossing:
    """
    The crossing of *curve* with *target* and that of its lower and upper *limits*.

    A band that is nowhere defined between 0 and 1 leaves both limits not estimable. When the curve
    itself crosses and its lower limit never does, that one is not estimable.
    """
    value = first_crossing(days, curve, target, flat)
    low, high = (first_crossing(days, limit, target, flat) for limit in limits)
    inside = (curve > 0) & (curve < 1)
    nowhere = bool(inside.any()) and bool(np.isnan(limits[0][inside]).all())
    no_low: EstimateStatus = "not-estimable" if nowhere or value is not None else "not-reached"
    no_high: EstimateStatus = "not-estimable" if nowhere else "not-reached"
    return Crossing(
        value, low, high, no_low if low is None else "estimated", no_high if high is None else "estimated"
    )
