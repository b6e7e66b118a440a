"""The time endpoints of one lesion: relief, relapse, relief duration, pain control A to E.

Which events, competing events and censors each takes is declared here (spec/endpoints.md sections 5 to 8
and 15; decisions.md 11 to 14, E1 to E8). Kaplan-Meier readings censor at the last pain assessment, the
dead too; only `competing` and D carry a death, on its date, if it falls within `death_gap` of it.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import msgspec

from fhir_srs.endpoints.assessments import Assessment
from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.criteria import RESPONSE
from fhir_srs.endpoints.relapse import Occurrence, RelapseRule, relapse
from fhir_srs.endpoints.response import Verdict, band_of, best, judge, not_due, reading, worked
from fhir_srs.endpoints.study import Study
from fhir_srs.endpoints.tte import Subject, left_out, time_to_event
from fhir_srs.model import TimeToEvent


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one lesion's pain: its best class, relief and relapses under the study's rules."""

    course: Course
    study: Study
    t0: date
    best: Verdict
    due: bool
    relief: Assessment | None
    last: Assessment | None

    @property
    def controlled(self) -> bool:
        """Ever controlled, by the best class (decisions.md E1)."""
        if self.best.category in {"CR", "PR", "STABLE"}:
            return True
        one, before = self.best, self.course.baseline
        if (self.study.rule, one.category) != ("icpre", "IR") or one.assessment is None or before is None:
            return False
        return one.assessment.value < before.value + self.study.pain_delta and not _rise(one, self.study)

    @property
    def late(self) -> bool:
        """Late entry: first seen more than *late_entry* days after t0 (decisions.md E12)."""
        first = self.course.follow_up[0].on if self.course.follow_up else None
        return first is not None and (first - self.t0).days > self.study.late_entry


def _rise(verdict: Verdict, study: Study) -> bool:
    before, after = verdict.omed_before.value, verdict.omed_after.value
    return before is not None and after is not None and band_of(study).rises(before, after)


def read_progress(course: Course, study: Study, cutoff: date) -> Progress | None:
    """The progress of *course*; None without a t0, which no time endpoint can do without."""
    if course.t0 is None:
        return None
    return Progress(
        course=course,
        study=study,
        t0=course.t0,
        best=best(course, study),
        due=not_due(course, study, study.best, cutoff) is None,
        relief=_relief(course, study),
        last=course.follow_up[-1] if course.follow_up else None,
    )


def _relief(course: Course, study: Study) -> Assessment | None:
    """The first assessment in CR or PR, on any day before retreatment (section 5)."""
    if course.baseline_reason:
        return None
    how = reading(study)
    return next((one for one in course.follow_up if judge(course, one, how).category in RESPONSE), None)


def derive_times(course: Course, study: Study, cutoff: date) -> Iterator[TimeToEvent]:
    """All time endpoints of one lesion, each either timed or left out with its reason."""
    progress = read_progress(course, study, cutoff)
    for endpoint, variant, derive in ENDPOINTS:
        subject = Subject(
            study=study.name,
            patient=course.lesion.patient,
            lesion_id=course.lesion.lesion_id,
            endpoint=endpoint,
            variant=variant,
        )
        if progress is None:
            yield left_out(subject, "date-too-coarse", course.lesion.sources)
        elif progress.late:
            yield left_out(subject, "late-entry", course.lesion.sources)
        else:
            yield derive(subject, progress)


def time_to_relief(subject: Subject, one: Progress) -> TimeToEvent:
    """From t0 to relief; death, and retreatment for pain or growth, compete (sections 5 and 15)."""
    course = one.course
    reason = course.baseline_reason or _never_judged(one)
    if reason:
        return left_out(subject, reason, course.lesion.sources)
    return time_to_event(
        subject,
        one.t0,
        events=[_relieved(one)],
        competing=[_again(one), _death(one)],
        censor=_last(one),
        also=_origin(one),
        seen=_last(one).on,
    )


def relief_interval(subject: Subject, one: Progress) -> TimeToEvent:
    """Relief as lying between the last assessment without it and the first with it; baseline is day 0."""
    course = one.course
    reason = course.baseline_reason or _never_judged(one)
    if reason or one.last is None:
        return left_out(subject, reason or _unseen(one), course.lesion.sources)
    visits = [course.day(seen.on) for seen in course.follow_up if seen.on]
    relieved = course.day(one.relief.on) if one.relief and one.relief.on else None
    row = time_to_event(subject, one.t0, events=[_relieved(one)], censor=_last(one), also=_origin(one))
    before = [day for day in visits if relieved is None or day < relieved]
    return msgspec.structs.replace(row, free_until=max(before, default=0))


def _relieved(one: Progress) -> Occurrence | None:
    if one.relief is None or one.relief.on is None:
        return None
    relief, how = one.relief, reading(one.study)
    verdict = judge(one.course, relief, how)
    return Occurrence(
        on=one.relief.on,
        description="relief",
        sources=relief.sources,
        flags=relief.flags,
        working="; ".join((f"{verdict.category} by arm {verdict.arm}", *worked(one.course, verdict, how))),
    )


def _never_judged(one: Progress) -> str | None:
    """Why no assessment can show relief or its absence: none was made, or the OMED of all is unknown."""
    if one.last is None:
        return None if _death(one) else _unseen(one)
    if one.relief is not None:
        return None
    how = reading(one.study)
    reasons = [judge(one.course, seen, how).reason for seen in one.course.follow_up]
    return reasons[0] if all(reasons) else None


def _unseen(one: Progress) -> str:
    """Why there is no follow-up score: there was one that several lesions may claim, or none."""
    strange = any(on.last > one.t0 for on in one.course.scores.not_attributable)
    return "pain-not-attributable" if strange else "no-score-in-window"


def time_to_relapse(subject: Subject, one: Progress) -> TimeToEvent:
    """From t0 to relapse of a lesion ever controlled, by its best class so far."""
    if not one.controlled:
        return left_out(subject, one.best.reason or "never-controlled", one.course.lesion.sources)
    return _controlled(subject, one)


def _controlled(subject: Subject, one: Progress, *, competing: bool = False) -> TimeToEvent:
    return time_to_event(
        subject,
        one.t0,
        events=[_relapse(one)],
        competing=[_death(one)] if competing else [],
        censor=_last(one),
        also=_origin(one),
        seen=_last(one).on,
    )


def _relapse(one: Progress) -> Occurrence | None:
    """After relief for CR and PR; for STABLE (and IR) from the first follow-up score (section 6)."""
    if one.best.category in RESPONSE and one.relief and one.relief.on:
        return relapse(one.course, one.relief.on, _rule(one))
    return relapse(one.course, one.t0, _rule(one))


def _rule(one: Progress) -> RelapseRule:
    study = one.study
    return RelapseRule(
        delta=study.relapse_delta,
        after_day=study.flare_days,
        omed=study.relapse_omed,
        confirmed=study.relapse_confirm == "next-score",
        band=band_of(study),
    )


def duration_descriptive(subject: Subject, one: Progress) -> TimeToEvent:
    """Relief to relapse, else to death within the gap, else to the last assessment: observed, uncensored."""
    return _duration(subject, one, competing=True)


def duration_kaplan_meier(subject: Subject, one: Progress) -> TimeToEvent:
    """Relief to relapse; all others censored at their last pain assessment."""
    return _duration(subject, one, competing=False)


def _duration(subject: Subject, one: Progress, *, competing: bool) -> TimeToEvent:
    if one.relief is None or one.relief.on is None:
        return left_out(subject, one.course.baseline_reason or "not-a-responder", one.course.lesion.sources)
    return time_to_event(
        subject,
        one.relief.on,
        events=[relapse(one.course, one.relief.on, _rule(one))],
        competing=[_death(one)] if competing else [],
        censor=_last(one),
        also=(*_origin(one), *one.relief.sources),
        seen=_last(one).on,
    )


def control_a(subject: Subject, one: Progress) -> TimeToEvent:
    """Variant A: lesions ever controlled, the best class being due, freedom from relapse from t0."""
    return _due(subject, one) or time_to_relapse(subject, one)


def control_c(subject: Subject, one: Progress) -> TimeToEvent:
    """Variant C: every lesion with follow-up; the nadir includes the baseline; no OMED arm (E7)."""
    if one.last is None:
        return left_out(subject, _unseen(one), one.course.lesion.sources)
    rule = msgspec.structs.replace(_rule(one), omed=False)
    found = relapse(one.course, one.t0, rule, first=one.course.baseline)
    return time_to_event(subject, one.t0, events=[found], censor=_last(one), also=_origin(one))


def control_d(subject: Subject, one: Progress) -> TimeToEvent:
    """Variant D: as A, death competing."""
    if not one.controlled:
        return _due(subject, one) or time_to_relapse(subject, one)
    return _due(subject, one) or _controlled(subject, one, competing=True)


def control_e(subject: Subject, one: Progress) -> TimeToEvent:
    """Variant E: every lesion with a best class; those never controlled fail on day 0."""
    early = _due(subject, one)
    if early or one.best.category == "NE":
        return early or left_out(subject, one.best.reason or "not-evaluable", one.course.lesion.sources)
    if one.controlled:
        return _controlled(subject, one)
    sources = one.best.assessment.sources if one.best.assessment else ()
    never = Occurrence(on=one.t0, description="never controlled", sources=sources)
    return time_to_event(subject, one.t0, events=[never], censor=_last(one), also=_origin(one))


def _due(subject: Subject, one: Progress) -> TimeToEvent | None:
    return None if one.due else left_out(subject, "not-yet-due", one.course.lesion.sources)


def _last(one: Progress) -> Occurrence:
    """The last pain assessment before any retreatment; without one, the treatment itself."""
    if one.last is None or one.last.on is None:
        return Occurrence(on=one.t0, description="treatment", sources=one.course.lesion.sources)
    return Occurrence(
        on=one.last.on, description="last pain assessment", sources=one.last.sources, flags=one.last.flags
    )


def _death(one: Progress) -> Occurrence | None:
    """The death, where it falls within the gap of the last assessment (or of t0, if there was none)."""
    death, again, last = one.course.death, one.course.retreatment, _last(one)
    if death is None or death.on is None or death.on - last.on > timedelta(days=one.study.death_gap):
        return None
    if again is not None and again.on <= death.on:
        return None  # follow-up of this lesion ended with its retreatment (decisions.md E6)
    said = (
        f"death {(death.on - last.on).days} d after {last.on} ({last.description}), gap {one.study.death_gap}"
    )
    return Occurrence(on=death.on, description="death", sources=death.sources, cause="death", working=said)


def _again(one: Progress) -> Occurrence | None:
    """Retreatment as a competing event; for a reason other than pain or growth it censors (section 15)."""
    again = one.course.retreatment
    if again is None or not again.failure:
        return None
    return Occurrence(
        on=again.on,
        description=again.description,
        sources=again.sources,
        cause="retreatment",
        flags=again.flags,
    )


def _origin(one: Progress) -> tuple[str, ...]:
    baseline = one.course.baseline.sources if one.course.baseline else ()
    return (*one.course.lesion.sources, *baseline)


# Endpoint, variant, rule. Names: design.md 4.4; B of pain control is the Kaplan-Meier relief duration.
ENDPOINTS = (
    ("time-to-relief", None, time_to_relief),
    ("time-to-relief", "interval", relief_interval),
    ("time-to-relapse", None, time_to_relapse),
    ("relief-duration", "descriptive", duration_descriptive),
    ("relief-duration", "kaplan-meier", duration_kaplan_meier),
    ("relief-duration", "competing", duration_descriptive),
    ("pain-control", "A", control_a),
    ("pain-control", "B", duration_kaplan_meier),
    ("pain-control", "C", control_c),
    ("pain-control", "D", control_d),
    ("pain-control", "E", control_e),
)
