"""From an origin to the first event, competing event or the last date known event-free.

Whole days, the origin is day 0. On one day an event outranks a competing event, and that a censor. The
origin itself is the last resort, so that no lesion silently disappears.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import msgspec

from fhir_srs.endpoints.relapse import Occurrence
from fhir_srs.model import Grain, Status, TimeToEvent


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whose time it is, and under what name."""

    study: str
    patient: str
    lesion_id: str | None
    endpoint: str
    variant: str | None = None
    grain: Grain = "lesion"
    segment: str | None = None


def time_to_event(
    subject: Subject,
    origin: date,
    *,
    events: Iterable[Occurrence | None],
    competing: Iterable[Occurrence | None] = (),
    censor: Occurrence,
    also: Sequence[str] = (),
    seen: date | None = None,
) -> TimeToEvent:
    """
    Follow-up of *subject* from *origin* to the first of *events* and *competing*, else to *censor*.

    *also* are sources that the time rests on whatever ends it: those of its origin. *seen* is the last day
    on which the event was looked for: what competes later leaves it as `free_until`, where a Kaplan-Meier
    reading censors (section 15).
    """
    ends = [(one.on, 0, one) for one in events if one] + [(one.on, 1, one) for one in competing if one]
    in_time = [end for end in ends if end[0] >= origin]
    found = min(in_time, key=lambda end: end[:2], default=None)
    status = Status.CENSORED if found is None else (Status.EVENT, Status.COMPETING)[found[1]]
    last = censor if found is None else found[2]
    until = max(last.on, origin)
    return TimeToEvent(
        **msgspec.structs.asdict(subject),
        origin=origin,
        until=until,
        days=(until - origin).days,
        free_until=(max(seen, origin) - origin).days if seen and status is Status.COMPETING else None,
        status=status,
        cause=last.cause if status is Status.COMPETING else None,
        description=last.description,
        flags=tuple(sorted(set(last.flags))),
        sources=tuple(sorted({*last.sources, *also})),
        working=(
            *((last.working,) if last.working else ()),
            f"{origin} to {until}: {(until - origin).days} d",
        ),
    )


def left_out(subject: Subject, reason: str, sources: Sequence[str] = ()) -> TimeToEvent:
    """A row that its endpoint does not take, and why."""
    return TimeToEvent(
        **msgspec.structs.asdict(subject),
        reason=reason,
        description=f"left out: {reason}",
        sources=tuple(sorted(set(sources))),
    )
