"""Searches of the test server: parameters it knows, and 400 for every other.

Kinds: token (`system|code`), reference, and `_lastUpdated` with a prefix
(https://hl7.org/fhir/R4/search.html). Values joined by a comma are alternatives. No modifier, no chain.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fhir_srs.testing.versions import Json, Refusal, Version, Versions

Pairs = Sequence[tuple[str, str]]
Matcher = Callable[[Version], bool]

RESULT_PARAMETERS = frozenset({"_count", "_sort", "_elements", "_summary", "_total", "_format"})
_REFERENCE = {
    "patient": {
        "AdverseEvent": "subject",
        "BodyStructure": "patient",
        "Condition": "subject",
        "DiagnosticReport": "subject",
        "Encounter": "subject",
        "ImagingStudy": "subject",
        "MedicationAdministration": "subject",
        "MedicationDispense": "subject",
        "MedicationRequest": "subject",
        "MedicationStatement": "subject",
        "Observation": "subject",
        "Procedure": "subject",
        "QuestionnaireResponse": "subject",
        "ServiceRequest": "subject",
    },
    "part-of": {"Observation": "partOf", "Procedure": "partOf"},
    "focus": {"Observation": "focus"},
    "derived-from": {"Observation": "derivedFrom"},
    "has-member": {"Observation": "hasMember"},
    "target": {"Provenance": "target"},
}
_REFERENCE["subject"] = {name: path for name, path in _REFERENCE["patient"].items() if path == "subject"}
_TOKEN = {
    "code": dict.fromkeys(
        (
            "Condition",
            "DiagnosticReport",
            "Group",
            "Medication",
            "Observation",
            "Procedure",
            "ServiceRequest",
        ),
        "code",
    )
    | dict.fromkeys(
        ("MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement"),
        "medicationCodeableConcept",
    ),
    "category": dict.fromkeys(
        ("Condition", "DiagnosticReport", "MedicationRequest", "Observation", "Procedure", "ServiceRequest"),
        "category",
    ),
    "status": dict.fromkeys(
        (
            "DiagnosticReport",
            "ImagingStudy",
            "MedicationAdministration",
            "MedicationDispense",
            "MedicationRequest",
            "MedicationStatement",
            "Observation",
            "Procedure",
            "ServiceRequest",
        ),
        "status",
    ),
}
_NO_IDENTIFIER = frozenset({"Provenance"})


def parameters(resource_type: str) -> dict[str, str]:
    """The search parameters of *resource_type* with their kinds: what the CapabilityStatement says."""
    found = {"_id": "token", "_lastUpdated": "date"}
    if resource_type not in _NO_IDENTIFIER:
        found["identifier"] = "token"
    found |= {name: "token" for name, types in _TOKEN.items() if resource_type in types}
    return found | {name: "reference" for name, types in _REFERENCE.items() if resource_type in types}


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A search as understood: who matches, how the answer is cut and sorted."""

    resource_type: str
    matchers: tuple[Matcher, ...]
    candidates: Callable[[Versions], Iterable[Version]]
    count: int | None
    sort: tuple[tuple[str, bool], ...]
    elements: frozenset[str] | None
    count_only: bool
    total: bool


def read_search(resource_type: str, pairs: Pairs) -> Search:
    """Understand *pairs*; Refusal 400 for anything that this server does not do."""
    filters = [(name, value) for name, value in pairs if name not in RESULT_PARAMETERS]
    kinds = parameters(resource_type)
    _check_known(filters, kinds)
    _check_bounds([value for name, value in filters if name == "_lastUpdated"])
    results = {name: value for name, value in pairs if name in RESULT_PARAMETERS}
    return Search(
        resource_type=resource_type,
        matchers=tuple(_matcher(resource_type, name, value, kinds[name]) for name, value in filters),
        candidates=_candidates(resource_type, filters, kinds),
        count=_count(results.get("_count")),
        sort=_sort(results.get("_sort")),
        elements=frozenset(results["_elements"].split(",")) if "_elements" in results else None,
        count_only=_choice(results, "_summary", {"count": True, "false": False}),
        total=_choice(results, "_total", {"accurate": True, "none": False, "estimate": True}),
    )


def matches(search: Search, versions: Versions) -> list[Version]:
    """The resources that match, sorted; by id where nothing else is asked, so that paging is stable."""
    found = [
        version
        for version in search.candidates(versions)
        if all(matcher(version) for matcher in search.matchers)
    ]
    found.sort(key=lambda version: version.id)
    for name, descending in reversed(search.sort):
        found.sort(key=_SORT_KEYS[name], reverse=descending)
    return found


def only(elements: frozenset[str], body: Json) -> Json:
    """*body* cut to *elements*, tagged SUBSETTED (https://hl7.org/fhir/R4/search.html#elements)."""
    kept = {name: value for name, value in body.items() if name in elements | {"resourceType", "id"}}
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    meta = body["meta"]
    return kept | {"meta": meta | {"tag": [*meta.get("tag", []), tag]}}


_SORT_KEYS: Mapping[str, Callable[[Version], Any]] = {
    "_id": lambda version: version.id,
    "_lastUpdated": lambda version: version.updated,
}


def _check_known(filters: Pairs, kinds: Mapping[str, str]) -> None:
    for name, value in filters:
        if name not in kinds:
            raise Refusal(400, "not-supported", f"unknown search parameter, modifier or chain: {_word(name)}")
        if not value:
            raise Refusal(400, "invalid", f"{name} has no value")


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.:-]", "?", name)[:40]


def _check_bounds(values: Sequence[str]) -> None:
    """HAPI 8.8.0 takes one lower and one upper bound, no more, and no comma (hapi.md row 1)."""
    lower = [value for value in values if value[:2] in {"ge", "gt"}]
    upper = [value for value in values if value[:2] in {"le", "lt"}]
    equal = len(values) - len(lower) - len(upper)
    if max(len(lower), len(upper), equal) > 1 or (equal and len(values) > 1):
        raise Refusal(400, "invalid", "_lastUpdated takes one lower and one upper bound")
    if any("," in value for value in values):
        raise Refusal(400, "invalid", "_lastUpdated takes no comma")


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or int(text) == 0:
        raise Refusal(400, "invalid", "_count must be a positive number")
    return int(text)


def _sort(text: str | None) -> tuple[tuple[str, bool], ...]:
    keys = [(name.removeprefix("-"), name.startswith("-")) for name in (text or "").split(",") if name]
    if any(name not in _SORT_KEYS for name, _ in keys):
        raise Refusal(400, "not-supported", "_sort takes _id and _lastUpdated")
    return tuple(keys)


def _choice(results: Mapping[str, str], name: str, choices: Mapping[str, bool]) -> bool:
    if name not in results:
        return False
    if results[name] not in choices:
        raise Refusal(400, "not-supported", f"{name} takes {', '.join(choices)}")
    return choices[results[name]]


def _candidates(
    resource_type: str, filters: Pairs, kinds: Mapping[str, str]
) -> Callable[[Versions], Iterable[Version]]:
    """Where to look: by id, by reference, else everything of the type."""
    for name, value in filters:
        if name == "_id":
            ids = value.split(",")
            return lambda versions: _by_id(versions, resource_type, ids)
    for name, value in filters:
        if kinds[name] == "reference":
            targets = list(dict.fromkeys(_targets(name, value)))
            return lambda versions: _by_reference(versions, resource_type, targets)
    return lambda versions: list(versions.current(resource_type).values())


def _by_id(versions: Versions, resource_type: str, ids: Sequence[str]) -> Iterator[Version]:
    current = versions.current(resource_type)
    return (current[id_] for id_ in dict.fromkeys(ids) if id_ in current)


def _by_reference(versions: Versions, resource_type: str, targets: Sequence[str]) -> list[Version]:
    found = {
        version.id: version for target in targets for version in versions.referrers(target, resource_type)
    }
    return list(found.values())


def _matcher(resource_type: str, name: str, value: str, kind: str) -> Matcher:
    if name == "_id":
        ids = frozenset(value.split(","))
        return lambda version: version.id in ids
    if kind == "date":
        return _dated(value)
    if kind == "reference":
        path, targets = _REFERENCE[name][resource_type], frozenset(_targets(name, value))
        return lambda version: not targets.isdisjoint(_referred(version.body, path))
    tokens = [_token(text) for text in value.split(",")]
    path = "identifier" if name == "identifier" else _TOKEN[name][resource_type]
    return lambda version: any(_same(token, one) for one in _tokens(version.body, path) for token in tokens)


def _targets(name: str, value: str) -> Iterator[str]:
    for text in value.split(","):
        if re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}", text):
            yield text
        elif name == "patient" and re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", text):
            yield f"Patient/{text}"
        else:
            raise Refusal(400, "invalid", f"{name} takes references such as Patient/a")


def _referred(body: Json | None, path: str) -> Iterator[str]:
    value = (body or {}).get(path, [])
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one.get("reference"), str):
            yield one["reference"]


def _token(text: str) -> tuple[str | None, str | None]:
    """System and code wanted; None matches any, the empty system means a code without one."""
    system, bar, code = text.partition("|")
    return (system, code or None) if bar else (None, text)


def _same(token: tuple[str | None, str | None], one: tuple[str, str]) -> bool:
    return all(wanted is None or wanted == found for wanted, found in zip(token, one, strict=True))


def _tokens(body: Json | None, path: str) -> Iterator[tuple[str, str]]:
    """System and code of everything coded at *path*: codes, concepts, identifiers."""
    value = (body or {}).get(path, [])
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield "", one
        elif path == "identifier":
            yield one.get("system", ""), one.get("value", "")
        else:
            yield from (
                (coding.get("system", ""), coding.get("code", "")) for coding in one.get("coding", [])
            )


def _dated(text: str) -> Matcher:
    match = re.fullmatch(r"(ge|gt|le|lt|eq)?(\d{4}.*)", text)
    if match is None:
        raise Refusal(400, "invalid", "_lastUpdated takes eq, ge, gt, le or lt and a date")
    first, after = _bounds(match[2])
    tests: dict[str, Matcher] = {
        "ge": lambda version: version.updated >= first,
        "gt": lambda version: version.updated >= after,
        "le": lambda version: version.updated < after,
        "lt": lambda version: version.updated < first,
        "eq": lambda version: first <= version.updated < after,
    }
    return tests[match[1] or "eq"]


def _bounds(text: str) -> tuple[datetime, datetime]:
    """The first moment that *text* stands for, and the first after it."""
    try:
        return _moments(text)
    except (ValueError, OverflowError):
        raise Refusal(400, "invalid", "not a FHIR date") from None


def _moments(text: str) -> tuple[datetime, datetime]:
    match = re.fullmatch(
        r"(\d{4})(?:-(\d\d)(?:-(\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?", text
    )
    if match is None:
        raise ValueError
    year, month, day, clock, seconds, fraction, _ = match.groups()
    if clock is None:
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        return start, _after(start, month, day)
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    width = timedelta(milliseconds=1) if fraction else timedelta(seconds=1 if seconds else 60)
    return moment, moment + width


def _after(start: datetime, month: str | None, day: str | None) -> datetime:
    if day:
        return start + timedelta(days=1)
    if month:
        return (start + timedelta(days=31)).replace(day=1)
    return start.replace(year=start.year + 1)


def since(text: str | None) -> datetime | None:
    """The lower bound of a `_since`, inclusive."""
    return None if text is None else _bounds(text)[0]
