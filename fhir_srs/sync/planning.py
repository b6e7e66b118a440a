"""The plan of a run, a slice of the wanted results at a time: looked at, decided, made ready to be sent.

What would be withdrawn is counted over the whole plan before anything is sent (the brake, I11): by keys, so
that only results that nothing supports any more are read for it. Withdrawals come last. Of results that the
outbox knows to be as wanted the server's copies are read once a day, not in each run (docs/decisions/042).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_srs.fhir.client import FhirClient
from fhir_srs.progress import Report
from fhir_srs.results.plan import ActionKind, Brake, Plan, plan_writes
from fhir_srs.results.target import ResultTarget, Unit
from fhir_srs.store import COMPARED, Sent, Store
from fhir_srs.store.failpoints import passing
from fhir_srs.store.spool import STRAYS, UNWANTED, Spool
from fhir_srs.sync.outgoing import Known, insisted, items, look, standing, undoubted
from fhir_srs.sync.vanished import Braked
from fhir_srs.sync.write import Item

_SLICE = 200  # results looked at together: two batches of reads, some 2 MB
_COUNTED = Brake(released=True)  # the brake was asked before, of the whole plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """
    What holds of the whole plan.

    *groups* are the scopes of retraction, *system* that of our identifiers; with *reads_only* copies are read
    one by one. With *keep* nothing is withdrawn; *recreate* and *overwrite* are what an operator insists on.
    With *adopts* results that the outbox does not know are taken for its own, else left as another's
    (docs/decisions/039). *recorded* is an aware moment for the Provenance of withdrawals.

    *shows*: whoever changes or deletes a result shows in the pull, and nobody asked for more. Then, where all
    were compared on this *basis* before, the outbox is believed of what it knows to be as wanted.
    """

    groups: Collection[str]
    system: str
    target: ResultTarget
    recorded: datetime
    reads_only: bool
    brake: Brake
    keep: bool
    recreate: bool
    overwrite: bool
    adopts: bool
    shows: bool
    basis: str


class Planner:
    """Plans what *spool* wants, against what *outbox* and the server know; *found* hears of settled lines."""

    def __init__(
        self,
        client: FhirClient,
        outbox: Store,
        spool: Spool,
        aim: Aim,
        *,
        found: Callable[[Iterable[Sent]], None],
        report: Report,
        stop: Callable[[], bool],
    ) -> None:
        self._client, self._outbox, self._spool, self._aim = client, outbox, spool, aim
        self._found, self._report, self._stop = found, report, stop
        self._believes = aim.shows and outbox.mark(COMPARED) == aim.basis
        self.counts: Counter[ActionKind] = Counter()
        self.strangers = 0
        self.cut = False

    @property
    def keeps(self) -> bool:
        """Whether nothing is withdrawn, whatever the plan says."""
        return self._aim.keep

    def join(self) -> None:
        """
        Have the outbox know those strays of the spool, Observations, that are ours and were lost to it.

        Those that may be another installation's are left, and counted in `strangers`.
        """
        for keys in self._spool.noted(STRAYS, _SLICE):
            lost = self._outbox.unknown(self._spool.lacking(keys))
            found = self._looked((), {}, strays=lost) if lost else None
            if found and self._aim.adopts:
                self._note(found)
            elif found:
                self.strangers += len(found.settled)

    def check(self) -> None:
        """Nothing, or Braked if more results would be withdrawn than the brake allows."""
        withdrawals = 0
        for keys in self._outbox.retractable(self._aim.groups, _SLICE):
            unwanted = self._spool.lacking(keys)
            if unwanted:
                plan, _ = self._decided((), self._outbox.outbox(unwanted))
                withdrawals += plan.counts().get("retract", 0)
                self._spool.note(UNWANTED, (action.reference for action in plan.actions))
        if self._aim.brake.holds(withdrawals, self._outbox.live_results(self._aim.groups)):
            self.counts["retract"] = withdrawals
            raise Braked("more results would be withdrawn than the brake allows; nothing was written")

    def items(self) -> Iterator[Item]:
        """What to send, planned as it is taken; after all was, `counts` is whole, or `cut` says it is not."""
        done = 0
        for units in self._spool.slices(_SLICE):
            if self._stop():
                self.cut = True
                return
            yield from self._planned(units)
            done += len(units)
            self._report("results compared", done, self._spool.count)
            passing("slice-planned")
        for keys in self._spool.noted(UNWANTED, _SLICE):
            yield from self._made((), self._outbox.outbox(keys))
        if not self._believes:
            self._outbox.set_mark(COMPARED, self._aim.basis)

    def _planned(self, units: Sequence[Unit]) -> Iterator[Item]:
        lines = self._outbox.outbox([unit.reference for unit in units])
        asked = [
            unit for unit in units if not (self._believes and undoubted(lines.get(unit.reference), unit))
        ]
        self.counts["unchanged"] += len(units) - len(asked)
        names = {unit.reference for unit in asked}
        yield from self._made(asked, {name: line for name, line in lines.items() if name in names})

    def _made(self, units: Sequence[Unit], lines: Mapping[str, Sent]) -> Iterator[Item]:
        aim = self._aim
        plan, known = self._decided(units, lines)
        plan = insisted(plan, recreate=aim.recreate, overwrite=aim.overwrite)
        self._outbox.post(standing(plan, known))
        self.counts.update(plan.counts())
        yield from items(plan, known, target=aim.target, recorded=aim.recorded, keep=aim.keep)

    def _decided(self, units: Sequence[Unit], lines: Mapping[str, Sent]) -> tuple[Plan, Known]:
        known = self._look(units, lines)
        return plan_writes(units, known.present, known.written, _COUNTED), known

    def _look(self, units: Sequence[Unit], lines: Mapping[str, Sent]) -> Known:
        known = self._looked(units, lines)
        self._note(known)
        return known

    def _looked(
        self, units: Sequence[Unit], lines: Mapping[str, Sent], strays: Collection[str] = ()
    ) -> Known:
        aim = self._aim
        return look(
            self._client,
            lines,
            units,
            groups=aim.groups,
            one_by_one=aim.reads_only,
            strays=strays,
            system=aim.system,
        )

    def _note(self, known: Known) -> None:
        self._found(known.settled)
        self._outbox.post(known.settled)
