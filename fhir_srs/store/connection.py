"""One connection and one server's number in it: transactions and queries for the parts of the store."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fhir_srs.errors import Busy
from fhir_srs.store.failpoints import passing
from fhir_srs.store.folder import HELD, local_errors


class Connected:
    """
    The rows of one server; what each part of the store stands on.

    Threads take turns by *lock*, which all that share a connection share.
    """

    def __init__(self, database: sqlite3.Connection, base: str, lock: Any = None) -> None:
        self._db, self._lock = database, lock or threading.RLock()
        self.base = base
        self._server = self._known() or self._made_known()

    def _known(self) -> int:
        """The number of this server here, 0 if it has none."""
        found = self._all("select id from server where base = ?", self.base)
        return int(found[0][0]) if found else 0

    def _made_known(self) -> int:
        if self._all("pragma query_only")[0][0]:
            raise Busy(HELD)  # by a run that has only begun
        with self._transaction():
            self._db.execute("insert into server (base) values (?)", (self.base,))
        return self._known()

    @property
    def file(self) -> str:
        """Where the database is."""
        return str(self._all("pragma database_list")[0][2])

    @contextmanager
    def _transaction(self, failpoint: str = "") -> Iterator[None]:
        """All or nothing of what the block does. *failpoint* names the moment before the commit."""
        with self._lock, local_errors():
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            passing(failpoint)
            self._db.execute("commit")

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, local_errors():
            return self._db.execute(query, values).fetchall()
