"""The spill folder: records of bytes in the files of partitions, each written by one process.

It holds health data: the folder is its owner's alone (0700) and is removed on success, failure and
interrupt. A record's partition follows from its name, by a CRC that is the same everywhere.
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
from typing import NamedTuple
from zlib import crc32

from fhir_srs.errors import LocalIOError

# crc of the name, length of the name, length of the body; the files do not outlive the program.
_HEAD = struct.Struct("<III")
_BUFFERED = 4 << 20  # bytes that a writer holds before it writes
_ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Family(IntEnum):
    """What kind of record a file holds, and what its records are named by, hence partitioned by."""

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
    """Where a record lies."""

    family: int
    part: int
    writer: int
    offset: int


class Record(NamedTuple):
    """One record as it was written, and where."""

    at: At
    name: bytes
    body: bytes


class Spill(NamedTuple):
    """A folder of records in so many *parts*. *divisor*: further bits of the CRC, of a split partition."""

    folder: Path
    parts: int
    divisor: int = 1

    def part(self, name: bytes) -> int:
        """The partition of *name*."""
        return crc32(name) // self.divisor % self.parts

    def file(self, family: int, part: int, writer: int) -> Path:
        """The file of one *writer*."""
        return self.folder / f"{family}-{part}-{writer}"

    def files(self, family: int, part: int, writers: Iterable[int]) -> Iterator[tuple[int, Path]]:
        """The files of *writers* that exist."""
        for writer in writers:
            file = self.file(family, part, writer)
            if file.exists():
                yield writer, file

    def size(self, family: int, part: int, writers: Iterable[int]) -> int:
        """Bytes of the partition."""
        return sum(file.stat().st_size for _, file in self.files(family, part, writers))

    def records(self, family: int, part: int, writers: Iterable[int]) -> Iterator[Record]:
        """All records of the partition."""
        for writer, file in self.files(family, part, writers):
            with file.open("rb") as source:
                offset = 0
                while head := source.read(_HEAD.size):
                    _, name, body = _HEAD.unpack(head)
                    at = At(family, part, writer, offset)
                    yield Record(at, source.read(name), source.read(body))
                    offset += _HEAD.size + name + body

    def record(self, at: At) -> Record:
        """The one record that lies *at* a place."""
        with self.file(at.family, at.part, at.writer).open("rb") as source:
            source.seek(at.offset)
            _, name, body = _HEAD.unpack(source.read(_HEAD.size))
            return Record(at, source.read(name), source.read(body))

    def remove(self, families: Iterable[int], part: int, writers: Iterable[int]) -> None:
        """Remove the partition of *families*: it is not needed any more."""
        for family in families:
            for _, file in self.files(family, part, writers):
                file.unlink()


class Writer:
    """Writes records into files that no other writer touches. LocalIOError if the disk will not take them."""

    def __init__(self, spill: Spill, number: int) -> None:
        self._spill = spill
        self._number = number
        self._buffers: dict[tuple[int, int], bytearray] = {}
        self._ends: dict[tuple[int, int], int] = {}
        self._held = 0

    def add(self, family: int, name: bytes, body: bytes) -> At:
        """Append a record to the partition of its *name*; where it lies."""
        return self.put(family, self._spill.part(name), name, body)

    def put(self, family: int, part: int, name: bytes, body: bytes) -> At:
        """Append a record to *part*; where it lies."""
        place = family, part
        buffer = self._buffers.get(place)
        if buffer is None:
            buffer = self._buffers[place] = bytearray()
        offset = self._ends.get(place, 0)
        buffer += _HEAD.pack(crc32(name), len(name), len(body))
        buffer += name
        buffer += body
        size = _HEAD.size + len(name) + len(body)
        self._ends[place] = offset + size
        self._held += size
        if self._held >= _BUFFERED:
            self.flush()
        return At(family, part, self._number, offset)

    def flush(self) -> None:
        """Write what is held. Files are open only meanwhile, so that their number has no limit."""
        try:
            for (family, part), buffer in self._buffers.items():
                with self._spill.file(family, part, self._number).open("ab", buffering=0) as file:
                    file.write(buffer)
        except OSError as error:
            raise LocalIOError(f"cannot write the spill folder: {error.strerror}") from None
        self._buffers.clear()
        self._held = 0


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
