"""Amounts of a drug, and what they come to in OMED by a conversion table (`spec/endpoints.md` section 4)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from fhir_srs.mapping.standards import Factors


class Amount(NamedTuple):
    """An amount, in `mg` (a day, or of one administration) or `ug/h`; None where it is not said in full."""

    value: Decimal | None
    unit: str = "mg"


INCOMPLETE = Amount(None)


class Portion(NamedTuple):
    """
    What one instruction gives a day, or one administration gave, by *form*.

    Of a drug *as_needed* the amount is the most that may be taken: how much was taken is not known.
    """

    form: str
    amount: Amount
    as_needed: bool = False


class Dose(NamedTuple):
    """
    All of one ingredient on a day. *name* is what conversion tables call it, None for a drug in no table.

    *fixed* is the OMED where no table is asked: 0 of a drug that is no opioid, None where nobody can say.
    """

    name: str | None = None
    portions: tuple[Portion, ...] = ()
    fixed: Decimal | None = None
    flags: tuple[str, ...] = ()
    said: tuple[tuple[str, str | None], ...] = ()
    opioid: bool = False
    patch: bool = False


def together(doses: Sequence[Dose]) -> Dose:
    """*doses* of one ingredient and day as one; unknown if one is."""
    first = doses[0]
    if any(one.name is None for one in doses):
        fixed = Decimal(0) if all(one.fixed is not None for one in doses) else None
        return first._replace(name=None, portions=(), fixed=fixed)
    return first._replace(portions=tuple(portion for one in doses for portion in one.portions))


def omed(dose: Dose, factors: Factors, *, as_needed: bool) -> Decimal | None:
    """
    The OMED of *dose* in mg/day by *factors*; what is *as_needed* counts as if all was taken, or not at all.

    A table may convert little by another factor than much, so the amounts of one form are added first.
    """
    if dose.name is None:
        return dose.fixed
    counted = [one for one in dose.portions if as_needed or not one.as_needed]
    forms = sorted({(one.form, one.amount.unit) for one in counted})
    return total([_of_form(dose.name, form, unit, counted, factors) for form, unit in forms])


def _of_form(
    name: str, form: str, unit: str, portions: Sequence[Portion], factors: Factors
) -> Decimal | None:
    rule = factors.get((name, form))
    amount = total([one.amount.value for one in portions if (one.form, one.amount.unit) == (form, unit)])
    return None if rule is None or rule.unit != unit or amount is None else rule.omed(amount)


def total(parts: Sequence[Decimal | None]) -> Decimal | None:
    """The sum of *parts*, None if one is."""
    known = [one for one in parts if one is not None]
    return sum(known, Decimal(0)) if len(known) == len(parts) else None
