"""Vertebral compression fracture, segment by segment (spec/endpoints.md section 12).

A new fracture, or the progression of one at baseline, is the event; death and stabilisation after treatment
compete. A segment stabilised before treatment is not at risk.
"""

from collections.abc import Iterator
from datetime import date

from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.imaging import follow_up_scans
from fhir_srs.endpoints.local_failure import death_within
from fhir_srs.endpoints.relapse import Occurrence
from fhir_srs.endpoints.study import Study
from fhir_srs.endpoints.tte import Subject, left_out, time_to_event
from fhir_srs.model import Event, TimeToEvent

ENDPOINT = "vertebral-fracture"
STABILISED = "stabilised-before-treatment"


def derive_fractures(course: Course, study: Study) -> Iterator[TimeToEvent]:
    """
    One row for each level of *course*; a lesion without levels is one segment, named by nothing.

    A record of a fracture does not say which of several levels it means: it is told for the most cranial
    one, flagged `segment-unknown`, so that it counts once.
    """
    for number, level in enumerate(course.lesion.levels or (None,)):
        subject = Subject(
            study=study.name,
            patient=course.lesion.patient,
            lesion_id=course.lesion.lesion_id,
            endpoint=ENDPOINT,
            grain="segment",
            segment=level,
        )
        reason = _not_at_risk(course, study)
        if reason:
            yield left_out(subject, reason, course.lesion.sources)
        else:
            yield _segment(subject, course, study, first=number == 0)


def _not_at_risk(course: Course, study: Study) -> str | None:
    """Why no segment of *course* is followed: never imaged nor broken, first imaged too late, stabilised."""
    if course.t0 is None:
        return "date-too-coarse"
    if any(_day(one) <= course.t0 for one in course.findings if one.kind == "surgery"):
        return STABILISED
    seen = [one.on for one in follow_up_scans(course)] + [_day(one) for one in _after(course)]
    if not seen:
        return "no-imaging"
    return "late-entry" if course.day(min(seen)) > study.late_entry else None


def _segment(subject: Subject, course: Course, study: Study, *, first: bool) -> TimeToEvent:
    if course.t0 is None:
        raise ValueError("a lesion without t0 has no times")
    censor = _last_imaging(course, course.t0)
    broken = next(iter(_after(course)), None) if first else None
    competing = [death_within(course, study.death_gap, censor.on), _stabilised(course)]
    return time_to_event(
        subject,
        course.t0,
        events=[_fracture(broken, course) if broken else None],
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
    known = any(
        _day(one) <= course.t0 for one in course.findings if one.kind == "fracture" and course.t0 is not None
    )
    flags = (*(("baseline-fracture",) if known else ()), *event.flags)
    if len(course.lesion.levels) > 1:
        flags = ("segment-unknown", *flags)
    return Occurrence(
        on=_day(event), description="vertebral fracture", sources=(event.source,), flags=tuple(flags)
    )


def _stabilised(course: Course) -> Occurrence | None:
    """Cement or fixation, or radiation again: what a segment does afterwards is not the first course's."""
    again = course.retreatment
    if again is None:
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
