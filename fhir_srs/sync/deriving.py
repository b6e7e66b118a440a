"""From the store to wanted results, some patients at a time: mapped, derived, spooled; then the figures.

What is kept of all patients are counts, and on disk the rows that figures are made of, without what only
explains them: docs/decisions/038-what-a-run-holds.md.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any, TypeAlias, TypeVar

import msgspec

from fhir_srs.endpoints import Excluded, Outcomes, Study, derive
from fhir_srs.estimates import figures
from fhir_srs.mapping.assembly import lesions_of
from fhir_srs.mapping.by_patient import map_by_patient
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally
from fhir_srs.model import Estimate, Mapped, Patient, Response, TimeToEvent
from fhir_srs.progress import Report
from fhir_srs.results.observations import figure_units, row_units, support_units
from fhir_srs.results.target import ResultTarget
from fhir_srs.store import Store
from fhir_srs.store.spool import Spool
from fhir_srs.summary import NOTHING_READ
from fhir_srs.sync.heap import give_back

_PATIENTS = 20  # mapped and derived at a time; also how many a search for patients on a target names
_OWN = {"patient", "lesion_id"}
# What no figure looks at.
_EXPLAINS: dict[str, Any] = {"sources": (), "working": ()}
_EXPLAINS_RESPONSE = _EXPLAINS | dict.fromkeys(
    ("arm", "omed_baseline", "omed", "assessed_on", "days", "link", "omed_table")
)
_EXPLAINS_TIME = _EXPLAINS | {"cause": None, "description": ""}
_ENCODE = msgspec.msgpack.Encoder().encode
_RESPONSE = msgspec.msgpack.Decoder(Response)
_TIME = msgspec.msgpack.Decoder(TimeToEvent)
_EXCLUDED = msgspec.msgpack.Decoder(Excluded)
Part: TypeAlias = tuple[str | None, ...]
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
    rows = [StudyRows(study, cutoff, spool) for study in studies]
    for mapped in map_slices(store, profile, found.tally):
        target = targets(mapped.patients)
        for one in rows:
            outcomes = one.derive(mapped)
            spool.add(row_units(outcomes, mapped.lesions, mapped.patients, target, recorded=recorded))
        report("patients mapped", found.tally.patients)
    target = targets(())
    give_back()
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
    for group in map_by_patient(store, profile, tally):
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


class StudyRows:
    """
    The outcomes of one study, collected over slices of the cohort, as far as figures need them: `CohortRows`.

    They lie in *spool*, the rows of each endpoint together, by patient: the order in which all of a cohort
    are derived at once.
    """

    def __init__(self, study: Study, cutoff: date, spool: Spool) -> None:
        self._study, self._cutoff, self._spool = study, cutoff, spool
        self._recorded: set[str] = set()
        self.count = 0

    @property
    def study(self) -> Study:
        """As `CohortRows` says."""
        return self._study

    @property
    def recorded(self) -> frozenset[str]:
        """As `CohortRows` says."""
        return frozenset(self._recorded)

    @property
    def excluded(self) -> Iterator[Excluded]:
        """As `CohortRows` says."""
        return map(_EXCLUDED.decode, self._spool.kept((self._study.name, "excluded")))

    def times_of(self, endpoint: str, variant: str | None) -> Iterator[TimeToEvent]:
        """As `CohortRows` says."""
        return _shared(map(_TIME.decode, self._spool.kept((self._study.name, "time", endpoint, variant))))

    def responses_of(self, endpoint: str, window: str) -> Iterator[Response]:
        """As `CohortRows` says."""
        kept = self._spool.kept((self._study.name, "response", endpoint, window))
        return _shared(map(_RESPONSE.decode, kept))

    def derive(self, mapped: Mapped) -> Outcomes:
        """The outcomes of *mapped*; what figures need of them is kept."""
        found = derive(mapped, study=self._study, data_cutoff=self._cutoff)
        self._keep("response", (((row.endpoint, row.window), row) for row in found.responses))
        self._keep("time", (((row.endpoint, row.variant), row) for row in found.times))
        self._keep("excluded", (((), row) for row in found.excluded))
        self._recorded |= found.recorded
        self.count += len(found.responses) + len(found.times)
        return found

    def _keep(self, kind: str, rows: Iterable[tuple[Part, Response | TimeToEvent | Excluded]]) -> None:
        parts: dict[Part, list[tuple[str, bytes]]] = {}
        for key, row in rows:
            parts.setdefault(key, []).append((row.patient, _ENCODE(_plain(row))))
        for one, pieces in parts.items():
            self._spool.keep((self._study.name, kind, *one), pieces)

    def figures(self) -> list[Estimate]:
        """The figures of all that was derived, without the rows that they are made of."""
        return [msgspec.structs.replace(one, grounds=None) for one in figures(self)]


def _plain(row: Response | TimeToEvent | Excluded) -> Response | TimeToEvent | Excluded:
    """*row* without what merely explains it."""
    if isinstance(row, Response):
        return msgspec.structs.replace(row, **_EXPLAINS_RESPONSE)
    return msgspec.structs.replace(row, **_EXPLAINS_TIME) if isinstance(row, TimeToEvent) else row


def _shared(rows: Iterable[Row]) -> Iterator[Row]:
    """*rows*; words, days, scores and flags that many have are held once."""
    seen: dict[object, object] = {}
    for row in rows:
        told = ((name, getattr(row, name)) for name in row.__struct_fields__ if name not in _OWN)
        # Decimals are equal whose digits differ.
        keyed = ((name, str(one) if isinstance(one, Decimal) else one, one) for name, one in told)
        shared = {name: seen.setdefault((type(one), key), one) for name, key, one in keyed if one is not None}
        yield msgspec.structs.replace(row, **shared)
