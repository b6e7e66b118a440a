"""Wanted results on disk for the length of one run, so that memory holds a few of them at a time.

The file lies in a folder of its own inside the state folder, as private as that; it is no part of the store,
is synced to no disk, and goes with the run, or with the next one after a kill.
"""

import json
import os
import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fhir_srs.errors import LocalIOError
from fhir_srs.results.target import Unit
from fhir_srs.store.folder import local_errors, open_private, secure_folder

PREFIX = "plan-"
_TABLE = (
    "create table unit (number integer primary key, is_result integer not null, key text not null unique,"
    " body blob not null)"
)
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Unit).decode


class Spool:
    """Units by their reference, in the order in which they came."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self.count = 0

    def add(self, units: Iterable[Unit]) -> None:
        """Keep *units*. A Device or Group may come again; ValueError for two Observations of one id (I7)."""
        with local_errors():
            self._db.execute("begin")
            for unit in units:
                self._add(unit, is_result=unit.type == "Observation")
            self._db.execute("commit")

    def _add(self, unit: Unit, *, is_result: bool) -> None:
        found = self._db.execute(
            "insert or ignore into unit (is_result, key, body) values (?, ?, ?)",
            (is_result, unit.reference, _ENCODE(unit)),
        )
        if is_result and not found.rowcount:
            raise ValueError("two results with one id (I7)")
        self.count += found.rowcount

    def slices(self, size: int) -> Iterator[list[Unit]]:
        """All units, *size* at a time: first those that results refer to (Device, Group)."""
        query = "select number, body from unit where is_result = ? and number > ? order by number limit ?"
        for is_result in (False, True):
            last = 0
            while rows := self._rows(query, is_result, last, size):
                last = rows[-1][0]
                yield [_DECODE(body) for _, body in rows]

    def lacking(self, keys: Collection[str]) -> list[str]:
        """Those of *keys* under which there is no unit, sorted."""
        rows = self._rows(
            "select value from json_each(?) where value not in (select key from unit) order by value",
            json.dumps(sorted(keys)),
        )
        return [row[0] for row in rows]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with local_errors():
            return self._db.execute(query, values).fetchall()


@contextmanager
def spool(folder: Path) -> Iterator[Spool]:
    """Give an empty spool inside the state *folder*. LocalIOError where the disk is full."""
    with _private_folder(folder) as temporary:
        path = temporary / "units.sqlite"
        os.close(open_private(path))
        with local_errors(), closing(sqlite3.connect(path, isolation_level=None)) as database:
            for pragma in ("journal_mode = off", "synchronous = off"):
                database.execute(f"pragma {pragma}")
            database.execute(_TABLE)
            yield Spool(database)


@contextmanager
def _private_folder(folder: Path) -> Iterator[Path]:
    try:
        temporary = tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder)
    except OSError as error:
        raise LocalIOError(f"state folder ({error.strerror})") from None
    with temporary as name:
        secure_folder(Path(name))
        yield Path(name)
