"""What is gone from the server leaves the store: when ids are compared, what is read, the brake."""

from collections.abc import Iterator, Mapping
from functools import partial

from fhir_srs.fhir.answers import Page
from fhir_srs.fhir.sansio import Search, instant, lists_of
from fhir_srs.sync.taking import CONSENT, LIST, PATIENT_TYPES, Counts, Taking, moment_of
from fhir_srs.sync.vanished import Census, Key, check_brake, compare_ids, confirm


class Comparing(Taking):
    """The part of the pull that finds what is missing."""

    def _census_is_due(self) -> bool:
        """Whether all ids must be compared: asked for, long ago, or no history tells of deletions (H10)."""
        if self._care.counted or not set(self._types) - {CONSENT} <= self.histories:
            return True
        last = moment_of(self._store.census())
        if last is None:
            return bool(self._store.cursors())
        return min(self._moments) - last >= self._care.census

    def _vanished(self, *, census: bool) -> None:
        """What is gone from the server leaves the store, once a read has confirmed it, behind the brake."""
        hints = dict(self._hints())
        if census:
            hints |= dict.fromkeys(self._compare(), None)
        hints |= {key: hints.get(key) for key in (*self._doubtful, *self._set_aside(census=census))}
        gone: dict[Key, str | None] = {}
        for keys in lists_of(LIST, sorted(hints)):
            gone |= self._confirm({key: hints[key] for key in keys})
        if gone:
            check_brake(self._care.brake, gone, self._store.live())
            self._store.bury(gone, self._now)
        for kind, _ in gone:
            self.found.setdefault(kind, Counts()).deleted += 1
        if census or self._store.census() is None:
            self._store.counted(instant(min(self._moments)))

    def _set_aside(self, *, census: bool) -> Iterator[Key]:
        """What lies in quarantine and is to be read again; by a *census* only what is nobody's."""
        if self._care.quarantined or census:
            aside = (one for one in self._store.quarantined() if one.has_id)
            yield from (one.key for one in aside if self._care.quarantined or one.patient is None)

    def _hints(self) -> Iterator[tuple[Key, str | None]]:
        """What the histories name as deleted and is here; our own results are told to the outbox."""
        for kind, names in sorted(self._deleted.items()):
            here = self._store.held(kind, names)
            if unknown := names.keys() - here:
                self._store.miss(f"{kind}/{name}" for name in unknown)
            yield from (((kind, name), version) for name, version in names.items() if name in here)

    def _compare(self) -> Iterator[Key]:
        """The ids of the whole cohort, here against there; those that differ are to be read."""
        for search, patients in self._census_searches():
            here = self._store.listed(search.type, patients)
            if search.type == "Medication":
                wanted = set(dict(search.filters)["_id"].split(","))
                here = {name: version for name, version in here.items() if name in wanted}
            found = compare_ids(self._walker, search, here, strange=self._store.unknown)
            self.compared[search.type] = self.compared.get(search.type, Census()) | found
            yield from ((search.type, name) for name in found.missing | found.unknown)

    def _census_searches(self) -> Iterator[tuple[Search, tuple[str, ...] | None]]:
        loaded = sorted(name for name, mark in self._store.cohort().items() if mark is not None)
        for group in lists_of(LIST, loaded):
            for name in self._types:
                if name == "Patient" or name in PATIENT_TYPES:
                    yield self._group_search(name, group), group
        if "Medication" in self._types:
            for ids in lists_of(LIST, sorted(self._store.listed("Medication"))):
                filters = (("_id", ",".join(ids)),)
                yield (
                    Search(type="Medication", filters=filters, count=self._count, sort=None, by_post=True),
                    None,
                )

    def _confirm(self, hints: Mapping[Key, str | None]) -> dict[Key, str | None]:
        """Those of *hints* that reads say are gone and that are here; what is there after all is taken in."""
        confirmed = confirm(self._client, hints, self._store.version, reads_only=self._care.reads_only)
        for (kind, _), body in confirmed.bodies.items():
            page = Page(resources=(body,), total=None, next=None, self_link=None, last_updated=None)
            known = self._store.present("Medication") if kind == "Medication" else frozenset()
            self._take(kind, page, partial(self._members_only, medications=known), certain=True)
        names = [name for _, name in confirmed.gone]
        held = {kind: self._store.held(kind, names) for kind, _ in confirmed.gone}
        return {key: version for key, version in confirmed.gone.items() if key[1] in held[key[0]]}
