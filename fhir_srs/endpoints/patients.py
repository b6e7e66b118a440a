"""Overall survival and follow-up: one row a patient, from the t0 of the first eligible lesion.

A death ends survival on its date; without one, or without its date, the patient is censored when last
known alive (spec/endpoints.md section 15, decisions.md E12).
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.history import time_zero
from fhir_srs.endpoints.relapse import Occurrence
from fhir_srs.endpoints.study import Study
from fhir_srs.endpoints.tte import Subject, left_out, time_to_event
from fhir_srs.model import TimeToEvent

# Deaths known to the month: sensitivity with the middle of it (decisions.md 15).
MIDPOINT = "death-month-midpoint"
DEATH_UNDATED = "death-date-unknown"
LONGEST_MONTH = timedelta(days=30)
ENDPOINTS = (("overall-survival", None), ("overall-survival", MIDPOINT), ("follow-up", None))


def derive_patient(courses: Sequence[Course], study: Study) -> Iterator[TimeToEvent]:
    """
    One patient's survival and follow-up; the latter is the same time, to be read in reverse.

    Where a treatment known to the month may have been the first, the origin is not known: left out.
    """
    dated = sorted((course.t0, course.lesion.lesion_id) for course in courses if course.t0)
    zeros = [zero for course in courses if not course.t0 and (zero := time_zero(course.lesion, study))]
    unsure = not dated or any(zero.first < dated[0][0] for zero in zeros)
    for endpoint, variant in ENDPOINTS:
        subject = Subject(
            study=study.name,
            patient=courses[0].lesion.patient,
            lesion_id=None,
            endpoint=endpoint,
            variant=variant,
            grain="patient",
        )
        if unsure:
            yield left_out(subject, "date-too-coarse", courses[0].lesion.sources)
            continue
        first = next(course for course in courses if course.lesion.lesion_id == dated[0][1])
        origin = dated[0][0]
        yield time_to_event(
            subject,
            origin,
            events=[_died(first, _day_of_death(first, midpoint=variant == MIDPOINT))],
            censor=_alive(first),
            also=first.lesion.sources,
        )


def _died(course: Course, on: date | None) -> Occurrence | None:
    if course.death is None or on is None:
        return None
    return Occurrence(on=on, description="death", sources=course.death.sources)


def _day_of_death(course: Course, *, midpoint: bool) -> date | None:
    """The day of death; with *midpoint*, for a known month, its middle, or when last known alive if later."""
    death = course.death
    if death is None or death.on is not None or death.between is None or not midpoint:
        return death.on if death else None
    length = death.between.last - death.between.first
    if length > LONGEST_MONTH:
        return None
    middle = death.between.first + length // 2
    return max(middle, course.last_alive[0]) if course.last_alive else middle


def _alive(course: Course) -> Occurrence:
    """When last known alive; an undated death is said in a flag and counted, not timed."""
    flags = (DEATH_UNDATED,) if course.death and course.death.on is None else ()
    if course.last_alive is None:
        raise ValueError("a treated patient was alive at treatment")
    on, sources = course.last_alive
    return Occurrence(on=on, description="last known alive", sources=sources, flags=flags)
