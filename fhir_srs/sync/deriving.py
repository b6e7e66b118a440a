"""From the store to wanted results, some patients at a time: mapped, derived, spooled; then the figures.

What is kept of all patients are the rows that figures are made of, without what only explains them, and
counts: docs/decisions/038-what-a-run-holds.md.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib.metadata import version
from typing import TypeVar

import msgspec

from fhir_srs.endpoints import Excluded, Outcomes, Study, derive
from fhir_srs.estimates import estimate
from fhir_srs.mapping.assembly import lesions_of
from fhir_srs.mapping.by_patient import Owned, map_by_patient
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally
from fhir_srs.model import Estimate, Mapped, Patient, Response, TimeToEvent
from fhir_srs.progress import Report
from fhir_srs.results.observations import figure_units, row_units, support_units
from fhir_srs.results.target import ResultTarget
from fhir_srs.store import Store
from fhir_srs.store.folder import damaged
from fhir_srs.store.spool import Spool
from fhir_srs.summary import NOTHING_READ

_PATIENTS = 50  # mapped and derived at a time; also how many a search for patients on a target names
_SHARED = (str, date, tuple)
Row = TypeVar("Row", Response, TimeToEvent)
Targets = Callable[[Sequence[Patient]], ResultTarget]


@dataclass(slots=True, kw_only=True)
class Derived:
    """What came of all patients: counts of resources, how many outcomes, the figures of each study."""

    tally: Tally = field(default_factory=Tally)
    outcomes: int = 0
    tables: dict[tuple[str, str], list[Estimate]] = field(default_factory=dict)


def derive_cohort(
    store: Store,
    spool: Spool,
    studies: Sequence[Study],
    *,
    profile: Profile,
    cutoff: date,
    targets: Targets,
    recorded: datetime,
    report: Report,
) -> Derived:
    """
    Put into *spool* every result that the target should hold of what *store* has.

    *targets* gives, for some patients, what results of them depend on at the target. *recorded* is an aware
    moment for Provenance.
    """
    found = Derived()
    rows = [StudyRows(study, cutoff) for study in studies]
    for mapped in map_slices(store, profile, found.tally):
        target = targets(mapped.patients)
        for one in rows:
            outcomes = one.derive(mapped)
            spool.add(row_units(outcomes, mapped.lesions, mapped.patients, target, recorded=recorded))
        report("patients mapped", found.tally.patients)
    target = targets(())
    for one in rows:
        table = found.tables[one.study.name, one.study.version] = one.figures()
        found.outcomes += one.count
        spool.add(support_units(one.study, table, target, version("fhir-srs")))
        spool.add(figure_units(one.study, table, target, recorded=recorded))
        report("studies derived", len(found.tables), len(studies))
    return found


def map_slices(store: Store, profile: Profile, tally: Tally) -> Iterator[Mapped]:
    """What `map_resources` gives, some patients at a time, without issues; all is counted in *tally*."""
    held: list[list[PatientMap]] = []
    for group in map_by_patient(Checked(store), profile, tally):
        held.append(group)
        if len(held) == _PATIENTS:
            yield _mapped(held)
            held = []
    if held:
        yield _mapped(held)


def _mapped(groups: Sequence[Sequence[PatientMap]]) -> Mapped:
    return Mapped(
        lesions=[lesion for group in groups for lesion in lesions_of(group)],
        patients=[one.patient for group in groups for one in group if one.lesions],
        events=[event for group in groups for one in group for event in one.events],
        issues=[],
        counts=NOTHING_READ,
    )


class Checked:
    """A store as a shelf; what its index of patients does not find again is damage, not absence (I22)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: Counter[str | None] = Counter()

    def owned(self, resource_type: str | None = None) -> Iterator[Owned]:
        """As `Store.owned`; all of them are counted by patient."""
        for one in self._store.owned(resource_type):
            self._noted[one[1]] += resource_type is None
            yield one

    def owned_by(self, patients: Collection[str]) -> list[Owned]:
        """As `Store.owned_by`, as many as were seen before."""
        return _whole(self._store.owned_by(patients), sum(self._noted[one] for one in patients))

    def named(self, keys: Collection[str]) -> list[Owned]:
        """As `Store.named`, all of them."""
        return _whole(self._store.named(keys), len(keys))


def _whole(found: list[Owned], number: int) -> list[Owned]:
    if len(found) != number:
        raise damaged()
    return found


class StudyRows:
    """The outcomes of one study, collected over slices of the cohort, as far as figures need them."""

    def __init__(self, study: Study, cutoff: date) -> None:
        self.study, self._cutoff = study, cutoff
        self._responses: list[Response] = []
        self._times: list[TimeToEvent] = []
        self._excluded: list[Excluded] = []
        self._recorded: set[str] = set()
        self._seen: dict[object, object] = {}

    @property
    def count(self) -> int:
        """How many outcomes there are."""
        return len(self._responses) + len(self._times)

    def derive(self, mapped: Mapped) -> Outcomes:
        """The outcomes of *mapped*; what figures need of them is kept."""
        found = derive(mapped, study=self.study, data_cutoff=self._cutoff)
        self._responses += map(self._plain, found.responses)
        self._times += map(self._plain, found.times)
        self._excluded += found.excluded
        self._recorded |= found.recorded
        return found

    def _plain(self, row: Row) -> Row:
        """*row* without sources and working; words, days and flags that many rows share are held once."""
        told = ((name, getattr(row, name)) for name in row.__struct_fields__)
        shared = {name: self._seen.setdefault(one, one) for name, one in told if isinstance(one, _SHARED)}
        return msgspec.structs.replace(row, **{**shared, "sources": (), "working": ()})

    def figures(self) -> list[Estimate]:
        """The figures of all that was derived, without the rows that they are made of."""
        whole = Outcomes(
            study=self.study,
            data_cutoff=self._cutoff,
            responses=_by_patient(self._responses),
            times=_by_patient(self._times),
            excluded=_by_patient(self._excluded),
            refused=[],
            recorded=frozenset(self._recorded),
        )
        return [msgspec.structs.replace(one, grounds=None) for one in estimate(whole)]


Of = TypeVar("Of", Response, TimeToEvent, Excluded)


def _by_patient(rows: Iterable[Of]) -> list[Of]:
    """*rows* in the order in which all of a cohort are derived; those of one patient keep theirs."""
    return sorted(rows, key=lambda one: one.patient)
