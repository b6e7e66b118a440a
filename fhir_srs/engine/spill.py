"""The spill folder: items and bodies of JSON in the files of partitions, each written by one process.

It holds health data: the folder is its owner's alone (0700) and is removed on success, failure and
interrupt. The partition of an item follows from its name, by a CRC that is the same everywhere.
"""

import shutil
import signal
import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, NamedTuple, TypeAlias, TypeVar
from zlib import crc32

import msgspec

from fhir_srs.errors import LocalIOError

# A file is a sequence of frames: the lengths of both parts, bodies end to end, and the items as one list.
# The files do not outlive the program.
_HEAD = struct.Struct("<QQ")
_BUFFERED = 4 << 20  # bytes that a writer holds before it writes
_ITEM = 64  # about what an item takes beside its body
_ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_ENCODE = msgspec.msgpack.Encoder().encode
_LINES = msgspec.msgpack.Decoder(list[tuple[str, int]])

Item = TypeVar("Item")
# Of a body within its partition: family, writer, offset.
Place: TypeAlias = tuple[int, int, int]
Line: TypeAlias = tuple[str, bytes, Place]


class Family(IntEnum):
    """What a file holds, and what its items are named by, hence partitioned by."""

    PATIENTS = 0  # Patient resources, by their reference
    LINES = 1  # other resources, by the reference of their patient
    NAMED = 2  # those whose patient is given by identifier only, by that
    NOBODY = 3  # those without a patient, by their key
    DRUGS = 4  # Medications, by their key
    VERSIONS = 5  # every resource's version and place, by its key
    LOSERS = 6  # places of superseded versions, in the partition where they lie
    HOLDERS = 7  # patients, by each of their identifiers
    LINKED = 8  # Patient resources with links, by their reference
    ISSUES = 9  # issues of resources that never reach the map of a patient, by resource
    PERSONS = 10  # mapped patients, sorted
    SORTED_ISSUES = 11  # all issues of a partition, sorted


class At(NamedTuple):
    """Where a body lies."""

    family: int
    part: int
    writer: int
    offset: int
    length: int

    @property
    def place(self) -> Place:
        """Where it lies within its partition."""
        return self.family, self.writer, self.offset


class Spill(NamedTuple):
    """A folder of so many *parts*. *divisor*: further bits of the CRC, where a partition is divided."""

    folder: Path
    parts: int
    divisor: int = 1

    def part(self, name: str) -> int:
        """The partition of *name*."""
        return crc32(name.encode()) // self.divisor % self.parts

    def file(self, family: int, part: int, writer: int) -> Path:
        """The file of one *writer*."""
        return self.folder / f"{family}-{part}-{writer}"

    def size(self, family: int, part: int, writers: Iterable[int]) -> int:
        """Bytes of the partition."""
        return sum(file.stat().st_size for _, file in self._files(family, part, writers))

    def items(
        self, family: int, part: int, writers: Iterable[int], decoder: msgspec.msgpack.Decoder[list[Item]]
    ) -> Iterator[Item]:
        """All items of the partition, for which there are no bodies."""
        for _, _, _, items in self._frames(family, part, writers):
            yield from decoder.decode(items)

    def lines(self, family: int, part: int, writers: Iterable[int]) -> Iterator[Line]:
        """The name, body and place of all bodies of the partition."""
        for writer, offset, bodies, items in self._frames(family, part, writers):
            at = 0
            for name, length in _LINES.decode(items):
                yield name, bodies[at : at + length], (family, writer, offset + at)
                at += length

    def body(self, at: At) -> bytes:
        """The one body that lies *at* a place."""
        with self.file(at.family, at.part, at.writer).open("rb") as source:
            source.seek(at.offset)
            return source.read(at.length)

    def remove(self, families: Iterable[int], part: int, writers: Iterable[int]) -> None:
        """Remove the partition of *families*: it is not needed any more."""
        for family in families:
            for _, file in self._files(family, part, writers):
                file.unlink()

    def _files(self, family: int, part: int, writers: Iterable[int]) -> Iterator[tuple[int, Path]]:
        """The files of *writers* that exist."""
        for writer in writers:
            file = self.file(family, part, writer)
            if file.exists():
                yield writer, file

    def _frames(
        self, family: int, part: int, writers: Iterable[int]
    ) -> Iterator[tuple[int, int, bytes, bytes]]:
        """Writer, offset of the bodies, the bodies and the encoded items of each frame."""
        for writer, file in self._files(family, part, writers):
            with file.open("rb") as source:
                offset = 0
                while head := source.read(_HEAD.size):
                    bodies, items = _HEAD.unpack(head)
                    offset += _HEAD.size
                    yield writer, offset, source.read(bodies), source.read(items)
                    offset += bodies + items


class _Buffer:
    """What one writer holds of one file; *offset*: where the next body will lie."""

    __slots__ = ("bodies", "items", "offset")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.bodies: list[bytes] = []
        self.offset = _HEAD.size


class Writer:
    """Writes into files that no other writer touches. LocalIOError if the disk will not take them."""

    def __init__(self, spill: Spill, number: int, *, buffered: int = _BUFFERED) -> None:
        self._spill = spill
        self._number = number
        self._buffered = buffered
        self._buffers: list[list[_Buffer | None]] = [[None] * spill.parts for _ in Family]
        self._held = 0

    def add(self, family: int, name: str, body: bytes) -> At:
        """Append *body* to the partition of its *name*; where it lies."""
        part = self._spill.part(name)
        length = len(body)
        return At(family, part, self._number, self.put(family, part, (name, length), body, length), length)

    def put(self, family: int, part: int, item: object, body: bytes = b"", size: int = 0) -> int:
        """Append *item*, which takes about *size* bytes, to *part*; where its *body* lies."""
        buffer = self._buffers[family][part]
        if buffer is None:
            buffer = self._buffers[family][part] = _Buffer()
        buffer.items.append(item)
        offset = buffer.offset
        if body:
            buffer.bodies.append(body)
            buffer.offset = offset + len(body)
        self._held += _ITEM + size
        if self._held >= self._buffered:
            self.flush()
        return offset

    def flush(self) -> None:
        """Write what is held. Files are open only meanwhile, so that their number has no limit."""
        try:
            for family, buffers in enumerate(self._buffers):
                for part, buffer in enumerate(buffers):
                    if buffer is not None and buffer.items:
                        with self._spill.file(family, part, self._number).open("ab") as file:
                            _write(file, buffer)
        except OSError as error:
            raise LocalIOError(f"cannot write the spill folder: {error.strerror}") from None
        self._held = 0


def _write(file: BinaryIO, buffer: _Buffer) -> None:
    """Append one frame; afterwards *buffer* is empty and knows where the next one will begin."""
    bodies, items = b"".join(buffer.bodies), _ENCODE(buffer.items)
    file.write(_HEAD.pack(len(bodies), len(items)) + bodies + items)
    buffer.offset += len(items) + _HEAD.size
    buffer.items.clear()
    buffer.bodies.clear()


@contextmanager
def spill_folder() -> Iterator[Path]:
    """Give a folder that is its owner's alone and gone afterwards, on an interrupt or a SIGTERM too."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="fhir-srs-spill-"))
    except OSError as error:
        raise LocalIOError(f"cannot make a spill folder: {error.strerror}") from None
    try:
        with _signals_raise():
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Meanwhile let the signals that would end the process at once raise SystemExit, as Ctrl-C raises."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
