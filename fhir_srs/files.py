"""Reading sources: files and folders of FHIR JSON, one resource or Bundle at a time.

SOURCE is a file or a folder (read recursively): `.ndjson`, `.ndjson.gz`, `.json` (design.md 4.4). Lines
are handed on as they are. Whether one can be read is for mapping to say; a `Place` knows where it stood.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from fhir_srs.errors import LocalIOError

_SUFFIXES = (".ndjson", ".ndjson.gz", ".json")
_BUFFER = 1 << 18
# No resource that we read is near it; a file without line ends must not fill the memory (reliability.md F21).
LONGEST_LINE = 1 << 23
# How much larger FHIR is than its archive; only used to choose a size, never for a result.
_GZIP_RATIO = 10
Notice = Callable[[str], None]
_Lines: TypeAlias = BinaryIO | BufferedIOBase


class Place:
    """Where the item last yielded stood: a file, and the offset in bytes of its first (unpacked) byte."""

    __slots__ = ("file", "offset", "problem")

    def __init__(self) -> None:
        self.file = Path()
        self.offset = 0
        self.problem = ""

    def unread(self, path: str | None) -> str:
        """What to say of the item if it, or its element *path*, was not readable: never a value."""
        what = self.problem or ("cannot be read" if path else "not a readable resource")
        return f"{self.file}: offset {self.offset}: {f'{path} ' if path else ''}{what}"


class Piece(NamedTuple):
    """The lines of *file* whose first byte is at *start* or after, and before *stop*; all without *stop*."""

    file: Path
    start: int = 0
    stop: int | None = None

    @property
    def size(self) -> int:
        """Its bytes in the file system; 0 where nobody knows (a pipe)."""
        return _status(self.file).st_size if self.stop is None else self.stop - self.start


def read_sources(paths: Iterable[Path | str], notice: Notice, place: Place | None = None) -> Iterator[bytes]:
    """
    The JSON of each resource or Bundle in *paths*, in the order of names; blank lines are skipped.

    *place* tells where the last one stood. A file of another kind in a folder is said to *notice*. An
    archive that ends early gives an empty item at its end. LocalIOError for a named file or folder that
    cannot be read.
    """
    place = place or Place()
    for piece in pieces(paths, notice):
        yield from read_piece(piece, place)


def pieces(paths: Iterable[Path | str], notice: Notice, size: int | None = None) -> Iterator[Piece]:
    """The files of *paths*, those of plain lines in ranges of *size* bytes, if that is given."""
    for path in map(Path, paths):
        for file in _files(path, notice):
            yield from _ranges(file, size) if size and _is_divisible(file) else [Piece(file)]


def unpacked_size(paths: Iterable[Path | str]) -> int | None:
    """About how many bytes of JSON *paths* hold; None if one is no regular file, so that nobody knows."""
    total = 0
    for path in map(Path, paths):
        for file in _files(path, lambda _text: None):
            status = _status(file)
            if not stat.S_ISREG(status.st_mode):
                return None
            total += status.st_size * (_GZIP_RATIO if file.name.endswith(".gz") else 1)
    return total


def read_piece(piece: Piece, place: Place) -> Iterator[bytes]:
    """The JSON of each resource or Bundle in *piece*; *place* follows."""
    place.file, place.offset, place.problem = piece.file, piece.start, ""
    try:
        if piece.file.name.endswith(".ndjson.gz"):
            with gzip.open(piece.file, "rb") as lines:
                yield from _packed(lines, place)
        elif piece.file.name.endswith(".ndjson"):
            with piece.file.open("rb", buffering=_BUFFER) as lines:
                yield from _range(lines, piece, place)
        else:
            yield piece.file.read_bytes().removeprefix(b"\xef\xbb\xbf").strip()
    except OSError as error:
        raise _failed(piece.file, error) from None


def _files(path: Path, notice: Notice) -> Iterator[Path]:
    """*path* itself, or the files of the folder that we read."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(_within(path)):
        if not file.is_file():
            notice(f"{file}: skipped, no file")
        elif file.name.endswith(_SUFFIXES):
            yield file
        else:
            notice(f"{file}: skipped, neither .ndjson, .ndjson.gz nor .json")


def _within(folder: Path) -> Iterator[Path]:
    """Everything in *folder* and its folders that is no folder; a link to a folder is not followed."""
    for at, folders, names in os.walk(folder, onerror=_raise):
        yield from (Path(at, name) for name in names)
        yield from (link for name in folders if (link := Path(at, name)).is_symlink())


def _raise(error: OSError) -> None:
    """What a folder hides must not be missing unsaid: `os.walk` would pass it by."""
    raise _failed(Path(error.filename), error) from None


def _status(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as error:
        raise _failed(file, error) from None


def _failed(path: Path, error: OSError) -> LocalIOError:
    return LocalIOError(f"{path}: {type(error).__name__}")


def _is_divisible(file: Path) -> bool:
    return file.name.endswith(".ndjson") and stat.S_ISREG(_status(file).st_mode)


def _ranges(file: Path, size: int) -> Iterator[Piece]:
    end = _status(file).st_size
    return (Piece(file, start, min(start + size, end)) for start in range(0, end, size))


def _range(lines: _Lines, piece: Piece, place: Place) -> Iterator[bytes]:
    """The lines that begin in *piece*, the last of them to its end, without blank ones."""
    offset = piece.start
    if offset:
        # The line that reaches into this range belongs to the one before, and may reach beyond this one.
        lines.seek(offset - 1)
        offset += len(lines.readline(-1 if piece.stop is None else piece.stop - offset + 1)) - 1
    for line, size in _bounded(lines, place) if piece.stop is None or offset < piece.stop else ():
        if not line.isspace():
            place.offset = offset
            yield line
        offset += size
        if piece.stop is not None and offset >= piece.stop:
            return


def _bounded(lines: _Lines, place: Place) -> Iterator[tuple[bytes, int]]:
    """Each line with its size; an empty item for one that is too long, which *place* says."""
    for line in iter(partial(lines.readline, LONGEST_LINE), b""):
        size = len(line)
        if size < LONGEST_LINE or line.endswith(b"\n"):
            yield line, size
            continue
        size += _rest_of_line(lines)
        place.problem = f"longer than {LONGEST_LINE >> 20} MiB"
        yield b"", size
        place.problem = ""


def _rest_of_line(lines: _Lines) -> int:
    """Reads on to the end of the line, a piece at a time; how many bytes that was."""
    size = 0
    for piece in iter(partial(lines.readline, _BUFFER), b""):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _packed(lines: gzip.GzipFile, place: Place) -> Iterator[bytes]:
    """The lines of an archive without blank ones; one that ends early ends with an empty item."""
    offset = 0
    try:
        for line, size in _bounded(lines, place):
            place.offset = offset
            offset += size
            if not line.isspace():
                yield line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        place.offset, place.problem = offset, "the archive ends early"
        yield b""
