"""Delivered dose in Gy and fractions, from what a sender wrote (`spec/fhir-mapping.md` section 6)."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from fhir_srs import r4
from fhir_srs.codes import UCUM
from fhir_srs.mapping.choices import UnitRule

# Biologically weighted doses, whatever the code beside them: never an absorbed dose.
_WEIGHTED = re.compile(r"BED|EQD|CGE|RBE|GyE|isoeffect", re.IGNORECASE)
_SPELLINGS = {
    **dict.fromkeys(("gy", "gray", "grays"), "Gy"),
    **dict.fromkeys(("cgy", "centigray", "centigrays"), "cGy"),
}
_HUNDRED = Decimal(100)
_LEAST_GY, _MOST_GY = Decimal(1), Decimal(100)
_MOST_WRITTEN_GY, _LEAST_WRITTEN_CGY = Decimal(200), Decimal(100)
_LEAST_PER_FRACTION, _MOST_PER_FRACTION = Decimal(1), Decimal(30)


class Dose(NamedTuple):
    """A dose in Gy, or None, with the reasons that explain it."""

    gy: Decimal | None
    reasons: tuple[str, ...] = ()


def read_dose(quantity: r4.Quantity | None, fractions: int | None, without_unit: UnitRule = "infer") -> Dose:
    """
    The delivered dose that *quantity* states; *fractions*, where known, tell Gy from cGy without a unit.

    *without_unit* is what the site decided of a dose without one.

    Null with its reason where the unit is none of absorbed dose, or the result is outside 1 to 100 Gy.
    """
    if quantity is None:
        return Dose(None, ("dose-missing",))
    value = r4.number(quantity.value)
    if value is None:
        return Dose(None, ("dose-missing",))
    if quantity.comparator is not None:
        return Dose(None, ("value-not-usable",))
    unit, reasons = _unit(quantity.system, quantity.code, quantity.unit)
    if unit == "":
        return _without_unit(value, fractions, without_unit)
    if unit is None:
        return Dose(None, ("dose-unit-not-recognised",))
    return _in_gray(value, unit, reasons)


@lru_cache(maxsize=1024)
def _unit(system: str | None, code: str | None, unit: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Gy or cGy, "" where no unit is given, None for any other; and how it was found."""
    if any(_WEIGHTED.search(text) for text in (unit, code) if text and text != "cGy"):
        return None, ()
    if code in ("Gy", "cGy") and system in (UCUM, None):
        return code, () if system else ("dose-unit-uncoded",)
    written = code or unit
    if not written:
        return "", ()
    return _SPELLINGS.get(written.strip().lower()), ("dose-unit-uncoded",)


def _without_unit(value: Decimal, fractions: int | None, rule: UnitRule) -> Dose:
    """The one of Gy and cGy that gives 1 to 30 Gy a fraction; null where both do, or neither."""
    if rule in ("Gy", "cGy"):
        return _plausible(value if rule == "Gy" else value / _HUNDRED, ("dose-unit-missing",))
    if rule == "refuse" or not fractions:
        return Dose(None, ("dose-unit-missing",))
    fitting = [
        dose
        for dose in (value, value / _HUNDRED)
        if _LEAST_PER_FRACTION <= dose / fractions <= _MOST_PER_FRACTION
    ]
    if len(fitting) != 1:
        return Dose(None, ("dose-unit-missing",))
    return _plausible(fitting[0], ("dose-unit-missing",))


def _in_gray(value: Decimal, unit: str, reasons: tuple[str, ...]) -> Dose:
    if unit == "Gy" and value > _MOST_WRITTEN_GY:
        return _plausible(value / _HUNDRED, (*reasons, "dose-unit-implausible"))
    if unit == "cGy" and value < _LEAST_WRITTEN_CGY:
        return Dose(None, (*reasons, "dose-unit-implausible"))
    return _plausible(value if unit == "Gy" else value / _HUNDRED, reasons)


def _plausible(gray: Decimal, reasons: tuple[str, ...]) -> Dose:
    if not _LEAST_GY <= gray <= _MOST_GY:
        return Dose(None, (*reasons, "dose-implausible"))
    return Dose(gray, reasons)


class Fractions(NamedTuple):
    """A number of fractions, or None, with the reasons that explain it."""

    number: int | None
    reasons: tuple[str, ...] = ()


def read_fractions(extension: r4.Extension | None) -> Fractions:
    """The number of fractions in *extension*; None without a reason where none is stated."""
    value = _count(extension) if extension is not None else None
    if value is None:
        return _UNSTATED
    number = r4.whole(value)
    if number is None or number < 0:
        return Fractions(None, ("fractions-not-integer",))
    return Fractions(number)


_UNSTATED = Fractions(None)


def _count(extension: r4.Extension) -> r4.Number | None:
    if extension.value_unsigned_int is not None:
        return extension.value_unsigned_int
    if extension.value_positive_int is not None:
        return extension.value_positive_int
    return extension.value_integer
