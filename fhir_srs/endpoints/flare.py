"""Pain flare: a passing rise in the first days, reported by itself (spec/endpoints.md section 9).

A study names its definition first and others after it, each a reading of its own: they differ in the days
that they look at, in what besides pain counts, and in whether the rise has to pass.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from fhir_srs.endpoints.assessments import Assessment
from fhir_srs.endpoints.comedication import STEROID, started
from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.opioids import same_evidence
from fhir_srs.endpoints.response import band_of
from fhir_srs.endpoints.study import Flare, Study
from fhir_srs.model import Event, Response

WINDOW = "flare"
NONE = "none"
UNSETTLED = "rise-without-return"
NO_RECORDS = "medication-not-recorded"


class Rise(msgspec.Struct, frozen=True, kw_only=True):
    """What may be a flare: more pain, more opioid, or a steroid that was started, by its *arm*."""

    arm: str
    on: date
    sources: tuple[str, ...]
    seen: Assessment | None = None


def derive_flare(course: Course, study: Study) -> Iterator[Response]:
    """FLARE, NO-FLARE, or NE by each definition of *study*; its own has no variant, the others their name."""
    for number, rule in enumerate(study.flare):
        yield _judged(course, study, rule, rule.name if number else None)


def _judged(course: Course, study: Study, rule: Flare, variant: str | None) -> Response:
    baseline = course.baseline
    seen = [one for one in course.follow_up if one.on and course.day(one.on) <= rule.days]
    rises = list(_rises(course, study, rule, seen))
    passing = next((one for one in rises if _passes(course, rule, one)), None)
    reason = course.baseline_reason if baseline is None else None if seen or passing else "no-score-in-window"
    shown = passing or next(iter(rises), None) or next(map(_quiet, seen), None) if reason is None else None
    score = shown.seen if shown else None
    return Response(
        study=study.name,
        patient=course.lesion.patient,
        lesion_id=course.lesion.lesion_id,
        variant=variant,
        window=WINDOW,
        category="NE" if reason else "FLARE" if passing else "NO-FLARE",
        arm=None if reason else passing.arm if passing else NONE,
        reason=reason,
        baseline=baseline.value if baseline else None,
        value=score.value if score else None,
        assessed_on=shown.on if shown else None,
        days=course.day(shown.on) if shown else None,
        flags=_flags(course, rule, rises, passing) if reason is None else (),
        sources=tuple(sorted({*course.lesion.sources, *_told(baseline), *(shown.sources if shown else ())})),
    )


def _told(one: Assessment | None) -> tuple[str, ...]:
    return one.sources if one else ()


def _quiet(one: Assessment) -> Rise:
    """An assessment that is no rise, to be shown where there is none."""
    return Rise(arm=NONE, on=one.on or date.min, sources=one.sources, seen=one)


def _flags(course: Course, rule: Flare, rises: Sequence[Rise], passing: Rise | None) -> tuple[str, ...]:
    """A rise that does not count says so; so does a definition by steroids where no drug is recorded."""
    unknown = rule.steroid != "ignored" and not any(one.kind == "opioid" for one in course.events)
    return (
        *((NO_RECORDS,) if unknown and not passing else ()),
        *((UNSETTLED,) if rises and not passing else ()),
    )


def _rises(course: Course, study: Study, rule: Flare, seen: Sequence[Assessment]) -> Iterator[Rise]:
    """By day; where the OMED is unknown only pain is looked at."""
    baseline = course.baseline
    if baseline is None:
        return
    for one in seen:
        arm = _arm(course, study, rule, baseline, one)
        if arm and one.on:
            yield Rise(arm=arm, on=one.on, sources=one.sources, seen=one)
    first = _steroid(course, 1, rule.days) if rule.steroid == "start" else None
    if first is not None and first.on and first.on.day:
        yield Rise(arm=STEROID, on=first.on.day, sources=(first.source,))


def _arm(course: Course, study: Study, rule: Flare, baseline: Assessment, one: Assessment) -> str | None:
    before, after = course.omed(baseline.on), course.omed(one.on)
    known = before.value is not None and after.value is not None and same_evidence(before, after)
    then, now = before.value or Decimal(0), after.value or Decimal(0)
    balanced = rule.opioids == "balanced"
    if one.value >= baseline.value + rule.points and not (balanced and known and now < then):
        return "pain"
    more = known and rule.opioids != "ignored" and band_of(study).rises(then, now)
    return "opioid" if more and not (balanced and one.value < baseline.value) else None


def _passes(course: Course, rule: Flare, rise: Rise) -> bool:
    """Whether the rise did what the definition asks for: came back to the baseline, perhaps by a steroid."""
    since = rise.on
    if rule.steroid == "resolves":
        helped = _steroid(course, course.day(rise.on), None)
        if helped is None or helped.on is None or helped.on.day is None:
            return False
        since = helped.on.day
    later = [one for one in course.follow_up if one.on and one.on > since]
    return not rule.returns or any(_is_back(course, rule, one) for one in later)


def _is_back(course: Course, rule: Flare, one: Assessment) -> bool:
    """Whether pain is at the baseline again, and the OMED too, where opioids count and it is known."""
    baseline = course.baseline
    if baseline is None or one.value > baseline.value:
        return False
    then, now = course.omed(baseline.on), course.omed(one.on)
    if rule.opioids == "ignored" or then.value is None or now.value is None or not same_evidence(then, now):
        return True
    return now.value <= then.value


def _steroid(course: Course, first: int, last: int | None) -> Event | None:
    """The first steroid started on the days from *first* to *last*, before retreatment."""
    until = course.retreatment.on if course.retreatment else date.max
    new = started(course.events, STEROID, until)
    days = ((one, course.day(one.on.day)) for one in new if one.on and one.on.day)
    return next((one for one, day in days if day >= first and (last is None or day <= last)), None)
