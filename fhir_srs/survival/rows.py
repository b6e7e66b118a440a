"""The input contract of the estimators (`spec/statistics.md` section 1): rows checked, then sorted.

Rows carry no order: they are put into one canonical order on entry, so that the order in which they
came changes no bit of a result. What breaks the contract raises `RowError`, which names the row
(counted from 0) and never its value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fhir_srs.errors import FhirSrsError

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Column: TypeAlias = Sequence[Any] | npt.NDArray[Any]


class RowError(FhirSrsError, ValueError):
    """A row that breaks the input contract of an estimator; *row* counts from 0, None is all of them."""

    def __init__(self, rule: str, row: int | None = None) -> None:
        self.row = row
        super().__init__(rule if row is None else f"row {row}: {rule}")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Checked rows, sorted by days, status and patient. *patient* is a number from 0 to *clusters* - 1."""

    days: Ints
    status: Ints
    patient: Ints
    clusters: int


def read_rows(days: Column, status: Column, cluster: Column | None, *, causes: int) -> Rows:
    """
    The rows in canonical order, with *status* from 0 (censored) to *causes*.

    *cluster* None makes each row its own patient. Raises `RowError` at the first bad row.
    """
    whole = read_days(days)
    ended = read_codes(status, "status", causes)
    _same_length(whole, ended, "status")
    if cluster is None:
        order = np.lexsort((ended, whole))
        return Rows(whole[order], ended[order], np.arange(len(whole)), len(whole))
    patient, clusters = read_clusters(cluster)
    _same_length(whole, patient, "cluster")
    order = np.lexsort((patient, ended, whole))
    return Rows(whole[order], ended[order], patient[order], clusters)


def read_days(days: Column) -> Ints:
    """*days* as an array of whole numbers from 0 on. Floats are refused, even whole ones."""
    whole = _integers(days, "days", bools=False)
    _first_bad(whole < 0, "days must not be negative")
    return whole


def read_codes(codes: Column, name: str, highest: int) -> Ints:
    """*codes* as integers from 0 to *highest*; booleans count as 0 and 1."""
    whole = _integers(codes, name, bools=True)
    _first_bad((whole < 0) | (whole > highest), f"{name} must be a whole number from 0 to {highest}")
    return whole


def read_clusters(cluster: Column) -> tuple[Ints, int]:
    """The number of each row's patient, in sorted order of the ids, and how many patients there are."""
    ids = cluster if _kind(cluster) in "iuU" else np.asarray(_alike(cluster))
    names, numbers = np.unique(ids, return_inverse=True)
    return numbers.astype(np.int64), len(names)


def _kind(column: Column) -> str:
    return column.dtype.kind if isinstance(column, np.ndarray) else "O"


def _alike(cluster: Column) -> list[Any]:
    """Cluster ids that are all text or all whole numbers: mixed, `1` and `"1"` would be one patient."""
    ids = list(cluster)
    kind = str if ids and isinstance(ids[0], str) else (int, np.integer)
    for row, name in enumerate(ids):
        if not isinstance(name, kind) or isinstance(name, bool) or name == "":
            raise RowError("cluster must be a patient id, all text or all whole numbers", row)
    return ids


def _integers(column: Column, name: str, *, bools: bool) -> Ints:
    if _kind(column) in ("iub" if bools else "iu"):
        return np.asarray(column).astype(np.int64)
    allowed = (int, np.integer, np.bool_) if bools else (int, np.integer)
    for row, value in enumerate(column):
        if not isinstance(value, allowed) or (isinstance(value, bool) and not bools):
            raise RowError(f"{name} must be a whole number", row)
    return np.asarray([int(value) for value in column], dtype=np.int64)


def _first_bad(bad: npt.NDArray[np.bool_], rule: str) -> None:
    if bad.any():
        raise RowError(rule, int(np.argmax(bad)))


def _same_length(days: Ints, other: Ints, name: str) -> None:
    if len(days) != len(other):
        shorter = min(len(days), len(other))
        raise RowError(f"days and {name} must have the same number of rows", shorter)
