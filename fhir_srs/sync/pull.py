"""Pull: the cohort first, then what hangs on its patients, afterwards only what changed.

A hospital's server is never copied: radiosurgery Procedures are found by code, and of everything else only
the rows of their patients are kept. Each search is proven by the server's own count, taken before the walk;
what cannot be proven makes the run incomplete (`spec/reliability.md` section 2, `spec/hapi.md` part 2).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec

from fhir_srs.errors import ProtocolViolation
from fhir_srs.fhir.answers import Answer, Page, decipher_capabilities, decipher_count, http_date
from fhir_srs.fhir.sansio import Search, capabilities, code_lists, count_request, instant, since
from fhir_srs.model import to_json
from fhir_srs.store import CAPABILITIES, REREAD
from fhir_srs.sync.abilities import has_parameter, reduced, searchable, with_interaction
from fhir_srs.sync.comparing import Comparing
from fhir_srs.sync.crew import Crew
from fhir_srs.sync.intake import Taken
from fhir_srs.sync.loading import Loading
from fhir_srs.sync.opt_out import OPT_OUT
from fhir_srs.sync.session import WRITTEN_TYPES
from fhir_srs.sync.taking import CONSENT, PATIENT_TYPES, Care, moment_of
from fhir_srs.sync.vanished import deleted_since

__all__ = ["PATIENT_TYPES", "REQUIRED", "Care", "Pull", "Pulled"]

_DAY = timedelta(days=1)
# Of these types the statement is read, here and for writing.
_ASKED = frozenset({"Patient", *PATIENT_TYPES, "Medication", CONSENT, *WRITTEN_TYPES, "StructureDefinition"})
REQUIRED = frozenset({"Patient", "Procedure", "Observation"})


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What a complete pull says: the server's time at its start, and up to when everything is here."""

    started: datetime
    watermark: str


class _Past(NamedTuple):
    """The history of one type from a moment on."""

    type: str
    since: datetime


class Pull(Loading, Comparing):
    """One run's pull: `capabilities`, then `pull`."""

    def capabilities(self) -> dict[str, Any]:
        """
        What the server can do, and what time it is there: that starts the clock (steps 1 and 2).

        Asked once a day, by the server's clock, and again after a run that was not done. A server that
        cannot search what we need fails here, before anything was read.
        """
        date = self._date_of_a_search() if self._store.mark(CAPABILITIES) and not self._care.anew else None
        statement = self._known_statement(date)
        if statement is None:
            whole, date = self._client.ask(capabilities(), _dated_capabilities)
            statement = reduced(whole, _ASKED)
            if date is not None:
                self._store.set_mark(CAPABILITIES, to_json([instant(date), statement]).decode())
        self._moments = [date] if date else []
        self.server_time = date
        offered = searchable(statement)
        missing = sorted(REQUIRED - offered)
        if missing:
            raise ProtocolViolation(f"the server cannot search {', '.join(missing)}")
        named = ("Patient", *PATIENT_TYPES, "Medication", *((CONSENT,) if self._care.consent else ()))
        self._types = tuple(name for name in named if name in offered)
        self.histories = with_interaction(statement, "history-type")
        if not {*self._types} - {CONSENT} <= self.histories:
            self.notes.append("no history of every type: all ids are compared in each run (H10)")
        self._by_link = has_parameter(statement, "Patient", "link")
        return statement

    def _date_of_a_search(self) -> datetime | None:
        """
        The Date of the first answer of the run: to the count of the first search for what is new.

        That count is needed anyway, so it is kept for its search.
        """
        mark = self._store.cursors().get("Procedure")
        if mark is None:
            search = Search(type="Patient", filters=(("_id", "0"),), count=self._count)
        else:
            search = self._search_since("Procedure", datetime.fromisoformat(mark.since) - self._overlap)
        number, date = self._client.ask(count_request(search), _dated_count)
        if number is not None:
            self._counted[search] = number
        return date

    def _search_since(self, name: str, after: datetime) -> Search:
        return Search(type=name, filters=(since(after),), count=self._count)

    def _known_statement(self, now: datetime | None) -> dict[str, Any] | None:
        """The statement that the server made within a day before *now*, if it did."""
        text = self._store.mark(CAPABILITIES)
        if text is None or now is None:
            return None
        at, statement = msgspec.json.decode(text, type=tuple[str, dict[str, Any]])
        return statement if timedelta(0) <= now - datetime.fromisoformat(at) < _DAY else None

    def pull(self, *, full: bool) -> Pulled:
        """
        Everything that is new, in the store; then each cursor moved, in one transaction.

        *full* asks for everything again. Raises Incomplete, with the pages kept and the cursors unmoved.
        """
        self._cohort, self._out = set(self._store.cohort()), self._store.left_out()
        cursors, held = self._store.cursors(), not self._store.is_empty()
        again = full or self._clock_went_back() or bool(set(cursors) and set(self._types) - set(cursors))
        if again or any(cursor.mode != self._mode for cursor in cursors.values()) or not cursors:
            self._find_cohort()
        marks = {} if again else self._since()
        wide = self._widened()
        self._changes({name: datetime.fromisoformat(mark) - self._overlap for name, mark in marks.items()})
        self._leave_out_listed()
        self._load(sorted(self._cohort if again else self._waiting()))
        self._load_medications(again=again)
        known = set(self._cohort)
        self._vanished(census=held and (again or self._census_is_due()))
        if joined := self._cohort - known:  # found by the comparison alone
            self._load(sorted(joined))
            self._load_medications(again=False)
        self._dismiss()
        if wide:
            self._store.set_mark(REREAD, instant(min(self._moments)))
        return self._finish()

    def _widened(self) -> bool:
        """Whether this run reads more again than the usual overlap: the first one of a day does (I4, H12)."""
        last = moment_of(self._store.mark(REREAD))
        if not self._moments or (last is not None and abs(min(self._moments) - last) < _DAY):
            return False
        self._overlap = max(self._overlap, self._care.reread)
        return True

    def _clock_went_back(self) -> bool:
        """Whether the server's clock is behind what was complete: new stamps may be old ones (F26)."""
        marks = self._since().values()
        if not self._moments or not marks or min(marks) <= instant(min(self._moments)):
            return False
        self.notes.append("the server's clock went back: everything is asked for again (F26)")
        return True

    def _since(self) -> dict[str, str]:
        """
        From when each type must be asked again, in the order of asking.

        Without cursors a first load was interrupted: the patients that it had loaded are complete up to the
        earliest mark among them, and what changed since then is asked for by type.
        """
        cursors = self._store.cursors()
        if cursors:
            return {name: cursors[name].since for name in self._incremental_order() if name in cursors}
        loaded = [mark for mark in self._store.cohort().values() if mark is not None]
        return dict.fromkeys(self._incremental_order(), min(loaded)) if loaded else {}

    def _incremental_order(self) -> Iterator[str]:
        """Procedures first: whose treatment is new is then known when the rest of their rows comes."""
        yield "Procedure"
        yield from (name for name in self._types if name != "Procedure")

    def _finish(self) -> Pulled:
        watermark = self._watermark()
        seconds = int(self._lag.total_seconds())
        self._store.advance(watermark, types=self._types, lag=seconds, mode=self._mode)
        return Pulled(started=min(self._moments), watermark=watermark)

    def _find_cohort(self) -> None:
        lists = code_lists(self._codes)
        searches = [
            Search(type="Procedure", filters=(("code", codes),), count=self._count) for codes in lists
        ]
        with Crew(self._rows, searches, threads=self._client.limits.connections).walking() as told:
            for search, page in told:
                if isinstance(page, Page):
                    self._take(search.type, page, lambda taken: taken.of_cohort(self._out))

    def _changes(self, marks: Mapping[str, datetime]) -> None:
        """
        Rows of each type stamped at its mark or later, side by side; only those of the cohort are kept.

        The history of each type is asked meanwhile, for `_vanished`.
        """
        searches = [self._search_since(name, after) for name, after in marks.items()]
        pasts = [_Past(name, after) for name, after in marks.items() if name in self.histories - {CONSENT}]
        consents: list[Page] = []
        work: list[Search | _Past] = [*searches, *pasts]
        with Crew(self._news, work, threads=self._client.limits.connections).walking() as told:
            for search, page in told:
                if isinstance(search, _Past) or not isinstance(page, Page):
                    continue
                if search.type == CONSENT:
                    consents.append(page)
                else:
                    self._take(search.type, page, partial(self._changed, after=marks[search.type]))
        # Last, when it is known who joined the cohort.
        self._leave_out(dict.fromkeys(self._dissenting(consents) & self._cohort, OPT_OUT))

    def _news(self, asked: "Search | _Past") -> Iterator[Page]:
        if isinstance(asked, _Past):
            return self._noted(asked)
        return self._rows(asked)

    def _noted(self, past: "_Past") -> Iterator[Page]:
        """No page: what the history names as deleted is kept for when the rows are in."""
        self._deleted[past.type] = dict(
            deleted_since(self._client, self._walker, past.type, past.since, self._count)
        )
        return iter(())

    def _rows(self, search: Search) -> Iterator[Page]:
        if search.type == CONSENT:
            return self._consents(search)
        return self._walker.proven(search, expected=self._counted.get(search))

    def _changed(self, taken: Taken, *, after: datetime) -> Taken:
        if taken.stamped_before(instant(after)):
            raise ProtocolViolation("the server ignores _lastUpdated")
        medications = any(row.type == "Medication" for row in taken.rows)
        return self._members_only(taken, self._store.present("Medication") if medications else frozenset())


def _dated_count(answer: Answer, route: str) -> tuple[int | None, datetime | None]:
    return decipher_count(answer, route), http_date(answer.headers.get("date"))


def _dated_capabilities(answer: Answer, route: str) -> tuple[dict[str, Any], datetime | None]:
    return decipher_capabilities(answer, route), http_date(answer.headers.get("date"))
