"""What a pull brings: pages, one transaction each, in which no older copy replaces a newer one (I6)."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from fhir_srs.store.connection import Connected
from fhir_srs.store.failpoints import passing
from fhir_srs.store.rows import Change, Refused, Row

Key = tuple[str, str]


class _Stamp(NamedTuple):
    """What says of a stored copy how old it is, and what it holds."""

    version: str | None
    last_updated: str | None
    sha256: bytes
    deleted_at: str | None


class Pages(Connected):
    """Resources, refusals and what was seen of our own results, as they come; of one server."""

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
            changes = self._upsert(rows, certain)
            self._release(row.key for row in (*_counting(rows, changes), *outside))
            changes += self._withdraw(outside, now, certain)
            fates = self._withdraw(refused, now, certain)
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

    def _upsert(self, rows: Sequence[Row], certain: bool) -> list[Change]:
        """What each of *rows* changed; where a page has one twice, the second copy is judged by the first."""
        here, changes = self._stamps(rows), list[Change]()
        written: dict[Key, tuple[object, ...]] = {}
        for row in rows:
            digest = hashlib.sha256(row.payload).digest()
            change = _change(here.get(row.key), row, digest, certain)
            if change in {"new", "changed"}:
                here[row.key] = _Stamp(row.version, row.last_updated, digest, None)
                head = (self._server, row.type, row.id, row.version, row.last_updated)
                written[row.key] = (*head, digest, row.payload, row.patient)
            changes.append(change)
        self._db.executemany(
            "insert or replace into raw"
            " (server, type, id, version_id, last_updated, sha256, payload, patient)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            written.values(),
        )
        return changes

    def _stamps(self, rows: Sequence[Row | Refused]) -> dict[Key, _Stamp]:
        """What is stored under the names of *rows*, deleted or not."""
        query = (
            "select id, version_id, last_updated, sha256, deleted_at from raw"
            " where server = ? and type = ? and id in (select value from json_each(?))"
        )
        return {
            (kind, found[0]): _Stamp(*found[1:])
            for kind in {row.type for row in rows}
            for found in self._all(query, self._server, kind, json.dumps([row.id for row in rows]))
        }

    def _withdraw(self, rows: Sequence[Row | Refused], now: str, certain: bool) -> list[Change]:
        """The stored copies of *rows*, somebody else's now or unreadable, go unless they are newer (I6)."""
        here, changes = self._stamps(rows), list[Change]()
        for row in rows:
            old = here.get(row.key)
            age = "same" if old is None or old.deleted_at is not None else _age(row, old, certain)
            if age == "newer":
                self._entomb(row.key, row.version or None, row.last_updated, now)
                del here[row.key]
            changes.append("withdrawn" if age == "newer" else age)
        return changes

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
            self._release(gone)
        passing("deleted-committed")

    def _release(self, keys: Iterable[Key]) -> None:
        self._db.executemany(
            "delete from quarantine where server = ? and type = ? and id = ?",
            [(self._server, *key) for key in keys],
        )

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


def _change(old: _Stamp | None, row: Row, digest: bytes, certain: bool) -> Change:
    """What *row*, of the hash *digest*, changes where *old* is; with *certain* it was just read by its id."""
    if old is None:
        return "new"
    if digest == old.sha256 and old.deleted_at is None:
        return "same"
    age = _age(row, old, certain)
    if age != "newer":
        return age
    return "changed" if old.deleted_at is None else "new"


def _age(row: Row | Refused, old: _Stamp, certain: bool) -> Literal["newer", "older", "doubtful"]:
    """
    Whether *row* is newer than the copy *old*, by lastUpdated and number of the version.

    With *certain* it was just read by its id, and is. Where the two say the opposite it is doubtful: after
    an expunge versions start again at 1 (hapi.md 35), and a server's clock may go back. Equal ones replace
    each other.
    """
    if certain:
        return "newer"
    stamps = _compared(row.last_updated, old.last_updated)
    numbers = _compared(_number(row.version), _number(old.version))
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
