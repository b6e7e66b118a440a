"""The outbox: everything that we mean to have on a server, committed before any request (I8, I9)."""

import json
from collections.abc import Collection, Iterable, Iterator

import msgspec

from fhir_srs.store.connection import Connected
from fhir_srs.store.failpoints import passing
from fhir_srs.store.folder import damaged
from fhir_srs.store.marks import COMPARED, SEARCHED
from fhir_srs.store.rows import Sent

_COLUMNS = ", ".join({"group": "grp"}.get(name, name) for name in Sent.__struct_fields__)
_OF_GROUPS = "server = ? and grp in (select value from json_each(?)) and key like 'Observation/%'"
# A withdrawal that was refused, or never arrived, is none.
_LIVE = "confirmed_sha is not null and not (retracted and confirmed_sha = desired_sha)"


class Outbox(Connected):
    """The lines of one target server, and the definitions that they were made by."""

    def outbox(self, keys: Collection[str] | None = None) -> dict[str, Sent]:
        """Everything that we mean to have on the server, or of that the lines of *keys*, by key."""
        chosen = "" if keys is None else " and key in (select value from json_each(?))"
        rows = self._all(
            f"select {_COLUMNS} from outbox where server = ?{chosen} order by key",  # noqa: S608 - our own
            self._server,
            *([] if keys is None else [json.dumps(sorted(keys))]),
        )
        names = Sent.__struct_fields__
        try:
            return {
                row[0]: msgspec.convert(dict(zip(names, row, strict=True)), Sent, strict=False)
                for row in rows
            }
        except msgspec.ValidationError:
            raise damaged() from None

    def results(self) -> int:
        """How many results the outbox has a line for, whatever became of them."""
        query = "select count(*) from outbox where server = ? and key like 'Observation/%'"
        return int(self._all(query, self._server)[0][0])

    def live_results(self, groups: Collection[str]) -> int:
        """How many results of *groups* were seen to be on the server, and not withdrawn."""
        query = f"select count(*) from outbox where {_OF_GROUPS} and {_LIVE}"  # noqa: S608 - our own
        return int(self._all(query, self._server, json.dumps(sorted(groups)))[0][0])

    def retractable(self, groups: Collection[str], size: int) -> Iterator[list[str]]:
        """The keys of results of *groups* that are, or may be, live on the server: *size* at a time."""
        query = (
            f"select key from outbox where {_OF_GROUPS} and ({_LIVE} or confirmed_sha is null"  # noqa: S608
            " and state in ('PENDING', 'UNKNOWN', 'FAILED')) and key > ? order by key limit ?"
        )
        last, asked = "", json.dumps(sorted(groups))
        while rows := self._all(query, self._server, asked, last, size):
            last = rows[-1][0]
            yield [row[0] for row in rows]

    def unknown(self, keys: Collection[str]) -> list[str]:
        """Those of *keys* of which there is no line, sorted."""
        rows = self._all(
            "select value from json_each(?) where value not in"
            " (select key from outbox where server = ? and key in (select value from json_each(?)))"
            " order by value",
            asked := json.dumps(sorted(keys)),
            self._server,
            asked,
        )
        return [row[0] for row in rows]

    def outbox_states(self) -> dict[str, int]:
        """How many lines are in each state."""
        rows = self._all(
            "select state, count(*) from outbox where server = ? group by state order by state", self._server
        )
        return {row[0]: int(row[1]) for row in rows}

    def post(self, lines: Iterable[Sent]) -> None:
        """Put *lines* into the outbox, in one transaction; what was there under a key is replaced."""
        with self._transaction("outbox-before-commit"):
            self._db.executemany(
                f"insert or replace into outbox (server, {_COLUMNS})"  # noqa: S608 - our own columns
                f" values (?{', ?' * len(Sent.__struct_fields__)})",
                [(self._server, *msgspec.structs.astuple(line)) for line in lines],
            )
        passing("outbox-committed")

    def distrust(self) -> None:
        """
        Forget all lines, of every target, and where each type was complete: a backup was put back.

        Everything is loaded again, and all ids compared.
        """
        with self._transaction():
            self._db.execute("delete from outbox")
            self._db.execute("delete from mark where name in (?, ?)", (SEARCHED, COMPARED))
            self._db.execute("delete from cursor")
            self._db.execute("update cohort set loaded = null")
            self._db.execute("update server set census = '1970-01-01T00:00:00.000Z'")

    def definitions(self) -> dict[str, str]:
        """The hash of each definition, by its name."""
        return dict(self._all("select name, sha from definition where server = ?", self._server))

    def define(self, name: str, sha: str) -> None:
        """Note that the definition *name* now has the hash *sha*."""
        with self._transaction("definitions-before-commit"):
            self._db.execute("insert or replace into definition values (?, ?, ?)", (self._server, name, sha))
