"""The local store: allow-listed resources, cursors, runs and the outbox, in one SQLite file.

Every page is one transaction; a watermark moves only forward and only in the transaction that ends a
complete pull (`spec/reliability.md` section 2). The folder is ours alone: 0700, files 0600. What is stored
is the re-encoding of the r4 Structs: no names, addresses, telecom, photo or narrative ever reach the disk.
"""

import fcntl
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from fhir_srs.errors import Busy, ConfigurationError, LocalIOError

SCHEMA = 1
OutboxState = Literal["PENDING", "UNKNOWN", "CONFIRMED", "FAILED", "CONFLICT", "EXTERNALLY_DELETED"]
Change = Literal["new", "changed", "same", "older"]

# A trigger, not a habit: I5 holds whatever code writes the cursor.
_TABLES = """
create table server (
  id integer primary key, base text not null unique, capabilities text,
  generation integer not null default 1);
create table run (
  id text primary key, server integer not null references server, started text not null, finished text,
  status text, summary blob);
create table page (
  run text not null references run, number integer not null, type text not null, rows integer not null,
  primary key (run, number));
create table cursor (
  server integer not null references server, type text not null, watermark text not null,
  resume_at text, lag integer not null, mode text not null, primary key (server, type));
create trigger cursor_forward before update on cursor when new.watermark < old.watermark
begin select raise(abort, 'watermark moved back'); end;
create table cohort (
  server integer not null references server, patient text not null, loaded text,
  primary key (server, patient)) without rowid;
create table raw (
  server integer not null references server, type text not null, id text not null, version_id text,
  last_updated text, sha256 blob not null, payload blob not null, deleted_at text,
  primary key (server, type, id));
create table quarantine (
  server integer not null references server, type text not null, id text not null, version text not null,
  reason text not null, path text, first_seen text not null, attempts integer not null default 1,
  primary key (server, type, id));
create table definition (
  server integer not null references server, name text not null, sha text not null,
  primary key (server, name)) without rowid;
create table outbox (
  server integer not null references server, key text not null, id text not null,
  grp text not null default '', desired_sha text not null,
  provenance_sha text, confirmed_sha text, confirmed_provenance text, stored_sha text, base_version text,
  state text not null check (state in
    ('PENDING','UNKNOWN','CONFIRMED','FAILED','CONFLICT','EXTERNALLY_DELETED')),
  attempts integer not null default 0, next_at text, seen_version text, retracted integer not null default 0,
  primary key (server, key));
"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One resource as stored; *last_updated* is in UTC, so that text order is time order."""

    type: str
    id: str
    version: str | None
    last_updated: str | None
    payload: bytes


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One resource that could not be read (I13): where it is and why, never what it holds."""

    type: str
    id: str
    version: str
    reason: str
    path: str | None = None


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Up to when one type is complete, by the server's clock."""

    type: str
    watermark: str
    lag: int
    mode: str


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the outbox: what we mean to have on the server under *key* (`Observation/srs-...`).

    *desired_sha* and *provenance_sha* are what is meant, *confirmed_sha* and *confirmed_provenance* what was
    last seen to be stored, *stored_sha* the server's own copy of that. *base_version* is the version that
    the copy had before a pending write, or has after a confirmed one.
    """

    key: str
    id: str
    group: str = ""
    desired_sha: str
    provenance_sha: str | None = None
    confirmed_sha: str | None = None
    confirmed_provenance: str | None = None
    stored_sha: str | None = None
    base_version: str | None = None
    state: OutboxState
    attempts: int = 0
    seen_version: str | None = None
    retracted: bool = False


_OUTBOX = ", ".join({"group": "grp"}.get(name, name) for name in Sent.__struct_fields__)


@contextmanager
def state_folder(folder: Path) -> Iterator[Path]:
    """
    Give *folder*, made or checked to be ours and 0700, and locked for us alone; Busy if it is taken.

    The lock is the kernel's (`flock`): it ends with the process, however that ends (I15).
    """
    secure_folder(folder)
    descriptor = _open_private(folder / "state.lock")
    with closing(os.fdopen(descriptor, "wb")):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another run holds the state folder") from None
        yield folder


def secure_folder(folder: Path) -> None:
    """Make *folder* with mode 0700, or refuse one that is a symlink, another's, or open to others."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise LocalIOError(f"state folder ({error.strerror})") from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError("store folder", ["is not a folder, or a symlink"])
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError("store folder", ["must be ours, with mode 0700"])


def _open_private(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalIOError(f"{path.name} ({error.strerror})") from None
    found = os.fstat(descriptor)
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(descriptor)
        raise ConfigurationError(path.name, ["must be ours, with mode 0600"])
    return descriptor


@contextmanager
def local_errors() -> Iterator[None]:
    """Turn SQLite's complaints (disk full, corrupt, read-only) into LocalIOError, without its text."""
    try:
        yield
    except sqlite3.Error as error:
        raise LocalIOError(f"the store: {getattr(error, 'sqlite_errorname', 'error')}") from None


class Store:
    """One server's rows in the store of *folder*; made by `open_store`."""

    def __init__(self, database: sqlite3.Connection, base: str) -> None:
        self._db = database
        with self._transaction():
            database.execute("insert or ignore into server (base) values (?)", (base,))
        self._server = int(self._one("select id from server where base = ?", base)[0])

    def close(self) -> None:
        """Ends the connection."""
        self._db.close()

    def beside(self, base: str) -> "Store":
        """The rows of another server in the same store, on the same connection: where results go."""
        return Store(self._db, base)

    def copy_to(self, folder: Path, base: str) -> "Store":
        """A store in *folder* with the same content, for a dry run."""
        copy = _connect(folder)
        with local_errors():
            self._db.backup(copy)
        return Store(copy, base)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with local_errors():
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def _one(self, query: str, *values: object) -> tuple[int, ...]:
        with local_errors():
            found: tuple[int, ...] = self._db.execute(query, values).fetchone()
        return found

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with local_errors():
            return self._db.execute(query, values).fetchall()

    # Runs and cursors.

    def begin_run(self, run: str, *, started: str, capabilities: str) -> None:
        """Note that *run* has begun, and what the server said that it can do."""
        with self._transaction():
            self._db.execute("update server set capabilities = ? where id = ?", (capabilities, self._server))
            self._db.execute(
                "insert into run (id, server, started) values (?, ?, ?)", (run, self._server, started)
            )

    def end_run(self, run: str, *, finished: str, status: str, summary: bytes) -> None:
        """Note how *run* ended, with its summary as JSON."""
        with self._transaction():
            self._db.execute(
                "update run set finished = ?, status = ?, summary = ? where id = ?",
                (finished, status, summary, run),
            )

    def cursors(self) -> dict[str, Cursor]:
        """The cursor of each type that was ever pulled completely."""
        rows = self._all("select type, watermark, lag, mode from cursor where server = ?", self._server)
        return {row[0]: Cursor(type=row[0], watermark=row[1], lag=int(row[2]), mode=row[3]) for row in rows}

    def advance(self, watermark: str, *, types: Iterable[str], lag: int, mode: str) -> None:
        """Move the cursors of all *types* to *watermark*, never back, in one transaction (step 6)."""
        with self._transaction():
            self._db.executemany(
                "insert into cursor (server, type, watermark, lag, mode) values (?, ?, ?, ?, ?)"
                " on conflict do update set watermark = max(watermark, excluded.watermark),"
                " lag = excluded.lag, mode = excluded.mode",
                [(self._server, name, watermark, lag, mode) for name in types],
            )

    # Definitions: what a study version or the site profile was when it was last used.

    def definitions(self) -> dict[str, str]:
        """The hash of each definition, by its name."""
        return dict(self._all("select name, sha from definition where server = ?", self._server))

    def define(self, name: str, sha: str) -> None:
        """Note that the definition *name* now has the hash *sha*."""
        with self._transaction():
            self._db.execute("insert or replace into definition values (?, ?, ?)", (self._server, name, sha))

    # The cohort.

    def cohort(self) -> dict[str, str | None]:
        """Each patient of the cohort (`Patient/x`), and up to when the full history is here, if it is."""
        rows = self._all("select patient, loaded from cohort where server = ?", self._server)
        return {row[0]: row[1] for row in rows}

    def loaded(self, patients: Iterable[str], watermark: str) -> None:
        """Note that the full history of *patients* is here, up to *watermark*."""
        with self._transaction():
            self._db.executemany(
                "update cohort set loaded = ? where server = ? and patient = ?",
                [(watermark, self._server, patient) for patient in patients],
            )

    # Resources.

    def ingest(
        self,
        run: str,
        number: int,
        resource_type: str,
        *,
        rows: Sequence[Row] = (),
        refused: Sequence[Refused] = (),
        patients: Iterable[str] = (),
        echoes: Mapping[str, str | None] | None = None,
        now: str = "",
    ) -> list[Change]:
        """
        Take one page in one transaction, and say for each of *rows* what it changed (I6).

        *patients* are found to belong to the cohort; *echoes* are our own results, id to version, which
        touch the outbox alone (I14).
        """
        with self._transaction():
            changes = [self._upsert(row) for row in rows]
            self._db.executemany(
                "delete from quarantine where server = ? and type = ? and id = ?",
                [(self._server, row.type, row.id) for row in rows],
            )
            self._quarantine(refused, now)
            self._db.executemany(
                "insert or ignore into cohort (server, patient) values (?, ?)",
                [(self._server, patient) for patient in patients],
            )
            self._db.executemany(
                "update outbox set seen_version = ? where server = ? and id = ?",
                [(version, self._server, name) for name, version in (echoes or {}).items()],
            )
            self._db.execute(
                "insert or replace into page (run, number, type, rows) values (?, ?, ?, ?)",
                (run, number, resource_type, len(rows) + len(refused)),
            )
        return changes

    def _upsert(self, row: Row) -> Change:
        old = self._db.execute(
            "select version_id, last_updated, sha256 from raw where server = ? and type = ? and id = ?",
            (self._server, row.type, row.id),
        ).fetchone()
        digest = hashlib.sha256(row.payload).digest()
        if old is not None:
            if digest == old[2]:
                return "same"
            if _order(row.last_updated, row.version) < _order(old[1], old[0]):
                return "older"
        self._db.execute(
            "insert or replace into raw (server, type, id, version_id, last_updated, sha256, payload)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            (self._server, row.type, row.id, row.version, row.last_updated, digest, row.payload),
        )
        return "new" if old is None else "changed"

    def _quarantine(self, refused: Iterable[Refused], now: str) -> None:
        self._db.executemany(
            "insert into quarantine (server, type, id, version, reason, path, first_seen)"
            " values (?, ?, ?, ?, ?, ?, ?) on conflict do update set version = excluded.version,"
            " reason = excluded.reason, path = excluded.path, attempts = attempts + 1",
            [(self._server, one.type, one.id, one.version, one.reason, one.path, now) for one in refused],
        )

    def payloads(self) -> Iterator[bytes]:
        """Every stored resource, by type and id: the same order however it came in (I23)."""
        with local_errors():
            rows = self._db.execute(
                "select payload from raw where server = ? and deleted_at is null order by type, id",
                (self._server,),
            )
            for (payload,) in rows:
                yield payload

    def present(self, resource_type: str) -> frozenset[str]:
        """The ids of that type in the store."""
        rows = self._all(
            "select id from raw where server = ? and type = ? and deleted_at is null",
            self._server,
            resource_type,
        )
        return frozenset(row[0] for row in rows)

    def medication_references(self) -> frozenset[str]:
        """Every `medicationReference` that a stored record has."""
        rows = self._all(
            "select distinct json_extract(cast(payload as text), '$.medicationReference.reference')"
            " from raw where server = ? and type in"
            " ('MedicationRequest', 'MedicationStatement', 'MedicationDispense', 'MedicationAdministration')",
            self._server,
        )
        return frozenset(row[0] for row in rows if row[0])

    def refusals(self) -> dict[str, int]:
        """How many resources are in quarantine, by reason."""
        rows = self._all(
            "select reason, count(*) from quarantine where server = ? group by reason order by reason",
            self._server,
        )
        return {row[0]: int(row[1]) for row in rows}

    # The outbox.

    def outbox(self) -> dict[str, Sent]:
        """Everything that we mean to have on the server, by key."""
        rows = self._all(
            f"select {_OUTBOX} from outbox where server = ? order by key",  # noqa: S608 - our own columns
            self._server,
        )
        names = Sent.__struct_fields__
        return {
            row[0]: msgspec.convert(dict(zip(names, row, strict=True)), Sent, strict=False) for row in rows
        }

    def post(self, lines: Iterable[Sent]) -> None:
        """Put *lines* into the outbox, in one transaction; what was there under a key is replaced."""
        with self._transaction():
            self._db.executemany(
                f"insert or replace into outbox (server, {_OUTBOX})"  # noqa: S608 - our own columns
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(self._server, *msgspec.structs.astuple(line)) for line in lines],
            )


def _order(last_updated: str | None, version: str | None) -> tuple[str, int]:
    """Versions by (lastUpdated, versionId): after an expunge the numbers start again at 1 (hapi.md 35)."""
    return last_updated or "", int(version) if version and version.isdecimal() else -1


@contextmanager
def open_store(folder: Path, base: str) -> Iterator[Store]:
    """Give the store in *folder* for the server at *base*; a newer schema is refused, an old one updated."""
    store = Store(_connect(folder), base)
    try:
        yield store
    finally:
        store.close()


def _connect(folder: Path) -> sqlite3.Connection:
    path = folder / "store.sqlite"
    # SQLite gives -wal and -shm the mode of the database file: making it first makes all three private.
    os.close(_open_private(path))
    with local_errors():
        database = sqlite3.connect(path, isolation_level=None)
        for pragma in _PRAGMAS:
            database.execute(f"pragma {pragma}")
        _migrate(database)
    return database


_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = on",
    "secure_delete = on",
    "temp_store = memory",
    "trusted_schema = off",
)


def _migrate(database: sqlite3.Connection) -> None:
    version = database.execute("pragma user_version").fetchone()[0]
    if version > SCHEMA:
        database.close()
        raise ConfigurationError("store", ["was written by a newer fhir-srs"])
    if version == 0:
        database.executescript(f"begin; {_TABLES} pragma user_version = {SCHEMA}; commit;")
