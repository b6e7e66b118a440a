"""One lesion made ready for the rules: its time zero, baseline, follow-up, retreatment and death.

Days are whole calendar days from t0, the date of the last fraction unless the study says otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from fhir_srs.dates import PartialDate
from fhir_srs.endpoints.assessments import (
    Assessment,
    Claim,
    Refusal,
    Scores,
    claims,
    is_score,
    read_scores,
    series,
    under_observation,
)
from fhir_srs.endpoints.eligibility import ineligible, together, unknown_criteria
from fhir_srs.endpoints.history import (
    Death,
    History,
    Retreatment,
    before,
    read_histories,
    shares,
    time_zero,
)
from fhir_srs.endpoints.opioids import UNKNOWN, Omed, omed_on, table_used
from fhir_srs.endpoints.study import Study
from fhir_srs.model import LEVELS, Event, Lesion, Mapped

# What ends an endpoint if it comes after t0; before it, it is at most part of the baseline.
OCCURRENCES = frozenset({"fracture", "retreatment", "surgery"})
FINDINGS = frozenset({"imaging", "disease-status", "neuro", "fracture", "surgery"})


class Companion(msgspec.Struct, frozen=True, kw_only=True):
    """Another lesion treated within 28 days of the index: its baseline, and its own scores by day."""

    baseline: Assessment | None
    scores: tuple[Assessment, ...]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """All that the rules look at, for one eligible lesion.

    *baseline* is the assessment before treatment, or *baseline_reason* says why there is none;
    *follow_up* are the assessments from day 1 to the day before retreatment. *findings* are the lesion's
    dated events of other kinds, and those of the patient that it may claim, by day; *events* are all of
    the patient's. *companions* are the second sites, where the study asks for them. *refused* are the
    records that the rules do not count, each with its reason.
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
    omed_table: str
    cutoff: date
    findings: tuple[Event, ...] = ()
    events: tuple[Event, ...] = ()
    companions: tuple[Companion, ...] = ()
    flags: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()

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
    courses: list[Course] = []
    excluded: list[Excluded] = []
    for history in read_histories(mapped, study, cutoff):
        reasons = {lesion.lesion_id: ineligible(lesion, history) for lesion in history.lesions}
        index = _index(history, reasons)
        if study.unit == "index-lesion":
            reasons = {
                key: reason or (None if key == index else "not-index") for key, reason in reasons.items()
            }
        for lesion in history.lesions:
            reason = reasons[lesion.lesion_id]
            if reason is None:
                courses.append(_course(lesion, history, index))
            else:
                row = Excluded(lesion_id=lesion.lesion_id, patient=history.patient, reason=reason)
                excluded.append(row)
    return courses, excluded


def _index(history: History, reasons: Mapping[str, str | None]) -> str | None:
    """The patient's index lesion among the eligible ones (decisions.md E4), where the study asks for one."""
    if history.study.unit != "index-lesion" and history.study.attribution != "index":
        return None
    eligible = [one for one in history.treated if reasons[one.lesion_id] is None]
    found = min(eligible, key=lambda one: _rank(one, history), default=None)
    return found.lesion_id if found else None


def _rank(lesion: Lesion, history: History) -> tuple[Decimal, date, tuple[int, ...], str]:
    """The worst baseline among scores linked to the site first; ties: earlier t0, then more cranial."""
    baseline, _ = _own_baseline(lesion, history, claims("site", None))
    zero = time_zero(lesion, history.study)
    pain = -baseline.value if baseline else Decimal(1)
    return pain, zero.first if zero else date.max, _height(lesion), lesion.lesion_id


def _height(lesion: Lesion) -> tuple[int, ...]:
    """Where the lesion begins, counted from the skull; without levels last."""
    return tuple(LEVELS.index(one) for one in lesion.levels[:1]) or (len(LEVELS),)


def _course(lesion: Lesion, history: History, index: str | None) -> Course:
    study, events = history.study, history.events
    claim = claims(study.attribution, index)
    retreatment = history.retreatments[lesion.lesion_id]
    baseline, reason = _own_baseline(lesion, history, claim)
    own = _own_scores(lesion, history, claim)
    zero = time_zero(lesion, study)
    t0 = zero.day if zero else None
    follow_up = tuple(_follow_up(t0, own, retreatment.on if retreatment else None))
    opioids = [event for event in events if event.kind == "opioid"]
    assessed = [one.on for one in (baseline, *follow_up) if one and one.on]
    return Course(
        lesion=lesion,
        t0=t0,
        baseline=baseline,
        baseline_reason=reason,
        follow_up=follow_up,
        partial=own.partial,
        scores=own,
        retreatment=retreatment,
        death=history.death,
        last_alive=history.last_alive,
        omeds={day: omed_on(day, opioids) for day in assessed},
        omed_table=table_used(study.omed_table, opioids),
        cutoff=history.cutoff,
        findings=_findings(lesion, history, claim),
        events=events,
        companions=_companions(lesion, history),
        flags=(*_flags(lesion, study), *unknown_criteria(lesion, history)),
        refused=tuple(_refused(lesion, history, own, baseline, follow_up)),
    )


def _refused(
    lesion: Lesion,
    history: History,
    own: Scores,
    baseline: Assessment | None,
    follow_up: Sequence[Assessment],
) -> Iterator[Refusal]:
    """The records of *lesion* and its patient that no rule counts; each says why, once."""
    name = lesion.lesion_id
    for event in history.events:
        if _is_early(event, lesion, history):
            yield Refusal(lesion_id=name, source=event.source, reason="before-origin")
    for event in history.after_death:
        if event.kind == "pain" and event.lesion_id in (None, name):
            yield Refusal(lesion_id=name, source=event.source, reason="after-death")
    yield from own.refused
    used = {source for one in (baseline, *follow_up) if one for source in one.sources}
    for one in own.dated:
        for source in one.sources:
            if source not in used:
                yield Refusal(lesion_id=name, source=source, reason=_misplaced(one, lesion, history))


def _is_early(event: Event, lesion: Lesion, history: History) -> bool:
    """Whether *event* would end an endpoint of *lesion* after t0; toxicity counts after any treatment."""
    zero, day = time_zero(lesion, history.study), event.on.day if event.on else None
    if day is None or zero is None or zero.day is None:
        return False
    if event.kind == "toxicity" and event.lesion_id in (None, lesion.lesion_id):
        starts = [one.day for one in (time_zero(one, history.study) for one in history.treated) if one]
        return not any(one is not None and one <= day for one in starts)
    return event.kind in OCCURRENCES and event.lesion_id == lesion.lesion_id and day <= zero.day


def _misplaced(one: Assessment, lesion: Lesion, history: History) -> str:
    """Why a dated assessment is neither the baseline nor follow-up."""
    start = lesion.start.last if lesion.start else None
    zero = time_zero(lesion, history.study)
    if one.on is None or start is None or zero is None or zero.day is None:
        return "no-date"
    if one.on < start + timedelta(days=history.study.baseline_first_day):
        return "before-baseline-window"
    if one.on <= start:
        return "earlier-than-baseline"
    return "during-treatment" if one.on <= zero.day else "after-retreatment"


def _findings(lesion: Lesion, history: History, claim: Claim) -> tuple[Event, ...]:
    """What is known of *lesion* beside pain and opioids, to the day; flagged where it is the patient's."""
    found = []
    for event in history.events:
        if event.kind not in FINDINGS or event.on is None or event.on.day is None:
            continue
        if event.lesion_id is None and claim(lesion.lesion_id, under_observation(history.spans, event.on)):
            found.append(msgspec.structs.replace(event, flags=(*event.flags, "patient-level")))
        elif event.lesion_id == lesion.lesion_id:
            found.append(event)
    return tuple(sorted(found, key=lambda one: (one.on.first if one.on else date.min, one.source)))


def _companions(lesion: Lesion, history: History) -> tuple[Companion, ...]:
    if history.study.secondary_sites == "ignored":
        return ()
    others = [one for one in together(lesion, history) if one.lesion_id != lesion.lesion_id]
    return tuple(_companion(one, history) for one in others)


def _companion(lesion: Lesion, history: History) -> Companion:
    """By scores linked to that site alone: those of the patient count for the index."""
    claim = claims("site", None)
    baseline, _ = _own_baseline(lesion, history, claim)
    return Companion(baseline=baseline, scores=_own_scores(lesion, history, claim).dated)


def _own_baseline(lesion: Lesion, history: History, claim: Claim) -> tuple[Assessment | None, str | None]:
    earlier = _predecessors(lesion, history)
    wanted = _series(lesion, earlier, history)
    scores = read_scores(lesion, earlier, history.events, history.spans, wanted, claim)
    return _baseline(lesion, scores, history.study)


def _own_scores(lesion: Lesion, history: History, claim: Claim) -> Scores:
    wanted = _series(lesion, _predecessors(lesion, history), history)
    shared = [*history.events, *_of_successors(lesion, history)]
    return read_scores(lesion, frozenset(), shared, history.spans, wanted, claim)


def _predecessors(lesion: Lesion, history: History) -> frozenset[str]:
    earlier = (one for one in history.treated if shares(one, lesion) and before(one, lesion))
    return frozenset(one.lesion_id for one in earlier)


def _flags(lesion: Lesion, study: Study) -> tuple[str, ...]:
    dose = lesion.dose_gy
    outside = dose is not None and not study.dose_low_gy <= dose <= study.dose_high_gy
    return ("dose-outside-study",) if outside else ()


def _of_successors(lesion: Lesion, history: History) -> list[Event]:
    """Baseline scores of later lesions at a shared level: follow-up of *lesion* too (decisions.md E2)."""
    later = {one.lesion_id: one for one in history.treated if shares(one, lesion) and before(lesion, one)}
    first_day = history.study.baseline_first_day
    return [
        msgspec.structs.replace(event, lesion_id=lesion.lesion_id)
        for event in history.events
        if event.kind == "pain"
        and event.lesion_id in later
        and _at_baseline(event, later[event.lesion_id], first_day)
    ]


def _at_baseline(event: Event, lesion: Lesion, first_day: int) -> bool:
    """Whether a score lies wholly in the baseline window of *lesion*."""
    if event.on is None or lesion.start is None:
        return False
    first = lesion.start.first + timedelta(days=first_day)
    return first <= event.on.first and event.on.last <= lesion.start.last


def _series(lesion: Lesion, earlier: frozenset[str], history: History) -> str:
    """One series for baseline and follow-up: of the latest score up to treatment, else of the first after."""
    start = lesion.start.last if lesion.start else date.max
    pains = [event for event in history.events if is_score(event) and event.on is not None]
    mine = [event for event in pains if event.lesion_id in {None, lesion.lesion_id, *earlier}]
    dated = sorted((event.on.first, event.source, series(event)) for event in mine if event.on)
    first_day = timedelta(days=history.study.baseline_first_day)
    first = start + first_day if start != date.max else date.min
    window = [one for one in dated if first <= one[0] <= start]
    after = [one for one in dated if one[0] > start]
    return window[-1][2] if window else after[0][2] if after else "0-10"


def _baseline(lesion: Lesion, scores: Scores, study: Study) -> tuple[Assessment | None, str | None]:
    """The latest day of the baseline window, or the reason of decisions.md E9 for there being none."""
    start = lesion.start.day if lesion.start else None
    if start is None:
        return None, "date-too-coarse"
    first = start + timedelta(days=study.baseline_first_day)
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


def _follow_up(t0: date | None, scores: Scores, retreated: date | None) -> Iterator[Assessment]:
    for one in scores.dated:
        if t0 is None or one.on is None or one.on <= t0:
            continue
        if retreated is None or one.on < retreated:
            yield one
