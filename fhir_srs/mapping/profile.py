"""How one EHR spells things: code sets, identifier systems, time zone, text rules, and what a site chose.

The profile `mcode` reads every standard code of the terminology tables, both routes; other profiles only
add to it (`decisions.md` 23). A profile is a value: mapping never looks at a file. What a profile file may
say is in `grammar`.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from fhir_srs import r4, tables
from fhir_srs.codes import Codes, LabelRule, Pair
from fhir_srs.errors import ConfigurationError, UsageError
from fhir_srs.mapping.choices import Choices
from fhir_srs.mapping.grammar import (
    CodeRow,
    FactorRow,
    Known,
    TextRow,
    Written,
    own_codes,
    whole_problems,
)
from fhir_srs.mapping.standards import (
    Factor,
    Factors,
    Reason,
    omed_tables,
    reasons,
    standard_aliases,
    standard_sets,
    variants,
)
from fhir_srs.mapping.strict import closest, held_against
from fhir_srs.model import Issue, Severity

_BASE = "mcode"


class TextRule(msgspec.Struct, frozen=True):
    """*pattern* found in the text of a concept makes it the member *code* of the set *name*."""

    name: str
    pattern: re.Pattern[str]
    code: Pair
    meaning: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """All rules that mapping needs, as values.

    *patient_identifier_system* is the system that lesion ids are made of (else type MR).
    *result_systems* mark our own results, never an input. *pain_ranges* gives low and high of scales
    that have none of their own (VAS). *products* maps a drug's product code to its ingredients.
    *known_modifiers* are modifierExtension urls that may be ignored. *omed_factors* maps ingredient and
    form (`oral`, `transdermal`) to the factor of the table *omed_table*. *units* are the site's spellings
    in lower case, *statuses* its words for Procedure.status, *choices* its answers where the rules leave one.
    """

    name: str
    version: str
    codes: Codes
    reasons: Mapping[str, Reason]
    time_zone: tzinfo | None = None
    patient_identifier_system: str | None = None
    result_systems: frozenset[str] = frozenset()
    text_rules: tuple[TextRule, ...] = ()
    units: Mapping[str, str] = {}
    statuses: Mapping[str, str] = {}
    choices: Choices = Choices()
    pain_ranges: Mapping[str, tuple[Decimal, Decimal]] = {}
    products: Mapping[Pair, tuple[str, ...]] = {}
    known_modifiers: frozenset[str] = frozenset()
    open_order_days: int = 30
    omed_table: str = "cdc-2022"
    omed_factors: Factors = {}

    def unit(self, quantity: r4.Quantity) -> r4.Quantity:
        """*quantity* with its unit as this site means it, where the site spells it its own way."""
        if not self.units:
            return quantity
        meant = self.units.get((quantity.code or quantity.unit or "").strip().lower())
        if meant is None:
            return quantity
        return msgspec.structs.replace(quantity, unit=meant, code=None, system=None)

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


def shipped_profiles() -> list[str]:
    """The names of the profiles that come with the program, sorted."""
    return [Path(path).stem for path in tables.names("profiles/*.toml")]


def load_profile(name_or_path: str | Path) -> Profile:
    """The site profile of that name, or in that file (a path ends in `.toml`), on top of what it extends.

    UsageError for a name that does not exist, ConfigurationError with every problem of a bad file.
    """
    name = str(name_or_path)
    if name.endswith(".toml"):
        return parse_profile(_read(Path(name)), name=Path(name).name)
    if name not in shipped_profiles():
        raise UsageError(f"no such profile; there are: {', '.join(shipped_profiles())}")
    return parse_profile(tables.text(f"profiles/{name}.toml"), name=name)


def parse_profile(text: str, *, name: str) -> Profile:
    """The profile that the TOML *text* describes; ConfigurationError lists every problem by path."""
    tree = _tree(text, name)
    ancestors = _ancestors(tree, name)
    sets = _sets([row for one in ancestors for row in one.codes], standard_sets())
    written = _checked(tree, Known(sets, own_codes(tree)), name)
    return _build([*ancestors, written], name.removesuffix(".toml"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("profile", [f"the file cannot be read: {type(error).__name__}"]) from None


def _tree(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at [^()]*\)", str(error))
        raise ConfigurationError(
            f"profile {name}", [f"not TOML{f' {place.group()}' if place else ''}"]
        ) from None


def _ancestors(tree: Mapping[str, Any], name: str) -> list[Written]:
    """The shipped profiles that *tree* builds on, the oldest, `mcode`, first."""
    parent = tree.get("extends", _BASE)
    if name == _BASE:
        return []
    if not isinstance(parent, str) or parent not in shipped_profiles():
        parent = _BASE
    above = _tree(tables.text(f"profiles/{parent}.toml"), parent)
    older = _ancestors(above, parent)
    sets = _sets([row for one in older for row in one.codes], standard_sets())
    return [*older, _checked(above, Known(sets, own_codes(above)), parent)]


def _checked(tree: Mapping[str, Any], known: Known, name: str) -> Written:
    written, problems = held_against(Written, tree, known)
    _, wrong = held_against(Choices, written.choices, known)
    problems += [f"choices.{one}" for one in wrong]
    problems += whole_problems(written, known)
    if written.extends is not None and written.extends not in shipped_profiles():
        problems.append(f"extends: no such profile{closest(written.extends, shipped_profiles())}")
    if problems:
        raise ConfigurationError(f"profile {name}", problems)
    return written


def _build(layers: Sequence[Written], name: str) -> Profile:
    """The profile of *layers*, of which a later one adds to the earlier, or decides otherwise."""
    last = layers[-1]
    zone = _latest(layers, "time_zone")
    table = _latest(layers, "omed_table") or "cdc-2022"
    sets = _sets([row for one in layers for row in one.codes], standard_sets())
    known = Known(sets)
    choices, _ = held_against(Choices, _merged(layers, "choices"), known)
    labels = tuple(
        LabelRule(re.compile(row.pattern, re.IGNORECASE), row.means)
        for one in reversed(layers)
        for row in one.site_labels
    )
    return Profile(
        name=last.name or name,
        version=last.version or "1",
        codes=_codes(sets, _merged(layers, "systems"), labels),
        reasons=reasons(),
        time_zone=ZoneInfo(zone) if zone else None,
        patient_identifier_system=_latest(layers, "patient_identifier_system"),
        result_systems=frozenset(system for one in layers for system in one.result_systems),
        # The site's own rules speak before those of what it extends.
        text_rules=tuple(_text_rule(row, known) for one in reversed(layers) for row in one.text_rules),
        units={unit.strip().lower(): meant for unit, meant in _merged(layers, "units").items()},
        statuses=_merged(layers, "statuses"),
        choices=choices,
        pain_ranges=_merged(layers, "pain_ranges"),
        products={(row.system, row.code): row.ingredients for one in layers for row in one.products},
        known_modifiers=frozenset(url for one in layers for url in one.known_modifiers),
        open_order_days=_latest(layers, "open_order_days") or 30,
        omed_table=table,
        omed_factors=_factors(table, [row for one in layers for row in one.omed_factors]),
    )


def _latest(layers: Iterable[Written], key: str) -> Any:
    return next((one for one in (getattr(one, key) for one in reversed([*layers])) if one is not None), None)


def _merged(layers: Iterable[Written], key: str) -> dict[str, Any]:
    return {name: value for one in layers for name, value in getattr(one, key).items()}


def _text_rule(row: TextRow, known: Known) -> TextRule:
    meaning = known.meaning(row.name, row.pair, row.meaning) or ""
    return TextRule(row.name, re.compile(row.pattern, re.IGNORECASE), row.pair, meaning)


def _sets(
    extra: Iterable[CodeRow], standard: Mapping[str, Mapping[Pair, str]]
) -> Mapping[str, Mapping[Pair, str]]:
    """The *standard* sets with *extra* codes on top."""
    known = Known(standard)
    sets: dict[str, dict[Pair, str]] = {name: dict(pairs) for name, pairs in standard.items()}
    for row in extra:
        sets[row.name][row.pair] = known.meaning(row.name, row.pair, row.meaning) or ""
    return sets


def _codes(
    sets: Mapping[str, Mapping[Pair, str]], systems: Mapping[str, str], labels: tuple[LabelRule, ...]
) -> Codes:
    known = {system for pairs in sets.values() for system, _ in pairs}
    spelt = {variant: system for system in sorted(known) for variant in variants(system)}
    return Codes.of(sets, {**spelt, **standard_aliases(), **systems}, labels)


def _factors(table: str, own: Iterable[FactorRow]) -> Factors:
    """The factors of *table*: one of ours, else the site's own."""
    shipped = omed_tables().get(table)
    return shipped or {(row.ingredient, row.form): Factor(row.factor, row.unit) for row in own}


__all__ = ["Factor", "Profile", "Reason", "TextRule", "load_profile", "parse_profile", "shipped_profiles"]
