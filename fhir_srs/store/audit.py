"""What was done to results and to patients: one JSON line each, appended, chained to the line before.

`audit.ndjson` in the state folder (`spec/reliability.md` section 7, Audit). A line says when, in which run,
what happened to which resource in which version; never what a resource holds. *chain* is the SHA-256 of the
chain before and of the line without it: a line that is changed, taken out or put in breaks all that follow.
The store remembers the last one, so that lines missing at the end are noticed too.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from fhir_srs.errors import LocalIOError
from fhir_srs.store.folder import open_private

_NAME = "audit.ndjson"
_START = "0" * 64
_TAIL = 1 << 16  # bytes: more than any line has
_ENCODER = msgspec.json.Encoder(order="sorted")


def append(folder: Path, lines: Iterable[Mapping[str, Any]]) -> str | None:
    """
    Append *lines* to the audit in *folder*, on disk when this returns; the last chain, None for no line.

    Half a line at the end, of a run that was killed, is cut off before. Raises LocalIOError.
    """
    try:
        with closing(os.fdopen(open_private(folder / _NAME), "r+b")) as file:
            chain, text = _last_chain(file), b""
            for line in lines:
                chain = _chained(chain, line)
                text += _ENCODER.encode({**line, "chain": chain}) + b"\n"
            if not text:
                return None
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            return chain
    except OSError as error:
        raise LocalIOError(f"{_NAME} ({error.strerror})") from None


def _last_chain(file: Any) -> str:
    """The chain of the last whole line of *file*, which then stands at its end; what is no line is cut."""
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - _TAIL))
    text: bytes = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    file.truncate(start + len(whole))
    file.seek(start + len(whole))
    lines = whole.splitlines()
    return _read_line(lines[-1]).get("chain", "") if lines else _START


def _read_line(text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def _chained(before: str, line: Mapping[str, Any]) -> str:
    return hashlib.sha256(before.encode() + _ENCODER.encode(line)).hexdigest()


def problems(folder: Path, anchor: str | None) -> Iterator[str]:
    """What is wrong with the audit in *folder*; *anchor* is the last chain that the store knows of."""
    path = folder / _NAME
    chain, seen = _START, {None, _START}
    if path.exists():
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                line = _read_line(text)
                told = line.pop("chain", None)
                if told != _chained(chain, line):
                    yield f"{_NAME}: line {number} is not what was written after the one before"
                    return
                chain = str(told)
                seen.add(chain)
    if anchor not in seen:
        yield f"{_NAME}: lines at its end are missing"
