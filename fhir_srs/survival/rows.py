"""The input contract of the estimators (`spec/statistics.md` section 1): rows checked, then sorted.

Rows carry no order: they are put into one canonical order on entry, so that the order in which they
came changes no bit of a result. What breaks the contract raises `RowError`, which lists every fault and
names its row (counted from 0), never its value.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fhir_srs.errors import FhirSrsError

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Column: TypeAlias = Sequence[Any] | npt.NDArray[Any]
Fault: TypeAlias = tuple[int | None, str]

LISTED = 20  # faults in one message; the others are counted
LARGEST = 1e100  # of a covariate: squares of larger ones overflow
_TEXT, _NUMBER = (str,), (int, np.integer)


class RowError(FhirSrsError, ValueError):
    """
    Rows that break the input contract of an estimator; *row* is the first of them, *faults* has all.

    Rows count from 0; None stands for all of them.
    """

    def __init__(self, rule: str, row: int | None = None, *, more: Sequence[Fault] = ()) -> None:
        self.row = row
        self.faults: tuple[Fault, ...] = ((row, rule), *more)
        lines = [rule if row is None else f"row {row}: {rule}" for row, rule in self.faults[:LISTED]]
        rest = len(self.faults) - LISTED
        super().__init__("\n".join([*lines, f"and {rest} more"] if rest > 0 else lines))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Checked rows, sorted by days, status and patient. *patient* is a number from 0 to *clusters* - 1."""

    days: Ints
    status: Ints
    patient: Ints
    clusters: int


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What each row is labelled with: a number for each of *names*, which are sorted."""

    numbers: Ints
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many labels occur."""
        return len(self.names)


class Reader:
    """
    Reads the columns of one call and gathers what is wrong with them; `done` raises it all at once.

    Until `done` has returned, an array of a faulty column holds nothing to be used.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lengths: dict[str, int] = {}

    def days(self, column: Column, name: str = "days", least: int = 0) -> Ints:
        """*column* as whole numbers from *least* on. Floats are refused, even whole ones."""
        whole = self._integers(column, name, bools=False)
        rule = f"{name} must not be " + ("negative" if least == 0 else f"below {least}")
        self._refuse(whole < least, rule)
        return whole

    def open_days(self, column: Column, name: str) -> Floats:
        """*column* as whole numbers or infinity: an array that holds infinity can only be of floats."""
        self._lengths[name] = len(column)
        kinds = (int, float, np.integer, np.floating)

        def fits(value: Any) -> bool:
            number = isinstance(value, kinds) and not isinstance(value, bool)
            return number and (value == np.inf or float(value).is_integer())

        if self._each(column, fits, f"{name} must be a whole number or infinity"):
            return np.asarray(column, dtype=np.float64)
        return np.zeros(len(column))

    def codes(self, column: Column, name: str, highest: int) -> Ints:
        """*column* as integers from 0 to *highest*; booleans count as 0 and 1."""
        whole = self._integers(column, name, bools=True)
        rule = f"{name} must be a whole number from 0 to {highest}"
        self._refuse((whole < 0) | (whole > highest), rule)
        return whole

    def clusters(self, column: Column | None, rows: int) -> tuple[Ints, int]:
        """The number of each row's patient, in sorted order of the ids, and how many patients there are."""
        if column is None:
            return np.arange(rows, dtype=np.int64), rows
        numbers, names = self._numbered(column, "cluster", "a patient id")
        return numbers, len(names)

    def labels(self, column: Column | None, name: str, rows: int) -> Labels:
        """The labels of *column*, booleans among them; one for all of *rows* where there is no column."""
        if column is None:
            return Labels(np.zeros(rows, dtype=np.int64), ("",))
        plain = column.astype(np.int64) if isinstance(column, np.ndarray) and _kind(column) == "b" else column
        numbers, names = self._numbered(plain, name, "a name", bools=True)
        return Labels(numbers, tuple(str(one) for one in names))

    def numbers(self, column: Column, name: str) -> Floats:
        """*column* as finite numbers; booleans count as 0 and 1."""
        self._lengths[name] = len(column)
        kinds = (int, float, np.integer, np.floating, np.bool_)
        rule = f"{name} must be a finite number, not above {LARGEST:g} in size"
        values = column
        if _kind(column) not in "iubf":
            self._each(column, lambda value: isinstance(value, kinds), rule)
            values = [value if isinstance(value, kinds) else 0.0 for value in column]
        found = np.asarray(values, dtype=np.float64)
        self._refuse(~(np.abs(found) <= LARGEST), rule)
        return found

    def fault(self, rule: str, row: int | None = None) -> None:
        """Gathers a fault that the caller found."""
        self._faults.append((row, rule))

    def done(self) -> None:
        """Raises `RowError` if anything was wrong, columns of unequal length among it."""
        (first, rows), *others = self._lengths.items()
        for name, length in others:
            if length != rows:
                rule = f"{first} and {name} must have the same number of rows"
                self._faults.append((min(rows, length), rule))
        if self._faults:
            (row, rule), *more = self._faults
            raise RowError(rule, row, more=more)

    def _numbered(
        self, column: Column, name: str, what: str, *, bools: bool = False
    ) -> tuple[Ints, Sequence[Any]]:
        """The place of each value among the sorted distinct ones: mixed, `1` and `"1"` would be one."""
        self._lengths[name] = len(column)
        ids: Any = column
        if _kind(column) not in "iuU":
            ids = list(column)
            kind = _TEXT if ids and isinstance(ids[0], str) else _NUMBER
            if not self._each(
                ids,
                lambda value: (
                    isinstance(value, kind) and value != "" and (bools or not isinstance(value, bool))
                ),
                f"{name} must be {what}, all text or all whole numbers",
            ):
                ids = np.zeros(len(ids), dtype=np.int64)
            elif kind is _TEXT:
                return _numbered_texts(ids)
        names, numbers = np.unique(np.asarray(ids), return_inverse=True)
        return numbers.astype(np.int64), list(names)

    def _integers(self, column: Column, name: str, *, bools: bool) -> Ints:
        self._lengths[name] = len(column)
        if _kind(column) in ("iub" if bools else "iu"):
            return np.asarray(column).astype(np.int64)
        kinds = (int, np.integer, np.bool_) if bools else (int, np.integer)

        def whole(value: Any) -> bool:
            return isinstance(value, kinds) and (bools or not isinstance(value, bool))

        if self._each(column, whole, f"{name} must be a whole number"):
            return np.asarray([int(value) for value in column], dtype=np.int64)
        return np.zeros(len(column), dtype=np.int64)

    def _each(self, column: Column, fits: Callable[[Any], bool], rule: str) -> bool:
        wrong = [row for row, value in enumerate(column) if not fits(value)]
        self._faults.extend((row, rule) for row in wrong)
        return not wrong

    def _refuse(self, bad: Bools, rule: str) -> None:
        self._faults.extend((int(row), rule) for row in np.flatnonzero(bad))


def _numbered_texts(texts: Sequence[str]) -> tuple[Ints, Sequence[str]]:
    """As `np.unique` numbers them; its arrays give every text four bytes for each letter of the longest."""
    names = sorted(set(texts))
    place = {name: number for number, name in enumerate(names)}
    return np.fromiter((place[one] for one in texts), np.int64, len(texts)), names


def read_rows(days: Column, status: Column, cluster: Column | None, *, causes: int) -> Rows:
    """
    The rows in canonical order, with *status* from 0 (censored) to *causes*.

    *cluster* None makes each row its own patient. Raises `RowError` with every fault.
    """
    reader = Reader()
    whole, ended = reader.days(days), reader.codes(status, "status", causes)
    patient, clusters = reader.clusters(cluster, len(whole))
    reader.done()
    if cluster is None:
        whole, ended = in_order(whole, ended)
    else:
        whole, ended, patient = in_order(whole, ended, patient)
    return Rows(whole, ended, patient, clusters)


def in_order(*columns: Ints) -> list[Ints]:
    """*columns*, none negative, sorted by the first, then the second, and so on."""
    packed, sizes = _packed(columns)
    if packed is None:
        order = np.lexsort(columns[::-1])
        return [column[order] for column in columns]
    packed = np.sort(packed)
    found = []
    for size in sizes[:0:-1]:
        packed, last = np.divmod(packed, size)
        found.append(last)
    return [packed, *found[::-1]]


def ordered(*columns: Ints, last: Floats | None = None) -> Ints:
    """The order of rows by *columns*, none negative, and where these are equal by the columns of *last*."""
    packed, _ = _packed(columns)
    if packed is None:
        return np.lexsort((*([] if last is None else last.T[::-1]), *columns[::-1]))
    order = np.argsort(packed)
    if last is None:
        return order
    again = np.diff(packed[order]) == 0
    tied = np.append(again, False) | np.append(False, again) if len(order) else again
    rows = order[tied]
    order[tied] = rows[np.lexsort((*last[rows].T[::-1], packed[rows]))]
    return order


def _packed(columns: Sequence[Ints]) -> tuple[Ints | None, list[int]]:
    """*columns* as digits of one number a row, None if it would not fit, and the size of each digit."""
    sizes = [int(column.max(initial=0)) + 1 for column in columns]
    if math.prod(sizes) >= 2**62:
        return None, sizes
    packed = columns[0]
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        packed = packed * size + column
    return packed, sizes


def read_covariates(reader: Reader, covariates: Mapping[str, Column], rows: int) -> Floats:
    """The columns of *covariates* side by side, one row each; at least one column."""
    columns = [reader.numbers(column, f"covariate {name}") for name, column in covariates.items()]
    if not columns:
        reader.fault("a regression needs at least one covariate")
    fitting = [column for column in columns if len(column) == rows]
    return np.column_stack(fitting) if fitting else np.zeros((rows, 0))


def parts(numbers: Ints, count: int) -> list[slice]:
    """Where each of *count* strata lies among rows that are sorted by the *numbers* of their strata."""
    ends = np.searchsorted(numbers, np.arange(count + 1))
    return [slice(int(start), int(end)) for start, end in itertools.pairwise(ends)]


def by_patient(values: Floats, patient: Ints, clusters: int) -> Floats:
    """The columns of *values* summed over the rows of each patient."""
    columns = [np.bincount(patient, weights=column, minlength=clusters) for column in values.T]
    return np.column_stack(columns)


def _kind(column: Column) -> str:
    return column.dtype.kind if isinstance(column, np.ndarray) else "O"
