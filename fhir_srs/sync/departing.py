"""Who no longer belongs to the cohort leaves the store: increments end where a full load starts (I2)."""

from fhir_srs.fhir.sansio import relative
from fhir_srs.store import DISMISSED
from fhir_srs.sync.intake import linked_records
from fhir_srs.sync.kin import same_persons
from fhir_srs.sync.taking import Taking


class Departing(Taking):
    """The part of the pull that finds what a full load would not bring any more."""

    def _dismiss(self) -> None:
        """Patients without a radiosurgery, and Medications that no record names, are nobody's here."""
        if self._store.mark(DISMISSED):
            return
        members = self._members()
        out = self._store.left_out()
        patients = {name for name in self._store.cohort() if name not in members and name not in out}
        if patients:
            self._store.dismiss(patients)
            self._cohort -= patients
        if medications := self._unnamed_medications():
            self._store.drop("Medication", medications)
        self._store.set_mark(DISMISSED, "all")

    def _members(self) -> set[str]:
        """Who was treated, by what is stored, and the records merged with theirs, however far."""
        treated = {self._intake.treated(body) for body in self._store.payloads("Procedure")}
        found = {name for name in treated if name}
        return same_persons(found, self._stored_links())

    def _stored_links(self) -> dict[str, frozenset[str]]:
        """The records that each stored Patient says it was merged with, of those that say so."""
        told = (linked_records(body, self._client.base) for body in self._store.payloads("Patient"))
        return {patient: linked for patient, linked in told if patient and linked}

    def _named_medications(self) -> set[str]:
        """The ids of the Medications that the stored records refer to."""
        names = (relative(one, base=self._client.base) for one in self._store.medication_references())
        return {one.removeprefix("Medication/") for one in names if one and one.startswith("Medication/")}

    def _unnamed_medications(self) -> set[str]:
        refused = {one.id for one in self._store.quarantined() if one.type == "Medication"}
        held = self._store.present("Medication") | refused
        return set(held) - self._named_medications() if held else set()
