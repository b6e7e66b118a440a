"""The full history of patients, by lists: who is left out is settled first, who was merged comes along."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fhir_srs.errors import ProtocolViolation
from fhir_srs.fhir.answers import Page, PageExpired
from fhir_srs.fhir.sansio import Search, lists_of
from fhir_srs.sync.crew import Crew
from fhir_srs.sync.departing import Departing
from fhir_srs.sync.intake import Taken, take_page
from fhir_srs.sync.kin import kin
from fhir_srs.sync.opt_out import LISTED, OPT_OUT, PURGED, TEST_PATIENT, listed
from fhir_srs.sync.taking import CONSENT, LIST, PATIENT_TYPES
from fhir_srs.sync.walk import Seen

_LINKED = "link"  # Patient records by `link`
# The type with the most rows first: when a list is nearly done, what is left is small.
_ORDER = ("Observation", *(name for name in PATIENT_TYPES if name != "Observation"), _LINKED)
_ROOM = 1.25  # parts are cut for four fifths of a page: patients differ


class _Whole:
    """
    The searches of some *lists* of patients, whose rows were counted together: that one count proves all.

    The threads that walk them share it.
    """

    def __init__(self, expected: int, lists: Sequence[tuple[str, ...]]) -> None:
        self._expected, self._left = expected, len(lists)
        self.lists = lists
        self._seen = Seen()
        self._spoilt = False
        self._turn = threading.Lock()

    def is_short(self, seen: Seen, *, spoilt: bool) -> bool:
        """Add what one part gave; whether it was the last one, and all of them do not prove the whole."""
        with self._turn:
            self._seen.join(seen)
            self._spoilt |= spoilt
            self._left -= 1
            return not self._left and (self._spoilt or self._seen.count < self._expected)


class _Errand(NamedTuple):
    """
    The rows of one *type* of some *patients*: those of *group*, or a part of them.

    A part is proven with the others of *whole*; or *alone*, by a count of its own.
    """

    type: str
    patients: tuple[str, ...]
    group: tuple[str, ...]
    whole: _Whole | None = None
    alone: bool = False

    @property
    def resource_type(self) -> str:
        return "Patient" if self.type == _LINKED else self.type

    def parts(self, rows: int, page: int) -> list["_Errand"]:
        """The same in lists whose share of all *rows* fits on a *page*."""
        size = max(1, int(len(self.patients) * page / (rows * _ROOM)))
        lists = list(lists_of(size, self.patients))
        whole = None if self.alone else _Whole(rows, lists)
        return [self._replace(patients=some, whole=whole) for some in lists]


class Loading(Departing):
    """The part of the pull that loads patients whole."""

    def _waiting(self) -> set[str]:
        return {patient for patient, loaded in self._store.cohort().items() if loaded is None}

    def _leave_out_listed(self) -> None:
        if self._care.opt_out:
            named = listed(self._care.opt_out, lambda: self._store.payloads("Patient"))
            self._leave_out(dict.fromkeys(named & self._cohort, LISTED))

    def _load(self, patients: list[str]) -> None:
        """The full history of *patients*, by lists, and of those found to be merged with them."""
        tried = {name for name, why in self._out.items() if why == PURGED}
        patients = [name for name in patients if name not in tried]
        while patients:
            tried.update(patients)
            self._judge(patients)
            self._leave_out_kin()
            self._load_members([name for name in patients if name not in self._out])
            patients = sorted(self._waiting() - tried)
        self._leave_out_kin()

    def _judge(self, patients: list[str]) -> None:
        """Who of *patients* is left out; the Patient records of the others are taken in."""
        names = ("Patient", *((CONSENT,) if CONSENT in self._types else ()))
        pages: dict[_Errand, list[Page]] = {}

        def take(errand: _Errand, page: Page) -> None:
            pages.setdefault(errand, []).append(page)

        def done(group: tuple[str, ...]) -> None:
            mine = {errand: pages.pop(errand) for errand in list(pages) if errand.group == group}
            of = {
                name: [p for one, found in mine.items() if one.type == name for p in found] for name in names
            }
            self._judged(group, of["Patient"], of.get(CONSENT, []))

        self._walk_lists(patients, names, take, done)

    def _judged(self, group: tuple[str, ...], pages: list[Page], consents: list[Page]) -> None:
        """Those of *group* who are not left out, their Patient records on *pages* taken in."""
        taken = [take_page(self._intake, page, "Patient", self._run, self._number) for page in pages]
        bodies = [body for page in pages for body in page.resources]
        reasons = {name: TEST_PATIENT for one in taken for name in one.test_patients}
        reasons |= dict.fromkeys(self._dissenting(consents), OPT_OUT)
        reasons |= dict.fromkeys(listed(self._care.opt_out, lambda: bodies), LISTED)
        self._dissent |= reasons
        self._links |= {name: linked for one in taken for name, linked in one.links.items()}
        # Of what earlier runs found only purges count: every other reason is looked for anew.
        purged = {name: why for name, why in self._out.items() if why == PURGED}
        reasons = kin({**purged, **self._dissent}, self._links)
        self._leave_out({name: why for name, why in reasons.items() if name in self._cohort})
        members = frozenset(group) - reasons.keys()
        for name in members:
            self._out.pop(name, None)
        for page in pages:
            self._take("Patient", page, self._only(frozenset(group), members))

    def _leave_out_kin(self) -> None:
        """
        Records that turn out to be of one who opted out, however far the merges go.

        Of those who are left out nothing is stored: what their records said in this run counts as well.
        """
        if set(self._out.values()) - {TEST_PATIENT}:
            found = kin(self._out, {**self._links, **self._stored_links()})
            self._leave_out({name: why for name, why in found.items() if name in self._cohort})

    def _only(self, asked: frozenset[str], members: frozenset[str]) -> Callable[[Taken], Taken]:
        """Rows of *members*, of an answer that may hold rows of *asked* alone."""

        def keep(taken: Taken) -> Taken:
            if taken.strangers(asked):
                raise ProtocolViolation("the server ignores the list of patients")
            return taken.of_patients(members, frozenset())

        return keep

    def _load_members(self, patients: list[str]) -> None:
        """Everything of *patients*; those of a list count as loaded when all types of them are here."""
        offered = {*self._types, *((_LINKED,) if self._by_link else ())}
        names = [name for name in _ORDER if name in offered]
        loaded = 0

        def take(errand: _Errand, page: Page) -> None:
            asked = frozenset(errand.patients)
            # Who is linked may be of the cohort already: then the record stays.
            keep = self._members_only if errand.type == _LINKED else self._only(asked, asked)
            self._take(errand.resource_type, page, keep)

        def done(group: tuple[str, ...]) -> None:
            nonlocal loaded
            loaded += len(group)
            self._store.loaded(group, self._watermark())
            self._report("pull patients", loaded, len(patients))

        self._walk_lists(patients, names, take, done)

    def _walk_lists(
        self,
        patients: list[str],
        names: Sequence[str],
        take: Callable[[_Errand, Page], None],
        done: Callable[[tuple[str, ...]], None],
    ) -> None:
        """*take* each page of each of *names* of *patients*, list by list; *done* when a list is whole."""
        work = (_Errand(name, group, group) for group in lists_of(LIST, patients) for name in names)
        left: dict[tuple[str, ...], int] = {}
        with Crew(self._asked, work, threads=self._client.limits.connections).walking() as told:
            for errand, what in told:
                if isinstance(what, Page):
                    take(errand, what)
                    continue
                group = errand.group
                left[group] = left.get(group, len(names)) + (-1 if what is None else len(what))
                if not left[group]:
                    del left[group]
                    done(group)

    def _asked(self, errand: _Errand) -> Iterator[Page | list[_Errand]]:
        """The pages of *errand*, or smaller errands where several patients have more rows than a page."""
        search = self._search_of(errand)
        if errand.type == CONSENT:
            yield from self._consents(search)
            return
        if errand.whole is not None:
            yield from self._part(errand, errand.whole)
            return
        expected = self._walker.counted(search)
        if expected > self._count and len(errand.patients) > 1:
            yield errand.parts(expected, self._count)
        else:
            yield from self._walker.proven(search, expected=expected)

    def _part(self, errand: _Errand, whole: _Whole) -> Iterator[Page | list[_Errand]]:
        """The pages of a part; where it was the last one and the whole is short, each once more, alone."""
        seen, spoilt = Seen(), False
        try:
            yield from self._walker.pages(self._search_of(errand), seen)
        except PageExpired:
            spoilt = True
        if whole.is_short(seen, spoilt=spoilt):
            yield [errand._replace(patients=some, whole=None, alone=True) for some in whole.lists]

    def _search_of(self, errand: _Errand) -> Search:
        """As asked. By `link`: who replaces one of the patients, or is replaced, joins the cohort."""
        if errand.type != _LINKED:
            return self._group_search(errand.type, errand.patients)
        filters = (("link", ",".join(errand.patients)),)
        return Search(type="Patient", filters=filters, count=self._count, sort=None, by_post=True)

    def _load_medications(self, *, again: bool) -> None:
        """The Medications that the stored records refer to, by lists of ids (decisions.md 19)."""
        if "Medication" not in self._types:
            return
        wanted = self._named_medications() - (frozenset() if again else self._store.present("Medication"))
        for ids in lists_of(LIST, sorted(wanted)):
            filters = (("_id", ",".join(ids)),)
            search = Search(type="Medication", filters=filters, count=self._count, sort=None, by_post=True)
            self._walk(search, lambda taken: taken)
