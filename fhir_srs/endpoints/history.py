"""What is known of one patient up to the data cutoff: treated lesions, events, retreatments, death.

Everything after the data cutoff is already gone (decisions.md E12): a partial date counts as its last
possible day. So is what is dated after the death: mapping has called these dates implausible.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby

import msgspec

from fhir_srs.dates import PartialDate
from fhir_srs.endpoints.assessments import Span, observed
from fhir_srs.endpoints.opioids import by_table
from fhir_srs.endpoints.study import Study
from fhir_srs.model import Event, Lesion, Mapped

COARSE = "retreatment-date-partial"
REINTERVENTIONS = frozenset({"retreatment", "surgery"})
# Re-irradiation is not given sooner (spec/endpoints.md section 15).
REIRRADIATION_GAP = timedelta(days=28)
# Kinds that show the patient alive on their day (decisions.md E12); orders and OMED do not.
ALIVE = frozenset({"pain", "imaging", "disease-status", "retreatment", "surgery", "contact"})


class Retreatment(msgspec.Struct, frozen=True, kw_only=True):
    """
    Radiation or surgery at the segment; *failure* unless it is known to be for neither pain nor growth.

    Of one that is not *dated*, known to the month alone, *on* is the first day that it may have been: nothing
    counts from then on, and it is no event, since a partial date sets none (section 1).
    """

    on: date
    failure: bool
    description: str
    sources: tuple[str, ...]
    flags: tuple[str, ...] = ()
    dated: bool = True


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """A death; *on* None where the day is not known, *between* what is known of it."""

    on: date | None
    between: PartialDate | None
    sources: tuple[str, ...]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """
    One patient up to *cutoff*. *lesions* are all of them, *treated* those whose course has ended by then.

    *retreatments* and *spans* (how long each was under observation) are by lesion. *after_death* are events
    dated after the death, which nothing looks at.
    """

    patient: str
    study: Study
    cutoff: date
    lesions: tuple[Lesion, ...]
    treated: tuple[Lesion, ...]
    events: tuple[Event, ...]
    after_death: tuple[Event, ...]
    retreatments: Mapping[str, Retreatment | None]
    spans: tuple[Span, ...]
    death: Death | None
    last_alive: tuple[date, tuple[str, ...]] | None


def read_histories(mapped: Mapped, study: Study, cutoff: date) -> Iterator[History]:
    """The history of each patient of *mapped* who has a lesion."""
    ordered = sorted(mapped.events, key=lambda one: (one.patient, one.source))
    events = {key: list(group) for key, group in groupby(ordered, lambda one: one.patient)}
    lesions = sorted(mapped.lesions, key=lambda one: (one.patient, one.lesion_id))
    for patient, group in groupby(lesions, lambda one: one.patient):
        yield _history(patient, list(group), events.get(patient, []), study, cutoff)


def _history(
    patient: str, lesions: Sequence[Lesion], told: Sequence[Event], study: Study, cutoff: date
) -> History:
    treated = [one for one in lesions if one.end is None or one.end.last <= cutoff]
    known = [converted(one, study) for one in told if one.on is None or one.on.last <= cutoff]
    events = _in_life(known)
    living = set(map(id, events))
    retreatments = {one.lesion_id: _retreatment(one, treated, events, study) for one in treated}
    ends = {key: one.on if one else None for key, one in retreatments.items()}
    return History(
        patient=patient,
        study=study,
        cutoff=cutoff,
        lesions=tuple(lesions),
        treated=tuple(treated),
        events=tuple(events),
        after_death=tuple(one for one in known if id(one) not in living),
        retreatments=retreatments,
        spans=observed(treated, ends, timedelta(days=-study.baseline_first_day)),
        death=_death(events),
        last_alive=_last_alive(treated, events),
    )


def converted(event: Event, study: Study) -> Event:
    """An opioid by the table and the as-needed rule of *study*; anything else as it is."""
    if event.kind != "opioid":
        return event
    return by_table(event, study.omed_table, most=study.prn_orders == "max-dose")


def time_zero(lesion: Lesion, study: Study) -> PartialDate | None:
    """The date from which *study* counts the days of *lesion* (section 1, t0), as precise as known."""
    return lesion.end if study.time_zero == "last-fraction" else lesion.start


def shares(one: Lesion, other: Lesion) -> bool:
    """Whether two lesions have a level in common."""
    return one.lesion_id != other.lesion_id and not set(one.levels).isdisjoint(other.levels)


def before(one: Lesion, other: Lesion) -> bool:
    """Whether *one* was treated before *other*."""
    return one.start is not None and other.start is not None and one.start.first < other.start.first


def _in_life(events: Sequence[Event]) -> list[Event]:
    last = _last_day(events)
    return [one for one in events if one.kind == "death" or one.on is None or one.on.first <= last]


def _last_day(events: Sequence[Event]) -> date:
    """The day of death; without one, or without its day, the end of the calendar."""
    death = _death(events)
    return death.on if death and death.on else date.max


def _retreatment(
    lesion: Lesion, treated: Sequence[Lesion], events: Sequence[Event], study: Study
) -> Retreatment | None:
    """The first of: a later lesion at a shared level, on its first fraction; radiation or surgery there."""
    zero = time_zero(lesion, study)
    t0 = zero.day if zero else None
    again = [other for other in treated if shares(other, lesion) and before(lesion, other)]
    told = [one for one in events if one.kind in REINTERVENTIONS and one.lesion_id == lesion.lesion_id]
    found = [
        *(_again(other, events, t0, study) for other in again),
        *(_intervention(event, study) for event in told),
        *(_coarse(one.start, one.sources, t0) for one in again),
        *(_coarse(one.on, (one.source,), t0) for one in told),
    ]
    last = _last_day(events)
    later = [one for one in found if one is not None and (t0 is None or one.on > t0) and one.on <= last]
    return min(later, key=lambda one: (one.on, not one.failure, one.sources), default=None)


def _again(lesion: Lesion, events: Sequence[Event], t0: date | None, study: Study) -> Retreatment | None:
    """*lesion* as the retreatment of one treated until *t0*; flagged if sooner than four weeks after it."""
    day = lesion.start.day if lesion.start else None
    if day is None:
        return None
    said = [one for one in events if one.kind in REINTERVENTIONS and one.on and one.on.day == day]
    failure, flags = _reason(said, study)
    if t0 is not None and day - t0 < REIRRADIATION_GAP:
        flags = (*flags, "possibly-same-course")
    text = "retreatment of the segment by a later lesion"
    return Retreatment(on=day, failure=failure, description=text, sources=lesion.sources, flags=flags)


def _intervention(event: Event, study: Study) -> Retreatment | None:
    if event.on is None or event.on.day is None:
        return None
    failure, flags = _reason([event], study)
    text = f"{event.kind} at the segment"
    return Retreatment(
        on=event.on.day, failure=failure, description=text, sources=(event.source,), flags=flags
    )


def _coarse(on: PartialDate | None, sources: tuple[str, ...], t0: date | None) -> Retreatment | None:
    """A retreatment of which the day is not known, from the first that it may have been on."""
    if on is None or on.day is not None or t0 is None or on.last <= t0:
        return None
    first = max(on.first, t0 + timedelta(days=1))
    text = "retreatment of the segment on an unknown day"
    return Retreatment(
        on=first, failure=False, description=text, sources=sources, flags=(COARSE,), dated=False
    )


def _reason(events: Sequence[Event], study: Study) -> tuple[bool, tuple[str, ...]]:
    """Whether it is a failure: for pain or progression; for no known reason as the study says (15)."""
    said = {flag for event in events for flag in event.flags}
    if said & {"for-pain", "for-progression"}:
        return True, ()
    if "other-reason" in said:
        return False, ()
    return study.retreatment_unknown == "failure", ("retreatment-reason-unknown",)


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
