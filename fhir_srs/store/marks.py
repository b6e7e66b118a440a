"""Marks: what a run leaves for the next, each by its name.

A mark spares work and holds nothing that cannot be found out again: one that is damaged is none (I22).
"""

import hashlib

from fhir_srs.store.connection import Connected

# That the results on the server are as wanted. Triggers of the schema take it away at the first change.
SETTLED = "settled"
# That everything in the store belongs there; it goes as `settled` does.
DISMISSED = "dismissed"
# That all results were compared with the server's copies, and on what basis.
COMPARED = "compared"
# What the server said that it can do, and when.
CAPABILITIES = "capabilities"
# When more than the usual overlap was last read again.
REREAD = "reread"
# That all results of ours on the target were looked for, so that a store that was lost knows them again.
SEARCHED = "searched"


class Marks(Connected):
    """The marks of one server."""

    def mark(self, name: str) -> str | None:
        """The text of the mark *name*, if it is there and is what was set."""
        rows = self._all("select text from mark where server = ? and name = ?", self._server, name)
        digest, _, text = str(rows[0][0]).partition(" ") if rows else ("", "", "")
        return text if digest == _digest(text) else None

    def set_mark(self, name: str, text: str) -> None:
        """Set the mark *name*."""
        with self._transaction():
            kept = f"{_digest(text)} {text}"
            self._db.execute("insert or replace into mark values (?, ?, ?)", (self._server, name, kept))

    def unmark(self, name: str) -> None:
        """Take the mark *name* away."""
        with self._transaction():
            self._db.execute("delete from mark where server = ? and name = ?", (self._server, name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
