"""JSON taken apart without understanding its values: the careful reader of `spec/reliability.md` section 6.

One NaN, half a character or 100,000 brackets make a decoder refuse a whole page. Here a page falls into its
entries, and an entry into its members, each still bytes, so that one poisoned resource stays alone (I13).
"""

import re
from collections.abc import Iterator

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},:"]', re.DOTALL)
_OPENS, _CLOSES = frozenset((b"{", b"[")), frozenset((b"}", b"]"))


def members(body: bytes) -> dict[bytes, bytes] | None:
    """The members of the object in *body*, each value as it stands; None if it is no object, or cut off.

    >>> members(b'{"id": "a", "value": NaN}')
    {b'id': b'"a"', b'value': b'NaN'}
    """
    found: dict[bytes, bytes] = {}
    for part in _parts(body, b"{", b"}"):
        key = None if part is None else _TOKEN.match(part)
        if part is None or key is None:
            return None
        name, colon, value = key.group(), part[key.end() :].lstrip()[:1], part[key.end() :].lstrip()[1:]
        if colon != b":":
            return None
        found[name[1:-1]] = value.strip()
    return found


def items(body: bytes) -> list[bytes] | None:
    """The items of the list in *body*, each as it stands; None if it is no list, or cut off.

    >>> items(b'[1, {"a": [2, 3]}, "]"]')
    [b'1', b'{"a": [2, 3]}', b'"]"']
    """
    found: list[bytes] = []
    for part in _parts(body, b"[", b"]"):
        if part is None:
            return None
        found.append(part)
    return found


def _parts(body: bytes, opens: bytes, closes: bytes) -> Iterator[bytes | None]:
    """What stands between the outermost brackets, at their commas; at last None where they do not end."""
    text = body.strip()
    if not text.startswith(opens):
        yield None
        return
    depth, begin = 0, 1
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word == b'"':  # a text that does not end
            break
        depth += (word in _OPENS) - (word in _CLOSES)
        if depth == 0:
            last = text[begin : token.start()].strip()
            yield from [last] if last else []
            if word != closes or token.end() != len(text):
                yield None
            return
        if depth == 1 and word == b",":
            yield text[begin : token.start()].strip()
            begin = token.end()
    yield None
