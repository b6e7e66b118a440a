"""Pain flare: a passing rise in the first days, reported by itself (spec/endpoints.md section 9)."""

from collections.abc import Iterator
from decimal import Decimal

from fhir_srs.endpoints.assessments import Assessment
from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.opioids import same_evidence
from fhir_srs.endpoints.response import band_of
from fhir_srs.endpoints.study import Study
from fhir_srs.model import Response

WINDOW = "flare"
# Gomez-Iturriaga [P 27]: two points, or a quarter more opioid, within ten days.
DAYS, POINTS = 10, 2


def derive_flare(course: Course, study: Study) -> Response:
    """
    FLARE, NO-FLARE, or NE: worst pain up by 2 without less opioid, or opioid up by a quarter without less
    pain, on days 1 to 10, and back to the baseline afterwards ([M], definition (a) of section 9).

    A rise that did not come back is no flare; it is flagged `rise-without-return`.
    """
    baseline = course.baseline
    seen = [one for one in course.follow_up if one.on and course.day(one.on) <= DAYS]
    reason = course.baseline_reason if baseline is None else None if seen else "no-score-in-window"
    rises = list(_rises(course, study, seen)) if reason is None else []
    returned = next((one for one in rises if _returns(course, one)), None)
    shown = returned or next(iter(rises or seen), None) if reason is None else None
    told = [one for one in (baseline, shown) if one]
    return Response(
        study=study.name,
        patient=course.lesion.patient,
        lesion_id=course.lesion.lesion_id,
        window=WINDOW,
        category="NE" if reason else "FLARE" if returned else "NO-FLARE",
        reason=reason,
        baseline=baseline.value if baseline else None,
        value=shown.value if shown else None,
        assessed_on=shown.on if shown else None,
        days=course.day(shown.on) if shown and shown.on else None,
        flags=("rise-without-return",) if rises and not returned else (),
        sources=tuple(sorted({*course.lesion.sources, *(name for one in told for name in one.sources)})),
    )


def _rises(course: Course, study: Study, seen: list[Assessment]) -> Iterator[Assessment]:
    """The assessments that are up; where the OMED is unknown only pain is looked at."""
    baseline = course.baseline
    if baseline is None:
        return
    before, band = course.omed(baseline.on), band_of(study)
    for one in seen:
        after = course.omed(one.on)
        known = before.value is not None and after.value is not None and same_evidence(before, after)
        then, now = before.value or Decimal(0), after.value or Decimal(0)
        less, more = known and now < then, known and band.rises(then, now)
        if (one.value >= baseline.value + POINTS and not less) or (more and one.value >= baseline.value):
            yield one


def _returns(course: Course, rise: Assessment) -> bool:
    baseline = course.baseline
    later = [one for one in course.follow_up if one.on and rise.on and one.on > rise.on]
    return baseline is not None and any(one.value <= baseline.value for one in later)
