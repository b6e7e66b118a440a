"""Pull: the cohort first, then what hangs on its patients, afterwards only what changed.

A hospital's server is never copied: radiosurgery Procedures are found by code, and of everything else only
the rows of their patients are kept. Each search is proven by the server's own count, taken before the walk;
what cannot be proven makes the run incomplete (`spec/reliability.md` section 2, `spec/hapi.md` part 2).
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fhir_srs.errors import DataError, ProtocolViolation
from fhir_srs.fhir.answers import (
    Answer,
    Page,
    PageExpired,
    decipher_capabilities,
    decipher_count,
    decipher_page,
    http_date,
)
from fhir_srs.fhir.client import FhirClient
from fhir_srs.fhir.sansio import (
    Search,
    capabilities,
    code_lists,
    count_request,
    instant,
    lists_of,
    next_request,
    relative,
    search_request,
    shows_filters,
    since,
)
from fhir_srs.model import content_id
from fhir_srs.progress import Report
from fhir_srs.store import Change, Store
from fhir_srs.sync.intake import Intake, Taken, take_page

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
REQUIRED = frozenset({"Patient", "Procedure", "Observation"})
_LIST = 20  # patients in one search: the fastest on HAPI (hapi.md, rates)
_TRIES = 3  # walks of one search before the run is incomplete (F12)
_PAGES = 10_000  # F13
_STALE_PAGES = 3  # F13: pages in a row without anything new

_LOG = logging.getLogger("fhir_srs.sync.pull")


class Incomplete(DataError):
    """The pull could not prove that it saw everything: nothing may be planned or written."""


class Stopped(DataError):
    """A signal asked the run to end; what was pulled stays, no watermark moved."""


class Counts(msgspec.Struct):
    """Resources of one type that this run found."""

    new: int = 0
    changed: int = 0
    deleted: int = 0


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What a complete pull says: the server's time at its start, and up to when everything is here."""

    started: datetime
    watermark: str


class Pull:
    """
    One run's pull from one server into one store.

    *intake* says who belongs to the cohort and what is our own. *stop* is asked between pages; *now* is for
    stamps only.
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
        self.found: dict[str, Counts] = {}

    def capabilities(self) -> dict[str, Any]:
        """
        What the server can do; the first answer of a run, whose Date starts the clock (steps 1 and 2).

        A server that cannot search what we need fails here, before anything was read.
        """
        statement, date = self._client.ask(capabilities(), _dated_capabilities)
        self._moments = [date] if date else []
        offered = searchable(statement)
        missing = sorted(REQUIRED - offered)
        if missing:
            raise ProtocolViolation(f"the server cannot search {', '.join(missing)}")
        self._types = tuple(name for name in ("Patient", *PATIENT_TYPES, "Medication") if name in offered)
        return statement

    def pull(self, *, full: bool) -> Pulled:
        """
        Everything that is new, in the store; then each cursor moved, in one transaction.

        *full* asks for everything again. Raises Incomplete, with the pages kept and the cursors unmoved.
        """
        self._cohort = set(self._store.cohort())
        cursors = self._store.cursors()
        again = full or bool(set(cursors) and set(self._types) - set(cursors))
        if again or any(cursor.mode != self._mode for cursor in cursors.values()) or not cursors:
            self._find_cohort()
        for name, watermark in {} if again else self._since().items():
            self._changes(name, datetime.fromisoformat(watermark) - self._overlap)
        self._load(sorted(self._cohort if again else self._waiting()))
        self._load_medications(again=again)
        return self._finish()

    def _waiting(self) -> set[str]:
        return {patient for patient, loaded in self._store.cohort().items() if loaded is None}

    def _since(self) -> dict[str, str]:
        """
        From when each type must be asked again, in the order of asking.

        Without cursors a first load was interrupted: the patients that it had loaded are complete up to the
        earliest mark among them, and what changed since then is asked for by type.
        """
        cursors = self._store.cursors()
        if cursors:
            return {name: cursors[name].watermark for name in self._incremental_order()}
        loaded = [mark for mark in self._store.cohort().values() if mark is not None]
        return dict.fromkeys(self._incremental_order(), min(loaded)) if loaded else {}

    def _incremental_order(self) -> Iterator[str]:
        """Procedures first: they say who belongs to the cohort."""
        yield "Procedure"
        yield from (name for name in self._types if name != "Procedure")

    def _watermark(self) -> str:
        """T0 less the lag: up to here everything that the server had committed was visible to this run."""
        if not self._moments:
            raise ProtocolViolation("the server never says what time it is")
        return instant(min(self._moments) - self._lag)

    def _finish(self) -> Pulled:
        watermark = self._watermark()
        seconds = int(self._lag.total_seconds())
        self._store.advance(watermark, types=self._types, lag=seconds, mode=self._mode)
        return Pulled(started=min(self._moments), watermark=watermark)

    def _find_cohort(self) -> None:
        for codes in code_lists(self._codes):
            search = Search(type="Procedure", filters=(("code", codes),), count=self._count)
            self._walk(search, lambda taken: taken.of_cohort())

    def _changes(self, name: str, after: datetime) -> None:
        """Rows of one type stamped at *after* or later; only those of the cohort are kept."""
        search = Search(type=name, filters=(since(after),), count=self._count)
        known = self._store.present("Medication") if name == "Medication" else frozenset()

        def keep(taken: Taken) -> Taken:
            if taken.stamped_before(instant(after)):
                raise ProtocolViolation("the server ignores _lastUpdated")
            joined = self._cohort | set(taken.newcomers)
            return taken.of_patients(joined, known)

        self._walk(search, keep)

    def _load(self, patients: list[str]) -> None:
        """The full history of *patients*, by lists of 20."""
        done = 0
        for group in lists_of(_LIST, patients):
            self._load_group(group)
            self._store.loaded(group, self._watermark())
            done += len(group)
            self._report("pull patients", done, len(patients))

    def _load_group(self, patients: tuple[str, ...]) -> None:
        searches = [self._group_search(name, patients) for name in self._types if name != "Medication"]
        members = frozenset(patients)

        def keep(taken: Taken) -> Taken:
            if taken.strangers(members):
                raise ProtocolViolation("the server ignores the list of patients")
            return taken

        # Walked side by side, taken one after the other: SQLite and the counts stay on this thread.
        with ThreadPoolExecutor(self._client.limits.connections) as threads:
            for search, pages in zip(searches, threads.map(self._collect, searches), strict=True):
                for page in pages:
                    self._take(search, page, keep)

    def _group_search(self, name: str, patients: tuple[str, ...]) -> Search:
        if name == "Patient":
            ids = ",".join(patient.removeprefix("Patient/") for patient in patients)
            return Search(type=name, filters=(("_id", ids),), count=self._count, sort=None, by_post=True)
        filters = ((PATIENT_TYPES[name], ",".join(patients)),)
        return Search(type=name, filters=filters, count=self._count, sort=None, by_post=True)

    def _load_medications(self, *, again: bool) -> None:
        """The Medications that the stored records refer to, by lists of ids (decisions.md 19)."""
        if "Medication" not in self._types:
            return
        references = (relative(one, base=self._client.base) for one in self._store.medication_references())
        named = {
            one.removeprefix("Medication/") for one in references if one and one.startswith("Medication/")
        }
        wanted = named - (frozenset() if again else self._store.present("Medication"))
        for ids in lists_of(_LIST, sorted(wanted)):
            filters = (("_id", ",".join(ids)),)
            search = Search(type="Medication", filters=filters, count=self._count, sort=None, by_post=True)
            self._walk(search, lambda taken: taken)

    def _walk(self, search: Search, keep: Callable[[Taken], Taken]) -> None:
        for page in self._proven(search):
            self._take(search, page, keep)

    def _collect(self, search: Search) -> list[Page]:
        return list(self._proven(search))

    def _proven(self, search: Search) -> Iterator[Page]:
        """Pages of *search*, walked again in smaller ones until the server's count is reached (step 5)."""
        for _ in range(_TRIES):
            expected = self._client.ask(count_request(search), decipher_count)
            if expected is None:
                raise Incomplete(f"{search.type}: the server does not count")
            seen: set[str] = set()
            try:
                if expected:
                    yield from self._pages(search, seen)
            except PageExpired:
                _LOG.info("page expired: %s", search.type)
            else:
                if len(seen) >= expected:
                    return
            search = msgspec.structs.replace(search, count=max(search.count // 2, 10))
        raise Incomplete(f"{search.type}: fewer resources than the server counts")

    def _pages(self, search: Search, seen: set[str]) -> Iterator[Page]:
        """Page after page by `next`, under the stop rules of F13; *seen* gathers what came."""
        request, visited, stale = search_request(search), set[str](), 0
        for _ in range(_PAGES):
            self._check_stop()
            page = self._client.ask(request, decipher_page)
            _judge(page, search, first=not visited)
            names = {self._intake.name(body) for body in page.resources}
            stale = 0 if names - seen else stale + 1
            seen |= names | {f"?{search.type}{len(seen)}.{n}" for n in range(page.unreadable)}
            yield page
            if page.next is None:
                return
            if page.next in visited or stale >= _STALE_PAGES:
                raise Incomplete(f"{search.type}: the pages do not end")
            visited.add(page.next)
            request = next_request(search, page.next, base=self._client.base, allowed=self._client.allowed)
        raise Incomplete(f"{search.type}: more pages than allowed")

    def _check_stop(self) -> None:
        if self._stop():
            raise Stopped("stopped by a signal")

    def _take(self, search: Search, page: Page, keep: Callable[[Taken], Taken]) -> None:
        """One page into the store: one transaction (step 4)."""
        self._clock(page)
        taken = keep(take_page(self._intake, page, search.type, self._run, self._number))
        changes = self._store.ingest(
            self._run,
            self._number,
            search.type,
            rows=taken.rows,
            refused=taken.refused,
            patients=taken.newcomers,
            echoes=taken.echoes,
            now=self._now,
        )
        self._number += 1
        self._cohort |= set(taken.newcomers)
        self._tally(search.type, changes)
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


def _dated_capabilities(answer: Answer, route: str) -> tuple[dict[str, Any], datetime | None]:
    return decipher_capabilities(answer, route), http_date(answer.headers.get("date"))


def _judge(page: Page, search: Search, *, first: bool) -> None:
    """A further page's `self` is HAPI's own page link, without parameters: only the first shows filters."""
    if page.outcomes:
        raise Incomplete(f"{search.type}: the server reports {', '.join(sorted(set(page.outcomes))[:5])}")
    if first and not shows_filters(page.self_link, search):
        raise ProtocolViolation(f"{search.type}: the server ignores a filter")


def searchable(statement: Mapping[str, Any]) -> frozenset[str]:
    """The types that the CapabilityStatement says can be searched."""
    return _with_interaction(statement, "search-type")


def writable(statement: Mapping[str, Any]) -> frozenset[str]:
    """The types that a client may put under ids of its own: `update`, and `updateCreate` not denied."""
    denied = {one["type"] for one in _resources(statement) if one.get("updateCreate") is False}
    return _with_interaction(statement, "update") - denied


def _with_interaction(statement: Mapping[str, Any], wanted: str) -> frozenset[str]:
    return frozenset(
        one["type"]
        for one in _resources(statement)
        if any(isinstance(it, dict) and it.get("code") == wanted for it in one.get("interaction") or ())
    )


def _resources(statement: Mapping[str, Any]) -> list[dict[str, Any]]:
    rest = statement.get("rest")
    server = rest[0] if isinstance(rest, list) and rest and isinstance(rest[0], dict) else {}
    listed = server.get("resource")
    found = listed if isinstance(listed, list) else []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("type"), str)]


def moment_of(text: str | None) -> datetime | None:
    """The instant that *text* stands for, in UTC, or None."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)
