"""A read-only table on disk, by key: sorted digests, then the values. Memory: what is looked at."""

import mmap
import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from fhir_srs.engine.spill import Spill
from fhir_srs.mapping.facts import Drug

# 16 bytes of digest: two keys of a million million share one once in 10^14 such tables.
_DIGEST = 16
_SLOT = struct.Struct(f"<{_DIGEST}sQI")
_COUNT = struct.Struct("<Q")
_DRUG = msgspec.msgpack.Decoder(Drug)


def write_index(path: Path, items: Iterable[tuple[str, bytes]]) -> None:
    """Write the table of *items*, each key once, to *path*; nothing, if there are none."""
    slots = []
    with path.open("wb") as file:
        offset = 0
        for key, value in items:
            slots.append((_digest(key), offset, len(value)))
            offset += file.write(value)
        for slot in sorted(slots):
            file.write(_SLOT.pack(*slot))
        file.write(_COUNT.pack(len(slots)))
    if not slots:
        path.unlink()


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=_DIGEST).digest()


class Index:
    """The table in a file, or an empty one where there is no file."""

    def __init__(self, path: Path) -> None:
        self._map: mmap.mmap | bytes = b""
        self._count = self._start = 0
        if path.exists():
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            (self._count,) = _COUNT.unpack(self._map[-_COUNT.size :])
            self._start = len(self._map) - _COUNT.size - self._count * _SLOT.size

    def get(self, key: str) -> bytes | None:
        """The value of *key*, or None."""
        wanted = _digest(key)
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            digest, offset, length = self._slot(middle)
            if digest == wanted:
                return self._map[offset : offset + length]
            low, high = (middle + 1, high) if digest < wanted else (low, middle)
        return None

    def _slot(self, number: int) -> tuple[bytes, int, int]:
        found: tuple[bytes, int, int] = _SLOT.unpack_from(self._map, self._start + number * _SLOT.size)
        return found


def table(spill: Spill, name: str, part: int) -> Path:
    """The file of the table *name* for the keys of *part*."""
    return spill.folder / f"{name}-{part}"


class _Tables:
    """The tables of one name of all partitions, opened when asked."""

    def __init__(self, spill: Spill, name: str) -> None:
        self._spill = spill
        self._name = name
        self._open: dict[int, Index] = {}

    def get(self, key: str) -> bytes | None:
        part = self._spill.part(key)
        if part not in self._open:
            self._open[part] = Index(table(self._spill, self._name, part))
        return self._open[part].get(key)


class Known:
    """Whether a BodyStructure, Procedure or Condition was read at all."""

    def __init__(self, spill: Spill) -> None:
        self._tables = _Tables(spill, "known")

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._tables.get(key) is not None


class DrugIndex:
    """The ingredients of every Medication."""

    def __init__(self, spill: Spill) -> None:
        self._tables = _Tables(spill, "drugs")

    def get(self, key: str) -> Drug | None:
        """As `Drugs` says."""
        found = self._tables.get(key)
        return None if found is None else _DRUG.decode(found)
