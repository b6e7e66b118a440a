"""Landmarks: groups that form after day 0 are compared from a later day (`spec/statistics.md` section 1)."""

from dataclasses import dataclass

import numpy as np

from fhir_srs.errors import UsageError
from fhir_srs.survival.rows import Bools, Column, Ints, Reader


@dataclass(frozen=True, slots=True, eq=False)
class Landmark:
    """*kept* says of each row, as given, whether it is compared; *days* counts from the landmark for those.

    *left_out* rows had ended by the landmark.
    """

    kept: Bools
    days: Ints
    left_out: int


def landmark(days: Column, day: int) -> Landmark:
    """
    The rows still under observation after *day*, with their days counted from it.

    Responders live longer than non-responders before any effect, since one must live to respond: a group
    may use only what is known by *day*, and time starts there (Anderson, Cain and Gelber 1983). A row whose
    days end on the landmark itself, by event or censoring, is left out and counted. Raises `RowError` with
    every bad row.

    >>> landmark([10, 90, 91, 200], 90).days.tolist()
    [1, 110]
    """
    if isinstance(day, bool) or not isinstance(day, (int, np.integer)) or day < 0:
        raise UsageError("a landmark is a whole number of days from 0 on")
    reader = Reader()
    whole = reader.days(days)
    reader.done()
    kept = whole > day
    return Landmark(kept, whole[kept] - day, int(np.count_nonzero(~kept)))
