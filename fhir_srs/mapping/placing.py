"""What was read of a patient's resources comes to its day and its lesion: events, and what became of each."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fhir_srs import r4
from fhir_srs.dates import PartialDate
from fhir_srs.mapping.elements import NOWHERE, When, day, effective, occasions
from fhir_srs.mapping.facts import Draft, LesionSite, Link, LinkHints, Noted, PatientFacts, Reading, noted
from fhir_srs.mapping.ledger import Ledger
from fhir_srs.mapping.links import Linker
from fhir_srs.mapping.observations import read_whole
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.scores import member_hints, whole_hints
from fhir_srs.model import Event

_UNLINKED = Link(lesion_id=None, rung="patient")
_ELSEWHERE = ("site-other-than-lesion",)


class Placing:
    """Places what was read of one patient, whose lesions are *sites*; the ledger takes the rest."""

    def __init__(
        self, sites: Sequence[LesionSite], facts: PatientFacts, profile: Profile, ledger: Ledger
    ) -> None:
        self._facts = facts
        self._profile = profile
        self._ledger = ledger
        self._linker = Linker(sites, facts, profile) if sites else None

    def noted(self, name: str, one: Noted) -> Iterable[Event]:
        """The events of a reduced Observation."""
        hints = member_hints(name, one.hints, self._facts) if self._facts.panels else one.hints
        return self._observed(name, one, one.reading, hints)

    def whole(self, name: str, found: r4.Observation) -> Iterable[Event]:
        """The events of an Observation that was kept whole: a panel, or what answers for one."""
        reading = read_whole(found, self._facts, self._profile)
        hints = whole_hints(found, self._facts, self._profile)
        return self._observed(name, noted(found, reading, hints), reading, hints)

    def drafts(self, name: str, drafts: Iterable[Draft]) -> Iterator[Event]:
        """The events of *drafts*, each with its lesion and rung."""
        for draft in drafts:
            link = self._link(name, draft.hints, draft.event.on)
            yield _placed(draft.event, link)

    def _observed(self, name: str, one: Noted, reading: Reading, hints: LinkHints) -> Iterable[Event]:
        if reading.use != "used":
            return self._unused(name, reading)
        when = self._when(one, reading)
        if when.on is None and reading.dated_by == "value":
            self._ledger.refuse(name, *when.said[0])
            return ()
        self._ledger.use(name)
        if reading.said or when.said:
            self._say(name, reading, when)
        return self._events(name, one.meta, reading, when.on, hints) if reading.findings else ()

    def _unused(self, name: str, reading: Reading) -> tuple[()]:
        if reading.use == "ignored":
            self._ledger.ignore(name)
        else:
            self._ledger.refuse(name, *reading.said[0])
        return ()

    def _when(self, one: Noted, reading: Reading) -> When:
        if reading.dated_by == "value":
            return day(one.value_moment, "valueDateTime", self._facts, self._profile)
        if one.timing is not None and not (one.moment or one.instant or one.during):
            return occasions(one.timing, "effectiveTiming", self._facts, self._profile)
        return effective(one.moment, one.instant, one.during, self._facts, self._profile)

    def _say(self, name: str, reading: Reading, when: When) -> None:
        undated = {"date-missing": reading.undated}
        dated = [(undated.get(reason, reason), path) for reason, path in when.said]
        self._ledger.note_all(name, [*reading.said, *dated])

    def _events(
        self, name: str, meta: r4.Meta | None, reading: Reading, on: PartialDate | None, hints: LinkHints
    ) -> Iterator[Event]:
        version = meta.version_id if meta else None
        source = f"{name}/_history/{version}" if version else name
        link = self._link(name, hints, on)
        elsewhere = _ELSEWHERE if _is_elsewhere(link) else ()
        for one in reading.findings:
            if one.value == "worsened" and link.lesion_id is None and "local" not in one.flags:
                self._ledger.note(name, "progression-site-unknown", "valueCodeableConcept")
            yield Event(
                patient=self._facts.patient,
                lesion_id=link.lesion_id,
                link=link.rung,
                kind=one.kind,
                on=on,
                value=one.value,
                unit=one.unit,
                code=one.code,
                source=source,
                flags=one.flags + elsewhere,
            )

    def _link(self, name: str, hints: LinkHints, on: PartialDate | None) -> Link:
        """Where *hints* lead; without lesions, or hints, to the patient."""
        if self._linker is None or hints is NOWHERE:
            return _UNLINKED
        link = self._linker.link(hints, on)
        for reason in link.reasons:
            self._ledger.note(name, reason)
        return link


def _is_elsewhere(link: Link) -> bool:
    """Whether the event is of another site: it must not count for any lesion."""
    return link.lesion_id is None and "site-other-than-lesion" in link.reasons


def _placed(event: Event, link: Link) -> Event:
    if _is_elsewhere(link):
        return msgspec.structs.replace(event, flags=event.flags + _ELSEWHERE)
    if link is _UNLINKED or (link.lesion_id is None and link.rung == "patient"):
        return event
    return msgspec.structs.replace(event, lesion_id=link.lesion_id, link=link.rung)
