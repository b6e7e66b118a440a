"""Pain scores of one patient, and which lesion each may count for (spec/endpoints.md sections 1 and 2).

A score linked to a lesion counts for it. A patient-level score counts while exactly one treated lesion is
under observation: from 28 days before its first fraction to the day before its retreatment
(`attribution = single`, decisions.md E2 and E3); under `site` never, under `index` for the index lesion.
One day gives one assessment: its worst score.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType

import msgspec

from fhir_srs.dates import PartialDate
from fhir_srs.model import Event, Lesion, Rung

# Scales of their own, never mixed with the 0-10 numeric ratings or each other (fhir-mapping.md section 4).
OWN_SERIES = frozenset(f"http://loinc.org|{code}" for code in ("38221-8", "75893-8", "54833-9", "64008-6"))


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """The worst attributable score of one day; *partial* is the range of days where the day is not known."""

    on: date | None
    value: Decimal
    partial: PartialDate | None = None
    sources: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    link: Rung = "patient"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """How long a treated lesion is under observation; *until* is exclusive, None for open."""

    lesion_id: str
    since: date
    until: date | None

    def holds(self, day: date) -> bool:
        """Whether *day* lies in the span."""
        return self.since <= day and (self.until is None or day < self.until)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A record that the rules do not look at for a lesion, and why: a key of REFUSALS."""

    lesion_id: str
    source: str
    reason: str


REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "after-death": "dated after the death",
        "before-origin": "not after t0, from which its endpoint counts",
        "no-date": "not dated",
        "other-site": "of a site that is no treated lesion",
        "other-scale": "on another scale than the baseline",
        "later-that-day": "on the day of treatment, after its end",
        "not-attributable": "of the patient, while several treated lesions were under observation",
        "not-under-observation": "of the patient, while this lesion was not under observation",
        "lower-score-of-the-day": "a worse score of the same day counts",
        "before-baseline-window": "before the baseline window",
        "earlier-than-baseline": "in the baseline window, but a later day counts",
        "during-treatment": "after the first fraction, up to t0",
        "after-retreatment": "from the retreatment on",
    }
)


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one lesion has: its assessments by day, those with a partial date, and days it cannot claim.

    *refused* are the scores of the lesion and of its patient that are none of these.
    """

    dated: tuple[Assessment, ...]
    partial: tuple[Assessment, ...]
    not_attributable: tuple[PartialDate, ...]
    refused: tuple[Refusal, ...] = ()


def series(event: Event) -> str:
    """The series of a score: its code if that is a scale of its own, else the 0-10 rating."""
    return event.code if event.code in OWN_SERIES and event.code else "0-10"


def observed(
    lesions: Iterable[Lesion], retreated: Mapping[str, date | None], before: timedelta
) -> tuple[Span, ...]:
    """The spans of all treated lesions of a patient, eligible or not, from *before* their first fraction."""
    return tuple(
        Span(
            lesion_id=lesion.lesion_id,
            since=lesion.start.first - before if lesion.start else date.min,
            until=retreated[lesion.lesion_id],
        )
        for lesion in lesions
    )


# Which patient-level scores a lesion may claim, of the lesions *seen* (under observation) on their day.
Claim = Callable[[str, frozenset[str]], bool]


def claims(attribution: str, index: str | None) -> Claim:
    """The rule of *attribution* (section 2); *index* is the patient's index lesion, for `index`."""
    if attribution == "index":
        return lambda own, seen: own == index and own in seen
    if attribution == "single":
        return lambda own, seen: seen == {own}
    return lambda _own, _seen: False


def read_scores(
    lesion: Lesion,
    linked: frozenset[str],
    events: Sequence[Event],
    spans: Sequence[Span],
    wanted: str,
    claim: Claim,
) -> Scores:
    """
    The scores of series *wanted* for *lesion*: linked to it or to *linked*, and by *claim* the patient's.

    *linked* holds, for its baseline, its predecessors at a shared level.
    """
    lesion_ids, own = linked | {lesion.lesion_id}, lesion.lesion_id
    mine: list[Event] = []
    strange: list[PartialDate] = []
    refused: list[Refusal] = []
    for event in events:
        if event.kind != "pain" or not (event.lesion_id is None or event.lesion_id in lesion_ids):
            continue
        reason = _unread(event, lesion, wanted) or _unclaimed(event, own, spans, claim)
        if reason is None:
            mine.append(event)
            continue
        refused.append(Refusal(lesion_id=own, source=event.source, reason=reason))
        if reason == "not-attributable" and event.on:
            strange.append(event.on)
    dated = _by_day(event for event in mine if event.on and event.on.day)
    partial = tuple(_undated(event) for event in mine if event.on and not event.on.day)
    taken = {source for one in (*dated, *partial) for source in one.sources}
    lower = [event.source for event in mine if event.source not in taken]
    refused += [Refusal(lesion_id=own, source=one, reason="lower-score-of-the-day") for one in lower]
    return Scores(dated=dated, partial=partial, not_attributable=tuple(strange), refused=tuple(refused))


def _unread(event: Event, lesion: Lesion, wanted: str) -> str | None:
    """Why a pain record is none for *lesion*, whoever's it is."""
    if not is_score(event):
        return "other-site"
    if event.on is None:
        return "no-date"
    if series(event) != wanted:
        return "other-scale"
    return "later-that-day" if after_treatment(event, lesion) else None


def _unclaimed(event: Event, own: str, spans: Sequence[Span], claim: Claim) -> str | None:
    """Why the lesion *own* may not claim a score of the patient; None for one that is linked to it."""
    if event.lesion_id is not None or event.on is None:
        return None
    seen = under_observation(spans, event.on)
    if claim(own, seen):
        return None
    return "not-attributable" if own in seen else "not-under-observation"


def is_score(event: Event) -> bool:
    """Whether *event* is a pain score that may count for a lesion: one of another site never does."""
    return event.kind == "pain" and "site-other-than-lesion" not in event.flags


def after_treatment(event: Event, lesion: Lesion) -> bool:
    """
    Whether a score of the day of treatment was taken, by both clocks, after its end (section 1).

    Such a score is no baseline; it would be follow-up on day 0, which no rule reads (decisions.md E5).
    """
    score, treated = event.on, lesion.end
    if score is None or treated is None or score.instant is None or treated.instant is None:
        return False
    one_day = lesion.start is not None and score.day == treated.day == lesion.start.day
    return one_day and score.instant > treated.instant


def under_observation(spans: Iterable[Span], on: PartialDate) -> frozenset[str]:
    """The lesions under observation on some day that *on* stands for."""
    return frozenset(span.lesion_id for span in spans if span.holds(on.first) or span.holds(on.last))


def _by_day(events: Iterable[Event]) -> tuple[Assessment, ...]:
    days: dict[date, list[Event]] = {}
    for event in events:
        if event.on and event.on.day:
            days.setdefault(event.on.day, []).append(event)
    return tuple(_worst(day, days[day]) for day in sorted(days))


def _worst(day: date, events: Sequence[Event]) -> Assessment:
    """Of several scores on one day the worst, site-linked and patient-level alike (decisions.md E3)."""
    highest = max(_value(event) for event in events)
    chosen = sorted((event for event in events if _value(event) == highest), key=lambda event: event.source)
    event = chosen[0]
    return Assessment(
        on=day,
        value=highest,
        sources=tuple(sorted({one.source for one in chosen})),
        flags=_flags(event),
        link=event.link,
    )


def _undated(event: Event) -> Assessment:
    return Assessment(
        on=None,
        value=_value(event),
        partial=event.on,
        sources=(event.source,),
        flags=_flags(event),
        link=event.link,
    )


def _flags(event: Event) -> tuple[str, ...]:
    return event.flags if event.lesion_id else (*event.flags, "patient-level")


def _value(event: Event) -> Decimal:
    if not isinstance(event.value, Decimal):
        raise TypeError("a pain event holds a decimal")
    return event.value
