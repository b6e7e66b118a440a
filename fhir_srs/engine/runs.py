"""Sorted runs: what one partition gave, and many of them merged without holding more than one item of each.

A run of persons is sorted as patients are, with lines ready to be written; a run of issues as issues are.
"""

import heapq
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import TypeAlias

import msgspec
from msgspec.structs import fields

from fhir_srs.engine.spill import Family, Spill, Writer
from fhir_srs.mapping.assembly import distinct, lesions_of, person_order
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event, Issue, Lesion, Patient, event_row, lesion_row, to_json


class Person(msgspec.Struct, frozen=True, array_like=True):
    """One mapped patient: their place in the order, their values, and their lines."""

    order: tuple[bytes, bytes]
    patient: msgspec.Raw
    lesions: msgspec.Raw
    events: msgspec.Raw
    lesion_lines: bytes = b""
    event_lines: bytes = b""


SortedIssue: TypeAlias = tuple[bytes, bytes]  # what sorts it, and its line
RUN = 0  # the number of whoever writes runs: one worker maps a partition
_BUFFERED = 1 << 14  # of a run in memory while many are merged
_ENCODE = msgspec.msgpack.Encoder().encode
_PERSONS = msgspec.msgpack.Decoder(list[Person])
_ISSUES = msgspec.msgpack.Decoder(list[SortedIssue])
_PATIENT = msgspec.msgpack.Decoder(Patient)
_LESIONS = msgspec.msgpack.Decoder(tuple[Lesion, ...])
# A decoder cannot tell a number from a text: values are stored as text, and which are numbers beside them.
_StoredEvent = msgspec.defstruct(
    "_StoredEvent",
    [(one.name, str | None if one.name == "value" else one.type, None) for one in fields(Event)],
    kw_only=True,
)
_EVENTS = msgspec.msgpack.Decoder(tuple[list[_StoredEvent], list[bool]])  # type: ignore[valid-type]
_NONE = msgspec.Raw(_ENCODE(((), ())))
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def person_lines(one: PatientMap) -> Person:
    """What is stored of the map *one* to be written: its lines, and lesions, whose ids may yet change."""
    return Person(
        person_order(one.patient),
        msgspec.Raw(_ENCODE(one.patient)),
        msgspec.Raw(_ENCODE(one.lesions)),
        _NONE,
        b"".join(to_json(lesion_row(lesion)) + b"\n" for lesion in lesions_of([one])),
        b"".join(to_json(event_row(event)) + b"\n" for event in one.events),
    )


def person_values(one: PatientMap) -> Person:
    """What is stored of the map *one* to be studied: lesions and events, if it has a lesion."""
    numbers = [isinstance(event.value, Decimal) for event in one.events]
    events = msgspec.Raw(_ENCODE((one.events, numbers))) if one.lesions else _NONE
    values = msgspec.Raw(_ENCODE(one.patient)), msgspec.Raw(_ENCODE(one.lesions)), events
    return Person(person_order(one.patient), *values)


def write_runs(spill: Spill, part: int, persons: Iterable[Person], issues: Iterable[SortedIssue]) -> None:
    """Write the two runs of *part*: *persons* and *issues*, both sorted."""
    out = Writer(spill, RUN, buffered=_BUFFERED)
    for one in persons:
        size = len(one.lesion_lines) + len(one.event_lines) + len(memoryview(one.events))
        out.put(Family.PERSONS, part, one, size=size)
    for issue in issues:
        out.put(Family.SORTED_ISSUES, part, issue, size=sum(map(len, issue)))
    out.flush()


def merged_persons(spill: Spill) -> Iterator[Person]:
    """The persons of the sorted runs of all partitions in one order."""
    runs = (spill.items(Family.PERSONS, part, [RUN], _PERSONS) for part in range(spill.parts))
    return heapq.merge(*runs, key=lambda one: one.order)


def merged_issues(spill: Spill) -> Iterator[SortedIssue]:
    """The issues of the sorted runs of all partitions in one order."""
    runs = (spill.items(Family.SORTED_ISSUES, part, [RUN], _ISSUES) for part in range(spill.parts))
    return heapq.merge(*runs)


def lesion_lines(persons: Iterable[Person], profile: Profile) -> Iterator[bytes]:
    """The lines of `lesions.ndjson`."""
    for group in _namesakes(persons):
        if len(group) == 1:
            yield group[0].lesion_lines
        else:
            maps, _ = distinct([_map(one) for one in group], profile)
            yield from (to_json(lesion_row(lesion)) + b"\n" for lesion in lesions_of(maps))


def event_lines(persons: Iterable[Person], profile: Profile) -> Iterator[bytes]:
    """The lines of `events.ndjson`."""
    for group in _namesakes(persons):
        maps = [_map(one) for one in group] if len(group) > 1 else []
        renamed = distinct(maps, profile)[0]
        for number, one in enumerate(group):
            names = _names(maps[number], renamed[number]) if maps else {}
            yield from _moved(one.event_lines, names) if names else (one.event_lines,)


def collisions(persons: Iterable[Person], profile: Profile) -> Iterator[Issue]:
    """The issues of lesions whose ids had to be made different across patients."""
    for group in _namesakes(persons):
        if len(group) > 1:
            yield from distinct([_map(one) for one in group], profile)[1]


def treated(persons: Iterable[Person], profile: Profile) -> Iterator[PatientMap]:
    """The maps of those who have a lesion, of persons stored with their values."""
    for group in _namesakes(persons):
        yield from (one for one in distinct([_map(one) for one in group], profile)[0] if one.lesions)


def _namesakes(persons: Iterable[Person]) -> Iterator[list[Person]]:
    return (list(group) for _, group in groupby(persons, key=lambda one: one.order[0]))


def _map(one: Person) -> PatientMap:
    """The map of *one* as far as it is stored."""
    return PatientMap(
        patient=_PATIENT.decode(one.patient),
        lesions=_LESIONS.decode(one.lesions),
        events=tuple(map(_event, *_EVENTS.decode(one.events))),
        issues=(),
        uses={},
    )


def _event(stored: msgspec.Struct, is_number: bool) -> Event:
    values = msgspec.structs.asdict(stored)
    return Event(**values | {"value": Decimal(values["value"])} if is_number else values)


def _names(before: PatientMap, after: PatientMap) -> dict[bytes, msgspec.Raw]:
    """JSON of an old lesion id -> JSON of the new one."""
    pairs = zip(before.lesions, after.lesions, strict=True)
    return {
        msgspec.json.encode(old.lesion_id): msgspec.Raw(msgspec.json.encode(new.lesion_id))
        for old, new in pairs
        if old.lesion_id != new.lesion_id
    }


def _moved(lines: bytes, names: dict[bytes, msgspec.Raw]) -> Iterator[bytes]:
    """*lines* with lesion ids replaced; the rest stays byte for byte."""
    for line in lines.splitlines():
        row = _ROW.decode(line)
        row["lesion_id"] = names.get(bytes(row["lesion_id"]), row["lesion_id"])
        yield to_json(row) + b"\n"
