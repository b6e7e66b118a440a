"""One lesion made ready for the rules: its time zero, baseline, follow-up, retreatment and death.

Everything after the data cutoff is already gone (decisions.md E12): a partial date counts as its last
possible day. Days are whole calendar days from t0, the date of the last fraction.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby

import msgspec

from fhir_srs.dates import PartialDate
from fhir_srs.endpoints.assessments import Assessment, Scores, is_score, observed, read_scores, series
from fhir_srs.endpoints.opioids import UNKNOWN, Omed, omed_on
from fhir_srs.endpoints.study import BASELINE, Study
from fhir_srs.model import Event, Lesion, Mapped

REINTERVENTIONS = frozenset({"retreatment", "surgery"})
# Re-irradiation is not given sooner (spec/endpoints.md section 15).
REIRRADIATION_GAP = timedelta(days=28)
# Kinds that show the patient alive on their day (decisions.md E12); orders and OMED do not.
ALIVE = frozenset({"pain", "imaging", "disease-status", "retreatment", "surgery", "contact"})


class Retreatment(msgspec.Struct, frozen=True, kw_only=True):
    """Radiation or surgery at the segment; *failure* unless it is known to be for neither pain nor growth."""

    on: date
    failure: bool
    description: str
    sources: tuple[str, ...]
    flags: tuple[str, ...] = ()


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """A death; *on* None where the day is not known, *between* what is known of it."""

    on: date | None
    between: PartialDate | None
    sources: tuple[str, ...]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """All that the rules look at, for one eligible lesion.

    *baseline* is the assessment before treatment, or *baseline_reason* says why there is none;
    *follow_up* are the assessments from day 1 to the day before retreatment.
    """

    lesion: Lesion
    t0: date | None
    baseline: Assessment | None
    baseline_reason: str | None
    follow_up: tuple[Assessment, ...]
    partial: tuple[Assessment, ...]
    scores: Scores
    retreatment: Retreatment | None
    death: Death | None
    last_alive: tuple[date, tuple[str, ...]] | None
    omeds: Mapping[date, Omed]
    flags: tuple[str, ...] = ()

    def day(self, on: date) -> int:
        """Days from t0 to *on*."""
        if self.t0 is None:
            raise ValueError("a lesion without t0 has no days")
        return (on - self.t0).days

    def omed(self, on: date | None) -> Omed:
        """The OMED on the day of an assessment; unknown where the day is."""
        return UNKNOWN if on is None else self.omeds[on]


class Excluded(msgspec.Struct, frozen=True, kw_only=True):
    """A lesion that the study does not take, and why."""

    lesion_id: str
    patient: str
    reason: str


def read_courses(mapped: Mapped, study: Study, cutoff: date) -> tuple[list[Course], list[Excluded]]:
    """The eligible lesions of *mapped* ready for the rules of *study*, and the others with their reasons."""
    events = {key: list(group) for key, group in groupby(_by_patient(mapped.events), lambda one: one.patient)}
    courses: list[Course] = []
    excluded: list[Excluded] = []
    lesions = sorted(mapped.lesions, key=lambda one: (one.patient, one.lesion_id))
    for patient, group in groupby(lesions, lambda one: one.patient):
        treated = list(group)
        known = [lesion for lesion in treated if lesion.end is None or lesion.end.last <= cutoff]
        seen = _in_life(
            [event for event in events.get(patient, []) if event.on is None or event.on.last <= cutoff]
        )
        for lesion in treated:
            reason = ineligible(lesion, study, cutoff)
            if reason:
                excluded.append(Excluded(lesion_id=lesion.lesion_id, patient=patient, reason=reason))
            else:
                courses.append(_course(lesion, known, seen, study))
    return courses, excluded


def _in_life(events: Sequence[Event]) -> list[Event]:
    """*events* without what is dated after the death: mapping has called these dates implausible."""
    last = _last_day(events)
    return [one for one in events if one.kind == "death" or one.on is None or one.on.first <= last]


def _last_day(events: Sequence[Event]) -> date:
    """The day of death; without one, or without its day, the end of the calendar."""
    death = _death(events)
    return death.on if death and death.on else date.max


def _by_patient(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda one: (one.patient, one.source))


def ineligible(lesion: Lesion, study: Study, cutoff: date) -> str | None:
    """Why *study* does not take *lesion*; None if it does."""
    if lesion.provisional:
        return "course-in-progress"
    if lesion.end is not None and lesion.end.last > cutoff:
        return "after-cutoff"
    if lesion.technique not in {"SRS", "SBRT"}:
        return "not-radiosurgery"
    if study.single_fraction and lesion.fractions is None:
        return "fractions-unknown"
    if study.single_fraction and lesion.fractions != 1:
        return "more-than-one-fraction"
    return None


def _course(lesion: Lesion, treated: Sequence[Lesion], events: Sequence[Event], study: Study) -> Course:
    retreatments = {one.lesion_id: _retreatment(one, treated, events) for one in treated}
    ends = {key: one.on if one else None for key, one in retreatments.items()}
    spans = observed(treated, ends)
    earlier = frozenset(one.lesion_id for one in treated if _shares(one, lesion) and _before(one, lesion))
    wanted = _series(lesion, earlier, events)
    shared = [*events, *_of_successors(lesion, treated, events)]
    own = read_scores(lesion, frozenset(), shared, spans, wanted)
    before = read_scores(lesion, earlier, events, spans, wanted)
    baseline, reason = _baseline(lesion, before, study)
    follow_up = tuple(_follow_up(lesion, own, ends[lesion.lesion_id]))
    opioids = [event for event in events if event.kind == "opioid"]
    assessed = [one.on for one in (baseline, *follow_up) if one and one.on]
    return Course(
        lesion=lesion,
        t0=lesion.end.day if lesion.end else None,
        baseline=baseline,
        baseline_reason=reason,
        follow_up=follow_up,
        partial=own.partial,
        scores=own,
        retreatment=retreatments[lesion.lesion_id],
        death=_death(events),
        last_alive=_last_alive(treated, events),
        omeds={day: omed_on(day, opioids) for day in assessed},
        flags=_flags(lesion, study),
    )


def _flags(lesion: Lesion, study: Study) -> tuple[str, ...]:
    dose = lesion.dose_gy
    outside = dose is not None and not study.dose_low_gy <= dose <= study.dose_high_gy
    return ("dose-outside-study",) if outside else ()


def _shares(one: Lesion, other: Lesion) -> bool:
    return one.lesion_id != other.lesion_id and not set(one.levels).isdisjoint(other.levels)


def _before(one: Lesion, other: Lesion) -> bool:
    return one.start is not None and other.start is not None and one.start.first < other.start.first


def _of_successors(lesion: Lesion, treated: Sequence[Lesion], events: Sequence[Event]) -> list[Event]:
    """Baseline scores of later lesions at a shared level: follow-up of *lesion* too (decisions.md E2)."""
    later = {one.lesion_id: one for one in treated if _shares(one, lesion) and _before(lesion, one)}
    return [
        msgspec.structs.replace(event, lesion_id=lesion.lesion_id)
        for event in events
        if event.kind == "pain" and event.lesion_id in later and _at_baseline(event, later[event.lesion_id])
    ]


def _at_baseline(event: Event, lesion: Lesion) -> bool:
    """Whether a score lies wholly in the baseline window of *lesion*."""
    if event.on is None or lesion.start is None:
        return False
    first = lesion.start.first + timedelta(days=BASELINE.first)
    return first <= event.on.first and event.on.last <= lesion.start.last


def _series(lesion: Lesion, earlier: frozenset[str], events: Sequence[Event]) -> str:
    """One series for baseline and follow-up: of the latest score up to treatment, else of the first after."""
    start = lesion.start.last if lesion.start else date.max
    pains = [event for event in events if is_score(event) and event.on is not None]
    mine = [event for event in pains if event.lesion_id in {None, lesion.lesion_id, *earlier}]
    dated = sorted((event.on.first, event.source, series(event)) for event in mine if event.on)
    first = start + timedelta(days=BASELINE.first) if start != date.max else date.min
    window = [one for one in dated if first <= one[0] <= start]
    after = [one for one in dated if one[0] > start]
    return window[-1][2] if window else after[0][2] if after else "0-10"


def _retreatment(lesion: Lesion, treated: Sequence[Lesion], events: Sequence[Event]) -> Retreatment | None:
    """The first of: a later lesion at a shared level, on its first fraction; radiation or surgery there."""
    t0 = lesion.end.day if lesion.end else None
    found = [
        *(
            _again(other, events, t0)
            for other in treated
            if _shares(other, lesion) and _before(lesion, other)
        ),
        *(_intervention(event) for event in events if event.lesion_id == lesion.lesion_id),
    ]
    last = _last_day(events)
    later = [one for one in found if one is not None and (t0 is None or one.on > t0) and one.on <= last]
    return min(later, key=lambda one: (one.on, not one.failure, one.sources), default=None)


def _again(lesion: Lesion, events: Sequence[Event], t0: date | None) -> Retreatment | None:
    """*lesion* as the retreatment of one treated until *t0*; flagged if sooner than four weeks after it."""
    day = lesion.start.day if lesion.start else None
    if day is None:
        return None
    said = [one for one in events if one.kind in REINTERVENTIONS and one.on and one.on.day == day]
    failure, flags = _reason(said)
    if t0 is not None and day - t0 < REIRRADIATION_GAP:
        flags = (*flags, "possibly-same-course")
    text = "retreatment of the segment by a later lesion"
    return Retreatment(on=day, failure=failure, description=text, sources=lesion.sources, flags=flags)


def _intervention(event: Event) -> Retreatment | None:
    if event.kind not in REINTERVENTIONS or event.on is None or event.on.day is None:
        return None
    failure, flags = _reason([event])
    text = f"{event.kind} at the segment"
    return Retreatment(
        on=event.on.day, failure=failure, description=text, sources=(event.source,), flags=flags
    )


def _reason(events: Sequence[Event]) -> tuple[bool, tuple[str, ...]]:
    """For pain or progression, or for no known reason: a failure (spec/endpoints.md section 15)."""
    said = {flag for event in events for flag in event.flags}
    if said & {"for-pain", "for-progression"}:
        return True, ()
    return ("other-reason" not in said), (() if "other-reason" in said else ("retreatment-reason-unknown",))


def _baseline(lesion: Lesion, scores: Scores, study: Study) -> tuple[Assessment | None, str | None]:
    """The latest day of the baseline window, or the reason of decisions.md E9 for there being none."""
    start = lesion.start.day if lesion.start else None
    if start is None:
        return None, "date-too-coarse"
    first = start + timedelta(days=BASELINE.first)
    dated = [one for one in scores.dated if one.on and first <= one.on <= start]
    inside = [one for one in scores.partial if within(one, first, start)]
    if dated or inside:
        found = dated[-1] if dated else inside[-1]
        return found, "baseline-below-minimum" if found.value < study.min_baseline_pain else None
    if any(touches(one.partial, first, start) for one in scores.partial):
        return None, "date-too-coarse"
    strange = any(touches(one, first, start) for one in scores.not_attributable)
    return None, "pain-not-attributable" if strange else "no-baseline-score"


def within(one: Assessment, first: date, last: date) -> bool:
    """Whether every day that a partial date stands for lies between *first* and *last*."""
    return one.partial is not None and first <= one.partial.first and one.partial.last <= last


def touches(on: PartialDate | None, first: date, last: date) -> bool:
    """Whether some day that *on* stands for lies between *first* and *last*."""
    return on is not None and on.first <= last and on.last >= first


def _follow_up(lesion: Lesion, scores: Scores, retreated: date | None) -> Iterator[Assessment]:
    t0 = lesion.end.day if lesion.end else None
    for one in scores.dated:
        if t0 is None or one.on is None or one.on <= t0:
            continue
        if retreated is None or one.on < retreated:
            yield one


def _death(events: Sequence[Event]) -> Death | None:
    deaths = [event for event in events if event.kind == "death"]
    if not deaths:
        return None
    days = sorted(event.on.day for event in deaths if event.on and event.on.day)
    known = sorted((event.on for event in deaths if event.on), key=lambda on: (on.last - on.first, on.first))
    return Death(
        on=days[0] if days else None,
        between=known[0] if known else None,
        sources=tuple(sorted({event.source for event in deaths})),
    )


def _last_alive(lesions: Sequence[Lesion], events: Sequence[Event]) -> tuple[date, tuple[str, ...]] | None:
    """The last day on which the patient is known to have lived, and what shows it."""
    treated = [(one.end.first, source) for one in lesions if one.end for source in one.sources[:1]]
    seen = [(one.on.first, one.source) for one in events if one.kind in ALIVE and one.on]
    days = sorted([*treated, *seen])
    if not days:
        return None
    last = days[-1][0]
    return last, tuple(sorted({source for day, source in days if day == last}))
