"""When pain comes back: a rise over the nadir, more opioid, or retreatment (spec/endpoints.md section 6)."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import zip_longest

import msgspec

from fhir_srs.endpoints.assessments import Assessment
from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.criteria import Band
from fhir_srs.endpoints.opioids import Omed, same_evidence


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """Something dated that can end follow-up, what says so, and with which numbers (*working*)."""

    on: date
    description: str
    sources: tuple[str, ...]
    cause: str | None = None
    flags: tuple[str, ...] = ()
    working: str = ""


class RelapseRule(msgspec.Struct, frozen=True, kw_only=True):
    """
    The rise of pain that counts, from which day on, and whether an opioid rise counts too.

    With *confirmed* a rise of pain counts only if the next score is still so high.
    """

    delta: Decimal
    after_day: int
    omed: bool
    confirmed: bool = False
    band: Band = Band()


def relapse(
    course: Course, since: date, rule: RelapseRule, *, first: Assessment | None = None
) -> Occurrence | None:
    """
    The first relapse of *course* among assessments from *since* on, or its retreatment for pain or growth.

    The nadir is the lowest score from *since* on, *first* (a baseline) included where given. Day
    *after_day* limits the arms that look at scores; retreatment counts on any day (decisions.md E6).
    """
    assessments = [one for one in course.follow_up if one.on and one.on >= since]
    scores = next(_rises(course, assessments, rule, first), None)
    again = course.retreatment
    if again is None or not again.failure or again.on <= since:
        return scores
    if scores is not None and scores.on <= again.on:
        return scores
    return Occurrence(on=again.on, description=again.description, sources=again.sources, flags=again.flags)


def _rises(
    course: Course, assessments: Sequence[Assessment], rule: RelapseRule, first: Assessment | None
) -> Iterator[Occurrence]:
    nadir = first
    for one, following in zip_longest(assessments, assessments[1:]):
        if one.on is None:
            continue
        if nadir is not None and course.day(one.on) > rule.after_day:
            lasting = not rule.confirmed or (following is not None and _pain(following, nadir, rule))
            pain = _pain(one, nadir, rule) if lasting else None
            found = pain or (_opioid(course, one, nadir, rule) if rule.omed else None)
            if found:
                yield found
        if nadir is None or one.value < nadir.value:
            nadir = one


def _pain(one: Assessment, nadir: Assessment, rule: RelapseRule) -> Occurrence | None:
    if one.on is None or one.value < nadir.value + rule.delta:
        return None
    return Occurrence(
        on=one.on,
        description="pain at or above nadir plus delta",
        sources=tuple(sorted({*one.sources, *nadir.sources})),
        flags=one.flags,
        working=f"pain {one.value} on {one.on} against nadir {nadir.value} of {nadir.on or nadir.partial}"
        f" + {rule.delta}",
    )


def _opioid(course: Course, one: Assessment, nadir: Assessment, rule: RelapseRule) -> Occurrence | None:
    """Arm b: looked at on days with a score; unknown or unequal evidence skips it (decisions.md E6)."""
    then, now = course.omed(nadir.on), course.omed(one.on)
    if one.on is None or then.value is None or now.value is None or not same_evidence(then, now):
        return None
    if not rule.band.rises(then.value, now.value):
        return None
    sources = _joined(one.sources, nadir.sources, then, now)
    return Occurrence(
        on=one.on,
        description="opioid dose up by a quarter since the nadir",
        sources=sources,
        working=f"OMED {now.value} mg/d on {one.on} against {then.value} of the nadir on {nadir.on}"
        f" x {rule.band.rise}",
    )


def _joined(one: Sequence[str], nadir: Sequence[str], then: Omed, now: Omed) -> tuple[str, ...]:
    return tuple(sorted({*one, *nadir, *then.sources, *now.sources}))
