"""One server's rows in the store: resources and refusals here, the other tables in the modules beside."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from fhir_srs.store.cohort import Cohort
from fhir_srs.store.failpoints import passing
from fhir_srs.store.folder import damaged, local_errors
from fhir_srs.store.marks import Marks
from fhir_srs.store.outbox import Outbox
from fhir_srs.store.rows import Change, Refused, Row
from fhir_srs.store.runs import FORWARD, Runs
from fhir_srs.store.schema import connect, connect_to_read

Key = tuple[str, str]
Owned = tuple[str, str | None, bytes]
_OWNED = "select type || '/' || id, patient, payload, sha256 from raw where server = ? and deleted_at is null"
# By itself SQLite would read all of the server's rows in order, each time.
_OF_PATIENT = _OWNED.replace("from raw", "from raw indexed by raw_patient")
# What a pull brings, and its columns.
_PULLED = {
    "raw": "type, id, version_id, last_updated, sha256, payload, deleted_at, patient",
    "cohort": "patient, loaded, left_out",
    "quarantine": "type, id, version, reason, path, first_seen, attempts, patient",
}
_REFUSED = ("type", "id", "version", "reason", "path", "patient", "first_seen", "attempts")


class Store(Runs, Cohort, Outbox, Marks):
    """One server's rows in the store of a folder; made by `open_store`."""

    def beside(self, base: str) -> "Store":
        """The rows of another server in the same store, on the same connection: where results go."""
        return Store(self._db, base, self._lock)

    def copy_to(self, folder: Path, base: str) -> "Store":
        """A store in *folder* with the same content, for a dry run."""
        copy = connect(folder)
        with local_errors():
            self._db.backup(copy)
        return Store(copy, base)

    def ingest(
        self,
        run: str,
        number: int,
        resource_type: str,
        *,
        rows: Sequence[Row] = (),
        outside: Sequence[Row] = (),
        refused: Sequence[Refused] = (),
        patients: Iterable[str] = (),
        echoes: Mapping[str, str | None] | None = None,
        now: str = "",
        certain: bool = False,
    ) -> list[Change]:
        """
        Take one page in one transaction, and say what each of *rows*, *outside* and *refused* changed (I6).

        *outside* are resources of nobody in the cohort, *refused* cannot be read: what was stored of them
        before goes. *patients* are found to belong to the cohort; *echoes* are our own results, id to
        version, which touch the outbox alone (I14). A doubtful row changes nothing; with *certain* (it was
        read by its id, just now) none is.
        """
        with self._transaction("page-before-commit"):
            changes = [self._upsert(row, certain) for row in rows]
            self._db.executemany(
                "delete from quarantine where server = ? and type = ? and id = ?",
                [(self._server, *row.key) for row in (*_counting(rows, changes), *outside)],
            )
            changes += [self._withdraw(row, now, certain) for row in outside]
            fates = [self._withdraw(row, now, certain) for row in refused]
            self._quarantine(_counting(refused, fates), now)
            changes += fates
            self._db.executemany(
                "insert or ignore into cohort (server, patient) values (?, ?)",
                [(self._server, patient) for patient in patients],
            )
            self._see({f"{resource_type}/{name}": version for name, version in (echoes or {}).items()})
            self._db.execute(
                "insert or replace into page (run, number, type, rows) values (?, ?, ?, ?)",
                (run, number, resource_type, len(rows) + len(refused)),
            )
        passing("page-committed")
        return changes

    def _see(self, results: Mapping[str, str | None]) -> None:
        self._db.executemany(
            "update outbox set seen_version = ? where server = ? and key = ? and seen_version is not ?",
            [(version, self._server, key, version) for key, version in results.items()],
        )

    def miss(self, results: Iterable[str]) -> None:
        """Note that these results of ours (`Observation/x`), or some of them, were deleted on the server."""
        with self._transaction():
            self._see(dict.fromkeys(results))

    def _upsert(self, row: Row, certain: bool) -> Change:
        old = self._db.execute(
            "select version_id, last_updated, sha256, deleted_at from raw"
            " where server = ? and type = ? and id = ?",
            (self._server, row.type, row.id),
        ).fetchone()
        digest = hashlib.sha256(row.payload).digest()
        if old is not None:
            if digest == old[2] and old[3] is None:
                return "same"
            age = "newer" if certain else _age((row.last_updated, row.version), (old[1], old[0]))
            if age != "newer":
                return age
        self._db.execute(
            "insert or replace into raw"
            " (server, type, id, version_id, last_updated, sha256, payload, patient)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._server,
                row.type,
                row.id,
                row.version,
                row.last_updated,
                digest,
                row.payload,
                row.patient,
            ),
        )
        return "new" if old is None or old[3] is not None else "changed"

    def _withdraw(self, row: Row | Refused, now: str, certain: bool) -> Change:
        """The stored copy of *row*, which is somebody else's now or unreadable, unless it is newer (I6)."""
        old = self._db.execute(
            "select version_id, last_updated from raw"
            " where server = ? and type = ? and id = ? and deleted_at is null",
            (self._server, *row.key),
        ).fetchone()
        if old is None:
            return "same"
        age = "newer" if certain else _age((row.last_updated, row.version), (old[1], old[0]))
        if age != "newer":
            return age
        self._entomb(row.key, row.version or None, row.last_updated, now)
        return "withdrawn"

    def _entomb(self, key: Key, version: str | None, last_updated: str | None, now: str) -> None:
        self._db.execute(
            "update raw set deleted_at = ?, version_id = coalesce(?, version_id),"
            " last_updated = coalesce(?, last_updated), payload = x'', sha256 = x''"
            " where server = ? and type = ? and id = ?",
            (now, version, last_updated, self._server, *key),
        )

    def bury(self, gone: Mapping[Key, str | None], now: str) -> None:
        """
        Note that these resources are gone from the server: their content goes, a tombstone stays.

        The value is the version of the deletion where it is known: a copy older than that, on a page that
        comes late, does not bring the resource back (I6).
        """
        with self._transaction("deleted-before-commit"):
            for key, version in gone.items():
                self._entomb(key, version, None, now)
            self._db.executemany(
                "delete from quarantine where server = ? and type = ? and id = ?",
                [(self._server, *key) for key in gone],
            )
        passing("deleted-committed")

    def _quarantine(self, refused: Iterable[Refused], now: str) -> None:
        self._db.executemany(
            "insert into quarantine (server, type, id, version, reason, path, first_seen, patient)"
            " values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set version = excluded.version,"
            " reason = excluded.reason, path = excluded.path, patient = excluded.patient,"
            " attempts = attempts + 1",
            [
                (self._server, one.type, one.id, one.version, one.reason, one.path, now, one.patient)
                for one in refused
            ],
        )

    def payloads(self, resource_type: str | None = None) -> Iterator[bytes]:
        """
        Every stored resource, or those of one type, by type and id: always in the same order (I23).

        LocalIOError where one is not what was stored: no number is ever made of damaged content (I22).
        """
        return (payload for _, _, payload in self.owned(resource_type))

    def owned(self, resource_type: str | None = None) -> Iterator[Owned]:
        """`Type/id`, patient and content of every stored resource, or those of one type, as `payloads`."""
        with local_errors():
            rows = self._db.execute(
                f"{_OWNED} and type = coalesce(?, type) order by type, id", (self._server, resource_type)
            )
            yield from map(_sound, rows)

    def owned_by(self, patients: Collection[str]) -> list[Owned]:
        """As `owned`, of *patients* alone, in no order."""
        found = (self._all(f"{_OF_PATIENT} and patient = ?", self._server, one) for one in sorted(patients))
        return [_sound(row) for rows in found for row in rows]

    def named(self, keys: Iterable[str]) -> list[Owned]:
        """As `owned`, of *keys* (`Type/id`) alone."""
        query = f"{_OWNED} and type = ? and id = ?"
        found = (self._all(query, self._server, *key.split("/", 1)) for key in sorted(keys))
        return [_sound(row) for rows in found for row in rows]

    def holds(self, key: str) -> bool:
        """Whether *key* (`Type/id`) is in the store."""
        query = "select 1 from raw where server = ? and type = ? and id = ? and deleted_at is null"
        return bool(self._all(query, self._server, *key.split("/", 1)))

    def present(self, resource_type: str) -> frozenset[str]:
        """The ids of that type in the store."""
        return frozenset(self.versions(resource_type))

    def held(self, resource_type: str, names: Iterable[str]) -> frozenset[str]:
        """Those of *names* that are ids of that type here, in quarantine included."""
        asked = json.dumps(list(names))
        rows = self._all(
            "select id from raw where server = ? and type = ? and deleted_at is null"
            " and id in (select value from json_each(?)) union select id from quarantine"
            " where server = ? and type = ? and id in (select value from json_each(?))",
            *(self._server, resource_type, asked) * 2,
        )
        return frozenset(row[0] for row in rows)

    def versions(self, resource_type: str, patients: Collection[str] | None = None) -> dict[str, str | None]:
        """The version of each resource of that type, by id; of *patients* alone where given."""
        chosen = "" if patients is None else f" and patient in ({','.join('?' * len(patients))})"
        rows = self._all(
            "select id, version_id from raw"  # noqa: S608 - our own columns, and question marks
            f" where server = ? and type = ? and deleted_at is null{chosen}",
            self._server,
            resource_type,
            *(patients or ()),
        )
        return dict(rows)

    def version(self, resource_type: str, name: str) -> str | None:
        """The version of that resource, if it is here and has one."""
        query = "select version_id from raw where server = ? and type = ? and id = ? and deleted_at is null"
        rows = self._all(query, self._server, resource_type, name)
        found: str | None = rows[0][0] if rows else None
        return found

    def live(self) -> dict[str, int]:
        """How many resources of each type are here."""
        rows = self._all(
            "select type, count(*) from raw where server = ? and deleted_at is null"
            " group by type order by type",
            self._server,
        )
        return {row[0]: int(row[1]) for row in rows}

    def is_empty(self) -> bool:
        """Whether no resource is here; counting them all would read them all."""
        query = "select 1 from raw where server = ? and deleted_at is null limit 1"
        return not self._all(query, self._server)

    def fingerprints(self) -> dict[Key, bytes]:
        """The hash of each resource by type and id: two stores that agree hold the same bytes."""
        rows = self._all(
            "select type, id, sha256 from raw where server = ? and deleted_at is null", self._server
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def adopt(self, other: "Store") -> None:
        """
        Hold what *other* holds of this server instead of our own, in one transaction; the outbox stays.

        No watermark goes back: where the server's clock did, the next run resumes at the one of *other* (I5).
        """
        with self._lock, local_errors():
            self._db.execute("attach ? as other", (other.file,))
            try:
                with self._transaction("adopted-before-commit"):
                    for table, columns in _PULLED.items():
                        self._copy(table, columns)
                    self._copy_cursors()
            finally:
                self._db.execute("detach other")

    def _copy_cursors(self) -> None:
        theirs = "select * from other.cursor where server = (select id from other.server where base = ?)"
        self._db.execute(
            f"delete from main.cursor where server = ? and type not in (select type from ({theirs}))",  # noqa: S608
            (self._server, self.base),
        )
        self._db.execute(
            "insert into main.cursor (server, type, watermark, resume_at, lag, mode)"  # noqa: S608
            f" select ?, type, watermark, resume_at, lag, mode from ({theirs}) where true {FORWARD}",
            (self._server, self.base),
        )

    def _copy(self, table: str, columns: str) -> None:
        self._db.execute(f"delete from main.{table} where server = ?", (self._server,))  # noqa: S608
        self._db.execute(
            f"insert into main.{table} (server, {columns}) select ?, {columns} from other.{table}"  # noqa: S608
            " where server = (select id from other.server where base = ?)",
            (self._server, self.base),
        )

    def spoilt(self) -> list[str]:
        """`Type/id` of every stored resource whose content is not what its hash says."""
        with local_errors():
            rows = self._db.execute(
                "select type, id, sha256, cast(payload as blob) from raw"
                " where server = ? and deleted_at is null",
                (self._server,),
            )
            return [f"{row[0]}/{row[1]}" for row in rows if hashlib.sha256(row[3]).digest() != row[2]]

    def newest(self) -> dict[str, str]:
        """The latest `lastUpdated` of each type."""
        rows = self._all(
            "select type, max(last_updated) from raw where server = ? and deleted_at is null group by type",
            self._server,
        )
        return {row[0]: row[1] for row in rows if row[1]}

    def problems(self) -> list[str]:
        """What SQLite itself finds wrong with the file and its keys; empty if nothing."""
        whole = [row[0] for row in self._all("pragma integrity_check") if row[0] != "ok"]
        return whole + [f"{row[0]}: a broken key" for row in self._all("pragma foreign_key_check")]

    def medication_references(self) -> frozenset[str]:
        """Every `medicationReference` that a stored record has."""
        rows = self._all(
            "select distinct json_extract(cast(payload as text), '$.medicationReference.reference')"
            " from raw where server = ? and deleted_at is null and type in"
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

    def quarantined(self) -> list[Refused]:
        """Every resource in quarantine."""
        rows = self._all(
            f"select {', '.join(_REFUSED)} from quarantine"  # noqa: S608 - our own columns
            " where server = ? order by type, id",
            self._server,
        )
        return [Refused(**dict(zip(_REFUSED, row, strict=True))) for row in rows]


def _sound(row: tuple[Any, ...]) -> Owned:
    """One row of `_OWNED`, if it is what was stored."""
    key, patient, payload, digest = row
    if hashlib.sha256(payload).digest() != digest:
        raise damaged()
    return key, patient, payload


def _age(
    here: tuple[str | None, str | None], there: tuple[str | None, str | None]
) -> Literal["newer", "older", "doubtful"]:
    """
    Whether the copy *here* is newer than that *there*, by lastUpdated and number of the version.

    Where the two say the opposite it is doubtful: after an expunge versions start again at 1 (hapi.md 35),
    and a server's clock may go back. Equal ones replace each other.
    """
    stamps = _compared(here[0], there[0])
    numbers = _compared(_number(here[1]), _number(there[1]))
    if stamps * numbers < 0:
        return "doubtful"
    return "older" if stamps + numbers < 0 else "newer"


def _compared(one: Any, other: Any) -> int:
    """-1, 0 or 1 as *one* is below, equal to or above *other*; 0 where either is not known."""
    return 0 if one is None or other is None else (one > other) - (one < other)


def _number(version: str | None) -> int | None:
    return int(version) if version and version.isdecimal() else None


Kept = TypeVar("Kept", Row, Refused)


def _counting(rows: Sequence[Kept], changes: Sequence[Change]) -> list[Kept]:
    """Those of *rows* that are no older copies, and not doubtful."""
    return [row for row, change in zip(rows, changes, strict=True) if change not in {"older", "doubtful"}]


@contextmanager
def read_store(folder: Path, base: str) -> Iterator[Store]:
    """Give the store in *folder*, to be read while another process, which has the folder, writes to it."""
    store = Store(connect_to_read(folder), base)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def open_store(folder: Path, base: str) -> Iterator[Store]:
    """Give the store in *folder* for the server at *base*; a newer schema is refused, an old one updated."""
    store = Store(connect(folder), base)
    try:
        yield store
    finally:
        store.close()
