"""The canonical form by which two copies of a resource are compared (`spec/reliability.md` section 2)."""

import hashlib
import json
import re
from functools import lru_cache
from typing import Any

import msgspec

# What a server may change, or a new run changes, without a change of content.
_VOLATILE = frozenset({"meta", "text", "issued", "recorded"})
_HISTORY = re.compile(r"/_history/[^/]+$")
_SORTED = msgspec.json.Encoder(order="sorted")
_AT_HAND = 1_000  # copies of a slice of the plan, each asked for up to four times on its way; 2 MB


@lru_cache(_AT_HAND)
def canonical_hash(resource: bytes) -> str:
    """
    SHA-256 (hex) of *resource* in canonical form: equal content, equal hash.

    Keys are sorted, numbers keep their digits (0.1 is not 0.10); `meta`, `text`, `issued` and `recorded`
    of the resource itself and `/_history/n` at the end of references are left out.
    """
    content = json.loads(
        resource,
        parse_float=_number,
        parse_int=_number,
        parse_constant=_number,
        object_hook=_without_version,
    )
    kept = {name: value for name, value in content.items() if name not in _VOLATILE}
    return hashlib.sha256(_canonical(kept)).hexdigest()


def _canonical(content: dict[str, Any]) -> bytes:
    """What json.dumps writes with sorted keys; msgspec writes plain ASCII so too, in a fifth of the time."""
    try:
        text = _SORTED.encode(content)
    except UnicodeEncodeError:  # half a character
        text = b"\xff"
    if text.isascii() and b"\x7f" not in text:
        return text
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _number(digits: str) -> list[str]:
    """A number as its digits, in a shape that no FHIR element has, so that 7 differs from "7"."""
    return ["number", digits]


def _without_version(element: dict[str, Any]) -> dict[str, Any]:
    """*element*, which the parser has just made, without the version in its reference."""
    reference = element.get("reference")
    if isinstance(reference, str):
        element["reference"] = _HISTORY.sub("", reference)
    return element
