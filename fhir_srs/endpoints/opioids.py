"""The OMED of one day, with the evidence it rests on (spec/endpoints.md section 4, decisions.md E11).

Per drug the best evidence level of the day counts; the day has the weakest of these. No opioid counts as
0 only if some medication record shows that the list was kept; without any record it is unknown. The study
chooses the conversion table, and whether as-needed orders count 0 or their highest dose.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby

import msgspec

from fhir_srs.model import Event

# Strongest first.
LEVELS = ("administration", "statement", "dispense", "order")
ABSENCE_DAYS = 90


class Omed(msgspec.Struct, frozen=True, kw_only=True):
    """Milligrams of oral morphine equivalent a day; *value* None is unknown. *level* None: 0 by absence."""

    value: Decimal | None
    level: str | None = None
    sources: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


UNKNOWN = Omed(value=None)
SITE_TABLE = "site"
# An entry of nothing but as-needed doses: it adds to the same drug by the clock instead of replacing it.
_AS_NEEDED = "as-needed"


def by_table(event: Event, table: str, *, most: bool) -> Event:
    """
    An opioid *event* with its OMED by *table*, or by the site's own; as it is where no table is asked.

    With *most* what is as needed counts as if all that is allowed were taken, else 0 (`prn_orders`).
    """
    found = next((one for one in event.omeds if table in (one.table, SITE_TABLE)), None)
    if found is None:
        return event
    needed = (_AS_NEEDED,) if found.omed == 0 != found.most else ()
    value = found.most if most else found.omed
    return msgspec.structs.replace(event, value=value, flags=(*event.flags, *needed))


def table_used(table: str, events: Iterable[Event]) -> str:
    """The name of *table*, for the site's own the one that *events* were converted by first."""
    if table != SITE_TABLE:
        return table
    return next((event.omeds[0].table for event in events if event.omeds), SITE_TABLE)


def omed_on(day: date, events: Sequence[Event]) -> Omed:
    """The OMED of *day* from one patient's opioid *events* (other drugs flagged `not-opioid`)."""
    opioids = [event for event in events if "not-opioid" not in event.flags]
    active = [event for event in opioids if is_active(event, day)]
    if any(_lapsed(drug, day) for drug in _drugs(opioids)):
        return UNKNOWN
    if active:
        return _sum(active, day)
    if any(event.on is None for event in opioids):
        return UNKNOWN
    kept = [event for event in events if _shows_list(event, day)]
    return Omed(value=Decimal(0), sources=_sources(kept)) if kept else UNKNOWN


def same_evidence(before: Omed, after: Omed) -> bool:
    """Whether two values may be compared: one level, or one of them 0 by absence."""
    return before.level is None or after.level is None or before.level == after.level


def is_active(event: Event, day: date) -> bool:
    """Active for certain or possibly: a partial first day opens at its earliest reading."""
    return event.on is not None and event.on.first <= day and (event.until is None or day <= event.until.last)


def _certain(event: Event, day: date) -> bool:
    """Active on every reading of its partial dates."""
    return event.on is not None and event.on.last <= day and (event.until is None or day <= event.until.first)


def _lapsed(drug: Sequence[Event], day: date) -> bool:
    """
    Whether the last entry of a drug is an order without an end whose 30 days are over by *day*.

    Nobody knows whether it was taken on: the dose is unknown then, never 0 (decisions.md 10).
    """
    begun = [event for event in drug if event.on is not None and event.on.first <= day]
    if not begun or any(is_active(event, day) for event in begun):
        return False
    last = max(begun, key=lambda event: (event.on.first if event.on else date.min, event.source))
    return "open-order" in last.flags


def _drugs(events: Iterable[Event]) -> list[list[Event]]:
    """*events* by ingredient."""
    ordered = sorted(events, key=lambda event: event.code or "")
    return [list(drug) for _, drug in groupby(ordered, key=lambda event: event.code or "")]


def _shows_list(event: Event, day: date) -> bool:
    """A record of any drug active on *day* or dated in the 90 days before it."""
    if event.on is None:
        return False
    return is_active(event, day) or day - timedelta(days=ABSENCE_DAYS) <= event.on.last <= day


def _sum(active: Iterable[Event], day: date) -> Omed:
    parts = [_drug(drug, day) for drug in _drugs(active)]
    values = [part.value for part in parts]
    known = [value for value in values if value is not None]
    return Omed(
        value=sum(known, Decimal(0)) if len(known) == len(values) else None,
        level=max((part.level or LEVELS[-1] for part in parts), key=LEVELS.index),
        sources=tuple(sorted({source for part in parts for source in part.sources})),
        flags=tuple(sorted({flag for part in parts for flag in part.flags})),
    )


def _drug(events: Sequence[Event], day: date) -> Omed:
    """
    One drug by its best evidence; of two values on the day the higher, unknown if one is.

    What is taken as needed comes on top of what is taken by the clock.
    """
    level = min((event.evidence or LEVELS[-1] for event in events), key=LEVELS.index)
    best = [event for event in events if (event.evidence or LEVELS[-1]) == level]
    kinds = [[one for one in best if (_AS_NEEDED in one.flags) is needed] for needed in (False, True)]
    parts = [_higher(kind) for kind in kinds if kind]
    known = [part for part in parts if part is not None]
    certain = all(_certain(event, day) for event in best)
    return Omed(
        value=sum(known, Decimal(0)) if len(known) == len(parts) and certain else None,
        level=level,
        sources=_sources(best),
        flags=tuple(sorted({flag for event in best for flag in event.flags} - {_AS_NEEDED})),
    )


def _higher(events: Sequence[Event]) -> Decimal | None:
    values = [event.value for event in events]
    known = [value for value in values if isinstance(value, Decimal)]
    return max(known) if len(known) == len(values) else None


def _sources(events: Iterable[Event]) -> tuple[str, ...]:
    return tuple(sorted({event.source for event in events}))
