"""One server's rows in the store: resources and refusals here, the other tables in the modules beside."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fhir_srs.store.cohort import Cohort
from fhir_srs.store.folder import damaged, local_errors
from fhir_srs.store.marks import Marks
from fhir_srs.store.outbox import Outbox
from fhir_srs.store.pages import Pages
from fhir_srs.store.rows import Refused
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


class Store(Runs, Cohort, Outbox, Marks, Pages):
    """One server's rows in the store of a folder; made by `open_store`."""

    def beside(self, base: str) -> "Store":
        """The rows of another server in the same store, on the same connection: where results go."""
        return Store(self._db, base, self._lock)

    def copy_to(self, folder: Path) -> None:
        """Put a store with the same content into *folder*, for a dry run."""
        with closing(connect(folder)) as copy, local_errors():
            self._db.backup(copy)

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
        return self._versions(
            "select id, version_id from raw where deleted_at is null", resource_type, patients
        )

    def listed(self, resource_type: str, patients: Collection[str] | None = None) -> dict[str, str | None]:
        """As `versions`, with those in quarantine that have an id: on the server they are like any other."""
        query = "select id, nullif(version, '') from quarantine where id not like '?%'"
        return self._versions(query, resource_type, patients) | self.versions(resource_type, patients)

    def _versions(
        self, query: str, resource_type: str, patients: Collection[str] | None
    ) -> dict[str, str | None]:
        chosen = "" if patients is None else f" and patient in ({','.join('?' * len(patients))})"
        asked = f"{query} and server = ? and type = ?{chosen}"
        return dict(self._all(asked, self._server, resource_type, *(patients or ())))

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

    def check_sound(self) -> None:
        """
        Nothing, or LocalIOError where a table and its indexes do not agree (I22).

        A row that an index lost would be missing from results, and one that it took for another count twice.
        """
        if self._all("pragma integrity_check(1)") != [("ok",)]:
            raise damaged()

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


@contextmanager
def read_store(folder: Path, base: str) -> Iterator[Store]:
    """Give the store in *folder*, to be read while another process, which has the folder, writes to it."""
    with closing(connect_to_read(folder)) as database:
        yield Store(database, base)


@contextmanager
def open_store(folder: Path, base: str) -> Iterator[Store]:
    """Give the store in *folder* for the server at *base*; a newer schema is refused, an old one updated."""
    with closing(connect(folder)) as database:
        yield Store(database, base)
