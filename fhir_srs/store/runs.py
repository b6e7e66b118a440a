"""Runs and cursors: what each run came to, and up to when each type is complete (I5)."""

import re
from collections.abc import Iterable

from fhir_srs.store.connection import Connected
from fhir_srs.store.failpoints import passing
from fhir_srs.store.folder import damaged
from fhir_srs.store.rows import Cursor, RunLine

_RUNS, _RUNS_WITH_PAGES = 1000, 50
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# A cursor that is there already: never back, but the next run resumes where the server's clock now is (F26).
FORWARD = (
    "on conflict do update set resume_at = case when excluded.watermark < watermark"
    " then coalesce(excluded.resume_at, excluded.watermark) else excluded.resume_at end,"
    " watermark = max(watermark, excluded.watermark), lag = excluded.lag, mode = excluded.mode"
)


class Runs(Connected):
    """What one server's runs were, and where they left off."""

    def begin_run(self, run: str, *, started: str, capabilities: str) -> None:
        """Note that *run* has begun, and what the server said that it can do."""
        with self._transaction():
            self._db.execute("update server set capabilities = ? where id = ?", (capabilities, self._server))
            self._forget_runs()
            self._db.execute(
                "insert into run (id, server, started) values (?, ?, ?)", (run, self._server, started)
            )
        passing("run-begun")

    def _forget_runs(self) -> None:
        """Keep the last runs alone: a sync every quarter of an hour has 35,000 a year."""
        old = "select id from run where server = ? order by rowid desc limit -1 offset ?"
        for table, column, kept in (("page", "run", _RUNS_WITH_PAGES), ("run", "id", _RUNS)):
            self._db.execute(
                f"delete from {table} where {column} in ({old})",  # noqa: S608 - our own tables
                (self._server, kept),
            )

    def end_run(self, run: str, *, started: str, finished: str, status: str, summary: bytes) -> None:
        """Note how *run* ended, with its summary as JSON; one that no server answered never began."""
        with self._transaction():
            self._forget_runs()
            self._db.execute(
                "insert into run (id, server, started, finished, status, summary) values (?, ?, ?, ?, ?, ?)"
                " on conflict do update set finished = excluded.finished, status = excluded.status,"
                " summary = excluded.summary",
                (run, self._server, started, finished, status, summary),
            )
        passing("run-ended")

    def runs(self, limit: int) -> list[RunLine]:
        """The last *limit* runs, the newest first."""
        rows = self._all(
            "select id, started, finished, status, summary from run where server = ?"
            " order by rowid desc limit ?",
            self._server,
            limit,
        )
        return [
            RunLine(run=row[0], started=row[1], finished=row[2], status=row[3], summary=row[4])
            for row in rows
        ]

    def last_success(self) -> str | None:
        """When the last run that was done ended, by what the clock was then: it may have gone back since."""
        found = self._all(
            "select finished from run where server = ? and status = 'done' order by rowid desc limit 1",
            self._server,
        )
        return found[0][0] if found else None

    def cursors(self) -> dict[str, Cursor]:
        """The cursor of each type that was ever pulled completely."""
        rows = self._all(
            "select type, watermark, lag, mode, resume_at from cursor where server = ?", self._server
        )
        if not all(_INSTANT.fullmatch(text) for row in rows for text in (row[1], row[4]) if text is not None):
            raise damaged()
        return {
            row[0]: Cursor(type=row[0], watermark=row[1], lag=int(row[2]), mode=row[3], resume_at=row[4])
            for row in rows
        }

    def advance(self, watermark: str, *, types: Iterable[str], lag: int, mode: str) -> None:
        """
        Move the cursors of all *types* to *watermark*, never back, in one transaction (step 6).

        Where the server's clock went back, *watermark* is where the next run resumes (F26).
        """
        with self._transaction("watermark-before-commit"):
            self._db.executemany(
                "insert into cursor (server, type, watermark, lag, mode)"  # noqa: S608 - our own words
                f" values (?, ?, ?, ?, ?) {FORWARD}",
                [(self._server, name, watermark, lag, mode) for name in types],
            )
        passing("watermark-committed")

    def generation(self) -> int:
        """How many runs this store, and those that it is a copy of, have seen."""
        return int(self._all("select generation from server where id = ?", self._server)[0][0])

    def count_generation(self, number: int) -> None:
        """Note that this is run *number*."""
        with self._transaction():
            self._db.execute("update server set generation = ? where id = ?", (number, self._server))

    def census(self) -> str | None:
        """When all ids were last compared with the server's, by its clock; None if never."""
        found: str | None = self._all("select census from server where id = ?", self._server)[0][0]
        return found

    def counted(self, moment: str) -> None:
        """Note that all ids were compared at *moment*."""
        with self._transaction():
            self._db.execute("update server set census = ? where id = ?", (moment, self._server))

    def anchor(self, chain: str) -> None:
        """Note that the last line of the audit has this *chain*."""
        with self._transaction():
            self._db.execute("update server set audit = ? where id = ?", (chain, self._server))

    def anchored(self) -> str | None:
        """The chain of the last line of the audit that the store knows of."""
        found: str | None = self._all("select audit from server where id = ?", self._server)[0][0]
        return found
