"""How much of a drug a day: the arithmetic of FHIR Dosage (https://hl7.org/fhir/R4/dosage.html).

Amounts are milligrams a day, or micrograms an hour for patches. None means that the instruction does not
say enough (`dosage-incomplete`): no dose or timing, a range, a comparator, steps that follow each other.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.amounts import INCOMPLETE, Amount
from fhir_srs.mapping.drugs import Strength

# The units of UCUM that Timing.repeat allows: how many a day, as a fraction, so that every 8 h is exactly 3.
_A_DAY = {"min": (1440, 1), "h": (24, 1), "d": (1, 1), "wk": (1, 7)}
_MG = {"mg": Decimal(1), "g": Decimal(1000), "ug": Decimal("0.001"), "mcg": Decimal("0.001")}
_PER_HOUR = {
    **dict.fromkeys(("ug/h", "mcg/h", "ug/hr", "mcg/hr"), Decimal(1)),
    **dict.fromkeys(("mg/h", "mg/hr"), Decimal(1000)),
}
# HL7 v3 GTSAbbreviation, as R4's Timing.code uses it: doses a day.
_TIMES_A_DAY = {
    "QD": 1, "AM": 1, "PM": 1, "BED": 1, "BID": 2, "TID": 3, "QID": 4,
    "Q1H": 24, "Q2H": 12, "Q3H": 8, "Q4H": 6, "Q6H": 4, "Q8H": 3,
}  # fmt: skip
_PIECES = frozenset(
    ("1", "tab", "tablet", "tablets", "tbl", "cap", "capsule", "capsules", "patch", "patches")
)


class Content(NamedTuple):
    """How much of the ingredient the drug holds, where known; *alone* if it has no other ingredient."""

    strength: Strength | None = None
    alone: bool = True


def daily(dosage: r4.Dosage, content: Content) -> Amount:
    """What *dosage* gives a day. A patch is told by its rate, whether sent as a rate or as the dose."""
    for part in dosage.dose_and_rate:
        rate = _hourly(part.rate_quantity) or _hourly(part.dose_quantity)
        if rate is not None:
            return Amount(rate, "ug/h")
        once, times = _once(part.dose_quantity, content), times_a_day(dosage.timing)
        if once is not None and times is not None:
            return Amount(once * times)
    return INCOMPLETE


def highest(dosage: r4.Dosage, content: Content) -> Amount:
    """
    The most that *dosage* allows a day: its upper dose as often as it may be taken, at most its stated limit.

    "5 to 10 mg every 4 to 6 hours, at most 40 mg a day" is 40 mg.
    """
    told = [daily(_upper(dosage), content), _limit(dosage.max_dose_per_period, content)]
    known = [one for one in told if one.value is not None]
    return min(known, key=lambda one: one.value or 0) if len({one.unit for one in known}) == 1 else INCOMPLETE


def _upper(dosage: r4.Dosage) -> r4.Dosage:
    """*dosage* with the upper ends of its ranges of dose and frequency, and the shorter interval."""
    parts = tuple(
        msgspec.structs.replace(one, dose_quantity=one.dose_quantity or one.dose_range.high)
        if one.dose_range
        else one
        for one in dosage.dose_and_rate
    )
    timing = dosage.timing
    repeat = timing.repeat if timing else None
    if timing is not None and repeat is not None:
        often = repeat.frequency if repeat.frequency_max is None else repeat.frequency_max
        repeat = msgspec.structs.replace(repeat, frequency=often, frequency_max=None, period_max=r4.NO_RAW)
        timing = msgspec.structs.replace(timing, repeat=repeat)
    return msgspec.structs.replace(dosage, dose_and_rate=parts, timing=timing)


def _limit(limit: r4.Ratio | None, content: Content) -> Amount:
    """Dosage.maxDosePerPeriod as milligrams a day."""
    if limit is None or limit.denominator is None:
        return INCOMPLETE
    once, length = _once(limit.numerator, content), _positive(limit.denominator)
    a_day = _A_DAY.get(_unit(limit.denominator))
    if once is None or not length or a_day is None:
        return INCOMPLETE
    return Amount(once * a_day[0] / (length * a_day[1]))


def given(dosage: r4.AdministrationDosage | None, content: Content) -> Amount:
    """What one administration gave."""
    if dosage is None:
        return INCOMPLETE
    rate = _hourly(dosage.rate_quantity) or _hourly(dosage.dose)
    return Amount(rate, "ug/h") if rate is not None else Amount(_once(dosage.dose, content))


def is_as_needed(dosage: r4.Dosage) -> bool:
    """Whether the drug is to be taken as needed: how much was taken is then not known."""
    return bool(dosage.as_needed_boolean or dosage.as_needed_codeable_concept)


def are_steps(dosages: Sequence[r4.Dosage]) -> bool:
    """Whether *dosages* follow each other, by number or by bounds, instead of adding up."""
    numbers = {one.sequence for one in dosages}
    periods = {
        one.timing.repeat.bounds_period if one.timing and one.timing.repeat else None for one in dosages
    }
    return len(numbers) > 1 or len(periods) > 1


def _hourly(quantity: r4.Quantity | None) -> Decimal | None:
    """Micrograms an hour."""
    factor = _PER_HOUR.get(_unit(quantity)) if quantity else None
    value = _positive(quantity)
    return value * factor if factor is not None and value is not None else None


def _positive(quantity: r4.Quantity | None) -> Decimal | None:
    value = r4.number(quantity.value) if quantity and not quantity.comparator else None
    return value if value is not None and value >= 0 else None


def _unit(quantity: r4.Quantity) -> str:
    return (quantity.code or quantity.unit or "").strip().lower()


def _once(quantity: r4.Quantity | None, content: Content) -> Decimal | None:
    """Milligrams of the ingredient in one dose. Those of a combination do not say of which ingredient."""
    value = _positive(quantity)
    if quantity is None or value is None:
        return None
    unit = _unit(quantity)
    if unit in _MG:
        return value * _MG[unit] if content.alone else None
    return _by_strength(value, unit, content.strength)


def _by_strength(value: Decimal, unit: str, strength: Strength | None) -> Decimal | None:
    """Tablets times milligrams a tablet, or millilitres times milligrams a millilitre."""
    if strength is None or strength[1].lower() not in _MG or not strength[2]:
        return None
    per = strength[3].lower()
    if (unit == "ml") != (per == "ml") or not (unit == "ml" or (_is_piece(unit) and _is_piece(per))):
        return None
    return value * strength[0] * _MG[strength[1].lower()] / strength[2]


def _is_piece(unit: str) -> bool:
    return not unit or unit.startswith("{") or unit in _PIECES


def times_a_day(timing: r4.Timing | None) -> Decimal | None:
    """Doses a day; None where it is not said."""
    if timing is None:
        return None
    told = _repeated(timing.repeat) if timing.repeat else None
    if told is not None or timing.code is None:
        return told
    named = [one.code for one in timing.code.coding] + [timing.code.text]
    found = [_TIMES_A_DAY[name.upper()] for name in named if name and name.upper() in _TIMES_A_DAY]
    return Decimal(found[0]) if found else None


def _repeated(repeat: r4.Repeat) -> Decimal | None:
    """Doses a day by times of day, or by frequency and period; a range of either is not enough."""
    if repeat.day_of_week or repeat.frequency_max is not None or repeat.period_max != r4.NO_RAW:
        return None
    if repeat.time_of_day:
        return Decimal(len(repeat.time_of_day))
    units, period = _A_DAY.get(repeat.period_unit or ""), r4.number(repeat.period)
    times = 1 if repeat.frequency is None else r4.whole(repeat.frequency)
    if repeat.when and units is None:
        return Decimal(len(repeat.when))
    if units is None or not period or period < 0 or not times or times < 0:
        return None
    return times * (len(repeat.when) or 1) * units[0] / (period * units[1])
