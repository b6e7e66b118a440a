"""What every part of the pull does with a page: judge it, take it into the store, count what it changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from fhir_srs.errors import AccessRefused, ProtocolViolation
from fhir_srs.fhir.answers import Page
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import Search, instant
from fhir_srs.model import content_id
from fhir_srs.progress import Report
from fhir_srs.results.plan import Brake
from fhir_srs.store import Change, Store
from fhir_srs.sync.intake import Intake, Taken, take_page
from fhir_srs.sync.opt_out import TEST_PATIENT, opted_out
from fhir_srs.sync.vanished import Census, Key
from fhir_srs.sync.walk import Walker

# decisions.md 22, and by which parameter each type is found by patient: R4's AdverseEvent has `subject`.
PATIENT_TYPES: Mapping[str, str] = {
    "Procedure": "patient",
    "Observation": "patient",
    "Condition": "patient",
    "BodyStructure": "patient",
    "MedicationRequest": "patient",
    "MedicationStatement": "patient",
    "MedicationDispense": "patient",
    "MedicationAdministration": "patient",
    "AdverseEvent": "subject",
    "DiagnosticReport": "patient",
    "ImagingStudy": "patient",
}
CONSENT = "Consent"  # asked for opt-outs, never stored
LIST = 100  # patients in one search, fewer where their rows are more than a page (docs/decisions/041)
_WEEK = timedelta(days=7)


class Counts(msgspec.Struct):
    """Resources of one type that this run found."""

    new: int = 0
    changed: int = 0
    deleted: int = 0


class Care(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a pull is careful about, beside completeness.

    *brake* bounds what may be gone; *census* is how often all ids are compared, *counted* asks for it now.
    With *anew* the server is asked again what it can do.
    With *quarantined* what could not be read is read again. *opt_out* are entries of the list file; without
    *consent* no Consent is asked for. With *reads_only* nothing but GET and searches is sent. Once a day
    so much is read again as *reread* says, for what was visible long after it was stamped.
    """

    brake: Brake = Brake()
    census: timedelta = _WEEK
    counted: bool = False
    anew: bool = False
    quarantined: bool = False
    opt_out: frozenset[str] = frozenset()
    consent: bool = True
    reads_only: bool = False
    reread: timedelta = timedelta(0)


class Taking:
    """
    One run's pull from one server into one store, as far as all its parts share it.

    *intake* says who belongs to the cohort and what is our own. *stop* is asked between pages; *now* is for
    stamps only. *strays* hears of results of ours (`Observation/x`) that the outbox does not know.
    """

    def __init__(
        self,
        client: FhirClient,
        store: Store,
        *,
        run: str,
        intake: Intake,
        count: int,
        overlap: timedelta,
        lag: timedelta,
        report: Report,
        stop: Callable[[], bool],
        now: str,
        care: Care = Care(),  # noqa: B008 - frozen
        strays: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        self._client, self._store = client, store
        self._run, self._count, self._overlap, self._lag = run, count, overlap, lag
        self._codes = sorted(intake.codes | intake.generic)
        # Other codes, another cohort: it is then searched for again.
        self._mode = f"cohort {content_id(*self._codes)}"
        self._intake = intake
        self._report, self._stop, self._now = report, stop, now
        self._number = 0
        self._moments: list[datetime] = []
        self._types: tuple[str, ...] = ()
        self._cohort: set[str] = set()
        self._out: dict[str, str] = {}
        self._counted: dict[Search, int] = {}  # counts of searches that are still to be walked
        self._dissent: dict[str, str] = {}  # who is left out by a word of their own, of this run
        # By type, ids that its history names as deleted, with the version of the deletion.
        self._deleted: dict[str, dict[str, str | None]] = {}
        self._links: dict[str, frozenset[str]] = {}  # merged records, of whoever this run saw
        self._care = care
        self._walker = Walker(client, intake.name, stop)
        self.histories: frozenset[str] = frozenset()
        self._by_link = False
        self.server_time: datetime | None = None
        self.found: dict[str, Counts] = {}
        self.notes: list[str] = []
        self._strays = strays
        self.compared: dict[str, Census] = {}
        # Copies of which stamp and version disagree whether they are newer than ours: to be read (I6).
        self._doubtful: set[Key] = set()

    def _watermark(self) -> str:
        """T0 less the lag: up to here everything that the server had committed was visible to this run."""
        if not self._moments:
            raise ProtocolViolation("the server never says what time it is")
        return instant(min(self._moments) - self._lag)

    def _members_only(self, taken: Taken, medications: frozenset[str] = frozenset()) -> Taken:
        """What is of the cohort, without those who are left out of it; a test patient leaves it here."""
        self._leave_out(dict.fromkeys(taken.test_patients & self._cohort, TEST_PATIENT))
        members = (self._cohort | set(taken.newcomers)) - self._out.keys()
        return taken.of_patients(members, medications)

    def _leave_out(self, reasons: Mapping[str, str]) -> None:
        news = {patient: why for patient, why in reasons.items() if self._out.get(patient) != why}
        if news:
            self._store.leave_out(news)
            self._out |= news

    def _opted_out(self, search: Search) -> set[str]:
        """Who opted out, by the Consents that *search* finds."""
        return self._dissenting(self._consents(search))

    def _consents(self, search: Search) -> Iterator[Page]:
        """The pages of *search*, for Consents; without access to them nobody is let in."""
        try:
            yield from self._walker.proven(search)
        except AccessRefused as error:
            raise AccessRefused(
                f"{error}; [source] consent = false goes without", status=error.status
            ) from None

    def _dissenting(self, pages: Iterable[Page]) -> set[str]:
        today = min(self._moments).date().isoformat() if self._moments else ""
        bodies = (body for page in pages for body in page.resources)
        return set(opted_out(bodies, base=self._client.base, today=today))

    def _group_search(self, name: str, patients: tuple[str, ...]) -> Search:
        if name == "Patient":
            ids = ",".join(patient.removeprefix("Patient/") for patient in patients)
            return Search(type=name, filters=(("_id", ids),), count=self._count, sort=None, by_post=True)
        filters = ((PATIENT_TYPES.get(name, "patient"), ",".join(patients)),)
        return Search(type=name, filters=filters, count=self._count, sort=None, by_post=True)

    def _walk(self, search: Search, keep: Callable[[Taken], Taken]) -> None:
        for page in self._walker.proven(search):
            self._take(search.type, page, keep)

    def _take(self, name: str, page: Page, keep: Callable[[Taken], Taken], *, certain: bool = False) -> None:
        """One page into the store: one transaction (step 4). With *certain* it was read by id, just now."""
        self._clock(page)
        whole = take_page(self._intake, page, name, self._run, self._number)
        self._links |= whole.links
        taken = keep(whole)
        joined = whole.relatives(self._cohort - self._out.keys()) | set(taken.newcomers)
        changes = self._store.ingest(
            self._run,
            self._number,
            name,
            rows=taken.rows,
            outside=taken.outside,
            refused=taken.refused,
            patients=sorted(joined),
            echoes=taken.echoes,
            now=self._now,
            certain=certain,
        )
        self._number += 1
        if taken.echoes and (unknown := self._store.unknown([f"{name}/{one}" for one in taken.echoes])):
            self._strays(unknown)
        self._cohort |= joined
        self._tally(name, changes)
        keys = [row.key for row in (*taken.rows, *taken.outside)] + [one.key for one in taken.refused]
        self._doubtful |= {key for key, change in zip(keys, changes, strict=True) if change == "doubtful"}
        self._report("pull pages", self._number)

    def _clock(self, page: Page) -> None:
        """T0 is the earlier of the first answer's Date and the first Bundle's lastUpdated (step 2)."""
        moment = moment_of(page.last_updated)
        if moment is not None and len(self._moments) < 2:
            self._moments.append(moment)

    def _tally(self, name: str, changes: Iterable[Change]) -> None:
        counts = self.found.setdefault(name, Counts())
        for change in changes:
            counts.new += change == "new"
            counts.changed += change == "changed"


def moment_of(text: str | None) -> datetime | None:
    """The instant that *text* stands for, in UTC, or None."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)
