"""The partial likelihood with tied deaths: value, score, information and score residuals, in O(n p^2).

`spec/statistics.md` section 9: Cox 1972, ties by Efron 1977 or Breslow 1974, residuals as Lin and Wei
1989. A row may go on counting after it has left, with a weight: Fine and Gray 1999 for competing events.
Rows of one stratum form one `Block`; strata are summed by the caller.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fhir_srs.survival.rows import Bools, Floats, Ints

Ties: TypeAlias = Literal["efron", "breslow"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """
    The rows of one stratum in order of days, with the deaths of each event day.

    *first* is the first row of each distinct day and *place* each row's day among them. *event_day* lists
    the days with a death, *starts* the first death of each, and *step* each death's place in that list;
    *tied* is its share f of the deaths taken out of the risk set before it. *carried* is 1/G(T-) of a row
    that stays after it has left, else 0; *later* is G(t-) on the event days, empty where no row stays.
    """

    z: Floats
    died: Bools
    first: Ints
    place: Ints
    event_day: Ints
    starts: Ints
    step: Ints
    tied: Floats
    carried: Floats
    later: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """
    The partial likelihood of a block at one coefficient vector.

    *relative* is each row's hazard, *each* is 1/S0 at each death and *mean* the weighted mean of the
    covariates there. *inverse* sums 1/S0 over the deaths of an event day, *kept* with the factor 1-f.
    """

    loglik: float
    score: Floats
    relative: Floats
    each: Floats
    mean: Floats
    inverse: Floats
    kept: Floats


def block(days: Ints, died: Bools, z: Floats, ties: Ties) -> Block:
    """A block of rows that are sorted by *days* and count until they leave."""
    first = np.flatnonzero(np.diff(days, prepend=-1))
    place = np.repeat(np.arange(len(first)), np.diff(first, append=len(days)))
    deaths = np.bincount(place[died], minlength=len(first))
    event_day = np.flatnonzero(deaths)
    counts = deaths[event_day]
    step = np.repeat(np.arange(len(event_day)), counts)
    starts = np.cumsum(counts) - counts
    number = np.arange(len(step)) - starts[step]
    tied = number / counts[step] if ties == "efron" else np.zeros(len(step))
    none = np.zeros(len(days))
    return Block(z, died, first, place, event_day, starts, step, tied, none, np.zeros(0))


def likelihood(rows: Block, beta: Floats) -> Likelihood:
    """
    The partial likelihood of *rows* at *beta*; the covariates are best centred and of unit size.

    Where *beta* is so large that a risk set weighs nothing, the log-likelihood is minus infinity.
    """
    eta = rows.z @ beta
    top = float(eta.max(initial=0.0))
    relative = np.exp(eta - top)
    s0, s1 = _risk_sums(rows, relative), _risk_sums(rows, relative[:, None] * rows.z)
    weightless = bool((s0 < np.finfo(np.float64).tiny).any())
    each = 1 / np.maximum(s0, np.finfo(np.float64).tiny)
    mean = s1 * each[:, None]
    loglik = float(np.sum(eta[rows.died]) + np.sum(np.log(each)) - top * len(rows.step))
    return Likelihood(
        loglik=-np.inf if weightless else loglik,
        score=rows.z[rows.died].sum(axis=0) - mean.sum(axis=0),
        relative=relative,
        each=each,
        mean=mean,
        inverse=_by_step(rows, each),
        kept=_by_step(rows, each * (1 - rows.tied)),
    )


def information(rows: Block, at: Likelihood, factor: Floats | None = None) -> Floats:
    """The information of *rows*, the share of each event day multiplied by *factor* where it is given."""
    many = np.ones(len(rows.event_day)) if factor is None else factor
    weight = at.relative * exposure(rows, at.inverse * many)
    weight[rows.died] -= at.relative[rows.died] * ((at.inverse - at.kept) * many)[rows.step]
    means = at.mean.T @ (at.mean * many[rows.step, None])
    found: Floats = rows.z.T @ (weight[:, None] * rows.z) - means
    return found


def score_of_days(rows: Block, at: Likelihood) -> Floats:
    """The score's share of each event day: a row a day."""
    return _by_step(rows, rows.z[rows.died] - at.mean)


def residuals(rows: Block, at: Likelihood) -> Floats:
    """
    The score residual of each row; they sum to the score.

    A death among tied deaths counts with its mean weight, so that the inverse information times a residual
    is the derivative of the coefficients in that row's case weight.
    """
    tilt = _by_step(rows, at.mean * at.each[:, None])
    kept_tilt = _by_step(rows, at.mean * (at.each * (1 - rows.tied))[:, None])
    found = -at.relative[:, None] * (rows.z * exposure(rows, at.inverse)[:, None] - exposure(rows, tilt))
    dead, step = rows.died, rows.step
    spared = rows.z[dead] * (at.inverse - at.kept)[step, None] - (tilt - kept_tilt)[step]
    counts = np.bincount(step, minlength=len(rows.event_day))
    mean = _by_step(rows, at.mean) / counts[:, None]
    found[dead] += rows.z[dead] - mean[step] + at.relative[dead, None] * spared
    return found


def exposure(rows: Block, of_event_days: Floats) -> Floats:
    """The sum of *of_event_days* over the event days that each row was at risk for, by its weight there."""
    daily = np.zeros((len(rows.first), *of_event_days.shape[1:]))
    daily[rows.event_day] = of_event_days
    total = np.cumsum(daily, axis=0)[rows.place]
    if not len(rows.later):
        return total
    daily[rows.event_day] = (of_event_days.T * rows.later).T
    after = np.cumsum(daily[::-1], axis=0)[::-1] - daily
    staying: Floats = (after[rows.place].T * rows.carried).T
    return total + staying


def _risk_sums(rows: Block, values: Floats) -> Floats:
    """The sum of *values* over the risk set of each death, less its share of the deaths tied with it."""
    at_risk = _at_risk(rows, values)
    if not rows.tied.any():
        return at_risk[rows.step]
    of_deaths = _by_step(rows, values[rows.died])
    sums: Floats = at_risk[rows.step] - (of_deaths[rows.step].T * rows.tied).T
    return sums


def _at_risk(rows: Block, values: Floats) -> Floats:
    """The sum of *values* over the risk set of each event day, rows that stay included."""
    daily = _summed(values, rows.first)
    total: Floats = np.cumsum(daily[::-1], axis=0)[::-1][rows.event_day]
    if not len(rows.later):
        return total
    staying = _summed((values.T * rows.carried).T, rows.first)
    before = (np.cumsum(staying, axis=0) - staying)[rows.event_day]
    stayed: Floats = (before.T * rows.later).T
    return total + stayed


def _by_step(rows: Block, of_deaths: Floats) -> Floats:
    """The sum of *of_deaths*, one entry for each death, over the deaths of each event day."""
    return _summed(of_deaths, rows.starts)


def _summed(values: Floats, starts: Ints) -> Floats:
    """The sums of *values* from each of *starts* to the next."""
    if len(starts) == len(values):
        return values
    summed: Floats = np.add.reduceat(values, starts, axis=0)
    return summed
