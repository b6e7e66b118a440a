"""Proportions of lesions with patient-clustered intervals (`spec/statistics.md` section 11)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from msgspec.structs import replace

from fhir_srs.errors import UsageError
from fhir_srs.model import Estimate, Grounds
from fhir_srs.survival.interval import upper_share
from fhir_srs.survival.rows import Column, Reader

ProportionMethod: TypeAlias = Literal["korn-graubard", "clopper-pearson", "wilson", "rao-scott-wilson"]


@dataclass(frozen=True, slots=True)
class _Count:
    """Successes *x* of *n* rows in *clusters* patients, and the variance of their sum between patients."""

    x: int
    n: int
    clusters: int
    spread: float

    @property
    def share(self) -> float:
        return self.x / self.n

    @property
    def design_effect(self) -> float:
        """Variance of the share with clusters over that without; needs 0 < x < n and two patients."""
        between = self.clusters / (self.clusters - 1) * self.spread / self.n**2
        return between / (self.share * (1 - self.share) / self.n)


class _NotEstimable(Exception):
    pass


def proportion(
    success: Column,
    cluster: Column | None = None,
    method: ProportionMethod = "korn-graubard",
    *,
    level: float = 0.95,
    deff_min: float | None = 1.0,
) -> Estimate:
    """
    The share of rows with *success*, its interval by *method*; a marginal interval, never simultaneous.

    *cluster* holds patient ids; None makes each row its own. *deff_min* bounds the design effect from
    below, None not at all. With no success, or nothing else, the interval is Clopper-Pearson's with as
    many rows as there are patients. Raises `RowError` naming a bad row.
    """
    if method not in _METHODS:
        raise UsageError(f"no such method; known are {', '.join(_METHODS)}")
    count = _count(success, cluster)
    base = Estimate(
        level=level, n=count.n, clusters=count.clusters, numerator=count.x, denominator=count.n, method=method
    )
    if not count.n:
        return replace(base, status="not-estimable", reason="no-rows")
    base = replace(base, value=count.share, grounds=Grounds(arithmetic=_said(count, method, level, deff_min)))
    try:
        low, high = _METHODS[method](count, level, deff_min)
    except _NotEstimable as why:
        return replace(base, low_status="not-estimable", high_status="not-estimable", reason=str(why))
    return replace(base, low=low, high=high, low_status="estimated", high_status="estimated")


def _said(count: _Count, method: str, level: float, deff_min: float | None) -> tuple[str, ...]:
    """How the share and its interval are reckoned, with their numbers."""
    share = f"{count.x}/{count.n} = {count.share:.4f}"
    plain = {"clopper-pearson": "Clopper-Pearson", "wilson": "Wilson"}
    if method in plain:
        return share, f"{plain[method]} interval of {count.x} of {count.n} rows"
    if count.clusters == 1:
        return (share,)
    if count.x in (0, count.n):
        return share, f"all alike: Clopper-Pearson with the {count.clusters} patients as rows"
    said = f"design effect {count.design_effect:.4f} between {count.clusters} patients"
    try:
        rows = _effective(count, level, deff_min, korn=method == "korn-graubard")
    except _NotEstimable:
        return share, said
    name = "Clopper-Pearson" if method == "korn-graubard" else "Wilson, Student's t,"
    used = _design_effect(count, deff_min)
    freedom = f" x (t({count.n - 1})/t({count.clusters - 1}))^2" if method == "korn-graubard" else ""
    effective = f"effective rows: {count.n}/{used:.4f}{freedom} = {rows:.4f}"
    return share, said, effective, f"{name} interval of {count.share * rows:.4f} of {rows:.4f} effective rows"


def _count(column: Column, cluster: Column | None) -> _Count:
    reader = Reader()
    success = reader.codes(column, "success", 1)
    patient, clusters = reader.clusters(cluster, len(success))
    reader.done()
    if not len(success):
        return _Count(0, 0, 0, 0.0)
    successes = np.bincount(patient, weights=success)
    expected = success.mean() * np.bincount(patient)
    return _Count(int(success.sum()), len(success), clusters, float(np.sum((successes - expected) ** 2)))


def _clopper_pearson(x: float, n: float, level: float) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = 1 - upper_share(level)
    low = float(betaincinv(x, n - x + 1, tail)) if x > 0 else 0.0
    high = float(betaincinv(x + 1, n - x, 1 - tail)) if x < n else 1.0
    return low, high


def _wilson(x: float, n: float, z: float) -> tuple[float, float]:
    p, square = x / n, z**2
    centre, half = p + square / (2 * n), z * np.sqrt(p * (1 - p) / n + square / (4 * n**2))
    low, high = (centre - half) / (1 + square / n), (centre + half) / (1 + square / n)
    return max(float(low), 0.0), min(float(high), 1.0)


def _plain_clopper_pearson(count: _Count, level: float, _: float | None) -> tuple[float, float]:
    return _clopper_pearson(count.x, count.n, level)


def _plain_wilson(count: _Count, level: float, _: float | None) -> tuple[float, float]:
    from scipy.special import ndtri

    return _wilson(count.x, count.n, float(ndtri(upper_share(level))))


def _korn_graubard(count: _Count, level: float, deff_min: float | None) -> tuple[float, float]:
    if _all_alike(count):
        return _clopper_pearson(count.clusters * count.share, count.clusters, level)
    effective = _effective(count, level, deff_min, korn=True)
    return _clopper_pearson(count.share * effective, effective, level)


def _rao_scott_wilson(count: _Count, level: float, deff_min: float | None) -> tuple[float, float]:
    if _all_alike(count):
        return _clopper_pearson(count.clusters * count.share, count.clusters, level)
    effective = _effective(count, level, deff_min, korn=False)
    return _wilson(count.share * effective, effective, _t(count.clusters - 1, level))


def _effective(count: _Count, level: float, deff_min: float | None, *, korn: bool) -> float:
    """So many independent rows say as much; Korn and Graubard correct for the degrees of freedom too."""
    ratio = _t(count.n - 1, level) / _t(count.clusters - 1, level) if korn else 1.0
    return count.n / _design_effect(count, deff_min) * ratio**2


def _all_alike(count: _Count) -> bool:
    """Whether no row, or each row, is a success; one patient alone has no interval at all."""
    if count.clusters == 1:
        raise _NotEstimable("one-patient")
    return count.x in (0, count.n)


def _design_effect(count: _Count, least: float | None) -> float:
    effect = count.design_effect if least is None else max(least, count.design_effect)
    if effect <= 0:
        raise _NotEstimable("zero-cluster-variance")
    return effect


def _t(df: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, upper_share(level)))


_Limits: TypeAlias = Callable[[_Count, float, float | None], tuple[float, float]]

_METHODS: Mapping[str, _Limits] = MappingProxyType(
    {
        "korn-graubard": _korn_graubard,
        "clopper-pearson": _plain_clopper_pearson,
        "wilson": _plain_wilson,
        "rao-scott-wilson": _rao_scott_wilson,
    }
)
