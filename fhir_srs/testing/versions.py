"""All versions of all resources of the test server, in memory: what a write does, and to what.

One `Versions` is one server. Its methods raise `Refusal` with the HTTP status that HAPI FHIR 8.8.0 gives
(spec/hapi.md part 2); a group of writes is all or nothing through `together`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

Json = dict[str, Any]
Key = tuple[str, str]

TYPES = frozenset(
    [
        "AdverseEvent",
        "BodyStructure",
        "CodeSystem",
        "Condition",
        "Consent",
        "Device",
        "DiagnosticReport",
        "Encounter",
        "Group",
        "ImagingStudy",
        "Location",
        "Medication",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Organization",
        "Patient",
        "Practitioner",
        "Procedure",
        "Provenance",
        "QuestionnaireResponse",
        "ResearchStudy",
        "ServiceRequest",
        "StructureDefinition",
        "ValueSet",
    ]
)
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(/_history/[A-Za-z0-9\-.]{1,64})?")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Refusal(Exception):
    """An answer other than success: HTTP status, OperationOutcome code, and a text without data."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one resource; *body* is None where it was deleted. *raw* is the body as sent."""

    type: str
    id: str
    number: int
    updated: datetime
    body: Json | None
    raw: bytes
    created: bool

    @property
    def etag(self) -> str:
        """The weak ETag of this version."""
        return f'W/"{self.number}"'

    @property
    def stamp(self) -> str:
        """Its lastUpdated, to the millisecond, in UTC."""
        return stamp(self.updated)


def stamp(moment: datetime) -> str:
    """*moment* as a FHIR instant in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def decode(text: bytes) -> Json:
    """Read a JSON object, decimals with their own digits; Refusal 400 for anything else."""
    try:
        body = _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, "structure", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refusal(400, "structure", "the body is not a JSON object")
    return body


def encode(value: object) -> bytes:
    """*value* as JSON; decimals are written as they were read."""
    return _ENCODER.encode(value)


class Versions:
    """The resources of one server; *clock* gives the time of each write."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._history: dict[Key, list[Version]] = {}
        self._current: defaultdict[str, dict[str, Version]] = defaultdict(dict)
        self._referrers: defaultdict[str, set[Key]] = defaultdict(set)
        self._log: list[Version] = []
        self._counter = 0
        self._now: datetime | None = None
        self._undo: list[tuple[Key, int]] | None = None

    def read(self, resource_type: str, id_: str) -> Version:
        """The current version; 404 if there never was one, 410 if it is deleted."""
        history = self._history.get((known(resource_type), id_))
        if history is None:
            raise Refusal(404, "not-found", f"{resource_type}: no such resource")
        if history[-1].body is None:
            raise Refusal(410, "deleted", f"{resource_type}: the resource is deleted")
        return history[-1]

    def read_version(self, resource_type: str, id_: str, number: str) -> Version:
        """One version; 404 if there is none of that number, 410 if it is a deletion."""
        for version in self._history.get((known(resource_type), id_), []):
            if str(version.number) == number:
                if version.body is None:
                    raise Refusal(410, "deleted", f"{resource_type}: this version is a deletion")
                return version
        raise Refusal(404, "not-found", f"{resource_type}: no such version")

    def current(self, resource_type: str) -> dict[str, Version]:
        """All live resources of one type, by id."""
        return self._current[known(resource_type)]

    def referrers(self, reference: str, resource_type: str) -> Iterator[Version]:
        """The live resources of *resource_type* that refer to *reference* anywhere."""
        for kind, id_ in self._referrers.get(reference, ()):
            if kind == resource_type:
                yield self._current[kind][id_]

    def history(self, resource_type: str | None = None, id_: str | None = None) -> list[Version]:
        """Versions newest first: of one resource, of a type, or of all."""
        if resource_type is None:
            return self._log[::-1]
        if id_ is None:
            return [version for version in reversed(self._log) if version.type == known(resource_type)]
        if (known(resource_type), id_) not in self._history:
            raise Refusal(404, "not-found", f"{resource_type}: no such resource")
        return self._history[resource_type, id_][::-1]

    def reserve(self, resource_type: str) -> str:
        """A new id that nobody has yet."""
        self._counter += 1
        while (known(resource_type), str(self._counter)) in self._history:
            self._counter += 1
        return str(self._counter)

    def create(self, resource_type: str, body: Json, id_: str | None = None) -> Version:
        """Store *body* under an id of ours: *id_*, if it was reserved."""
        return self._store(typed(resource_type, body), id_ or self.reserve(resource_type))

    def update(self, resource_type: str, id_: str, body: Json, if_match: str | None = None) -> Version:
        """Store *body* as the next version of *id_*; an unchanged body makes no version.

        A stale *if_match* is 409. On a missing id it is ignored and the resource created, as HAPI does.
        """
        typed(resource_type, body)
        if body.get("id") != id_:
            raise Refusal(400, "invalid", "the id of the body is not that of the address")
        history = self._history.get((resource_type, id_), [])
        if not history:
            _check_new_id(id_)
        if history and if_match is not None and if_match != history[-1].etag:
            raise Refusal(409, "conflict", "If-Match does not name the current version")
        return self._store(body, id_)

    def delete(self, resource_type: str, id_: str) -> Version:
        """Delete; 409 while another live resource refers to it."""
        current = self.read(resource_type, id_)
        version = Version(
            type=resource_type,
            id=id_,
            number=current.number + 1,
            updated=self._moment(),
            body=None,
            raw=b"",
            created=False,
        )
        self._append(version)
        if self._undo is None:
            self._settle([version])
        return version

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes of the block, at one moment, or none; references are checked at its end."""
        self._undo, self._now = [], self._clock()
        mark = len(self._log)
        try:
            yield
            self._check(self._log[mark:])
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._undo = self._now = None

    def _store(self, body: Json, id_: str) -> Version:
        key = (body["resourceType"], id_)
        history = self._history.get(key, [])
        live = history[-1] if history and history[-1].body is not None else None
        body = _settled(body, id_, live)
        if live is not None and _content(live.body) == _content(body):
            return live
        number, moment = (history[-1].number + 1 if history else 1), self._moment()
        body["meta"] |= {"versionId": str(number), "lastUpdated": stamp(moment)}
        version = Version(
            type=key[0],
            id=id_,
            number=number,
            updated=moment,
            body=body,
            raw=encode(body),
            created=live is None,
        )
        self._append(version)
        if self._undo is None:
            self._settle([version])
        return version

    def _settle(self, versions: list[Version]) -> None:
        """Check a single write; take it back if it breaks a reference."""
        self._undo = [((version.type, version.id), 1) for version in versions]
        try:
            self._check(versions)
        except Refusal:
            self._roll_back()
            raise
        finally:
            self._undo = None

    def _moment(self) -> datetime:
        moment = self._now or self._clock()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def _append(self, version: Version) -> None:
        key = (version.type, version.id)
        self._unindex(key)
        self._history.setdefault(key, []).append(version)
        self._log.append(version)
        self._index(key)
        if self._undo is not None:
            self._undo.append((key, 1))

    def _roll_back(self) -> None:
        for key, _ in reversed(self._undo or []):
            self._unindex(key)
            self._history[key].pop()
            self._log.pop()
            if self._history[key]:
                self._index(key)
            else:
                del self._history[key]

    def _index(self, key: Key) -> None:
        version = self._history[key][-1]
        if version.body is not None:
            self._current[key[0]][key[1]] = version
            for reference in references(version.body):
                self._referrers[reference].add(key)

    def _unindex(self, key: Key) -> None:
        version = self._current[key[0]].pop(key[1], None)
        if version is not None and version.body is not None:
            for reference in references(version.body):
                self._referrers[reference].discard(key)

    def _check(self, versions: list[Version]) -> None:
        for version in versions:
            if version.body is None:
                self._check_unreferenced(version)
            else:
                self._check_targets(version.body)

    def _check_unreferenced(self, version: Version) -> None:
        if self._referrers.get(f"{version.type}/{version.id}", set()) - {(version.type, version.id)}:
            raise Refusal(409, "conflict", "another resource refers to it")

    def _check_targets(self, body: Json) -> None:
        for reference in references(body):
            match = RELATIVE.fullmatch(reference)
            if match is None or match[1] not in TYPES:
                raise Refusal(400, "processing", "a reference is neither relative nor contained")
            if match[2] not in self._current[match[1]]:
                raise Refusal(400, "processing", f"a reference to a {match[1]} leads nowhere")


def known(resource_type: str) -> str:
    """*resource_type* if this server has it, else 404."""
    if resource_type not in TYPES:
        raise Refusal(404, "not-supported", "this server does not have that resource type")
    return resource_type


def typed(resource_type: str, body: Json) -> Json:
    """*body* if it is a resource of that type, else 400."""
    if body.get("resourceType") != known(resource_type):
        raise Refusal(400, "invalid", "the resourceType of the body is not that of the address")
    return body


def references(node: object) -> Iterator[str]:
    """Every literal reference in *node* outside extensions and contained resources; `#x` is left out."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "reference" and isinstance(value, str):
                if not value.startswith("#"):
                    yield value
            elif name not in {"extension", "modifierExtension", "contained"}:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def unversioned(node: Any) -> Any:
    """*node* with `/_history/n` taken off its references: what HAPI does by default."""
    if isinstance(node, dict):
        return {name: _reference(name, value) for name, value in node.items()}
    if isinstance(node, list):
        return [unversioned(value) for value in node]
    return node


def _reference(name: str, value: Any) -> Any:
    if name == "reference" and isinstance(value, str):
        return re.sub(r"/_history/[^/]*$", "", value)
    return unversioned(value)


def _check_new_id(id_: str) -> None:
    if not ID.fullmatch(id_):
        raise Refusal(400, "invalid", "the id is not a FHIR id")
    if id_.isdigit():
        raise Refusal(400, "processing", "clients may not make purely numeric ids")


def _settled(body: Json, id_: str, live: Version | None) -> Json:
    """*body* with its id, unversioned references, and tags and security labels merged with the old ones."""
    body = unversioned(body) | {"id": id_}
    meta = {
        key: value for key, value in body.get("meta", {}).items() if key not in {"versionId", "lastUpdated"}
    }
    old = (live.body or {}).get("meta", {}) if live else {}
    for name in ("tag", "security"):
        labels = [*old.get(name, []), *(one for one in meta.get(name, []) if one not in old.get(name, []))]
        if labels:
            meta[name] = labels
    return {"resourceType": body["resourceType"], "id": id_} | body | {"meta": meta}


def _content(body: Json | None) -> bytes:
    """What must differ for a new version to be made: all but version and time, keys in any order."""
    body = body or {}
    meta = {
        key: value for key, value in body.get("meta", {}).items() if key not in {"versionId", "lastUpdated"}
    }
    return msgspec.json.encode(body | {"meta": meta}, order="sorted", enc_hook=str)
