"""Survival on a fixed day from interval-censored times, with a bootstrap interval (section 10)."""

import numpy as np
from msgspec.structs import replace

from fhir_srs.errors import UsageError
from fhir_srs.model import Estimate
from fhir_srs.survival.interval import upper_share
from fhir_srs.survival.npmle import estimate_mass, read_intervals
from fhir_srs.survival.rows import Column, Floats, Ints

LEAST = 1_000


def turnbull_survival(
    left: Column,
    right: Column,
    day: int,
    *,
    seed: int,
    cluster: Column | None = None,
    resamples: int = LEAST,
    level: float = 0.95,
) -> Estimate:
    """
    Survival on *day* by `turnbull`, with percentile limits from patients drawn with replacement.

    Approximate: pointwise the bootstrap is not consistent here, so there is none for a median. *seed* makes
    the draws and is named in the method. Inside a support interval survival is not determined: the estimate
    is then `not-estimable`, its ends in the reason; a resample counts with its lower end for the lower
    limit and its upper end for the upper. Raises `RowError` with every bad row.
    """
    if isinstance(day, bool) or not isinstance(day, (int, np.integer)) or day < 0:
        raise UsageError("a day is a whole number from 0 on")
    if resamples < LEAST:
        raise UsageError(f"a bootstrap takes at least {LEAST} resamples")
    tail = 1 - upper_share(level)
    low, high, patient, clusters = read_intervals(left, right, cluster)
    method = f"Turnbull NPMLE; approximate bootstrap of patients ({resamples} resamples, seed {seed})"
    base = Estimate(level=level, n=len(low), clusters=clusters, time_days=int(day), method=method)
    ends = estimate_mass(low, high, np.ones(len(low))).survival(day)
    if ends is None:
        reason = "not-converged" if len(low) else "no-rows"
        return replace(base, status="not-estimable", reason=reason)
    if ends[1] - ends[0] > 1e-6:
        between = f"inside-support-interval (between {ends[0]:.4f} and {ends[1]:.4f})"
        return replace(base, status="not-estimable", reason=between)
    base = replace(base, value=ends[1])
    if clusters == 1:
        return replace(base, low_status="not-estimable", high_status="not-estimable", reason="one-patient")
    drawn = _draws(low, high, patient, clusters, int(day), seed, resamples)
    if drawn is None:
        return replace(base, low_status="not-estimable", high_status="not-estimable", reason="not-converged")
    return replace(
        base,
        low=float(np.quantile(drawn[:, 0], tail)),
        high=float(np.quantile(drawn[:, 1], 1 - tail)),
        low_status="estimated",
        high_status="estimated",
    )


def _draws(
    low: Floats, high: Floats, patient: Ints, clusters: int, day: int, seed: int, resamples: int
) -> Floats | None:
    """Both ends of survival on *day* in each resample; None if one could not be brought to its maximum."""
    generator, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        times = np.bincount(generator.integers(0, clusters, clusters), minlength=clusters)
        ends = estimate_mass(low, high, times[patient].astype(np.float64)).survival(day)
        if ends is None:
            return None
        found.append(ends)
    return np.array(found)
