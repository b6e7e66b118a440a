"""The standard tables of `mappings/`: code sets, systems and their misspellings, OMED factors, reasons."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache

import msgspec

from fhir_srs import tables
from fhir_srs.codes import Pair
from fhir_srs.model import Severity


class Reason(msgspec.Struct, frozen=True):
    """One reason of the closed list: may the resource still count, and how severe it is then."""

    used: bool
    severity: Severity


class Factor(msgspec.Struct, frozen=True):
    """OMED in mg/day for each *unit* of a drug: `mg` (a day), or `ug/h` of a patch."""

    factor: Decimal
    unit: str


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
    for row in tables.rows("omed.csv"):
        factor = Factor(Decimal(row["factor"]), row["unit"])
        found.setdefault(row["table"], {})[row["ingredient"], row["form"]] = factor
    return found


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
