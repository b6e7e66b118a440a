"""Searches of the test server: parameters it knows, and 400 for every other.

Kinds: token (`system|code`), reference, and `_lastUpdated` with a prefix
(https://hl7.org/fhir/R4/search.html). Values joined by a comma are alternatives. No modifier, no chain.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from fhir_srs.testing.moments import bounds
from fhir_srs.testing.parameters import ID, Fact, Parameter, parameters
from fhir_srs.testing.versions import RELATIVE, Refusal, Version, Versions, known

Pairs = Sequence[tuple[str, str]]
Matcher = Callable[[Version], bool]
Candidates = Callable[[Versions], Iterable[Version]]

RESULT_PARAMETERS = frozenset({"_count", "_sort", "_elements", "_summary", "_total", "_format"})
_JSON_FORMATS = frozenset({"json", "application/json", "application/fhir+json"})
_COMMA, _BAR = re.compile(r"(?<!\\),"), re.compile(r"(?<!\\)\|")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How the answer is cut: *elements* that stay (None: all), *summary* of R4 alone, *count_only*."""

    count: int | None
    sort: tuple[tuple[str, bool], ...]
    elements: frozenset[str] | None
    summary: bool
    count_only: bool
    total: bool


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A search as understood: where to look, who matches, and the shape of the answer."""

    resource_type: str
    matchers: tuple[Matcher, ...]
    candidates: Candidates
    shape: Shape


def read_search(resource_type: str, pairs: Pairs) -> Search:
    """Understand *pairs*; Refusal 400 for anything that this server does not do."""
    filters = [(name, value) for name, value in pairs if name not in RESULT_PARAMETERS]
    table = parameters(known(resource_type))
    _check_known(filters, table)
    _check_bounds([value for name, value in filters if name == "_lastUpdated"])
    return Search(
        resource_type=resource_type,
        matchers=tuple(_matcher(name, value, table.get(name)) for name, value in filters),
        candidates=_candidates(resource_type, filters, table),
        shape=_shape([(name, value) for name, value in pairs if name in RESULT_PARAMETERS]),
    )


def matches(search: Search, versions: Versions) -> list[Version]:
    """The resources that match, sorted; by id where nothing else is asked, so that paging is stable."""
    found = [
        version
        for version in search.candidates(versions)
        if all(matcher(version) for matcher in search.matchers)
    ]
    found.sort(key=lambda version: version.id)
    for name, descending in reversed(search.shape.sort):
        found.sort(key=_SORT_KEYS[name], reverse=descending)
    return found


_SORT_KEYS: Mapping[str, Callable[[Version], Any]] = {
    "_id": lambda version: version.id,
    "_lastUpdated": lambda version: version.updated,
}


def _check_known(filters: Pairs, table: Mapping[str, Parameter]) -> None:
    for name, value in filters:
        if name not in table and name not in {"_id", "_lastUpdated"}:
            raise Refusal(400, "not-supported", f"unknown search parameter, modifier or chain: {_word(name)}")
        if not value:
            raise Refusal(400, "invalid", f"{name} has no value")


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.:-]", "?", name)[:40]


def _check_bounds(values: Sequence[str]) -> None:
    """HAPI 8.8.0 takes one lower and one upper bound, no more, and no comma (hapi.md row 1)."""
    sides = Counter(
        {"ge": "low", "gt": "low", "le": "high", "lt": "high"}.get(one[:2], "eq") for one in values
    )
    if max(sides.values(), default=0) > 1 or (sides["eq"] and len(values) > 1):
        raise Refusal(400, "invalid", "_lastUpdated takes one lower and one upper bound")
    if any("," in value for value in values):
        raise Refusal(400, "invalid", "_lastUpdated takes no comma")


def _shape(pairs: Pairs) -> Shape:
    results = dict(pairs)
    if len(results) < len(pairs):
        raise Refusal(400, "invalid", "a parameter of the result is given twice")
    summary = _choice(results, "_summary", ("false", "true", "count"))
    count = _count(results.get("_count"))
    if results.get("_format", "json") not in _JSON_FORMATS:
        raise Refusal(406, "not-supported", "this server writes JSON")
    return Shape(
        count=count,
        sort=_sort(results.get("_sort")),
        elements=_elements(results.get("_elements")),
        summary=summary == "true",
        count_only=summary == "count" or count == 0,
        total=_choice(results, "_total", ("none", "estimate", "accurate")) != "none",
    )


def _count(text: str | None) -> int | None:
    if text is not None and not re.fullmatch(r"[0-9]{1,9}", text):
        raise Refusal(400, "invalid", "_count must be a number")
    return None if text is None else int(text)


def _sort(text: str | None) -> tuple[tuple[str, bool], ...]:
    if text is None:
        return ()
    keys = tuple((name.removeprefix("-"), name.startswith("-")) for name in text.split(","))
    if any(name not in _SORT_KEYS for name, _ in keys):
        raise Refusal(400, "not-supported", "_sort takes _id and _lastUpdated")
    return keys


def _elements(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    if not re.fullmatch(r"[A-Za-z]+(,[A-Za-z]+)*", text):
        raise Refusal(400, "not-supported", "_elements takes names of top-level elements")
    return frozenset(text.split(","))


def _choice(results: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """The value of *name*, else the first of *choices*."""
    value = results.get(name, choices[0])
    if value not in choices:
        raise Refusal(400, "not-supported", f"{name} takes {', '.join(choices)}")
    return value


def _candidates(resource_type: str, filters: Pairs, table: Mapping[str, Parameter]) -> Candidates:
    """Where to look: by id, by reference, else everything of the type."""
    for name, value in filters:
        if name == "_id":
            ids = dict.fromkeys(_alternatives(value))
            return lambda versions: _by_id(versions, resource_type, ids)
    for name, value in filters:
        if name in table and table[name].kind == "reference":
            targets = dict.fromkeys(_targets(name, value))
            return lambda versions: _by_reference(versions, resource_type, targets)
    return lambda versions: versions.current(resource_type).values()


def _by_id(versions: Versions, resource_type: str, ids: Iterable[str]) -> Iterator[Version]:
    current = versions.current(resource_type)
    return (current[id_] for id_ in ids if id_ in current)


def _by_reference(versions: Versions, resource_type: str, targets: Iterable[str]) -> Iterable[Version]:
    found = {one.id: one for target in targets for one in versions.referrers(target, resource_type)}
    return found.values()


def _matcher(name: str, value: str, parameter: Parameter | None) -> Matcher:
    if name == "_id":
        ids = frozenset(_alternatives(value))
        return lambda version: version.id in ids
    if parameter is None:
        return _dated(value)
    if parameter.kind == "reference":
        targets = frozenset(Fact(name, "", target) for target in _targets(name, value))
        return lambda version: not targets.isdisjoint(version.facts)
    return _token_matcher(name, [_token(parameter.element, text) for text in _split(_COMMA, value)])


def _token_matcher(name: str, tokens: Sequence[tuple[str | None, str | None]]) -> Matcher:
    exact = frozenset(Fact(name, system, code) for system, code in tokens if system is not None and code)
    loose = [token for token in tokens if token[0] is None or not token[1]]

    def fits(version: Version) -> bool:
        if not exact.isdisjoint(version.facts):
            return True
        return any(fact.parameter == name and _same(token, fact) for token in loose for fact in version.facts)

    return fits


def _same(token: tuple[str | None, str | None], fact: Fact) -> bool:
    system, code = token
    return (system is None or system == fact.system) and (code is None or code == fact.code)


def _token(element: str, text: str) -> tuple[str | None, str | None]:
    """System and code wanted; None matches any, the empty system means a code without one."""
    parts = _split(_BAR, text)
    if len(parts) > 2 or not any(parts):
        raise Refusal(400, "invalid", "a token is code, system|code, |code or system|")
    if len(parts) == 1:
        return None, _unescaped(parts[0])
    if element == "status":
        # The element is a plain code: its system is known to R4, not written in the resource.
        raise Refusal(400, "not-supported", "status takes codes without system")
    return _unescaped(parts[0]), _unescaped(parts[1]) or None


def _targets(name: str, value: str) -> Iterator[str]:
    for text in _alternatives(value):
        if RELATIVE.fullmatch(text):
            yield text
        elif name == "patient" and ID.fullmatch(text):
            yield f"Patient/{text}"
        else:
            raise Refusal(400, "not-supported", f"{name} takes references such as Patient/a")


def _alternatives(value: str) -> list[str]:
    return [_unescaped(text) for text in _split(_COMMA, value)]


def _split(mark: re.Pattern[str], text: str) -> list[str]:
    """*text* cut at each *mark* without a backslash (https://hl7.org/fhir/R4/search.html#escaping)."""
    return mark.split(text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([,|$\\])", r"\1", text)


def _dated(text: str) -> Matcher:
    match = re.fullmatch(r"(ge|gt|le|lt|eq)?(\d{4}.*)", text)
    if match is None:
        raise Refusal(400, "invalid", "_lastUpdated takes eq, ge, gt, le or lt and a date")
    first, after = bounds(match[2])
    tests: dict[str, Matcher] = {
        "ge": lambda version: version.updated >= first,
        "gt": lambda version: version.updated >= after,
        "le": lambda version: version.updated < after,
        "lt": lambda version: version.updated < first,
        "eq": lambda version: first <= version.updated < after,
    }
    return tests[match[1] or "eq"]
