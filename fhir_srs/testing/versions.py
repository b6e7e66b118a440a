"""All versions of all resources of the test server, in memory: what a write does, and to what.

One `Versions` is one server, for one thread. Its methods raise `Refusal` with the HTTP status that HAPI
FHIR 8.8.0 gives (spec/hapi.md part 2); a group of writes is all or nothing through `together`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from fhir_srs.testing.parameters import ID, Fact, facts
from fhir_srs.testing.references import references, unversioned

Json = dict[str, Any]
Key = tuple[str, str]

_TYPE_NAMES = (
    "AdverseEvent BodyStructure CodeSystem Condition Consent Device DiagnosticReport Encounter Group"
    " ImagingStudy Location Medication MedicationAdministration MedicationDispense MedicationRequest"
    " MedicationStatement Observation Organization Patient Practitioner Procedure Provenance"
    " QuestionnaireResponse ResearchStudy ServiceRequest StructureDefinition ValueSet"
)
TYPES = frozenset(_TYPE_NAMES.split())
RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})")
_IF_MATCH = re.compile(r'(?:W/)?"?([A-Za-z0-9\-.]{1,64})"?')
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Refusal(Exception):
    """An answer other than success: HTTP status, OperationOutcome code, and a text without data."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one resource; *raw* is its JSON, empty where it was deleted.

    *created*: nothing was there before it. *facts* are what searches look at, *targets* its references.
    """

    type: str
    id: str
    number: int
    updated: datetime
    raw: bytes
    created: bool
    facts: frozenset[Fact] = frozenset()
    targets: frozenset[str] = frozenset()

    @property
    def live(self) -> bool:
        """Whether this is not a deletion."""
        return bool(self.raw)

    @property
    def etag(self) -> str:
        """The weak ETag of this version."""
        return f'W/"{self.number}"'

    @property
    def address(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.id}"

    @property
    def location(self) -> str:
        """`Type/id/_history/n`."""
        return f"{self.address}/_history/{self.number}"


class Written(NamedTuple):
    """What a write came to; *created* is false for an unchanged resource too."""

    version: Version
    created: bool


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
        self._counter = 1000
        self._now: datetime | None = None

    def read(self, resource_type: str, id_: str) -> Version:
        """The current version; 404 if there never was one, 410 if it is deleted."""
        history = self._history.get((known(resource_type), id_))
        if history is None:
            raise Refusal(404, "not-found", f"{resource_type}: no such resource")
        return _undeleted(history[-1])

    def read_version(self, resource_type: str, id_: str, number: str) -> Version:
        """One version; 404 if there is none of that number, 410 if it is a deletion."""
        for version in self._history.get((known(resource_type), id_), []):
            if str(version.number) == number:
                return _undeleted(version)
        raise Refusal(404, "not-found", f"{resource_type}: no such version")

    def current(self, resource_type: str) -> dict[str, Version]:
        """All live resources of one type, by id."""
        return self._current[known(resource_type)]

    def referrers(self, target: str, resource_type: str) -> Iterator[Version]:
        """The live resources of *resource_type* that refer to *target* anywhere."""
        for kind, id_ in self._referrers.get(target, ()):
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
        with self.together():
            return self._store(typed(resource_type, body), id_ or self.reserve(resource_type))

    def update(self, resource_type: str, id_: str, body: Json, if_match: str | None = None) -> Written:
        """Store *body* as the next version of *id_*; an unchanged body makes no version.

        A stale *if_match* is 409. On a missing id it is ignored and the resource created, as HAPI does.
        """
        typed(resource_type, body)
        if body.get("id") != id_:
            raise Refusal(400, "invalid", "the id of the body is not that of the address")
        history = self._history.get((resource_type, id_))
        before = history[-1] if history else None
        if before is None:
            _check_new_id(id_)
        elif if_match is not None and _matched(if_match) != str(before.number):
            raise Refusal(409, "conflict", "If-Match does not name the current version")
        with self.together():
            version = self._store(body, id_)
        return Written(version, version.created and version is not before)

    def delete(self, resource_type: str, id_: str) -> Version | None:
        """Delete; 409 while another live resource refers to it; what is not there stays so, None."""
        history = self._history.get((known(resource_type), id_))
        if history is None or not history[-1].live:
            return history[-1] if history else None
        with self.together():
            return self._append(
                Version(
                    type=resource_type,
                    id=id_,
                    number=history[-1].number + 1,
                    updated=self._moment(),
                    raw=b"",
                    created=False,
                )
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes of the block, at one moment, or none; references are checked at its end."""
        if self._now is not None:
            yield
            return
        self._now, mark = self._clock(), len(self._log)
        try:
            yield
            self._check(self._log[mark:])
        except BaseException:
            self._roll_back(mark)
            raise
        finally:
            self._now = None

    def _store(self, body: Json, id_: str) -> Version:
        history = self._history.get((body["resourceType"], id_), [])
        live = history[-1] if history and history[-1].live else None
        old = decode(live.raw) if live else None
        body = _settled(body, id_, old)
        if live is not None and _content(old) == _content(body):
            return live
        number, moment = (history[-1].number + 1 if history else 1), self._moment()
        body["meta"] |= {"versionId": str(number), "lastUpdated": stamp(moment)}
        return self._append(_version(body, number, moment, created=live is None))

    def _moment(self) -> datetime:
        moment = (self._now or self._clock()).astimezone(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def _append(self, version: Version) -> Version:
        key = (version.type, version.id)
        self._unindex(key)
        self._history.setdefault(key, []).append(version)
        self._log.append(version)
        self._index(version)
        return version

    def _roll_back(self, mark: int) -> None:
        while len(self._log) > mark:
            version = self._log.pop()
            key = (version.type, version.id)
            self._unindex(key)
            self._history[key].pop()
            if self._history[key]:
                self._index(self._history[key][-1])
            else:
                del self._history[key]

    def _index(self, version: Version) -> None:
        if version.live:
            self._current[version.type][version.id] = version
            for target in version.targets:
                self._referrers[target].add((version.type, version.id))

    def _unindex(self, key: Key) -> None:
        version = self._current[key[0]].pop(key[1], None)
        for target in version.targets if version else ():
            self._referrers[target].discard(key)

    def _check(self, versions: list[Version]) -> None:
        for version in versions:
            if version.live:
                self._check_targets(version)
            else:
                self._check_unreferenced(version)

    def _check_unreferenced(self, version: Version) -> None:
        again = version.id in self._current[version.type]
        if not again and self._referrers.get(version.address, set()) - {(version.type, version.id)}:
            raise Refusal(409, "conflict", "another resource refers to it")

    def _check_targets(self, version: Version) -> None:
        for target in version.targets:
            match = RELATIVE.fullmatch(target)
            if match is None or match[1] not in TYPES:
                raise Refusal(400, "processing", "a reference is neither relative nor contained")
            # What is being created cannot be referred to yet, not even by itself.
            if match[2] not in self._current[match[1]] or (version.created and target == version.address):
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


def _version(body: Json, number: int, moment: datetime, *, created: bool) -> Version:
    return Version(
        type=body["resourceType"],
        id=body["id"],
        number=number,
        updated=moment,
        raw=encode(body),
        created=created,
        facts=facts(body),
        targets=frozenset(references(body)),
    )


def _undeleted(version: Version) -> Version:
    if not version.live:
        raise Refusal(410, "deleted", f"{version.type}: the resource is deleted")
    return version


def _matched(if_match: str) -> str:
    match = _IF_MATCH.fullmatch(if_match.strip())
    if match is None:
        raise Refusal(400, "invalid", "If-Match names no version")
    return match[1]


def _check_new_id(id_: str) -> None:
    if not ID.fullmatch(id_):
        raise Refusal(400, "invalid", "the id is not a FHIR id")
    if id_.isdigit():
        raise Refusal(400, "processing", "clients may not make purely numeric ids")


def _settled(body: Json, id_: str, old: Json | None) -> Json:
    """*body* with its id, unversioned references, and tags and security labels merged with the *old* ones."""
    body = unversioned(body)
    meta, before = _own_meta(body), _own_meta(old or {})
    for name in ("tag", "security"):
        labels: list[Json] = []
        for label in (*before.get(name, []), *meta.get(name, [])):
            if label not in labels:
                labels.append(label)
        if labels:
            meta[name] = labels
    first = {"resourceType": body["resourceType"], "id": id_, "meta": meta}
    return first | {name: value for name, value in body.items() if name not in first}


def _own_meta(body: Json) -> Json:
    """The meta of *body* without what the server says."""
    return {
        name: value
        for name, value in body.get("meta", {}).items()
        if name not in {"versionId", "lastUpdated"}
    }


def _content(body: Json | None) -> bytes:
    """What must differ for a new version to be made: all but version and time, keys in any order."""
    body = body or {}
    return msgspec.json.encode(body | {"meta": _own_meta(body)}, order="sorted")
