"""Pointwise intervals of a probability and the presets that name them (`spec/statistics.md` section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from fhir_srs.errors import UsageError
from fhir_srs.survival.rows import Floats

Variance: TypeAlias = Literal["scaled", "clustered", "unclustered"]
Distribution: TypeAlias = Literal["t", "normal"]
Transform: TypeAlias = Literal["loglog", "log", "plain"]
Flat: TypeAlias = Literal["inf", "midpoint"]


@dataclass(frozen=True, slots=True)
class Interval:
    """How an interval is made. Take a preset and `dataclasses.replace` one part to set it alone.

    *variance* `scaled` is the clustered jackknife times G/(G-1). *publishes_edges* gives (1, 1) before
    the first event and (p, p) at zero variance, as the programs that a named preset stands for do.
    """

    name: str
    variance: Variance
    distribution: Distribution
    transform: Transform
    flat: Flat
    publishes_edges: bool = False


PRESETS: Mapping[str, Interval] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Interval("default", "scaled", "t", "loglog", "inf"),
            Interval("ij_loglog", "clustered", "normal", "loglog", "midpoint", publishes_edges=True),
            Interval("ij_log", "clustered", "normal", "log", "midpoint", publishes_edges=True),
            Interval("greenwood_loglog", "unclustered", "normal", "loglog", "inf", publishes_edges=True),
            Interval("greenwood_log", "unclustered", "normal", "log", "midpoint", publishes_edges=True),
        )
    }
)

VARIANCE_LABELS: Mapping[Variance, str] = MappingProxyType(
    {"scaled": "clustered IJ x G/(G-1)", "clustered": "clustered IJ", "unclustered": "unclustered"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """A probability at some times, with both variances; *clusters* is the number of patients."""

    probability: Floats
    clustered: Floats
    unclustered: Floats
    clusters: int


def choose(preset: str | Interval) -> Interval:
    """The interval named *preset*, or *preset* itself if it is one."""
    if isinstance(preset, Interval):
        return preset
    if preset not in PRESETS:
        raise UsageError(f"no such preset; known are {', '.join(PRESETS)}")
    return PRESETS[preset]


def describe(interval: Interval, clusters: int) -> str:
    """What was used, in words, for the method of a printed figure."""
    tail = f"t {clusters - 1} df" if interval.distribution == "t" else "normal"
    return f"{interval.transform} CI ({interval.name}: {VARIANCE_LABELS[interval.variance]}, {tail})"


def reckoning(point: Points, interval: Interval, level: float) -> tuple[str, ...]:
    """How the limits at *point*, which is one, come from its standard error, a line a step."""
    p, error = float(point.probability[0]), float(_standard_error(point, interval)[0])
    kind = "unclustered" if interval.variance == "unclustered" else "clustered"
    own = float(np.sqrt(point.unclustered if kind == "unclustered" else point.clustered)[0])
    clusters = point.clusters
    scaled = f" x sqrt({clusters}/{clusters - 1}) = {error:.6f}" if interval.variance == "scaled" else ""
    q = upper_quantile(interval, clusters, level)
    name = f"t({clusters - 1} df)" if interval.distribution == "t" else "normal"
    lines = (f"standard error, {kind}: {own:.6f}{scaled}", f"quantile: {name} = {q:.6f}")
    if interval.transform == "plain":
        return (*lines, f"limits: {p:.6f} -+ {q * error:.6f}")
    if interval.transform == "log":
        return (*lines, f"limits: {p:.6f} exp(-+w), w = q s/p = {q * error / p:.6f}")
    w = q * error / (p * -float(np.log(p)))
    return (*lines, f"limits: exp(-exp(ln(-ln {p:.6f}) +- w)), w = q s/(p |ln p|) = {w:.6f}")


def upper_share(level: float) -> float:
    """The share below the upper limit of a two-sided interval at *level*, which is a fraction."""
    if not 0 < level < 1:
        raise UsageError("the level of an interval lies between 0 and 1")
    return 1 - (1 - level) / 2


def upper_quantile(interval: Interval, clusters: int, level: float) -> float:
    """The quantile q of a two-sided interval at *level*; NaN where t has no degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    upper = upper_share(level)
    if interval.distribution == "normal":
        return float(ndtri(upper))
    return float(stdtrit(clusters - 1, upper)) if clusters > 1 else float("nan")


def band(points: Points, interval: Interval, level: float) -> tuple[Floats, Floats]:
    """
    Lower and upper limits at each point; NaN where undefined (the table in section 5).

    The NaN stay inside this package: results say `not-estimable` instead.
    """
    p = points.probability
    s = _standard_error(points, interval)
    low, high = _limits(p, upper_quantile(interval, points.clusters, level) * s, interval.transform)
    defined = (p > 0) & (p < 1) & (s > 0) & (points.clusters > 1)
    low, high = np.where(defined, low, np.nan), np.where(defined, high, np.nan)
    if not interval.publishes_edges:
        return low, high
    edge = ((p > 0) & (p < 1) & (s == 0) & (points.clusters > 1)) | (p == 1)
    return np.where(edge, p, low), np.where(edge, p, high)


def _standard_error(points: Points, interval: Interval) -> Floats:
    if interval.variance == "unclustered":
        return np.sqrt(points.unclustered)
    clusters = points.clusters
    factor = clusters / (clusters - 1) if interval.variance == "scaled" and clusters > 1 else 1.0
    return np.sqrt(points.clustered * factor)


def _limits(p: Floats, half_width: Floats, transform: Transform) -> tuple[Floats, Floats]:
    if transform == "plain":
        return np.maximum(p - half_width, 0.0), np.minimum(p + half_width, 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if transform == "log":
            return p * np.exp(-half_width / p), np.minimum(p * np.exp(half_width / p), 1.0)
        hazard = -np.log(p)
        w = half_width / (p * hazard)
        return np.exp(-hazard * np.exp(w)), np.exp(-hazard * np.exp(-w))
