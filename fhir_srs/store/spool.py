"""What a run of the whole cohort needs, on disk for its length, so that memory holds a part of it at a time.

Wanted results, the rows that figures are made of, and names of results that are to be looked at.

The file lies in a folder of its own inside the state folder, as private as that; it is no part of the store,
is synced to no disk, and goes with the run, or with the next one after a kill.
"""

import json
import os
import sqlite3
import tempfile
from collections.abc import Collection, Hashable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fhir_srs.errors import LocalIOError
from fhir_srs.results.target import Unit
from fhir_srs.store.folder import local_errors, open_private, secure_folder

PREFIX = "plan-"
_TABLES = (
    "create table unit (number integer primary key, is_result integer not null, key text not null unique,"
    " body blob not null)",
    # In the order in which they are asked for: a sort by SQLite would need a file elsewhere, or memory.
    "create table piece (part integer not null, owner text not null, number integer not null,"
    " body blob not null, primary key (part, owner, number)) without rowid",
    "create table name (list text not null, name text not null, primary key (list, name)) without rowid",
)
# Results of ours that no line of the outbox names, and those that nothing supports any more.
STRAYS, UNWANTED = "strays", "unwanted"
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Unit).decode


class Spool:
    """Units by their reference, in the order in which they came."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._parts: dict[Hashable, int] = {}
        self._pieces = 0
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

    def keep(self, part: Hashable, pieces: Iterable[tuple[str, bytes]]) -> None:
        """Keep *pieces*, each with its owner, as of *part*."""
        place = self._parts.setdefault(part, len(self._parts))
        numbered = ((place, owner, number, body) for number, (owner, body) in enumerate(pieces, self._pieces))
        with local_errors():
            self._db.execute("begin")
            found = self._db.executemany("insert into piece values (?, ?, ?, ?)", numbered)
            self._db.execute("commit")
        self._pieces += max(found.rowcount, 0)

    def kept(self, part: Hashable) -> Iterator[bytes]:
        """The pieces of *part* by owner; those of one owner in the order in which they came."""
        query = "select body from piece where part = ? order by owner, number"
        with local_errors():
            for row in self._db.execute(query, (self._parts.get(part),)):
                yield row[0]

    def note(self, listed: str, names: Iterable[str]) -> None:
        """Put *names* on a list; each is there once."""
        with local_errors():
            self._db.executemany("insert or ignore into name values (?, ?)", ((listed, one) for one in names))

    def noted(self, listed: str, size: int) -> Iterator[list[str]]:
        """The names on a list, sorted, *size* at a time."""
        query, last = "select name from name where list = ? and name > ? order by name limit ?", ""
        while rows := self._rows(query, listed, last, size):
            last = rows[-1][0]
            yield [row[0] for row in rows]

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
            for table in _TABLES:
                database.execute(table)
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
