"""The full history of patients, by lists: who is left out is settled first, who was merged comes along."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from fhir_srs.errors import ProtocolViolation
from fhir_srs.fhir.answers import Page
from fhir_srs.fhir.sansio import Search, lists_of
from fhir_srs.sync.departing import Departing
from fhir_srs.sync.intake import Taken, linked_records, take_page
from fhir_srs.sync.opt_out import LISTED, OPT_OUT, PURGED, TEST_PATIENT, listed
from fhir_srs.sync.taking import CONSENT, LIST, PATIENT_TYPES


class Loading(Departing):
    """The part of the pull that loads patients whole."""

    def _waiting(self) -> set[str]:
        return {patient for patient, loaded in self._store.cohort().items() if loaded is None}

    def _leave_out_listed(self) -> None:
        if self._care.opt_out:
            named = listed(self._care.opt_out, lambda: self._store.payloads("Patient"))
            self._leave_out(dict.fromkeys(named & self._cohort, LISTED))

    def _load(self, patients: list[str]) -> None:
        """The full history of *patients*, by lists of 20, and of those found to be merged with them."""
        tried = {name for name, why in self._out.items() if why == PURGED}
        patients = [name for name in patients if name not in tried]
        while patients:
            for group in lists_of(LIST, patients):
                tried.update(group)
                members = self._judged(group)
                self._load_group(members)
                self._store.loaded(members, self._watermark())
                self._report("pull patients", len(tried), len(patients))
            patients = sorted(self._waiting() - tried)
        self._leave_out_kin()

    def _judged(self, group: tuple[str, ...]) -> tuple[str, ...]:
        """Those of *group* who are not left out, their Patient records taken in."""
        search = self._group_search("Patient", group)
        pages = list(self._walker.proven(search))
        taken = [take_page(self._intake, page, "Patient", self._run, self._number) for page in pages]
        bodies = [body for page in pages for body in page.resources]
        reasons = {name: TEST_PATIENT for one in taken for name in one.test_patients}
        if CONSENT in self._types:
            reasons |= dict.fromkeys(self._opted_out(self._group_search(CONSENT, group)), OPT_OUT)
        reasons |= dict.fromkeys(listed(self._care.opt_out, lambda: bodies), LISTED)
        # Of what earlier runs found only purges count: every other reason is looked for anew.
        purged = {name: why for name, why in self._out.items() if why == PURGED}
        rows = [(kept.patient, kept.linked) for page in taken for kept in page.kept]
        reasons |= self._kin(rows, {**purged, **self._same_person, **reasons})
        self._same_person |= reasons
        reasons |= {name: self._same_person[name] for name in group if name in self._same_person}
        self._leave_out({name: why for name, why in reasons.items() if name in self._cohort})
        members = tuple(name for name in group if name not in reasons)
        for name in members:
            self._out.pop(name, None)
        for page in pages:
            self._take(search, page, self._only(frozenset(group), frozenset(members)))
        return members

    def _kin(
        self, records: Iterable[tuple[str | None, frozenset[str]]], out: Mapping[str, str]
    ) -> dict[str, str]:
        """Who is the same person as one who opted out: *records* merged with one of *out*, either way."""
        opted = {name: why for name, why in out.items() if why != TEST_PATIENT}
        found: dict[str, str] = {}
        for patient, linked in records:
            why = next((opted[name] for name in sorted(linked) if name in opted), None)
            if patient in opted:
                found |= dict.fromkeys(linked, opted[patient])
            elif why is not None and patient is not None:
                found[patient] = why
        return found

    def _leave_out_kin(self) -> None:
        """Records that are here already and turn out to be of one who opted out."""
        if set(self._out.values()) - {TEST_PATIENT}:
            records = (linked_records(body, self._client.base) for body in self._store.payloads("Patient"))
            self._leave_out(self._kin(records, self._out))

    def _only(self, asked: frozenset[str], members: frozenset[str]) -> Callable[[Taken], Taken]:
        """Rows of *members*, of an answer that may hold rows of *asked* alone."""

        def keep(taken: Taken) -> Taken:
            if taken.strangers(asked):
                raise ProtocolViolation("the server ignores the list of patients")
            return taken.of_patients(members, frozenset())

        return keep

    def _load_group(self, patients: tuple[str, ...]) -> None:
        if not patients:
            return
        names = [name for name in self._types if name in PATIENT_TYPES]
        searches = [self._group_search(name, patients) for name in names]
        keep = self._only(frozenset(patients), frozenset(patients))
        if self._by_link:
            self._find_merged(patients)
        # Walked side by side, taken one after the other: SQLite and the counts stay on this thread.
        with ThreadPoolExecutor(self._client.limits.connections) as threads:
            for search, pages in zip(searches, threads.map(self._collect, searches), strict=True):
                for page in pages:
                    self._take(search, page, keep)

    def _find_merged(self, patients: tuple[str, ...]) -> None:
        """Records that say they replace, or are replaced by, one of *patients*: they join the cohort."""
        filters = (("link", ",".join(patients)),)
        search = Search(type="Patient", filters=filters, count=self._count, sort=None, by_post=True)
        self._walk(search, lambda taken: taken.of_patients(patients, frozenset()))

    def _load_medications(self, *, again: bool) -> None:
        """The Medications that the stored records refer to, by lists of ids (decisions.md 19)."""
        if "Medication" not in self._types:
            return
        wanted = self._named_medications() - (frozenset() if again else self._store.present("Medication"))
        for ids in lists_of(LIST, sorted(wanted)):
            filters = (("_id", ",".join(ids)),)
            search = Search(type="Medication", filters=filters, count=self._count, sort=None, by_post=True)
            self._walk(search, lambda taken: taken)

    def _collect(self, search: Search) -> list[Page]:
        return list(self._walker.proven(search))
