"""Whether effects change with time: the test of Grambsch and Therneau (`spec/statistics.md` section 9)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from msgspec.structs import replace

from fhir_srs.errors import UsageError
from fhir_srs.model import Fit, TestResult
from fhir_srs.survival.chi_square import RANK, chi_square, no_test
from fhir_srs.survival.risk_sets import Block, Likelihood, information, score_of_days
from fhir_srs.survival.rows import Floats, Ints

Transform: TypeAlias = Literal["km", "identity", "log", "rank"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Fitted:
    """What a test of a fit needs: all rows' days and events, and each stratum's block at the maximum.

    *event_days* are the days with a death of each block. Without a repr: it holds rows of patients.
    """

    days: Ints
    event: Ints
    event_days: list[Ints]
    blocks: list[Block]
    at: Sequence[Likelihood]


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """The distinct days of all rows, pooled over strata."""

    days: Ints
    leaving: Ints
    events: Ints


def proportionality(
    names: tuple[str, ...], fitted: Fitted | None, transform: Transform, fit: Fit
) -> dict[str, TestResult]:
    """The test of each of *names* and the `global` one, in this order."""
    if transform not in _TRANSFORMS:
        raise UsageError(f"no such transform; known are {', '.join(_TRANSFORMS)}")
    base = TestResult(
        n=fit.n,
        events=fit.events,
        method=f"proportional hazards score test, g = {transform}; ignores clustering",
    )
    tests = {name: replace(base, name=name) for name in (*names, "global")}
    reason = fit.reason or "no-event" if fitted is None else _no_transform(fitted, transform)
    if fitted is None or reason:
        return {name: no_test(test, reason or "") for name, test in tests.items()}
    score, covariance = _trend(fitted, transform)
    parts = [slice(k, k + 1) for k in range(len(names))]
    return {
        name: chi_square(test, score[part], covariance[part, part], "one-event-day")
        for (name, test), part in zip(tests.items(), [*parts, slice(None)], strict=True)
    }


def _no_transform(fitted: Fitted, transform: Transform) -> str | None:
    early = any((days == 0).any() for days in fitted.event_days)
    return "no-logarithm-of-day-0" if transform == "log" and early else None


def _trend(fitted: Fitted, transform: Transform) -> tuple[Floats, Floats]:
    """The score of effects that change as g(t), and its covariance given the fitted effects."""
    g = _centred(fitted, _TRANSFORMS[transform](_times(fitted)))
    score = np.sum(
        [g_j @ score_of_days(one, at) for g_j, one, at in zip(g, fitted.blocks, fitted.at, strict=True)],
        axis=0,
    )
    i0, i1, i2 = (_information(fitted, [g_j**power for g_j in g]) for power in range(3))
    covariance = i2 - i1 @ np.linalg.solve(i0, i1)
    informative = np.diag(covariance) > RANK * np.diag(i2)
    return score, covariance * np.outer(informative, informative)


def _information(fitted: Fitted, factors: list[Floats]) -> Floats:
    total: Floats = np.sum(
        [information(one, at, f) for one, at, f in zip(fitted.blocks, fitted.at, factors, strict=True)],
        axis=0,
    )
    return total


def _centred(fitted: Fitted, g: Mapping[int, float]) -> list[Floats]:
    """The values of g on the event days of each block, less their mean over all deaths."""
    of_blocks = [np.array([g[int(day)] for day in days]) for days in fitted.event_days]
    deaths = [one.step for one in fitted.blocks]
    mean = np.concatenate([of[step] for of, step in zip(of_blocks, deaths, strict=True)]).mean()
    return [of - mean for of in of_blocks]


def _times(fitted: Fitted) -> _Times:
    days, place, leaving = np.unique(fitted.days, return_inverse=True, return_counts=True)
    return _Times(days, leaving, np.bincount(place, weights=fitted.event).astype(np.int64))


def _km(times: _Times) -> Floats:
    at_risk = times.leaving.sum() - np.cumsum(times.leaving) + times.leaving
    survival = np.cumprod(1 - times.events / at_risk)
    return 1 - np.concatenate(([1.0], survival[:-1]))


def _rank(times: _Times) -> Floats:
    ranks: Floats = np.cumsum(times.leaving) - times.leaving + (times.leaving + 1) / 2
    return ranks


def _on_days(times: _Times, values: Floats) -> Mapping[int, float]:
    return dict(zip(times.days.tolist(), values.tolist(), strict=True))


_TRANSFORMS: Mapping[str, Callable[[_Times], Mapping[int, float]]] = MappingProxyType(
    {
        "km": lambda times: _on_days(times, _km(times)),
        "identity": lambda times: _on_days(times, times.days.astype(np.float64)),
        "log": lambda times: _on_days(times, np.log(np.maximum(times.days, 1))),
        "rank": lambda times: _on_days(times, _rank(times)),
    }
)
