"""What imaging and disease status say of a treated segment, scan by scan (spec/endpoints.md 10 and 12)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from types import MappingProxyType
from typing import Literal

import msgspec

from fhir_srs.endpoints.courses import Course
from fhir_srs.model import Event

Finding = Literal["worse", "stable", "improved"]
# Disease status (SNOMED CT, not RECIST) and response by criteria: what each says of the segment.
SAID: Mapping[object, Finding] = MappingProxyType(
    {
        "worsened": "worse",
        "PD": "worse",
        "stable": "stable",
        "SD": "stable",
        "improved": "improved",
        "CR": "improved",
        "PR": "improved",
    }
)
# A statement about another place is no scan of the segment.
ELSEWHERE = frozenset({"nodal", "distant", "biochemical", "site-other-than-lesion"})
# Worst last: Bilsky 2010, J Neurosurg Spine 13:324. The rank is kept apart from the grade (section 12).
BILSKY = ("0", "1a", "1b", "1c", "2", "3")


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """One day of imaging: its worst finding, epidural rank (0 to 5) and whether pathology proves growth."""

    on: date
    finding: Finding | None
    epidural: int | None
    pathology: bool
    sources: tuple[str, ...]
    flags: tuple[str, ...] = ()


def read_scans(course: Course) -> tuple[Scan, ...]:
    """All scans of the segment up to its retreatment, before and after treatment, by day."""
    until = course.retreatment.on if course.retreatment else date.max
    told = [one for one in course.findings if one.kind in {"imaging", "disease-status"} and _is_here(one)]
    days = groupby(told, key=lambda one: one.on.day if one.on else None)
    return tuple(_scan(day, list(group)) for day, group in days if day is not None and day < until)


def follow_up_scans(course: Course) -> tuple[Scan, ...]:
    """The scans after t0."""
    return tuple(one for one in read_scans(course) if course.t0 is not None and one.on > course.t0)


def _is_here(event: Event) -> bool:
    """Of the segment: linked to it, or of the patient's only treated one and said to be local."""
    if ELSEWHERE & set(event.flags):
        return False
    return "patient-level" not in event.flags or "local" in event.flags


def _scan(day: date, events: Sequence[Event]) -> Scan:
    order: tuple[Finding, ...] = ("worse", "stable", "improved")
    said = {SAID[one.value] for one in events if one.value in SAID}
    return Scan(
        on=day,
        finding=next((one for one in order if one in said), None),
        epidural=max(_ranks(events), default=None),
        pathology=any("pathology" in one.flags and SAID.get(one.value) == "worse" for one in events),
        sources=tuple(sorted({one.source for one in events})),
        flags=tuple(sorted({flag for one in events for flag in one.flags})),
    )


def _ranks(events: Sequence[Event]) -> Iterator[int]:
    for one in events:
        if one.unit == "{bilsky}" and one.value in BILSKY:
            yield BILSKY.index(str(one.value))
