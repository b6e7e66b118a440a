"""The standard tables of `mappings/`: code sets, systems and their misspellings, OMED factors, reasons."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from itertools import groupby, pairwise

import msgspec

from fhir_srs import tables
from fhir_srs.codes import Pair
from fhir_srs.model import Severity


class Reason(msgspec.Struct, frozen=True):
    """One reason of the closed list: may the resource still count, and how severe it is then."""

    used: bool
    severity: Severity


class Factor(msgspec.Struct, frozen=True):
    """
    How a drug told in *unit*, `mg` (a day) or `ug/h` (of a patch), becomes OMED in mg/day.

    *factor* is for each unit. *steps* are further factors, each for the whole of an amount above a limit;
    *points* are amounts with their OMED, between which it is interpolated and beyond which it is unknown.
    """

    factor: Decimal | None
    unit: str
    steps: tuple[tuple[Decimal, Decimal], ...] = ()
    points: tuple[tuple[Decimal, Decimal], ...] = ()

    def omed(self, amount: Decimal) -> Decimal | None:
        """
        The OMED of *amount*, None where the table does not reach.

        >>> Factor(Decimal(4), "mg", steps=((Decimal(20), Decimal(8)),)).omed(Decimal(30))
        Decimal('240')
        """
        if self.factor is not None:
            factor = next((one for above, one in reversed(self.steps) if amount > above), self.factor)
            return amount * factor
        return _between(amount, ((Decimal(0), Decimal(0)), *self.points))


def _between(amount: Decimal, points: Sequence[tuple[Decimal, Decimal]]) -> Decimal | None:
    for (low, start), (high, end) in pairwise(points):
        if low <= amount <= high:
            return start + (end - start) * (amount - low) / (high - low)
    return None


Factors = Mapping[tuple[str, str], Factor]


@cache
def standard_sets() -> Mapping[str, Mapping[Pair, str]]:
    """All code sets of `mappings/terminology`: set -> (system, code) -> meaning."""
    sets: dict[str, dict[Pair, str]] = {}
    for table in tables.names("terminology/*.csv"):
        for row in tables.rows(table):
            sets.setdefault(row["set"], {})[row["system"], row["code"]] = row["meaning"]
    return sets


@cache
def standard_aliases() -> Mapping[str, str]:
    """Other names of code systems that senders use, as `mappings/systems.csv` lists them."""
    return {row["alias"]: row["system"] for row in tables.rows("systems.csv")}


@cache
def omed_tables() -> Mapping[str, Factors]:
    """Each conversion table of `mappings/omed.csv`: (ingredient, form) -> factor."""
    found: dict[str, dict[tuple[str, str], Factor]] = {}
    drugs = groupby(tables.rows("omed.csv"), key=lambda row: (row["table"], row["ingredient"], row["form"]))
    for (table, ingredient, form), rows in drugs:
        found.setdefault(table, {})[ingredient, form] = _factor(list(rows))
    return found


def _factor(rows: Sequence[Mapping[str, str]]) -> Factor:
    """The rows of one drug: its factors by the limit above which each holds, or its points."""
    steps = [(Decimal(row["above"]), Decimal(row["factor"])) for row in rows if row["factor"]]
    points = tuple((Decimal(row["at"]), Decimal(row["omed"])) for row in rows if row["omed"])
    return Factor(steps[0][1] if steps else None, rows[0]["unit"], tuple(steps[1:]), points)


@cache
def reasons() -> Mapping[str, Reason]:
    """The closed list of issue reasons, `mappings/issues.csv`."""
    return {
        row["reason"]: Reason(row["used"] == "yes", msgspec.convert(row["severity"], Severity))
        for row in tables.rows("issues.csv")
    }


def variants(system: str) -> Iterable[str]:
    """*system* as it is often misspelt: https for http, a slash at the end (fhir-mapping.md section 7)."""
    other = system.replace("http://", "https://", 1) if system.startswith("http://") else None
    bare = system.rstrip("/")
    other = other or (system.replace("https://", "http://", 1) if system.startswith("https://") else None)
    spellings = {bare, f"{bare}/"} | ({other.rstrip("/"), f"{other.rstrip('/')}/"} if other else set())
    return spellings - {system}
