"""Interval-censored times: Turnbull's estimator with its certificate (`spec/statistics.md` section 10)."""

from dataclasses import dataclass

import numpy as np

from fhir_srs.model import Estimate, EstimateStatus
from fhir_srs.survival.quantile import TOL
from fhir_srs.survival.rows import Column, Floats, Ints, Reader

CERTIFICATE = 1e-9  # Gentleman and Geyer 1994: the likelihood is then within n times this of its maximum
ROUNDS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Turnbull:
    """
    Support intervals (*left*, *right*] in days and the probability *mass* of each; *right* may be infinite.

    How the mass lies inside an interval is not determined. *excess* is max g - 1, the certificate. A
    likelihood that could not be brought to its maximum leaves no interval, and a status that says so.
    """

    left: Floats
    right: Floats
    mass: Floats
    n: int
    loglik: float | None
    excess: float | None
    rounds: int
    status: EstimateStatus = "estimated"
    reason: str | None = None

    def survival(self, day: int) -> tuple[float, float] | None:
        """The lowest and the highest survival on *day* that fit; None where nothing is estimated."""
        if self.status != "estimated":
            return None
        low, high = self.mass[self.left >= day].sum(), self.mass[self.right > day].sum()
        return min(float(low), 1.0), min(float(high), 1.0)

    def median_interval(self) -> tuple[float, float] | None:
        """The support interval in which half of the mass is reached; its end may be infinite."""
        if self.status != "estimated":
            return None
        j = int(np.argmax(np.cumsum(self.mass) >= 0.5 - TOL))
        return float(self.left[j]), float(self.right[j])

    def median(self) -> Estimate:
        """
        The day by which half have had the event: the end of `median_interval`, which *method* names.

        An infinite end is `not-reached`. There is no confidence interval: pointwise, the bootstrap is not
        consistent here.
        """
        base = Estimate(n=self.n, method="Turnbull NPMLE", status=self.status, reason=self.reason)
        found = self.median_interval()
        if found is None:
            return base
        low, high = found
        where = f"({low:g}, {high:g}]" if np.isfinite(high) else f"({low:g}, never]"
        return Estimate(
            n=self.n,
            value=high if np.isfinite(high) else None,
            method=f"Turnbull NPMLE; the median lies in {where}",
            status="estimated" if np.isfinite(high) else "not-reached",
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Distinct rows, *count* of each: a row may hold the support intervals from *first* up to *end*."""

    first: Ints
    end: Ints
    count: Floats
    size: int

    def mass_of_rows(self, mass: Floats) -> Floats:
        total = np.concatenate(([0.0], np.cumsum(mass)))
        found: Floats = total[self.end] - total[self.first]
        return found

    def loglik(self, mass: Floats) -> float:
        return float(self.count @ np.log(np.maximum(self.mass_of_rows(mass), 1e-300)))

    def gain(self, mass: Floats) -> Floats:
        """The derivative of the mean log-likelihood in each mass; at the maximum none is above 1."""
        each = self.count / np.maximum(self.mass_of_rows(mass), 1e-300)
        enters = np.bincount(self.first, weights=each, minlength=self.size + 1)
        leaves = np.bincount(self.end, weights=each, minlength=self.size + 1)
        total: Floats = np.cumsum(enters - leaves)[: self.size] / self.count.sum()
        return total


def turnbull(left: Column, right: Column) -> Turnbull:
    """
    The non-parametric maximum likelihood estimate from times known to lie in (*left*, *right*].

    *left* is the last day seen without the event, *right* the first with it, `numpy.inf` for never; an exact
    day t is (t-1, t]. Turnbull 1976 by his self-consistency steps, extrapolated (Varadhan and Roland 2008)
    where that raises the likelihood, until the certificate of Gentleman and Geyer 1994 holds to 1e-9: small
    steps prove nothing. No row, or no certificate after 100,000 rounds, is a result that is not estimable.
    Raises `RowError` with every bad row.

    >>> found = turnbull([0, 0, 7, 14], [7, 14, 14, float("inf")])
    >>> found.median().value
    14.0
    """
    low, high, _, _ = read_intervals(left, right, None)
    return estimate_mass(low, high, np.ones(len(low)))


def read_intervals(left: Column, right: Column, cluster: Column | None) -> tuple[Floats, Floats, Ints, int]:
    """Both ends of each row, its patient's number, and how many patients; sorted where rows are patients."""
    reader = Reader()
    low, high = reader.days(left, "left", least=-1).astype(np.float64), reader.open_days(right, "right")
    if len(low) == len(high):
        for row in np.flatnonzero(high <= low):
            reader.fault("right must be later than left", int(row))
    patient, clusters = reader.clusters(cluster, len(low))
    reader.done()
    if cluster is None:
        order = np.lexsort((high, low))
        low, high = low[order], high[order]
    return low, high, patient, clusters


def estimate_mass(low: Floats, high: Floats, weight: Floats) -> Turnbull:
    """The estimate from rows that count *weight* times, a whole number each."""
    low, high, weight = low[weight > 0], high[weight > 0], weight[weight > 0]
    n = int(weight.sum())
    if not n:
        return _nothing(0, 0, "no-rows")
    begins, ends = _support(low, high)
    rows = _problem(low, high, weight, begins, ends)
    mass, rounds = _maximise(rows)
    excess = float(rows.gain(mass).max()) - 1
    if excess > CERTIFICATE:
        return _nothing(n, rounds, "not-converged")
    return Turnbull(begins, ends, mass, n, rows.loglik(mass), excess, rounds)


def _nothing(n: int, rounds: int, reason: str) -> Turnbull:
    none = np.zeros(0)
    return Turnbull(none, none, none, n, None, None, rounds, "not-estimable", reason)


def _support(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Each left end that is directly followed by a right end; right ends come first at equal days."""
    values = np.concatenate((high, low))
    is_left = np.repeat([0, 1], [len(high), len(low)])
    order = np.lexsort((is_left, values))
    values, is_left = values[order], is_left[order]
    at = np.flatnonzero((is_left[:-1] == 1) & (is_left[1:] == 0))
    return values[at], values[at + 1]


def _problem(low: Floats, high: Floats, weight: Floats, begins: Floats, ends: Floats) -> _Problem:
    first = np.searchsorted(begins, low, side="left")
    end = np.searchsorted(ends, high, side="right")
    pairs, which = np.unique(first * (len(ends) + 1) + end, return_inverse=True)
    first, end = np.divmod(pairs, len(ends) + 1)
    return _Problem(first, end, np.bincount(which, weights=weight).astype(np.float64), len(begins))


def _maximise(rows: _Problem) -> tuple[Floats, int]:
    """The masses, and how many rounds of two steps and an extrapolation it took."""
    mass = np.full(rows.size, 1 / rows.size)
    for number in range(ROUNDS):
        gain = rows.gain(mass)
        if gain.max() - 1 <= CERTIFICATE:
            return mass, number
        once = _whole(mass * gain)
        twice = _whole(once * rows.gain(once))
        mass = _leap(rows, mass, once, twice)
    return mass, ROUNDS


def _leap(rows: _Problem, mass: Floats, once: Floats, twice: Floats) -> Floats:
    """Ahead along the steps taken, if the likelihood is higher there than after two steps."""
    step, bend = once - mass, twice - 2 * once + mass
    size = np.linalg.norm(bend)
    if size == 0:
        return twice
    length = max(1.0, float(np.linalg.norm(step) / size))
    ahead = mass + 2 * length * step + length**2 * bend
    # No mass may become 0: from there, self-consistency steps never return.
    ahead = _whole(np.maximum(ahead, twice * 0.01))
    return ahead if rows.loglik(ahead) >= rows.loglik(twice) else twice


def _whole(mass: Floats) -> Floats:
    whole: Floats = mass / mass.sum()
    return whole
