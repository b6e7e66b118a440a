"""One body of JSON at a time: which resource it is and what of it is needed, or why it is none.

What is found goes to a `Sink`: a dict in memory (`cohort`), entries for the engines (`lines`).
"""

import re
from collections.abc import Sequence
from typing import Protocol

from fhir_srs import r4
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.reading import BROKEN, Mended, Other, Unreadable, entries, glance, parse
from fhir_srs.mapping.reduction import Reducer
from fhir_srs.mapping.versions import Kept


class Sink(Protocol):
    """Takes what an `Intake` finds, in the order of the input."""

    def enter(self, key: str, meta: r4.Meta | None, kept: Kept | None, body: bytes) -> None:
        """Take the resource *key*, of which *kept* is needed: None, if it is another kind of data."""

    def ignore(self, kind: str) -> None:
        """Count a resource of type *kind* that we never read: of another type, or a result that we wrote."""

    def unreadable(self, key: str | None, path: str | None) -> None:
        """Take what is no readable resource; *key* and *path* as far as they are known."""

    def lost(self, key: str, path: str) -> None:
        """Take note that *key*, entered next, has an element at *path* that is not what FHIR says."""


class Intake:
    """Reads bodies by the rules of one profile. What it remembers between them changes no result."""

    def __init__(self, profile: Profile, sink: Sink) -> None:
        self._profile = profile
        self._reducer = Reducer(profile)
        self._reduce = self._reducer.reduce
        self._sink = sink

    def take(self, body: bytes) -> None:
        """Hand the one resource, or each resource of the Bundle, in the JSON *body* to the sink."""
        found = glance(body)
        if isinstance(found, r4.RawObservation):
            self._take_raw(found, body)
        elif found is None:
            self._take_carefully(body)
        elif isinstance(found, r4.Bundle):
            for each in entries(body, found):
                self.take(each)
        elif found.id:
            # Only Observations have identifiers of ours.
            self._sink.enter(f"{found.__class__.__name__}/{found.id}", found.meta, found, body)
        else:
            self._take_carefully(body)

    def _take_raw(self, found: r4.RawObservation, body: bytes) -> None:
        """Take one Observation, not yet decoded further than *found*."""
        if not found.id:
            self._take_carefully(body)
            return
        try:
            reduced = self._reduce(found, body)
        except BROKEN:
            self._take_carefully(body)
            return
        if found.identifier and _is_ours(found, self._profile):
            self._sink.ignore("Observation")
        else:
            self._sink.enter("Observation/" + found.id, found.meta, reduced, body)

    def _take_carefully(self, body: bytes) -> None:
        """Take what did not decode at once without what is wrong in it, or say why not."""
        found = parse(body)
        if isinstance(found, Other):
            self._sink.ignore(_plain(found.type))
        elif isinstance(found, Unreadable):
            key = f"{found.type}/{found.id}" if found.type and found.id else None
            self._sink.unreadable(key, found.path)
        elif isinstance(found, r4.Bundle):
            for each in entries(body, found):
                self.take(each)
        elif isinstance(found, Mended):
            self._take_mended(found.resource, found.paths, body)
        elif found.id:
            self._take_mended(found, (), body)
        else:
            self._sink.unreadable(None, "id")

    def _take_mended(self, found: r4.Known, lost: Sequence[str], body: bytes) -> None:
        """Take *found*, which has *lost* elements; of another kind of data nobody misses them."""
        kept = self._reducer.reduce_whole(found) if isinstance(found, r4.Observation) else found
        key = f"{found.__class__.__name__}/{found.id}"
        for path in lost if kept is not None else ():
            self._sink.lost(key, path)
        if isinstance(found, r4.Observation) and _is_ours(found, self._profile):
            self._sink.ignore("Observation")
        else:
            self._sink.enter(key, found.meta, kept, body)


# A resource type as R4 names them: what else stands there is never printed.
_TYPE = re.compile(r"[A-Z][A-Za-z]{3,40}")


def _plain(kind: str) -> str:
    return kind if _TYPE.fullmatch(kind) else "of no type of R4"


def _is_ours(found: r4.Observation | r4.RawObservation, profile: Profile) -> bool:
    """Whether *found* is a result that we wrote: never an input (`spec/reliability.md` I14)."""
    systems = {one.system or "" for one in found.identifier}
    ours = (found.id or "").startswith("srs-") and any(one.endswith("/result") for one in systems)
    return ours or not systems.isdisjoint(profile.result_systems)


def about(resource: Kept) -> r4.Reference | None:
    """Whom *resource* is about, as it says itself; None for what has no patient."""
    if isinstance(resource, (r4.Patient, r4.Medication)):
        return None
    return resource.patient if isinstance(resource, r4.BodyStructure) else resource.subject
