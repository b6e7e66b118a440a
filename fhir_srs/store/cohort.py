"""The cohort: whose history is here, and who is left out of it and why (`decisions.md` 22)."""

from collections.abc import Collection, Iterable, Mapping

from fhir_srs.store.connection import Connected
from fhir_srs.store.failpoints import passing


class Cohort(Connected):
    """The patients of one server; of those left out nothing but the reference is kept."""

    def cohort(self) -> dict[str, str | None]:
        """Each patient of the cohort (`Patient/x`), and up to when the full history is here, if it is."""
        rows = self._all("select patient, loaded from cohort where server = ?", self._server)
        return {row[0]: row[1] for row in rows}

    def loaded(self, patients: Iterable[str], watermark: str) -> None:
        """Note that the full history of *patients* is here, up to *watermark*; none of them is left out."""
        with self._transaction():
            self._db.executemany(
                "update cohort set loaded = ?, left_out = null where server = ? and patient = ?",
                [(watermark, self._server, patient) for patient in patients],
            )
        passing("patients-loaded")

    def left_out(self) -> dict[str, str]:
        """Each patient who is left out, with the reason."""
        rows = self._all(
            "select patient, left_out from cohort where server = ? and left_out is not null", self._server
        )
        return dict(rows)

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Leave these patients out, each for its reason: their resources go, the reference stays."""
        with self._transaction("left-out-before-commit"):
            self._forget(reasons)
            self._db.executemany(
                "insert into cohort (server, patient, left_out) values (?, ?, ?)"
                " on conflict do update set loaded = null, left_out = excluded.left_out",
                [(self._server, patient, reason) for patient, reason in reasons.items()],
            )

    def dismiss(self, patients: Collection[str]) -> None:
        """These are nobody's here any more: their resources go, and so does the reference."""
        with self._transaction("dismissed-before-commit"):
            self._forget(patients)
            self._db.executemany(
                "delete from cohort where server = ? and patient = ?",
                [(self._server, patient) for patient in patients],
            )

    def drop(self, resource_type: str, names: Collection[str]) -> None:
        """Forget resources that belong to no patient and are not needed any more."""
        with self._transaction():
            for table in ("raw", "quarantine"):
                self._db.executemany(
                    f"delete from {table} where server = ? and type = ? and id = ?",  # noqa: S608
                    [(self._server, resource_type, name) for name in names],
                )

    def _forget(self, patients: Iterable[str]) -> None:
        for table in ("raw", "quarantine"):
            self._db.executemany(
                f"delete from {table} where server = ? and patient = ?",  # noqa: S608 - our own tables
                [(self._server, patient) for patient in patients],
            )

    def compact(self) -> None:
        """Write the database anew without what was deleted, and empty its journal."""
        self._all("vacuum")
        self._all("pragma wal_checkpoint(truncate)")
