"""How much of a drug a day: the arithmetic of FHIR Dosage (https://hl7.org/fhir/R4/dosage.html).

Amounts are milligrams a day, or micrograms an hour for patches; None means that the instruction does
not say enough (`dosage-incomplete`).
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from fhir_srs import r4
from fhir_srs.mapping.drugs import Strength

HOURS_A_DAY = Decimal(24)
# Length of the units of UCUM that Timing.repeat allows, in days.
_DAYS = {"h": Decimal(1) / 24, "d": Decimal(1), "wk": Decimal(7), "min": Decimal(1) / 1440}
_MG = {"mg": Decimal(1), "g": Decimal(1000), "ug": Decimal("0.001"), "mcg": Decimal("0.001")}
_PER_HOUR = {"ug/h": 1, "mcg/h": 1, "ug/hr": 1, "mcg/hr": 1, "mg/h": 1000}
# HL7 v3 GTSAbbreviation, as R4's Timing.code uses it: doses a day.
_TIMES_A_DAY = {
    "QD": 1, "AM": 1, "PM": 1, "BED": 1, "BID": 2, "TID": 3, "QID": 4,
    "Q1H": 24, "Q2H": 12, "Q3H": 8, "Q4H": 6, "Q6H": 4, "Q8H": 3,
}  # fmt: skip
_PIECES = frozenset(["1", "tab", "tablet", "tablets", "cap", "capsule", "capsules", "patch", "patches"])


class Amount(NamedTuple):
    """A daily amount, in `mg` (a day) or `ug/h`, or None where the instruction is incomplete."""

    value: Decimal | None
    unit: str = "mg"


INCOMPLETE = Amount(None)


def daily(dosage: r4.Dosage, strength: Strength | None) -> Amount:
    """What *dosage* gives a day; *strength* is how much of the ingredient one piece holds."""
    for part in dosage.dose_and_rate:
        rate = _rate(part)
        if rate is not None:
            return Amount(rate, "ug/h")
        once = _once(part.dose_quantity, strength)
        times = _times(dosage.timing)
        if once is not None and times is not None:
            return Amount(once * times)
    return INCOMPLETE


def given(dosage: r4.AdministrationDosage | None, strength: Strength | None) -> Amount:
    """What one administration gave."""
    if dosage is None:
        return INCOMPLETE
    if dosage.rate_quantity is not None:
        rate = _hourly(dosage.rate_quantity)
        return Amount(rate, "ug/h") if rate is not None else INCOMPLETE
    patch = _hourly(dosage.dose) if dosage.dose else None
    if patch is not None:
        return Amount(patch, "ug/h")
    return Amount(_once(dosage.dose, strength))


def total(amounts: Iterable[Amount]) -> Amount:
    """All instructions together; unknown if one is, or if they cannot be added."""
    parts = list(amounts)
    units = {part.unit for part in parts}
    values = [part.value for part in parts if part.value is not None]
    if not parts or len(values) < len(parts) or len(units) > 1:
        return INCOMPLETE
    return Amount(sum(values, Decimal(0)), units.pop())


def _rate(part: r4.DoseAndRate) -> Decimal | None:
    """Micrograms an hour, whether sent as a rate or, as patches often are, as the dose."""
    for quantity in (part.rate_quantity, part.dose_quantity):
        if quantity is not None:
            value = _hourly(quantity)
            if value is not None:
                return value
    return None


def _hourly(quantity: r4.Quantity) -> Decimal | None:
    factor = _PER_HOUR.get((quantity.code or quantity.unit or "").lower())
    value = r4.number(quantity.value)
    return value * factor if factor is not None and value is not None and not quantity.comparator else None


def _once(quantity: r4.Quantity | None, strength: Strength | None) -> Decimal | None:
    """Milligrams of the ingredient in one dose."""
    value = r4.number(quantity.value) if quantity else None
    if quantity is None or value is None or quantity.comparator or value < 0:
        return None
    unit = (quantity.code or quantity.unit or "1").lower()
    if unit in _MG and strength is None:
        return value * _MG[unit]
    if unit in _MG and strength is not None and strength[1].lower() in _MG and strength[3].lower() not in _MG:
        return value * _MG[unit]
    return _pieces(value, strength) if unit in _PIECES or unit.startswith("{") else None


def _pieces(value: Decimal, strength: Strength | None) -> Decimal | None:
    """Tablets times milligrams a tablet."""
    if strength is None or strength[1].lower() not in _MG or strength[2] == 0:
        return None
    if strength[3].lower() in _MG or strength[3].lower() == "ml":
        return None
    return value * strength[0] * _MG[strength[1].lower()] / strength[2]


def _times(timing: r4.Timing | None) -> Decimal | None:
    """Doses a day; None where it is not said."""
    if timing is None:
        return None
    repeat = timing.repeat
    if repeat is not None:
        told = _repeated(repeat)
        if told is not None:
            return told
    for coding in timing.code.coding if timing.code else ():
        if coding.code in _TIMES_A_DAY:
            return Decimal(_TIMES_A_DAY[coding.code])
    return None


def _repeated(repeat: r4.Repeat) -> Decimal | None:
    if repeat.time_of_day:
        return Decimal(len(repeat.time_of_day))
    length = _DAYS.get(repeat.period_unit or "")
    period = r4.number(repeat.period)
    times = r4.whole(repeat.frequency) if repeat.frequency is not None else 1
    if repeat.when and length is None:
        return Decimal(len(repeat.when))
    if length is None or not period or times is None or repeat.day_of_week:
        return None
    return Decimal(times * (len(repeat.when) or 1)) / (period * length)


def is_prn(dosages: Sequence[r4.Dosage]) -> bool:
    """Whether the drug is to be taken as needed: how much was taken is then not known."""
    return any(one.as_needed_boolean or one.as_needed_codeable_concept for one in dosages)
