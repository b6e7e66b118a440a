"""What a figure is made of, kept with it: rows counted and not, rows left out, the arithmetic.

Put together where the figure is computed, from what it was computed from: `fhir-srs explain` prints it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from fhir_srs.estimates.rows import CohortRows
from fhir_srs.model import Estimate, Grounds, LeftOut, Response, Status, Term, TestResult, TimeToEvent
from fhir_srs.survival import Curve, Incidence

Row: TypeAlias = Response | TimeToEvent
Counted: TypeAlias = Row | LeftOut

SPELLED = 8  # a product or sum of so many event days is written out


def split(rows: Sequence[Row], counted: Sequence[bool]) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """*rows* that are *counted*, and the others."""
    told = list(zip(rows, counted, strict=True))
    return tuple(row for row, one in told if one), tuple(row for row, one in told if not one)


def grounded(
    found: Estimate, rows: Sequence[Row], counted: Sequence[bool], left_out: tuple[LeftOut, ...] = ()
) -> Estimate:
    """*found* with its rows; what it already says of its arithmetic stays."""
    yes, no = split(rows, counted)
    before = found.grounds or Grounds()
    grounds = msgspec.structs.replace(before, counted=yes, others=no, left_out=left_out)
    return msgspec.structs.replace(found, grounds=grounds)


def counted(found: Estimate, rows: Sequence[Counted], said: Sequence[str | None], reason: str) -> Estimate:
    """*found*, which counts the *rows* of which *reason* is *said*; lesions left out are told as such."""
    told = [(row, one == reason) for row, one in zip(rows, said, strict=True)]
    real = [(row, yes) for row, yes in told if not isinstance(row, LeftOut)]
    lesions = tuple(row for row, yes in told if yes and isinstance(row, LeftOut))
    return grounded(found, [row for row, _ in real], [yes for _, yes in real], lesions)


def reckoned(found: Estimate, *arithmetic: str, terms: tuple[Term, ...] = ()) -> Estimate:
    """*found* with its *arithmetic* after what stands there, and its *terms*."""
    before = found.grounds or Grounds()
    told = (*before.arithmetic, *arithmetic)
    grounds = msgspec.structs.replace(before, arithmetic=told, terms=terms or before.terms)
    return msgspec.structs.replace(found, grounds=grounds)


def compared(
    found: TestResult, rows: Sequence[TimeToEvent], groups: Sequence[str], left_out: tuple[LeftOut, ...]
) -> TestResult:
    """*found*, a test of *rows* in *groups*, with the rows, each with its group, and its arithmetic."""
    told = [
        msgspec.structs.replace(row, working=(f"group: {group}", *row.working))
        for row, group in zip(rows, groups, strict=True)
    ]
    yes, no = split(told, ended(told))
    lines = tuple(_test_lines(found, rows, groups))
    grounds = Grounds(counted=yes, others=no, left_out=left_out, arithmetic=lines)
    return msgspec.structs.replace(found, grounds=grounds)


def _test_lines(found: TestResult, rows: Sequence[TimeToEvent], groups: Sequence[str]) -> Iterator[str]:
    """The score U and its covariance V by group, and what comes of them (`fhir_srs.survival.chi_square`)."""
    names, size = sorted(set(groups)), Counter(groups)
    events = Counter(group for group, event in zip(groups, ended(rows), strict=True) if event)
    for place, name in enumerate(names):
        score = f", U {found.score[place]:.6f}" if found.score else ""
        yield f"{name}: {size[name]} rows, {events[name]} events{score}"
    for name, row in zip(names, found.covariance, strict=False):
        yield f"V of {name}: {', '.join(f'{one:.6f}' for one in row)}"
    if found.statistic is None or found.p is None:
        yield f"not estimable: {found.reason}"
    else:
        yield f"U' V^- U = {found.statistic:.6f} on {found.df} degrees of freedom, the rank of V"
        yield f"p = {found.p:.6g}, the chance of so much or more by chi-square"


def ended(rows: Iterable[TimeToEvent]) -> list[bool]:
    """Whether each of *rows* ended in the event."""
    return [row.status is Status.EVENT for row in rows]


def excluded_rows(outcomes: CohortRows) -> tuple[LeftOut, ...]:
    """The lesions that the study does not take."""
    said: dict[str, str] = {}  # many have one reason: held once
    return tuple(
        LeftOut(
            patient=one.patient,
            lesion_id=one.lesion_id,
            reason=said.setdefault(one.reason, f"not eligible: {one.reason}"),
        )
        for one in outcomes.excluded
    )


def without_reason(rows: Iterable[Row], reason: str) -> tuple[LeftOut, ...]:
    """*rows* as left out: each for its own reason, else for *reason*."""
    return tuple(
        LeftOut(
            patient=row.patient,
            lesion_id=row.lesion_id,
            segment=row.segment if isinstance(row, TimeToEvent) else None,
            reason=row.reason or reason,
            sources=row.sources,
        )
        for row in rows
    )


def untimed(outcomes: CohortRows, endpoint: str, variant: str | None) -> tuple[LeftOut, ...]:
    """The rows that a time endpoint does not take, and the lesions that the study does not."""
    grains, missing = set[str](), list[TimeToEvent]()
    for row in outcomes.times_of(endpoint, variant):
        grains.add(row.grain)
        missing.extend([row] if row.days is None else [])
    excluded = () if grains == {"patient"} else excluded_rows(outcomes)
    return (*without_reason(missing, "left out"), *excluded)


def survival_terms(curve: Curve) -> tuple[Term, ...]:
    """The event days of *curve*."""
    return tuple(
        Term(int(curve.days[j]), int(curve.at_risk[j]), int(curve.events[j]), 0, float(curve.survival[j]))
        for j in np.flatnonzero(curve.events)
    )


def incidence_terms(curve: Incidence) -> tuple[Term, ...]:
    """The days of *curve* with an event or a competing event; the value is the incidence of the event."""
    own, other = curve.events(1), curve.events(2)
    incidence = curve.incidence(1)
    return tuple(
        Term(int(curve.days[j]), int(curve.at_risk[j]), int(own[j]), int(other[j]), float(incidence[j]))
        for j in np.flatnonzero(own + other)
    )


def at_day(found: Estimate, terms: tuple[Term, ...]) -> Estimate:
    """*found*, a figure of a curve on its day, with the terms up to it and how they come to the value."""
    if found.value is None or found.time_days is None:
        return reckoned(found, terms=terms)
    taken = tuple(term for term in terms if term.day <= found.time_days)
    rises = found.method.startswith("Aalen-Johansen")
    return _before(found, _sum(taken, found) if rises else _product(taken, found), taken)


def _before(found: Estimate, said: str, terms: tuple[Term, ...]) -> Estimate:
    """*found* with *said* of its value, before what it says of its interval."""
    before = found.grounds or Grounds()
    grounds = msgspec.structs.replace(before, arithmetic=(said, *before.arithmetic), terms=terms)
    return msgspec.structs.replace(found, grounds=grounds)


def _product(terms: Sequence[Term], found: Estimate) -> str:
    if not terms:
        return f"S({found.time_days}) = 1: no event yet"
    text = " x ".join(f"{one.at_risk - one.events}/{one.at_risk}" for one in terms)
    if len(terms) > SPELLED:
        text = f"product of (1 - events/at risk) over {len(terms)} event days"
    return f"S({found.time_days}) = {text} = {found.value:.6f}"


def _sum(terms: Sequence[Term], found: Estimate) -> str:
    moved = [one for one in terms if one.events]
    if not moved:
        return f"F({found.time_days}) = 0: no event yet"
    before = (0.0, *(one.value for one in moved[:-1]))
    steps = [f"{one.value - last:.4f}" for one, last in zip(moved, before, strict=True)]
    text = " + ".join(steps)
    if len(moved) > SPELLED:
        text = f"sum of S(before) x events/at risk over {len(moved)} event days"
    return f"F({found.time_days}) = {text} = {found.value:.6f}"


def crossing(found: Estimate, terms: tuple[Term, ...]) -> Estimate:
    """*found*, the median of a curve, with the day on which the curve crossed one half."""
    if found.value is None:
        last = f"the curve ends at {terms[-1].value:.4f}" if terms else "no event"
        return _before(found, f"{last}: one half was not crossed", terms)
    reached = [term for term in terms if term.day <= found.value]
    value = f"{reached[-1].value:.4f}" if reached else "?"
    return _before(found, f"the curve crosses one half on day {found.value:g}, to {value}", terms)


def ordered_days(found: Estimate, days: Sequence[int]) -> Estimate:
    """*found*, a descriptive figure, with the times that it was picked from, in their order."""
    return reckoned(found, f"of {len(days)} times in order: {', '.join(map(str, sorted(days)))}")
