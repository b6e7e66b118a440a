"""From when to when a medication record says that its drug was taken (`decisions.md` 10).

From the bounds of the instruction or the effective start, else the date of writing or handing over; to
the end stated, or the length of the bounds or the supply, or of the stated number of doses. Where no end is
said, `medications` looks at the next entry of the same drug.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from fhir_srs import r4
from fhir_srs.dates import PartialDate, parse_date, span
from fhir_srs.mapping.dosage import times_a_day
from fhir_srs.mapping.elements import When, day
from fhir_srs.mapping.facts import PatientFacts
from fhir_srs.mapping.profile import Profile

Record: TypeAlias = (
    r4.MedicationRequest | r4.MedicationStatement | r4.MedicationDispense | r4.MedicationAdministration
)
# UCUM units of a length of time, in days; a month of supply is 30 days.
_DAYS: Mapping[str, Decimal] = {
    **dict.fromkeys(("d", "day", "days"), Decimal(1)),
    **dict.fromkeys(("wk", "week", "weeks"), Decimal(7)),
    **dict.fromkeys(("mo", "month", "months"), Decimal(30)),
    **dict.fromkeys(("a", "year", "years"), Decimal(365)),
    "h": Decimal(1) / 24,
}
_LONGEST = 10_000


class Spell(NamedTuple):
    """The first day that a record tells, with what is to be said; its last day, None where none is told."""

    start: When
    end: PartialDate | None


def read_spell(resource: Record, facts: PatientFacts, profile: Profile) -> Spell:
    """The spell of *resource*; an end before the start makes both unusable (`date-implausible`)."""
    spell = _SPELLS[type(resource)](resource, facts, profile)
    start, end = spell.start.on, spell.end
    if start is not None and end is not None and end.last < start.first:
        return Spell(When(None, (*spell.start.said, ("date-implausible", "end"))), None)
    return spell


def dosages(resource: Record) -> tuple[r4.Dosage, ...]:
    """The instructions of *resource*; an administration has none."""
    if isinstance(resource, (r4.MedicationRequest, r4.MedicationDispense)):
        return resource.dosage_instruction
    return resource.dosage if isinstance(resource, r4.MedicationStatement) else ()


def at(first: PartialDate, days: int) -> PartialDate:
    """*first*, that many days later; as coarse as it was."""
    moved = [_later(when, days) for when in (first.first, first.last)]
    return span(*(PartialDate(one.isoformat(), one, one) for one in moved))


def _later(when: date, days: int) -> date:
    """*when* moved by *days*, at most to the ends of the calendar: `9999-12-31` is a common "for ever"."""
    return date.fromordinal(min(max(when.toordinal() + days, 1), date.max.toordinal()))


def _of_request(resource: r4.MedicationRequest, facts: PatientFacts, profile: Profile) -> Spell:
    supply = resource.dispense_request.expected_supply_duration if resource.dispense_request else None
    written = day(resource.authored_on, "authoredOn", facts, profile)
    return _instructed(resource.dosage_instruction, written, supply, facts, profile)


def _of_dispense(resource: r4.MedicationDispense, facts: PatientFacts, profile: Profile) -> Spell:
    handed = day(resource.when_handed_over, "whenHandedOver", facts, profile)
    return _instructed(resource.dosage_instruction, handed, resource.days_supply, facts, profile)


def _of_statement(resource: r4.MedicationStatement, facts: PatientFacts, profile: Profile) -> Spell:
    during = resource.effective_period
    if resource.effective_date_time is None and during is not None:
        told = day(during.start, "effectivePeriod.start", facts, profile)
        end, said = _end(during.end, "effectivePeriod.end", profile)
        if end is not None or said:
            return Spell(When(told.on, (*told.said, *said)), end)
    else:
        told = day(resource.effective_date_time, "effectiveDateTime", facts, profile)
    return _instructed(resource.dosage, told, None, facts, profile)


def _of_administration(resource: r4.MedicationAdministration, facts: PatientFacts, profile: Profile) -> Spell:
    during = resource.effective_period
    if resource.effective_date_time is None and during is not None:
        start = day(during.start, "effectivePeriod.start", facts, profile)
        end, said = _end(during.end, "effectivePeriod.end", profile)
        return Spell(When(start.on, (*start.said, *said)), end or start.on)
    start = day(resource.effective_date_time, "effectiveDateTime", facts, profile)
    return Spell(start, start.on)


def _instructed(
    among: Sequence[r4.Dosage],
    otherwise: When,
    supply: r4.Quantity | None,
    facts: PatientFacts,
    profile: Profile,
) -> Spell:
    """From the bounds of the instructions, else from *otherwise*; to their end or length, or the *supply*."""
    repeats = [one.timing.repeat for one in among if one.timing and one.timing.repeat]
    within = next((one.bounds_period for one in repeats if one.bounds_period), None) or r4.Period()
    length = next((one.bounds_duration for one in repeats if one.bounds_duration), None)
    start = day(within.start, "boundsPeriod.start", facts, profile) if within.start else otherwise
    end, said = _end(within.end, "boundsPeriod.end", profile)
    for duration in (length, supply):
        end = end or _after(start.on, duration)
    return Spell(When(start.on, (*start.said, *said)), end or _counted(start.on, among))


def _counted(start: PartialDate | None, among: Sequence[r4.Dosage]) -> PartialDate | None:
    """The day of the last of a stated number of doses: one dose of one instruction is one day."""
    timing = among[0].timing if len(among) == 1 else None
    repeat = timing.repeat if timing else None
    most = repeat.count_max if repeat and repeat.count_max is not None else repeat.count if repeat else None
    count, times = r4.whole(most), times_a_day(timing)
    if start is None or not count or count < 0 or not times or count / times > _LONGEST:
        return None
    return at(start, math.ceil(count / times) - 1)


def _end(
    text: str | None, path: str, profile: Profile
) -> tuple[PartialDate | None, tuple[tuple[str, str], ...]]:
    """A last day; it may well lie after death, since nobody stops the orders of the dead."""
    if text is None:
        return None, ()
    end = parse_date(text, profile.time_zone)
    return end, () if end is not None else (("date-not-valid", path),)


def _after(start: PartialDate | None, length: r4.Quantity | None) -> PartialDate | None:
    """The last day of what lasts *length* from *start* on: 30 days from the 1st end on the 30th."""
    value = r4.number(length.value) if length else None
    factor = _DAYS.get((length.code or length.unit or "d").lower()) if length else None
    if start is None or value is None or factor is None or not 0 < value * factor < _LONGEST:
        return None
    return at(start, max(int(value * factor) - 1, 0))


_SPELLS: Mapping[type, Callable[..., Spell]] = {
    r4.MedicationRequest: _of_request,
    r4.MedicationDispense: _of_dispense,
    r4.MedicationStatement: _of_statement,
    r4.MedicationAdministration: _of_administration,
}
