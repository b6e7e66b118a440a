"""Sums over patients as rows leave the risk set, in O(n log n): the core of the clustered variances.

For a contribution x of each row and the members m that a patient still has at risk, the infinitesimal
jackknife needs sums over patients such as the squared sum of x over members already out. They change
only when a row leaves (`spec/statistics.md` section 3), so no patient-by-time matrix is ever built.
"""

from dataclasses import dataclass

import numpy as np

from fhir_srs.survival.rows import Floats, Ints, ordered

# Below this share of its largest term a variance is rounding, not information.
NOISE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """A patient's running sum just before and just after each of its rows leaves, in order of exits."""

    before: Floats
    after: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Exits:
    """
    Rows in order of patient and time, each leaving at time number *time* of *times*.

    *begins* is the first row of each patient, *first* that of each row's patient.
    """

    order: Ints
    time: Ints
    begins: Ints
    first: Ints
    sizes: Ints
    times: int

    def running(self, contributions: Floats) -> Running:
        """The running sum of *contributions*, which are in the order of the rows, within each patient."""
        taken = contributions[self.order]
        after = np.cumsum(taken)
        after -= (after - taken)[self.first]
        before = np.empty_like(after)
        before[1:] = after[:-1]
        before[self.begins] = 0.0
        return Running(before, after)

    def members(self) -> Running:
        """How many members of the patient are still at risk."""
        place = np.arange(len(self.order)) - self.first
        size = self.sizes.astype(np.float64)
        return Running(size - place, size - place - 1)

    def sum_of_products(self, one: Running, other: Running, at_start: float = 0.0) -> Floats:
        """The sum over patients of *one* times *other*, after the exits of each distinct time."""
        change = one.after * other.after
        change -= one.before * other.before
        summed = np.asarray(np.bincount(self.time, weights=change, minlength=self.times), dtype=np.float64)
        np.cumsum(summed, out=summed)
        summed += at_start
        return summed

    def squared_sizes(self) -> float:
        """The sum over patients of the squared number of their rows."""
        return float(self.sizes.sum())


def exits(patient: Ints, time: Ints, times: int) -> Exits:
    """The exits of rows that belong to *patient* and leave at time number *time*."""
    order = ordered(patient, time)
    first = np.flatnonzero(np.diff(patient[order], prepend=-1))
    counts = np.diff(first, append=len(order))
    return Exits(order, time[order], first, np.repeat(first, counts), np.repeat(counts, counts), times)


class Total:
    """A sum of terms, and the sum of their sizes, which says how much of it may be rounding."""

    def __init__(self, first: Floats) -> None:
        self._sum, self._size = first, np.abs(first)

    def add(self, term: Floats) -> None:
        """Adds *term*, an array that is the caller's no more."""
        self._sum += term
        np.abs(term, out=term)
        self._size += term

    def variance(self) -> Floats:
        """The sum, 0 where its terms cancel to within rounding."""
        return without_noise(self._sum, self._size)


def sums_over_rows(values: Floats, time: Ints, times: int) -> Floats:
    """The sum of *values* over the rows already out, after the exits of each distinct time."""
    return np.asarray(np.cumsum(np.bincount(time, weights=values, minlength=times)), dtype=np.float64)


def without_noise(variance: Floats, size_of_terms: Floats) -> Floats:
    """*variance*, 0 where its terms cancel to within rounding."""
    return np.where(variance > NOISE * size_of_terms, variance, 0.0)
