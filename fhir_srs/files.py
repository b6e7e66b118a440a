"""Reading sources: files and folders of FHIR JSON, one resource or Bundle at a time.

SOURCE is a file or a folder (read recursively): `.ndjson`, `.ndjson.gz`, `.json` (design.md 4.4). Lines
are handed on as they are; whether one can be read is for mapping to say, where in a file it stood is
said here, through *notice*: never with a value from it.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from fhir_srs.errors import LocalIOError

_SUFFIXES = (".ndjson", ".ndjson.gz", ".json")
Notice = Callable[[str], None]


class _Anything(msgspec.Struct):
    """A JSON object; nothing in it is kept."""


_OBJECT = msgspec.json.Decoder(_Anything)


def read_sources(paths: Iterable[Path | str], notice: Notice) -> Iterator[bytes]:
    """
    The JSON of each resource or Bundle in *paths*, in the order of names; blank lines are skipped.

    What cannot be read on its way (a line that is no JSON, an archive that ends early, a file of another
    kind in a folder) is said to *notice* with file and offset in bytes. LocalIOError for a named file or
    folder that cannot be read.
    """
    for path in map(Path, paths):
        for file in _files(path, notice):
            yield from _resources(file, notice)


def _files(path: Path, notice: Notice) -> Iterator[Path]:
    """*path* itself, or the files of the folder that we read."""
    if not path.is_dir():
        yield path
        return
    try:
        found = sorted(one for one in path.rglob("*") if one.is_file())
    except OSError as error:
        raise LocalIOError(f"{path}: {type(error).__name__}") from None
    for file in found:
        if file.name.endswith(_SUFFIXES):
            yield file
        else:
            notice(f"{file}: skipped, neither .ndjson, .ndjson.gz nor .json")


def _resources(file: Path, notice: Notice) -> Iterator[bytes]:
    try:
        if file.name.endswith(".ndjson.gz"):
            with gzip.open(file, "rb") as lines:
                yield from _lines(file, lines, notice)
        elif file.name.endswith(".ndjson"):
            with file.open("rb") as lines:
                yield from _lines(file, lines, notice)
        else:
            yield from _document(file, notice)
    except OSError as error:
        raise LocalIOError(f"{file}: {type(error).__name__}") from None


def _lines(file: Path, lines: BinaryIO | gzip.GzipFile, notice: Notice) -> Iterator[bytes]:
    """The lines of *lines* without their ends; one that is no whole JSON object is said to *notice*."""
    offset = 0
    try:
        for line in lines:
            body = line.strip()
            if body:
                if not _is_object(body):
                    notice(f"{file}: offset {offset}: not a readable resource")
                yield body
            offset += len(line)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        notice(f"{file}: offset {offset}: the archive ends early")
        yield b""


def _is_object(body: bytes) -> bool:
    """Whether *body* is one whole JSON object."""
    try:
        _OBJECT.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _document(file: Path, notice: Notice) -> Iterator[bytes]:
    """The one resource or Bundle of a .json file."""
    body = file.read_bytes().removeprefix(b"\xef\xbb\xbf").strip()
    if not _is_object(body):
        notice(f"{file}: offset 0: not a readable resource")
    yield body
