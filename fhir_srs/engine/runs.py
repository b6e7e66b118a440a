"""Sorted runs: what one partition gave, and many of them merged without holding more than one item of each.

A run of persons is sorted as patients are, with lines ready to be written; a run of issues as issues are.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from fhir_srs.engine.spill import Family, Record, Spill
from fhir_srs.mapping.assembly import distinct, lesions_of, person_order
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Issue, Lesion, Patient, event_row, lesion_row, to_json


class Person(msgspec.Struct, frozen=True, array_like=True):
    """One mapped patient: their place in the order, what may yet change, and their lines."""

    order: tuple[bytes, bytes]
    patient: msgspec.Raw
    lesions: msgspec.Raw
    lesion_lines: bytes
    event_lines: bytes


_ENCODE = msgspec.msgpack.Encoder().encode
_PERSON = msgspec.msgpack.Decoder(Person)
_PATIENT = msgspec.msgpack.Decoder(Patient)
_LESIONS = msgspec.msgpack.Decoder(tuple[Lesion, ...])
_ISSUE = msgspec.msgpack.Decoder(tuple[bytes, bytes])
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def person_bytes(one: PatientMap) -> tuple[tuple[bytes, bytes], bytes]:
    """What sorts *one*, and its `Person` as it is stored."""
    order = person_order(one.patient)
    person = Person(
        order,
        msgspec.Raw(_ENCODE(one.patient)),
        msgspec.Raw(_ENCODE(one.lesions)),
        b"".join(to_json(lesion_row(lesion)) + b"\n" for lesion in lesions_of([one])),
        b"".join(to_json(event_row(event)) + b"\n" for event in one.events),
    )
    return order, _ENCODE(person)


def merged_persons(spill: Spill, parts: Iterable[int], writers: Sequence[int]) -> Iterator[Person]:
    """The persons of the sorted runs of *parts* in one order."""
    runs = (map(_person, spill.records(Family.PERSONS, part, writers)) for part in parts)
    return heapq.merge(*runs, key=lambda one: one.order)


def merged_issues(
    spill: Spill, parts: Iterable[int], writers: Sequence[int]
) -> Iterator[tuple[bytes, bytes]]:
    """The issues of the sorted runs of *parts* in one order, each with what sorts it."""
    return heapq.merge(*(map(_issue, spill.records(Family.SORTED_ISSUES, part, writers)) for part in parts))


def _person(record: Record) -> Person:
    return _PERSON.decode(record.body)


def _issue(record: Record) -> tuple[bytes, bytes]:
    return _ISSUE.decode(record.body)


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


def _namesakes(persons: Iterable[Person]) -> Iterator[list[Person]]:
    return (list(group) for _, group in groupby(persons, key=lambda one: one.order[0]))


def _map(one: Person) -> PatientMap:
    """The map of *one* as far as its lesion ids are concerned."""
    patient, lesions = _PATIENT.decode(one.patient), _LESIONS.decode(one.lesions)
    return PatientMap(patient=patient, lesions=lesions, events=(), issues=(), uses={})


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
