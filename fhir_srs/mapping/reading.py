"""One resource at a time, from bytes, text, dict or a fhir.resources model: decoded, or why not.

The fast path is one decode by resourceType. Only what fails takes the careful path, which drops the
element that is not what FHIR says and keeps the rest (`decisions.md` 20). Messages of the decoder are
never passed on: they could hold a value.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from fhir_srs import r4

BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Readable: TypeAlias = r4.Known | r4.Bundle
_DECODER: msgspec.json.Decoder[_Readable] = msgspec.json.Decoder(_Readable)
_Glanced: TypeAlias = (
    r4.RawObservation
    | r4.Patient
    | r4.Procedure
    | r4.BodyStructure
    | r4.Condition
    | r4.Medication
    | r4.MedicationRequest
    | r4.MedicationStatement
    | r4.MedicationDispense
    | r4.MedicationAdministration
    | r4.AdverseEvent
    | r4.DiagnosticReport
    | r4.ImagingStudy
    | r4.Bundle
)
_GLANCE: msgspec.json.Decoder[_Glanced] = msgspec.json.Decoder(_Glanced)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
KNOWN_TYPES = frozenset(one.__struct_config__.tag for one in r4.Known.__args__)
# How many elements of one resource may be dropped.
_MOST_DROPPED = 20
_FAULT = re.compile(r"at `\$\.?([A-Za-z0-9_.\[\]]*)`")
_STEP = re.compile(r"([A-Za-z0-9_]+)(?:\[(\d+)\])?")
# Without these a resource may say the opposite of what was meant: nothing of it is used.
_ESSENTIAL = frozenset({"resourceType", "id", "modifierExtension", "doNotPerform", "verificationStatus"})
# Data types whose parts mean nothing, or something else, without one another: dropped as a whole.
_WHOLE = re.compile(
    r"value[A-Z]\w*|(?:performed|effective|onset)Period|\w*[dD]osage\w*|doseAndRate|coding|identifier|"
    r"\w*Quantity|\w*Duration|daysSupply"
)


class Other(msgspec.Struct, frozen=True):
    """A resource of a type that we do not read."""

    type: str
    id: str | None


class Unreadable(msgspec.Struct, frozen=True):
    """Something that is no readable resource; *path* is where, as far as known."""

    type: str | None
    id: str | None
    path: str | None = None


class Mended(msgspec.Struct, frozen=True):
    """A resource read without the elements at *paths*, which were not what FHIR says."""

    resource: r4.Known
    paths: tuple[str, ...]


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str | None = None
    id: str | None = None


Read: TypeAlias = r4.Known | Other | Unreadable | Mended


def read(body: bytes) -> Iterator[Read]:
    """All resources in the JSON *body*: itself, or the entries of a Bundle. Anything else is `Unreadable`."""
    found = parse(body)
    if isinstance(found, r4.Bundle):
        for each in entries(body, found):
            yield from read(each)
    elif isinstance(found, (Other, Unreadable, Mended)) or found.id:
        yield found
    else:
        yield Unreadable(type(found).__name__, None, "id")


def parse(body: bytes) -> Read | r4.Bundle:
    """The one resource in *body*, its id not yet looked at; a Bundle is not yet opened."""
    try:
        return _DECODER.decode(body)
    except BROKEN:
        return _carefully(body)


def glance(body: bytes) -> _Glanced | None:
    """As `parse`, an Observation only as far as tells what it is about; None where `read` must look."""
    try:
        return _GLANCE.decode(body)
    except BROKEN:
        return None


def as_bytes(item: object) -> bytes:
    """JSON of *item*: text, a dict or a fhir.resources model; empty, hence unreadable, for what has none."""
    try:
        if isinstance(item, str):
            return item.encode()
        if isinstance(item, (bytearray, memoryview)):
            return bytes(item)
        dump = getattr(item, "model_dump_json", None) or getattr(item, "json", None)
        if dump is not None:
            text = dump()
            return text if isinstance(text, bytes) else str(text).encode()
        return _ENCODER.encode(item)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return b""


def entries(body: bytes, bundle: r4.Bundle) -> Iterator[bytes]:
    """The JSON of each resource of *bundle*; references to an entry's `urn:uuid:` become `Type/id` first."""
    names = _names(bundle)
    if names:
        renamed = parse(_renamed(body, names))
        bundle = renamed if isinstance(renamed, r4.Bundle) else bundle
    for entry in bundle.entry:
        if entry.resource != r4.NO_RAW:
            yield _named(entry)


def _named(entry: r4.BundleEntry) -> bytes:
    """The resource of *entry*; one without an id is named by the uuid of its fullUrl."""
    body = bytes(entry.resource)
    uuid = (entry.full_url or "").removeprefix("urn:uuid:")
    head = _head(body) if uuid else None
    if head is None or head.id is not None or not body.rstrip().endswith(b"}"):
        return body
    return body.rstrip()[:-1] + b',"id":' + _ENCODER.encode(uuid.rsplit("/")[-1]) + b"}"


def _names(bundle: r4.Bundle) -> dict[str, str]:
    """`urn:uuid:...` of each entry -> its `Type/id`; the id falls back on the uuid."""
    names: dict[str, str] = {}
    for entry in bundle.entry:
        if entry.full_url and entry.full_url.startswith("urn:") and entry.resource != r4.NO_RAW:
            head = _head(bytes(entry.resource))
            if head is not None and head.resource_type:
                names[entry.full_url] = f"{head.resource_type}/{head.id or entry.full_url.rsplit(':')[-1]}"
    return names


_REFERENCE = re.compile(rb'("reference"\s*:\s*")(urn:[^"\\]+)(?=")')


def _renamed(body: bytes, names: Mapping[str, str]) -> bytes:
    """*body* with each `urn:` reference of *names* replaced."""

    def name(match: re.Match[bytes]) -> bytes:
        urn = match[2].decode("utf-8", "replace")
        return match[1] + names.get(urn, urn).encode()

    return _REFERENCE.sub(name, body)


def _head(body: bytes) -> _Head | None:
    """Type and id, or None where not even these can be read."""
    try:
        return msgspec.json.decode(body, type=_Head)
    except BROKEN:
        return None


def _carefully(body: bytes) -> Read | r4.Bundle:
    """What can be saved of a *body* that did not decode at once."""
    head = _head(body)
    if head is None or head.resource_type is None:
        return Unreadable(None, None)
    if head.resource_type not in KNOWN_TYPES and head.resource_type != "Bundle":
        return Other(head.resource_type, head.id)
    try:
        tree = json.loads(body, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return Unreadable(head.resource_type, head.id)
    return _mended(tree, head)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _mended(tree: dict[str, Any], head: _Head) -> Read | r4.Bundle:
    """*tree* without one bad element after another until it decodes; given up after `_MOST_DROPPED`."""
    paths: list[str] = []
    for _ in range(_MOST_DROPPED):
        found = _decoded(tree)
        if isinstance(found, r4.Bundle):
            return found
        if not isinstance(found, str):
            return Mended(found, tuple(paths)) if found.id else Unreadable(head.resource_type, None, "id")
        place = _place(found)
        if not place or place[0] in _ESSENTIAL:
            return Unreadable(head.resource_type, head.id, found or None)
        del _at(tree, place[:-1])[place[-1]]
        paths.append(_written(place))
    return Unreadable(head.resource_type, head.id, paths[-1])


def _decoded(tree: object) -> _Readable | str:
    """*tree* decoded, or the path of its first fault, as the decoder says it."""
    try:
        return _DECODER.decode(_ENCODER.encode(tree))
    except BROKEN as error:
        where = _FAULT.search(str(error))
        return where[1] if where else ""


def _place(path: str) -> list[str | int]:
    """*path* as steps, cut after the first whole data type: `code.coding[1].code` gives code, coding, 1."""
    place: list[str | int] = []
    for name, index in _STEP.findall(path):
        place.append(name)
        if index:
            place.append(int(index))
        if _WHOLE.fullmatch(name):
            break
    return place


def _at(tree: Any, place: Sequence[str | int]) -> Any:
    for step in place:
        tree = tree[step]
    return tree


def _written(place: Sequence[str | int]) -> str:
    """*place* as FHIRPath writes it: `extension[1].valueQuantity`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
