"""How one EHR spells things: code sets, identifier systems, time zone, text rules.

The profile `mcode` reads every standard code of the terminology tables, both routes; other profiles only
add to it (`decisions.md` 23). A profile is a value: mapping never looks at a file.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fhir_srs import tables
from fhir_srs.codes import Codes, Pair
from fhir_srs.errors import ConfigurationError, UsageError
from fhir_srs.model import Issue, Severity


class Reason(msgspec.Struct, frozen=True):
    """One reason of the closed list: may the resource still count, and how severe it is then."""

    used: bool
    severity: Severity


class TextRule(msgspec.Struct, frozen=True):
    """*pattern* found in the text of a concept makes it the member *code* of the set *name*."""

    name: str
    pattern: re.Pattern[str]
    code: Pair
    meaning: str


class Factor(msgspec.Struct, frozen=True):
    """OMED in mg/day for each *unit* of a drug: `mg` (a day), or `ug/h` of a patch."""

    factor: Decimal
    unit: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """All rules that mapping needs, as values.

    *patient_identifier_system* is the system that lesion ids are made of (else type MR).
    *result_systems* mark our own results, never an input. *pain_ranges* gives low and high of scales
    that have none of their own (VAS). *products* maps a drug's product code to its ingredients.
    *known_modifiers* are modifierExtension urls that may be ignored. *omed_factors* maps ingredient and
    form (`oral`, `transdermal`) to the factor of the table *omed_table*.
    """

    name: str
    version: str
    codes: Codes
    reasons: Mapping[str, Reason]
    time_zone: tzinfo | None = None
    patient_identifier_system: str | None = None
    result_systems: frozenset[str] = frozenset()
    text_rules: tuple[TextRule, ...] = ()
    pain_ranges: Mapping[str, tuple[Decimal, Decimal]] = {}
    products: Mapping[Pair, tuple[str, ...]] = {}
    known_modifiers: frozenset[str] = frozenset()
    open_order_days: int = 30
    omed_table: str = "cdc-2022"
    omed_factors: Mapping[tuple[str, str], Factor] = {}

    def issue(
        self, reason: str, resource: str | None, path: str | None = None, *, used: bool | None = None
    ) -> Issue:
        """An Issue with *reason* of the closed list; *used* overrides the list's own answer.

        Severity: `error` if not used, else as listed (`decisions.md` 21). KeyError for any other reason.
        """
        rule = self.reasons[reason]
        counts = rule.used if used is None else used
        severity: Severity = rule.severity if counts == rule.used else "warning" if counts else "error"
        return Issue(resource=resource, reason=reason, path=path, severity=severity, used=counts)


class _CodeRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "set"}):
    name: str
    system: str
    code: str
    meaning: str


class _TextRow(_CodeRow, frozen=True, forbid_unknown_fields=True, rename={"name": "set"}):
    pattern: str


class _ProductRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: str
    code: str
    ingredients: tuple[str, ...]


# What a profile file may say, and the type of each; anything else in it is an error.
_KEYS: Mapping[str, Any] = {
    "name": str,
    "version": str,
    "time_zone": str,
    "patient_identifier_system": str,
    "result_systems": frozenset[str],
    "open_order_days": int,
    "omed_table": str,
    "known_modifiers": frozenset[str],
    "systems": dict[str, str],
    "codes": tuple[_CodeRow, ...],
    "text_rules": tuple[_TextRow, ...],
    "products": tuple[_ProductRow, ...],
    "pain_ranges": dict[str, tuple[Decimal, Decimal]],
}


def load_profile(name_or_path: str | Path) -> Profile:
    """The site profile of that name, or in that file (a path ends in `.toml`), on top of `mcode`.

    UsageError for a name that does not exist, ConfigurationError with every problem of a bad file.
    """
    name = str(name_or_path)
    if name.endswith(".toml"):
        return _profile(name, _read(Path(name)))
    known = [Path(path).stem for path in tables.names("profiles/*.toml")]
    if name not in known:
        raise UsageError(f"no such profile; there are: {', '.join(known)}")
    return _profile(name, tables.text(f"profiles/{name}.toml"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("profile", [f"the file cannot be read: {type(error).__name__}"]) from None


def _profile(name: str, text: str) -> Profile:
    """The profile that *text* describes, its additions after those of `mcode`."""
    own = _values(name, text)
    base = _values("mcode", tables.text("profiles/mcode.toml"))
    merged = {**base, **own}
    for key in ("result_systems", "known_modifiers"):
        merged[key] = base.get(key, frozenset()) | own.get(key, frozenset())
    try:
        return _build(name, merged)
    except (re.error, ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(f"profile {name}", [f"{type(error).__name__}: {error}"]) from None


def _values(name: str, text: str) -> dict[str, Any]:
    """The entries of one profile file, each of its right type."""
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"profile {name}", [str(error)]) from None
    problems = [f"{key}: unknown entry" for key in entries if key not in _KEYS]
    values: dict[str, Any] = {}
    for key in entries.keys() & _KEYS.keys():
        try:
            values[key] = msgspec.convert(entries[key], _KEYS[key])
        except msgspec.ValidationError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ConfigurationError(f"profile {name}", sorted(problems))
    return values


def _build(name: str, values: Mapping[str, Any]) -> Profile:
    zone = values.get("time_zone")
    return Profile(
        name=values.get("name", name),
        version=values.get("version", "1"),
        codes=_codes(values.get("codes", ()), values.get("systems", {})),
        reasons=_reasons(),
        time_zone=ZoneInfo(zone) if zone else None,
        patient_identifier_system=values.get("patient_identifier_system"),
        result_systems=values["result_systems"],
        text_rules=tuple(map(_text_rule, values.get("text_rules", ()))),
        pain_ranges=values.get("pain_ranges", {}),
        products={(row.system, row.code): row.ingredients for row in values.get("products", ())},
        known_modifiers=values["known_modifiers"],
        open_order_days=values.get("open_order_days", 30),
        omed_table=values["omed_table"],
        omed_factors=_factors(values["omed_table"]),
    )


def _text_rule(row: _TextRow) -> TextRule:
    return TextRule(row.name, re.compile(row.pattern, re.IGNORECASE), (row.system, row.code), row.meaning)


def _codes(extra: Iterable[_CodeRow], systems: Mapping[str, str]) -> Codes:
    """The terminology tables with the site's own codes on top."""
    sets: dict[str, dict[Pair, str]] = {name: dict(pairs) for name, pairs in _standard_sets().items()}
    for row in extra:
        sets.setdefault(row.name, {})[row.system, row.code] = row.meaning
    aliases = {row["alias"]: row["system"] for row in tables.rows("systems.csv")}
    known = {system for pairs in sets.values() for system, _ in pairs}
    spelt = {variant: system for system in sorted(known) for variant in _variants(system)}
    return Codes.of(sets, {**spelt, **aliases, **systems})


@cache
def _standard_sets() -> Mapping[str, Mapping[Pair, str]]:
    sets: dict[str, dict[Pair, str]] = {}
    for table in tables.names("terminology/*.csv"):
        for row in tables.rows(table):
            sets.setdefault(row["set"], {})[row["system"], row["code"]] = row["meaning"]
    return sets


def _variants(system: str) -> Iterable[str]:
    """*system* as it is often misspelt: https for http, a slash at the end (fhir-mapping.md section 7)."""
    other = system.replace("http://", "https://", 1) if system.startswith("http://") else None
    bare = system.rstrip("/")
    other = other or (system.replace("https://", "http://", 1) if system.startswith("https://") else None)
    spellings = {bare, f"{bare}/"} | ({other.rstrip("/"), f"{other.rstrip('/')}/"} if other else set())
    return spellings - {system}


def _factors(table: str) -> Mapping[tuple[str, str], Factor]:
    """The factors of one table; ValueError, naming those that exist, for another."""
    rows = list(tables.rows("omed.csv"))
    known = sorted({row["table"] for row in rows})
    if table not in known:
        raise ValueError(f"omed_table: there are: {', '.join(known)}")
    return {
        (row["ingredient"], row["form"]): Factor(Decimal(row["factor"]), row["unit"])
        for row in rows
        if row["table"] == table
    }


@cache
def _reasons() -> Mapping[str, Reason]:
    return {
        row["reason"]: Reason(row["used"] == "yes", msgspec.convert(row["severity"], Severity))
        for row in tables.rows("issues.csv")
    }
