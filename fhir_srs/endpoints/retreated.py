"""Time to retreatment of the segment by radiation or surgery, for whatever reason (spec/endpoints.md 15)."""

from datetime import date, timedelta

from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.relapse import Occurrence
from fhir_srs.endpoints.study import Study
from fhir_srs.endpoints.tte import Subject, left_out, time_to_event
from fhir_srs.model import TimeToEvent

ENDPOINT = "retreatment"


def derive_retreatment(course: Course, study: Study) -> TimeToEvent:
    """
    A captured event: death competes on its date, others are censored when last known alive.

    Where the day of a retreatment is not known, the lesion is censored before the first that it may be.
    """
    subject = Subject(
        study=study.name,
        patient=course.lesion.patient,
        lesion_id=course.lesion.lesion_id,
        endpoint=ENDPOINT,
    )
    if course.t0 is None or course.last_alive is None:
        return left_out(subject, "date-too-coarse", course.lesion.sources)
    again, death = course.retreatment, course.death
    if again and not again.dated:
        censor = _occurrence(again.on - timedelta(days=1), again.description, again.sources, again.flags)
        return time_to_event(subject, course.t0, events=[], censor=censor, also=course.lesion.sources)
    on, sources = course.last_alive
    events = again and [_occurrence(again.on, again.description, again.sources, again.flags)]
    dead = death and death.on and [_occurrence(death.on, "death", death.sources, cause="death")]
    return time_to_event(
        subject,
        course.t0,
        events=events or [],
        competing=dead or [],
        censor=_occurrence(on, "last known alive", sources),
        also=course.lesion.sources,
    )


def _occurrence(
    on: date, text: str, sources: tuple[str, ...], flags: tuple[str, ...] = (), cause: str | None = None
) -> Occurrence:
    return Occurrence(on=on, description=text, sources=sources, flags=flags, cause=cause)
