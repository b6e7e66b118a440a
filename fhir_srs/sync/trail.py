"""What the audit is told: results written, or found written; what an operator asked for; who was purged."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fhir_srs.store import Sent, Store
from fhir_srs.store.audit import append
from fhir_srs.sync.write import Outcome


class Trail:
    """One run's lines in the audit of *folder*; *at* is its stamp. Without *folder* (a dry run) none."""

    def __init__(self, folder: Path | None, store: Store, *, run: str, at: str) -> None:
        self._folder, self._store = folder, store
        self._always = {"run": run, "at": at}
        self._chain: str | None = None

    def asked(self, options: Sequence[str]) -> None:
        """What an operator asked of this run beside the usual."""
        if options:
            self._note([{"event": "asked", "options": sorted(options)}])

    def wrote(self, outcomes: Iterable[Outcome]) -> None:
        """Results that the server was seen to hold, by what was done."""
        self._note(_told(one.item.kind, one.line) for one in outcomes if one.state == "CONFIRMED")

    def found(self, lines: Iterable[Sent]) -> None:
        """Results found on the server that an earlier run had sent, or that a lost store did not know."""
        self._note(_told("found", line) for line in lines if line.state == "CONFIRMED")

    def forgot(self, patient: str) -> None:
        """A patient (`Patient/<id>`) was purged."""
        self._note([{"event": "purge", "patient": patient}])

    def close(self) -> None:
        """Have the store remember the last line."""
        if self._chain is not None:
            self._store.anchor(self._chain)

    def _note(self, lines: Iterable[Mapping[str, Any]]) -> None:
        if self._folder is not None:
            chain = append(self._folder, ({**self._always, **line} for line in lines))
            self._chain = chain or self._chain


def _told(event: str, line: Sent) -> dict[str, Any]:
    return {
        "event": event,
        "result": line.key,
        "version": line.base_version,
        "sha": line.confirmed_sha,
        "withdrawn": line.retracted,
    }
