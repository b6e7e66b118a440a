"""Pain response of each lesion in each window, and the best class (spec/endpoints.md sections 1, 3, 15, 16).

Within a window the day nearest the target counts, a tie goes to the earlier. A lesion without a category
is NE with the first reason of decisions.md E9 that applies.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from fhir_srs.endpoints.assessments import Assessment
from fhir_srs.endpoints.comedication import co_medication
from fhir_srs.endpoints.courses import Companion, Course, touches, within
from fhir_srs.endpoints.criteria import (
    BEST_FIRST,
    POINT_DROPS,
    RESPONSE,
    Band,
    Category,
    Change,
    classify,
    words_of,
)
from fhir_srs.endpoints.history import time_zero
from fhir_srs.endpoints.opioids import UNKNOWN, Omed, same_evidence
from fhir_srs.endpoints.study import Rule, Study, Window
from fhir_srs.model import Response

# Of a study under `rtog`, whether the lesion's patient responded, all sites looked at.
RESPONDER = "responder"
ICPRE_DELTA = Decimal(2)  # the class printed beside a threshold study (decisions.md E13)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The category of one assessment against the baseline, or NE with its reason."""

    category: Category
    arm: str | None = None
    reason: str | None = None
    assessment: Assessment | None = None
    omed_before: Omed = UNKNOWN
    omed_after: Omed = UNKNOWN
    flags: tuple[str, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """How pain and OMED are judged: a rule set, its delta, and whether opioids count."""

    rule: Rule
    delta: Decimal
    aware: bool
    band: Band = Band()


def reading(study: Study) -> Reading:
    """The reading that *study* names."""
    return Reading(study.rule, study.pain_delta, study.analgesics == "aware", band_of(study))


def band_of(study: Study) -> Band:
    """The band of OMED that *study* calls stable."""
    return Band(study.omed_fall, study.omed_rise, study.omed_increase == "25-percent")


def beside(study: Study) -> tuple[str, Reading]:
    """The second reading printed beside: the ICPRE class of a threshold study, else the blind one."""
    if study.rule in POINT_DROPS:
        return "icpre", Reading("icpre", ICPRE_DELTA, aware=True, band=band_of(study))
    return "blind", Reading(study.rule, study.pain_delta, aware=False, band=band_of(study))


def judge(course: Course, one: Assessment, how: Reading) -> Verdict:
    """The category of assessment *one* of *course*, whose baseline is known."""
    if course.baseline is None:
        raise ValueError("a course without baseline cannot be judged")
    before, after = course.omed(course.baseline.on), course.omed(one.on)
    reason = _omed_reason(before, after) if how.aware else None
    verdict = Verdict(category="NE", reason=reason, assessment=one, omed_before=before, omed_after=after)
    if reason:
        return verdict
    change = _change(course.baseline, one, how, before, after)
    category, arm = classify(how.rule, change)
    flags = ("pain-up-omed-down",) if category == "IR" and change.worse and change.fall else ()
    return msgspec.structs.replace(verdict, category=category, arm=arm, flags=flags)


def _omed_reason(before: Omed, after: Omed) -> str | None:
    if before.value is None or after.value is None:
        return "omed-unknown"
    return None if same_evidence(before, after) else "omed-evidence-mismatch"


def _change(baseline: Assessment, one: Assessment, how: Reading, before: Omed, after: Omed) -> Change:
    """Analgesic-blind is the same rule with Mt := M0 (decisions.md E13)."""
    old = before.value if how.aware and before.value is not None else Decimal(0)
    new = after.value if how.aware and after.value is not None else old
    return Change(
        before=baseline.value,
        after=one.value,
        omed_before=old,
        omed_after=new,
        delta=how.delta,
        band=how.band,
    )


def derive_responses(course: Course, study: Study, cutoff: date) -> Iterator[Response]:
    """Every window and the best class of one lesion, the class beside it, and under `rtog` the responder."""
    variant, other = beside(study)
    for window in (study.best, *study.visits):
        verdict, how = respond(course, study, window, cutoff), reading(study)
        yield _row(course, study, window, None, verdict, how)
        yield _row(course, study, window, variant, _beside(course, verdict, other), other)
        if study.rule == "rtog":
            responder = _responder(course, study, window, verdict)
            yield _row(course, study, window, RESPONDER, responder, how)


def _responder(course: Course, study: Study, window: Window, verdict: Verdict) -> Verdict:
    """
    Responder: CR or PR of the index, and no second site worse in the same window (decisions.md E10).

    A second site without its scores makes the responder NE only where the index would be one.
    """
    if verdict.category == "NE":
        return verdict
    worse = [_worsened(one, course, study, window) for one in course.companions]
    flags = (*verdict.flags, *(("secondary-site-worse",) if True in worse else ()))
    if verdict.category not in RESPONSE or True in worse:
        return msgspec.structs.replace(verdict, category="NON-RESPONDER", flags=flags)
    if None in worse:
        return msgspec.structs.replace(verdict, category="NE", reason="no-score-in-window")
    return msgspec.structs.replace(verdict, category="RESPONDER")


def _worsened(site: Companion, course: Course, study: Study, window: Window) -> bool | None:
    """Whether a second site rose by the study's delta, on the day nearest the target; None if not scored."""
    found = [one for one in site.scores if one.on and window.first <= course.day(one.on) <= window.last]
    if site.baseline is None or not found:
        return None
    nearest = min(found, key=lambda one: _distance(course, one, window))
    return nearest.value >= site.baseline.value + study.pain_delta


def respond(course: Course, study: Study, window: Window, cutoff: date) -> Verdict:
    """The verdict of *course* in *window*: a category, or the first reason that applies."""
    reason = not_due(course, study, window, cutoff) or course.baseline_reason or gone(course, window)
    if reason:
        return Verdict(category="NE", reason=reason)
    return best(course, study) if window.name == "best" else _visit(course, study, window)


def not_due(course: Course, study: Study, window: Window, cutoff: date) -> str | None:
    """`not-yet-due` while the last day of *window* is after the cutoff; `date-too-coarse` without t0."""
    zero = time_zero(course.lesion, study)
    if zero is not None and zero.last + timedelta(days=window.last) > cutoff:
        return "not-yet-due"
    return "date-too-coarse" if course.t0 is None else None


def gone(course: Course, window: Window) -> str | None:
    """Why a lesion cannot be seen in *window* at all: death or retreatment before its first day."""
    if course.death and course.death.on and course.day(course.death.on) < window.first:
        return "died-before-window"
    again = course.retreatment
    if again and course.day(again.on) < window.first:
        return "retreated-before-window" if again.dated else "date-too-coarse"
    return None


def best(course: Course, study: Study) -> Verdict:
    """The best class on the study's days, at the first assessment that reached it; dueness is not asked.

    On the flare days only CR and PR count (decisions.md E5).
    """
    if course.baseline_reason or course.t0 is None:
        return Verdict(category="NE", reason=course.baseline_reason or "date-too-coarse")
    window, how = study.best, reading(study)
    seen = [judge(course, one, how) for one in in_window(course, window)]
    counting = [one for one in seen if one.category in RESPONSE or _day(course, one) > study.flare_days]
    classes = [one for one in counting if one.category != "NE"]
    if classes:
        return min(classes, key=lambda one: BEST_FIRST[study.rule].index(one.category))
    if counting:
        return counting[0]
    if seen:
        return Verdict(category="NE", reason="flare-window-only")
    return _no_score(course, study, window)


def _day(course: Course, verdict: Verdict) -> int:
    on = verdict.assessment.on if verdict.assessment else None
    return course.day(on) if on else 0


def in_window(course: Course, window: Window) -> list[Assessment]:
    """The dated assessments of *window*, by day."""
    return [one for one in course.follow_up if one.on and window.first <= course.day(one.on) <= window.last]


def _visit(course: Course, study: Study, window: Window) -> Verdict:
    found = in_window(course, window)
    if not found:
        return _no_score(course, study, window)
    nearest = min(found, key=lambda one: _distance(course, one, window))
    return judge(course, nearest, reading(study))


def _distance(course: Course, one: Assessment, window: Window) -> tuple[int, date]:
    if one.on is None:
        raise ValueError("an assessment in a window has its day")
    return abs(course.day(one.on) - window.target), one.on


def _no_score(course: Course, study: Study, window: Window) -> Verdict:
    """No dated score: a partial date wholly inside the window serves, else why not."""
    if course.t0 is None:
        raise ValueError("a lesion without t0 has no windows")
    first, last = course.t0 + timedelta(days=window.first), course.t0 + timedelta(days=window.last)
    if course.retreatment:
        last = min(last, course.retreatment.on - timedelta(days=1))
    inside = [one for one in course.partial if within(one, first, last)]
    if inside:
        return judge(course, inside[0], reading(study))
    if any(touches(one.partial, first, last) for one in course.partial):
        return Verdict(category="NE", reason="date-too-coarse")
    strange = any(touches(one, first, last) for one in course.scores.not_attributable)
    return Verdict(category="NE", reason="pain-not-attributable" if strange else "no-score-in-window")


def _beside(course: Course, verdict: Verdict, how: Reading) -> Verdict:
    """The other reading at the assessment that gave *verdict*, or its reason again."""
    if verdict.assessment is None:
        return verdict
    return judge(course, verdict.assessment, how)


def worked(course: Course, verdict: Verdict, how: Reading) -> tuple[str, ...]:
    """How the category of *verdict* comes from its numbers, a line each; nothing where there is none."""
    before, one = course.baseline, verdict.assessment
    if before is None or one is None or verdict.category == "NE":
        return ()
    said = words_of(how.rule, verdict.arm)
    lines = [said] if said else []
    lines.append(f"pain {before.value} to {one.value}: {one.value - before.value:+}, delta {how.delta}")
    old, new = verdict.omed_before.value, verdict.omed_after.value
    if how.aware and old is not None and new is not None:
        ratio = f"x {new / old:.3f}" if old else "no opioid before"
        lines.append(f"OMED {old} to {new} mg/d: {ratio}, falls at {how.band.fall}, rises at {how.band.rise}")
    return tuple(lines)


def _row(
    course: Course, study: Study, window: Window, variant: str | None, verdict: Verdict, how: Reading
) -> Response:
    baseline, one = course.baseline, verdict.assessment
    on = one.on if one else None
    assessed = (*(baseline.flags if baseline else ()), *(one.flags if one else ()))
    opioids = (*verdict.omed_before.flags, *verdict.omed_after.flags) if one else ()
    beside = co_medication(course.events, baseline.on, on) if baseline else ()
    flags = {*course.flags, *verdict.flags, *assessed, *opioids, *beside}
    return Response(
        study=study.name,
        patient=course.lesion.patient,
        lesion_id=course.lesion.lesion_id,
        variant=variant,
        window=window.name,
        category=verdict.category,
        arm=verdict.arm,
        reason=verdict.reason,
        flags=tuple(sorted(flags)),
        baseline=baseline.value if baseline else None,
        value=one.value if one else None,
        omed_baseline=verdict.omed_before.value,
        omed=verdict.omed_after.value,
        assessed_on=on,
        days=course.day(on) if on else None,
        sources=_sources(course, verdict),
        link=one.link if one else None,
        omed_table=course.omed_table if one else None,
        working=worked(course, verdict, how),
    )


def _sources(course: Course, verdict: Verdict) -> tuple[str, ...]:
    """Treatment, baseline, assessment and the opioids of both days: all that the category rests on."""
    death, retreatment = course.death, course.retreatment
    parts: Sequence[Sequence[str]] = (
        course.lesion.sources,
        course.baseline.sources if course.baseline else (),
        verdict.assessment.sources if verdict.assessment else (),
        verdict.omed_before.sources,
        verdict.omed_after.sources,
        death.sources if death and verdict.reason == "died-before-window" else (),
        retreatment.sources if retreatment and verdict.reason == "retreated-before-window" else (),
    )
    return tuple(sorted({source for part in parts for source in part}))
