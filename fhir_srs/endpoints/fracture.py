"""Vertebral compression fracture, segment by segment (spec/endpoints.md section 12).

A new fracture, or the progression of one at baseline, is the event; death and stabilisation after treatment
compete. A segment stabilised before treatment is not at risk. Symptomatic ones are told apart: no record says
so, but pain around its date, or an operation soon after, shows it (docs/decisions/022).
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import msgspec

from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.imaging import follow_up_scans
from fhir_srs.endpoints.local_failure import death_within
from fhir_srs.endpoints.relapse import Occurrence
from fhir_srs.endpoints.study import Study
from fhir_srs.endpoints.tte import Subject, left_out, time_to_event
from fhir_srs.model import Event, TimeToEvent

ENDPOINT = "vertebral-fracture"
SYMPTOMATIC = "symptomatic"
UNKNOWN = "symptoms-unknown"
STABILISED = "stabilised-before-treatment"


class Symptoms(NamedTuple):
    """What shows that a fracture hurt, None if nothing does; *known* whether anybody looked."""

    shown: Occurrence | None
    known: bool = True


def derive_fractures(course: Course, study: Study) -> Iterator[TimeToEvent]:
    """
    A row for each level of *course*, of any fracture and of a symptomatic one; without levels of the lesion.

    A record of a fracture does not say which of several levels it means: it is told for the most cranial
    one, flagged `segment-unknown`, so that it counts once.
    """
    reason = _not_at_risk(course, study)
    for variant, number, level in _rows(course):
        subject = Subject(
            study=study.name,
            patient=course.lesion.patient,
            lesion_id=course.lesion.lesion_id,
            endpoint=ENDPOINT,
            variant=variant,
            grain="segment",
            segment=level,
        )
        if reason:
            yield left_out(subject, reason, course.lesion.sources)
        elif variant == SYMPTOMATIC:
            yield _symptomatic(subject, course, study, _after(course) if number == 0 else [])
        else:
            yield _segment(subject, course, study, _after(course) if number == 0 else [])


def _rows(course: Course) -> Iterator[tuple[str | None, int, str | None]]:
    levels = course.lesion.levels or (None,)
    yield from ((variant, *one) for variant in (None, SYMPTOMATIC) for one in enumerate(levels))


def _not_at_risk(course: Course, study: Study) -> str | None:
    """Why no segment of *course* is followed: never imaged nor broken, first imaged too late, stabilised."""
    if course.t0 is None:
        return "date-too-coarse"
    if _was_told(course, "surgery"):
        return STABILISED
    seen = [one.on for one in follow_up_scans(course)] + [_day(one) for one in _after(course)]
    if not seen:
        return "no-imaging"
    return "late-entry" if course.day(min(seen)) > study.late_entry else None


def _was_told(course: Course, kind: str) -> bool:
    """Whether the lesion had such an event up to t0; of a month, if all of it was before."""
    dated = any(_day(one) <= course.t0 for one in course.findings if one.kind == kind and course.t0)
    own = course.lesion.lesion_id
    told = (one.on for one in course.events if one.kind == kind and one.lesion_id == own)
    return dated or any(on.last <= course.t0 for on in told if on and course.t0)


def _segment(subject: Subject, course: Course, study: Study, broken: Sequence[Event]) -> TimeToEvent:
    """The time to the first of *broken*, records of fractures by day."""
    return _timed(subject, course, study, [_fracture(one, course) for one in broken[:1]])


def _symptomatic(subject: Subject, course: Course, study: Study, broken: Sequence[Event]) -> TimeToEvent:
    """The time to the first of *broken* that hurt; a fracture of which that is not known says so."""
    felt = [(_fracture(one, course), _symptoms(course, study, _day(one))) for one in broken]
    row = _timed(subject, course, study, [_felt(one, found.shown) for one, found in felt if found.shown])
    unknown = (UNKNOWN,) if any(not found.known for _, found in felt) else ()
    return msgspec.structs.replace(row, flags=tuple(sorted({*row.flags, *unknown})))


def _timed(subject: Subject, course: Course, study: Study, events: Sequence[Occurrence]) -> TimeToEvent:
    if course.t0 is None:
        raise ValueError("a lesion without t0 has no times")
    censor = _last_imaging(course, course.t0)
    competing = [death_within(course, study.death_gap, censor.on), _stabilised(course)]
    return time_to_event(
        subject,
        course.t0,
        events=events,
        competing=competing,
        censor=censor,
        also=course.lesion.sources,
        seen=censor.on,
    )


def _after(course: Course) -> list[Event]:
    """The records of a fracture after t0, up to retreatment, by day."""
    until = course.retreatment.on if course.retreatment else date.max
    told = [one for one in course.findings if one.kind == "fracture" and "patient-level" not in one.flags]
    return [one for one in told if course.t0 is not None and course.t0 < _day(one) <= until]


def _fracture(event: Event, course: Course) -> Occurrence:
    """The first record; flagged where a fracture was there before, which then is one that progressed."""
    flags = (*(("baseline-fracture",) if _was_told(course, "fracture") else ()), *event.flags)
    if len(course.lesion.levels) > 1:
        flags = ("segment-unknown", *flags)
    return Occurrence(
        on=_day(event), description="vertebral fracture", sources=(event.source,), flags=tuple(flags)
    )


def _symptoms(course: Course, study: Study, on: date) -> Symptoms:
    """What shows that the fracture of the day *on* hurt: an operation soon after, or more pain around it."""
    span = timedelta(days=study.fracture_pain_days)
    treated = (one for one in course.findings if one.kind == "surgery" and "other-reason" not in one.flags)
    operated = next((one for one in treated if on <= _day(one) <= on + span), None)
    if operated is not None:
        text = f"operation {(_day(operated) - on).days} d after it"
        return Symptoms(Occurrence(on=_day(operated), description=text, sources=(operated.source,)))
    return _pain(course, study, on - span, on + span)


def _pain(course: Course, study: Study, first: date, last: date) -> Symptoms:
    """The worst score from *first* to *last*, if it is up from the last one before."""
    known = [(one.on, one) for one in (course.baseline, *course.follow_up) if one and one.on]
    before = [one for day, one in known if day < first]
    around = [(day, one) for day, one in known if first <= day <= last]
    if not before or not around:
        return Symptoms(None, known=False)
    day, worst = max(around, key=lambda pair: pair[1].value)
    if worst.value < before[-1].value + study.fracture_pain_points:
        return Symptoms(None)
    text = f"pain {worst.value} on {day} after {before[-1].value} on {before[-1].on}"
    return Symptoms(Occurrence(on=day, description=text, sources=(*worst.sources, *before[-1].sources)))


def _felt(fracture: Occurrence, shown: Occurrence) -> Occurrence:
    """*fracture* as a symptomatic one, with what shows it."""
    return msgspec.structs.replace(
        fracture,
        description="symptomatic vertebral fracture",
        sources=(*fracture.sources, *shown.sources),
        working=shown.description,
    )


def _stabilised(course: Course) -> Occurrence | None:
    """Cement or fixation, or radiation again: what a segment does afterwards is not the first course's."""
    again = course.retreatment
    if again is None or not again.dated:
        return None
    return Occurrence(on=again.on, description=again.description, sources=again.sources, cause="retreatment")


def _last_imaging(course: Course, t0: date) -> Occurrence:
    scans = follow_up_scans(course)
    if not scans:
        return Occurrence(on=t0, description="treatment", sources=course.lesion.sources)
    return Occurrence(on=scans[-1].on, description="last imaging", sources=scans[-1].sources)


def _day(event: Event) -> date:
    if event.on is None or event.on.day is None:
        raise ValueError("a finding has its day")
    return event.on.day
