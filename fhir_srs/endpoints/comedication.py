"""What else moves pain: steroids, other analgesics, systemic therapy (spec/endpoints.md sections 4 and 15).

They are outside OMED and decide no category: each is a flag of the response, `steroid-started`,
`steroid-stopped` or `steroid-throughout`, for who wants to look at the lesions without.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from fhir_srs.endpoints.opioids import is_active
from fhir_srs.model import Event

# Mapping flags a drug by its class (`mappings/terminology/medications.csv`, set `drug-class`).
STEROID = "steroid"
CLASSES = (STEROID, "nsaid", "paracetamol", "gabapentinoid", "systemic-therapy")
FLAGS = tuple(f"{name}-{state}" for name in CLASSES for state in ("started", "stopped", "throughout"))


def co_medication(events: Sequence[Event], before: date | None, after: date | None) -> tuple[str, ...]:
    """The flags of each class that was taken on the day *before*, the day *after*, or both."""
    return tuple(_flags(events, before, after)) if before and after else ()


def _flags(events: Sequence[Event], before: date, after: date) -> Iterator[str]:
    for name in CLASSES:
        then, now = taken(events, name, before), taken(events, name, after)
        if then or now:
            yield f"{name}-{'throughout' if then and now else 'started' if now else 'stopped'}"


def taken(events: Sequence[Event], name: str, day: date) -> bool:
    """Whether a drug of the class *name* was taken on *day*, as far as the records say."""
    return any(is_active(one, day) for one in events if name in one.flags)


def started(events: Sequence[Event], name: str, until: date) -> Iterator[Event]:
    """The records before *until*, by day, with which a class begins that the day before was not taken."""
    dated = [(one.on.day, one) for one in events if name in one.flags and one.on and one.on.day]
    for day, one in sorted(dated, key=lambda pair: (pair[0], pair[1].source)):
        if day < until and not taken(events, name, day - timedelta(days=1)):
            yield one
