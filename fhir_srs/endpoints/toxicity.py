"""Toxicity: the worst grade of each patient and term, acute and late (spec/endpoints.md section 14)."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby

from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.study import Study
from fhir_srs.model import Event, Response

ENDPOINT = "toxicity"
ACUTE, LATE = "acute", "late"
GRADES = ("1", "2", "3", "4", "5")


def derive_toxicity(courses: Sequence[Course], study: Study) -> Iterator[Response]:
    """
    One row for each term and period that *courses*, those of one patient, have: the worst grade as sent.

    Days count from the last t0 up to the event; a grade in another CTCAE version than the study's is
    flagged, since terms and grades differ between versions [P 36].
    """
    dated = [(one, _last_treated(one, courses)) for one in courses[0].events if _is_graded(one)]
    known = [(_period(one, course, study), one, course) for one, course in dated if course is not None]
    ordered = sorted(known, key=lambda row: (row[0], row[1].code or ""))
    for (period, term), rows in groupby(ordered, key=lambda row: (row[0], row[1].code or "")):
        worst = max(rows, key=lambda row: (str(row[1].value), row[1].source))
        yield _row(period, term, worst[1], worst[2], study)


def _is_graded(event: Event) -> bool:
    known = event.on is not None and event.on.day is not None
    return event.kind == "toxicity" and known and event.value in GRADES


def _last_treated(event: Event, courses: Sequence[Course]) -> Course | None:
    """The lesion treated last before *event*; None for what came before all treatment."""
    day = event.on.day if event.on else None
    treated = [one for one in courses if one.t0 and day and one.t0 <= day]
    return max(treated, key=lambda one: (one.t0, one.lesion.lesion_id), default=None)


def _period(event: Event, course: Course, study: Study) -> str:
    day = event.on.day if event.on else None
    return ACUTE if day and course.day(day) <= study.acute_days else LATE


def _row(period: str, term: str, event: Event, course: Course, study: Study) -> Response:
    day = event.on.day if event.on else None
    strange = study.ctcae != "any" and event.unit is not None and study.ctcae not in event.unit
    return Response(
        study=study.name,
        patient=course.lesion.patient,
        lesion_id=None,
        grain="patient",
        endpoint=ENDPOINT,
        variant=term or None,
        window=period,
        category=f"GRADE-{event.value}",
        value=Decimal(str(event.value)),
        scale=event.unit,
        term=term or None,
        assessed_on=day,
        days=course.day(day) if day else None,
        flags=tuple(sorted({*event.flags, *(("ctcae-version-differs",) if strange else ())})),
        sources=tuple(sorted({event.source, *course.lesion.sources})),
    )
