"""The literal references of a resource: listed, and rewritten."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

_VERSION = re.compile(r"/_history/[^/]*$")


def references(node: object) -> Iterator[str]:
    """Every literal reference in *node*; not `#x`, nor what stands in extensions and contained resources.

    HAPI checks the others alone (hapi.md row 27).
    """
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, (dict, list)):
                if name not in {"extension", "modifierExtension", "contained"}:
                    yield from references(value)
            elif name == "reference" and isinstance(value, str) and not value.startswith("#"):
                yield value
    elif isinstance(node, list):
        for value in node:
            if isinstance(value, (dict, list)):
                yield from references(value)


def unversioned(node: Any) -> Any:
    """*node* with `/_history/n` taken off its references, as HAPI does by default (hapi.md row 28)."""
    if b"/_history/" not in msgspec.json.encode(node):
        return node
    return _rewritten(node, lambda reference: _VERSION.sub("", reference))


def renamed(node: Any, names: Mapping[str, str]) -> Any:
    """*node* with the references that are keys of *names* replaced by what they stand for."""
    return _rewritten(node, lambda reference: names.get(reference, reference)) if names else node


def _rewritten(node: Any, rewrite: Callable[[str], str]) -> Any:
    if isinstance(node, dict):
        return {
            name: _rewritten(value, rewrite)
            if isinstance(value, (dict, list))
            else rewrite(value)
            if name == "reference" and isinstance(value, str)
            else value
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [_rewritten(value, rewrite) for value in node]
    return node
