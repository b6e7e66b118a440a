"""Neurological function and walking: each window against the baseline, on one scale (spec/endpoints.md 11).

Improved or worse is a change of one level or more on the same scale; scales are never mixed. Walking is an
endpoint of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType

import msgspec

from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.response import gone, not_due
from fhir_srs.endpoints.study import Study, Window
from fhir_srs.model import Event, Response

SCORAD = ("4", "3", "2", "1")
# Unit of a neurological event -> its levels, worst first. AIS [P 30], Frankel (from memory), muscle grade
# [P 30], Henry Ford (from memory), SCORAD [P 31]. Listed by preference, where a patient has several.
SCALES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "{asia}": ("A", "B", "C", "D", "E"),
        "{frankel}": ("A", "B", "C", "D", "E"),
        "{muscle-grade}": ("0", "1", "2", "3", "4", "5"),
        "{henry-ford}": ("e", "d", "c", "b", "a"),
        "{scorad}": SCORAD,
    }
)
WALKING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"{ambulatory}": ("false", "true"), "{scorad}": SCORAD}
)
# The lowest rank that walks: of SCORAD grade 2, with aids; 3 and 4 do not (from memory).
WALKS_FROM: Mapping[str, int] = MappingProxyType({"{ambulatory}": 1, "{scorad}": 2})
NEUROLOGY, AMBULATION = "neurological-response", "ambulation"
NO_BASELINE, NO_FOLLOW_UP = "no-baseline-assessment", "no-assessment-in-window"


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """One assessment of function: its rank on the scale, 0 the worst."""

    on: date
    rank: int
    source: str
    flags: tuple[str, ...] = ()


class _Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one lesion on one scale: its levels, the worst first, and grades in their order."""

    name: str
    levels: tuple[str, ...]
    grades: list[Grade]
    baseline: Grade | None


def derive_function(course: Course, study: Study, cutoff: date) -> Iterator[Response]:
    """Neurological response and ambulation of one lesion in every window."""
    graded = [
        (endpoint, [_read(course, study, scale, levels) for scale, levels in scales.items()])
        for endpoint, scales in ((NEUROLOGY, SCALES), (AMBULATION, WALKING))
    ]
    for window in study.visits:
        for endpoint, scales in graded:
            yield _row(course, study, window, endpoint, scales, cutoff)


def _read(course: Course, study: Study, scale: str, levels: tuple[str, ...]) -> _Scale:
    grades = _grades(course, scale, levels)
    return _Scale(name=scale, levels=levels, grades=grades, baseline=_baseline(course, study, grades))


def declined(course: Course, since: date) -> date | None:
    """The first day from *since* on with a grade below the last before treatment, on the same scale."""
    for scale, levels in SCALES.items():
        grades = [one for one in _grades(course, scale, levels) if "patient-level" not in one.flags]
        before = [one for one in grades if _is_before(course, one)]
        later = (one.on for one in grades if before and one.on >= since and one.rank < before[-1].rank)
        found = next(later, None)
        if found:
            return found
    return None


def highest(scale: str) -> int:
    """The best rank of *scale*, without its braces."""
    return len({**SCALES, **WALKING}[f"{{{scale}}}"]) - 1


def walks(scale: str, rank: Decimal | int) -> bool:
    """Whether *rank* on *scale*, without its braces, is that of somebody who walks."""
    return rank >= WALKS_FROM[f"{{{scale}}}"]


def _row(
    course: Course,
    study: Study,
    window: Window,
    endpoint: str,
    scales: Sequence[_Scale],
    cutoff: date,
) -> Response:
    scale = _scale(course, window, scales)
    baseline, value = scale.baseline, _in_window(course, window, scale.grades)
    reason = not_due(course, study, window, cutoff)
    reason = reason or (None if baseline else NO_BASELINE) or gone(course, window)
    reason = reason or (None if value else NO_FOLLOW_UP)
    shown = value if reason is None else None
    told = [one for one in (baseline, shown) if one]
    return Response(
        study=study.name,
        patient=course.lesion.patient,
        lesion_id=course.lesion.lesion_id,
        endpoint=endpoint,
        window=window.name,
        category=_category(endpoint, scale.name, baseline, shown),
        reason=reason,
        scale=scale.name.strip("{}") if told else None,
        baseline=Decimal(baseline.rank) if baseline else None,
        value=Decimal(shown.rank) if shown else None,
        assessed_on=shown.on if shown else None,
        days=course.day(shown.on) if shown else None,
        flags=tuple(sorted({flag for one in told for flag in one.flags})),
        sources=tuple(sorted({*course.lesion.sources, *(one.source for one in told)})),
        working=_worked(scale.levels, baseline, shown),
    )


def _worked(levels: tuple[str, ...], baseline: Grade | None, shown: Grade | None) -> tuple[str, ...]:
    if baseline is None or shown is None:
        return ()
    steps = shown.rank - baseline.rank
    before, after = levels[baseline.rank], levels[shown.rank]
    return (f"{before} on {baseline.on} to {after}: {steps:+d} of {len(levels)} levels",)


def _category(endpoint: str, scale: str, baseline: Grade | None, value: Grade | None) -> str:
    if baseline is None or value is None:
        return "NE"
    if endpoint == AMBULATION:
        return "AMBULATORY" if walks(scale.strip("{}"), value.rank) else "NOT-AMBULATORY"
    if value.rank == baseline.rank:
        return "STABLE"
    return "IMPROVED" if value.rank > baseline.rank else "WORSE"


def _scale(course: Course, window: Window, scales: Sequence[_Scale]) -> _Scale:
    """The first scale known at baseline and in the window, else at baseline, else the preferred one."""
    known = [one for one in scales if one.baseline]
    both = (one for one in known if _in_window(course, window, one.grades))
    return next(both, next(iter([*known, *scales])))


def _grades(course: Course, scale: str, levels: tuple[str, ...]) -> list[Grade]:
    """The grades on *scale*, by day and worst first, so that of one day the worst is met first."""
    found = [
        Grade(on=one.on.day, rank=levels.index(_level(one)), source=one.source, flags=one.flags)
        for one in course.findings
        if one.unit == scale and one.on and one.on.day and _level(one) in levels
    ]
    return sorted(found, key=lambda one: (one.on, one.rank, one.source))


def _level(event: Event) -> str:
    return f"{event.value.normalize():f}" if isinstance(event.value, Decimal) else str(event.value)


def _is_before(course: Course, one: Grade) -> bool:
    start = course.lesion.start.day if course.lesion.start else None
    return start is not None and one.on <= start


def _baseline(course: Course, study: Study, grades: list[Grade]) -> Grade | None:
    """The last grade of the baseline window, of its day the worst."""
    start = course.lesion.start.day if course.lesion.start else None
    if start is None:
        return None
    first = start + timedelta(days=study.baseline_first_day)
    inside = [one for one in grades if first <= one.on <= start]
    return next((one for one in inside if one.on == inside[-1].on), None)


def _in_window(course: Course, window: Window, grades: list[Grade]) -> Grade | None:
    """The grade nearest the target day, a tie to the earlier; after retreatment none counts."""
    if course.t0 is None:
        return None
    until = course.retreatment.on if course.retreatment else date.max
    inside = [one for one in grades if window.first <= course.day(one.on) <= window.last and one.on < until]
    return min(inside, key=lambda one: (abs(course.day(one.on) - window.target), one.on), default=None)
