"""What a site profile may say: the keys of `mappings/profiles/*.toml`, each with its checks.

`mappings/README.md` teaches the same by example. Reading goes through `strict`: unknown keys are errors at
every depth, and a file hears of all its problems at once.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import product, zip_longest
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fhir_srs.codes import Pair
from fhir_srs.mapping.labels import parse_label
from fhir_srs.mapping.standards import omed_tables
from fhir_srs.mapping.strict import Checked, closest

Word = Annotated[str, msgspec.Meta(min_length=1)]
# How a site may spell a unit, and what it may mean by that.
Unit = Literal["Gy", "cGy", "{score}", "mg", "g", "ug", "ug/h", "mg/h", "mL", "{piece}"]
DoseForm = Literal["oral", "transdermal", "buccal", "nasal", "parenteral", "rectal", "sublingual"]
# R4's Procedure.status, as far as a site can mean it.
Status = Literal[
    "completed", "stopped", "in-progress", "on-hold", "preparation", "not-done", "entered-in-error"
]
# The sets that a text may stand for where no code does: what an Observation is about; what a Procedure is.
TEXT_SETS = (
    "pain",
    "disease-status",
    "performance",
    "neuro",
    "last-contact",
    "death",
    "vital-status",
    "site-question",
    "radiosurgery",
    "intracranial",
)
# Sets whose meanings are names that mapping only passes on; those of any other set are a closed list.
_OPEN = frozenset({"modality", "not-opioid", "opioid-without-factor", "organ", "technique", "toxicity"})
# Meanings that mapping knows and no standard code has.
_MORE = {
    "ambiguous": ("cervical", "lumbar", "sacral", "thoracic"),
    "intervention-reason": ("for-pain", "for-progression", "other-reason"),
}
_GROUP = re.compile(r"\\(?:\d|g<\w+>)")
# Biologically weighted doses: never an absorbed dose, however a site spells them (section 6).
_WEIGHTED = re.compile(r"BED|EQD|CGE|RBE|GyE|isoeffect", re.IGNORECASE)


class Known(msgspec.Struct, frozen=True):
    """What the rows of a file are held against: the tables and parents (*sets*), and its *own* codes."""

    sets: Mapping[str, Mapping[Pair, str]]
    own: frozenset[tuple[str, str, str]] = frozenset()

    def meanings(self, name: str) -> tuple[str, ...]:
        """The meanings that the codes of the set *name* may have; empty if any will do."""
        if name in _OPEN:
            return ()
        if name == "opioid":
            return tuple(sorted({drug for table in omed_tables().values() for drug, _ in table}))
        return tuple(sorted({*self.sets.get(name, {}).values(), *_MORE.get(name, ())}))

    def has(self, name: str, pair: Pair) -> bool:
        """Whether *pair* is in the set *name*, by the tables or by this file."""
        return pair in self.sets.get(name, {}) or (name, *pair) in self.own

    def meaning(self, name: str, pair: Pair, written: str | None) -> str | None:
        """What *pair* means: as *written*, else as the table says, else the set's only meaning."""
        only = self.meanings(name)
        return written or self.sets.get(name, {}).get(pair) or (only[0] if len(only) == 1 else None)


class CodeRow(Checked, frozen=True, rename={"name": "set"}):
    """A code of the site's own, in the set *name*."""

    name: Word
    system: Word
    code: Word
    meaning: str | None = None

    @property
    def pair(self) -> Pair:
        """System and code."""
        return self.system, self.code

    def problems(self, known: Known) -> Iterator[tuple[str, str]]:
        """An unknown set; a meaning that mapping does not know; a standard code turned to another."""
        if self.name not in known.sets:
            yield "set", f"no such set{closest(self.name, known.sets)}"
            return
        standard = known.sets[self.name].get(self.pair)
        if standard is not None and self.meaning not in (None, standard):
            yield "meaning", "a standard code keeps its meaning: profiles only add"
        yield from _meaning_problems(self, known)


class TextRow(Checked, frozen=True, rename={"name": "set"}):
    """*pattern* found in a text, where no code speaks, stands for a code of the set *name*."""

    name: Word
    pattern: Word
    system: Word
    code: Word
    meaning: str | None = None

    @property
    def pair(self) -> Pair:
        """System and code."""
        return self.system, self.code

    def problems(self, known: Known) -> Iterator[tuple[str, str]]:
        """A set that texts cannot stand for, a pattern that is none, an unknown meaning."""
        yield from _pattern_problems(self.pattern)
        if self.name not in TEXT_SETS:
            near = closest(self.name, TEXT_SETS)
            yield "set", f"a text can stand for {', '.join(TEXT_SETS)}{near}"
            return
        yield from _meaning_problems(self, known)


class LabelRow(Checked, frozen=True):
    r"""*pattern* in the label of a volume or in the text of a site is read as *means* (`T\1`)."""

    pattern: Word
    means: Word

    def problems(self, known: Known) -> Iterator[tuple[str, str]]:
        """A pattern that is none; a meaning that names no place of the spine or an absent group."""
        del known
        problems = list(_pattern_problems(self.pattern))
        yield from problems
        if problems:
            return
        try:
            re.compile(self.pattern).sub(self.means, "")
        except (re.error, IndexError):
            yield "means", "refers to a group that the pattern does not have"
            return
        if not any(_is_place(one) for one in _filled(self.means)):
            yield "means", "must be a place as TG-263 or clinicians write it, such as T\\1 or T8-T10"


class ProductRow(Checked, frozen=True):
    """What a product of the pharmacy is made of: *ingredients* as `system|code`."""

    system: Word
    code: Word
    ingredients: tuple[Word, ...]

    def problems(self, known: Known) -> Iterator[tuple[str, str]]:
        """An ingredient that is no `system|code`, or that no table of drugs names."""
        if not self.ingredients:
            yield "ingredients", "names none"
        for place, one in enumerate(self.ingredients):
            pair = _pair(one)
            if pair is None:
                yield f"ingredients[{place}]", "must be system|code"
            elif not any(known.has(name, pair) for name in ("opioid", "opioid-without-factor", "not-opioid")):
                yield (
                    f"ingredients[{place}]",
                    "no table names it: add it to the set opioid, opioid-without-factor or not-opioid",
                )


class FactorRow(Checked, frozen=True):
    """A factor of the site's own conversion table: OMED in mg/day for each *unit*."""

    ingredient: Word
    form: DoseForm
    factor: Decimal
    unit: Literal["mg", "ug/h"] = "mg"

    def problems(self, known: Known) -> Iterator[tuple[str, str]]:
        """A factor that is not above 0."""
        del known
        if not self.factor > 0:
            yield "factor", "must be above 0"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A whole profile file. Everything may be left out."""

    name: Word | None = None
    version: Word | None = None
    extends: Word | None = None
    time_zone: Word | None = None
    patient_identifier_system: Word | None = None
    result_systems: tuple[Word, ...] = ()
    known_modifiers: tuple[Word, ...] = ()
    open_order_days: Annotated[int, msgspec.Meta(ge=1, le=366)] | None = None
    omed_table: Word | None = None
    omed_factors: tuple[FactorRow, ...] = ()
    systems: dict[str, Word] = {}
    units: dict[str, Unit] = {}
    statuses: dict[str, Status] = {}
    pain_ranges: dict[str, tuple[Decimal, Decimal]] = {}
    choices: dict[str, Any] = {}
    codes: tuple[CodeRow, ...] = ()
    text_rules: tuple[TextRow, ...] = ()
    site_labels: tuple[LabelRow, ...] = ()
    products: tuple[ProductRow, ...] = ()


def own_codes(tree: Mapping[str, Any]) -> frozenset[tuple[str, str, str]]:
    """(set, system, code) of every row of `codes` and `text_rules` in *tree* that has all three as text."""
    rows = [row for key in ("codes", "text_rules") for row in _rows(tree.get(key))]
    told = [(row.get("set"), row.get("system"), row.get("code")) for row in rows]
    return frozenset(
        (name, system, code)
        for name, system, code in told
        if isinstance(name, str) and isinstance(system, str) and isinstance(code, str)
    )


def whole_problems(written: Written, known: Known) -> Iterator[str]:
    """What is wrong with *written* beyond a single row."""
    if written.time_zone is not None and not _is_zone(written.time_zone):
        yield "time_zone: no such time zone; write it as Europe/Berlin"
    yield from _table_problems(written)
    systems = _systems(known)
    for alias, system in written.systems.items():
        if system not in systems:
            yield f'systems."{alias}": no code of ours has that system{closest(system, systems)}'
        if alias in systems:
            yield f'systems."{alias}": is itself a system of ours'
    for unit, meant in written.units.items():
        if meant in ("Gy", "cGy") and _WEIGHTED.search(unit):
            yield f'units."{unit}": a weighted dose is no absorbed dose'
    for scale, (low, high) in written.pain_ranges.items():
        pair = _pair(scale)
        if pair is None or not known.has("pain", pair):
            yield f'pain_ranges."{scale}": must be system|code of the set pain'
        if low >= high:
            yield f'pain_ranges."{scale}": the lowest value must be below the highest'
    yield from _twice(written)


def _is_place(text: str) -> bool:
    """Whether *text* names a place of the spine, or an organ in it."""
    found = parse_label(text, spinal=False)
    return found.spinal or found.organ


def _meaning_problems(row: CodeRow | TextRow, known: Known) -> Iterator[tuple[str, str]]:
    meanings = known.meanings(row.name)
    if row.meaning is not None and meanings and row.meaning not in meanings:
        yield "meaning", f"must be one of {', '.join(meanings)}{closest(row.meaning, meanings)}"
    elif known.meaning(row.name, row.pair, row.meaning) is None:
        yield "meaning", f"missing: one of {', '.join(meanings)}" if meanings else "missing"


def _pattern_problems(pattern: str) -> Iterator[tuple[str, str]]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        yield "pattern", f"no regular expression (at position {error.pos})"
        return
    if compiled.search(""):
        yield "pattern", "matches every text"


def _filled(means: str) -> Iterator[str]:
    """*means* with a number or a letter for each of its groups."""
    parts = _GROUP.split(means)
    for fills in product("1T", repeat=len(parts) - 1):
        yield "".join(part + fill for part, fill in zip_longest(parts, fills, fillvalue=""))


def _table_problems(written: Written) -> Iterator[str]:
    """A conversion table is either one of ours by name, or the site's own with all its factors."""
    shipped = tuple(sorted(omed_tables()))
    if written.omed_factors and written.omed_table in (None, *shipped):
        yield "omed_table: factors of your own need a name of their own"
    if written.omed_table not in (None, *shipped) and not written.omed_factors:
        yield f"omed_table: there are {', '.join(shipped)}; another needs omed_factors"


def _twice(written: Written) -> Iterator[str]:
    """One code with two meanings in one set, one product told twice."""
    seen: dict[tuple[str, ...], object] = {}
    for place, row in enumerate(written.codes):
        if seen.setdefault((row.name, *row.pair), row.meaning) != row.meaning:
            yield f"codes[{place}]: the same code with another meaning before"
    for place, made in enumerate(written.products):
        if seen.setdefault(("", made.system, made.code), made) != made:
            yield f"products[{place}]: the same product with other ingredients before"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _pair(text: str) -> Pair | None:
    system, _, code = text.rpartition("|")
    return (system, code) if system and code else None


def _systems(known: Known) -> Mapping[str, None]:
    standard = {system: None for pairs in known.sets.values() for system, _ in pairs}
    return standard | {system: None for _, system, _ in sorted(known.own)}


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
