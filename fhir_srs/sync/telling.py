"""What is known of a run so far, and the summary that becomes of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from fhir_srs.errors import FhirSrsError
from fhir_srs.mapping.tally import Tally
from fhir_srs.model import Estimate, ResourceCounts, to_json
from fhir_srs.results.plan import ActionKind
from fhir_srs.store import OutboxState, Store
from fhir_srs.summary import NOTHING_READ, Compared, Found, Planned, RunStatus, RunSummary, Written
from fhir_srs.sync.pull import Pull, Pulled
from fhir_srs.sync.quiet import Settled
from fhir_srs.sync.session import Session
from fhir_srs.sync.write import UNDONE, Kind, Outcome


@dataclass(slots=True, kw_only=True)
class State:
    """What is known of the run so far: the summary in the making."""

    run: str
    started: str
    dry_run: bool
    status: RunStatus = "done"
    exit_code: int = 0
    error: str | None = None
    lacking: tuple[str, ...] = ()
    clock_skew: float | None = None
    target_statement: Mapping[str, Any] = field(default_factory=dict)
    pull: Pull | None = None
    pulled: Pulled | None = None
    tally: Tally | None = None
    settled: Settled | None = None
    cutoff: date | None = None
    outcomes: int = 0
    strangers: int = 0
    tables: dict[tuple[str, str], list[Estimate]] = field(default_factory=dict)
    planned: Planned = field(default_factory=Planned)
    written: Written = field(default_factory=Written)

    def repeat(self, before: Settled) -> None:
        """Nothing is new: what the run *before* came to holds."""
        self.settled, self.outcomes = before, before.outcomes
        self.planned, self.written = before.planned, before.written

    def end(self, status: RunStatus, error: FhirSrsError) -> None:
        """The run ended with *error*."""
        self.status, self.error, self.exit_code = status, str(error), error.exit_code


def summarised(state: State, session: Session, *, finished: str) -> RunSummary:
    """The summary of the run, noted in the store too."""
    pull, store, before = state.pull, session.store, state.settled
    summary = RunSummary(
        run=state.run,
        status=state.status,
        started=state.started,
        finished=finished,
        pulled=_pulled(pull),
        refused=_refused(state, store),
        left_out=dict(sorted(Counter(store.left_out().values()).items())),
        notes=_notes(state),
        compared=_compared(pull),
        outbox=session.outbox.outbox_states(),
        quarantined=store.refusals(),
        last_success=finished if state.status == "done" else store.last_success(),
        clock_skew=state.clock_skew,
        lesions=state.tally.lesions if state.tally else before.lesions if before else 0,
        patients=state.tally.patients if state.tally else before.patients if before else 0,
        resources=_counts(state),
        outcomes=state.outcomes,
        planned=state.planned,
        written=state.written,
        complete=state.pulled is not None,
        watermarks={name: one.watermark for name, one in sorted(store.cursors().items())},
        exit_code=state.exit_code,
        error=state.error,
        cutoff=state.cutoff.isoformat() if state.cutoff else None,
        requests=sum(client.requests for client in session.clients),
        routes=_summed(client.tally.routes for client in session.clients),
        retries=_added(client.tally.retries for client in session.clients),
        dry_run=state.dry_run,
        tables=state.tables,
    )
    told = {name: getattr(summary, name) for name in summary.__struct_fields__ if name != "tables"}
    store.end_run(
        summary.run, started=summary.started, finished=finished, status=summary.status, summary=to_json(told)
    )
    return summary


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _summed(tables: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    found = list(tables)
    return {name: _added(one.get(name, {}) for one in found) for name in sorted(set().union(*found))}


def _notes(state: State) -> tuple[str, ...]:
    """What the servers cannot do, or do not let us do."""
    notes = list(state.pull.notes if state.pull else ())
    if state.lacking:
        notes.append(f"the token lacks {', '.join(state.lacking)}: nothing is written (A7)")
    if state.strangers:
        notes.append(
            f"{state.strangers} results under our canonical_base are not of this installation and were left:"
            " two installations must not share it (docs/decisions/039); `sync --retract` withdraws them"
        )
    return tuple(notes)


def _pulled(pull: Pull | None) -> dict[str, Found]:
    found = sorted(pull.found.items()) if pull else []
    return {name: Found(one.new, one.changed, one.deleted) for name, one in found}


def _compared(pull: Pull | None) -> dict[str, Compared]:
    found = sorted(pull.compared.items()) if pull else []
    return {name: Compared(one.here, len(one.missing), len(one.unknown)) for name, one in found}


def _counts(state: State) -> ResourceCounts:
    if state.tally:
        return state.tally.counts
    return state.settled.resources if state.settled else NOTHING_READ


def _refused(state: State, store: Store) -> dict[str, int]:
    """Resources that count for nothing, by reason: those in quarantine and those mapping refused."""
    refused = Counter(store.refusals()) + Counter(state.settled.refused if state.settled else {})
    refused += Counter(state.tally.refusals if state.tally else {})
    return dict(sorted(refused.items()))


def planned(counts: Mapping[ActionKind, int]) -> Planned:
    """What a plan of so many actions wants, in units."""
    return Planned(
        create=counts.get("create", 0),
        update=counts.get("update", 0),
        unchanged=counts.get("unchanged", 0),
        retract=counts.get("retract", 0),
    )


@dataclass(slots=True)
class Fates:
    """What became of items, counted: what was done by kind, and how the outbox has them."""

    done: Counter[Kind] = field(default_factory=Counter)
    states: Counter[OutboxState] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count *outcome*."""
        self.states[outcome.state] += 1
        self.done[outcome.item.kind] += outcome.state == "CONFIRMED"

    @property
    def undone(self) -> int:
        """How many the server was not seen to hold."""
        return self.states.total() - self.states["CONFIRMED"]


def written(fates: Fates, *, refused: int, counts: Mapping[ActionKind, int]) -> Written:
    """What became of the items; conflicts that the plan, of *counts*, already saw count as such."""
    return Written(
        created=fates.done["create"],
        updated=fates.done["update"],
        retracted=fates.done["retract"],
        failed=sum(fates.states[one] for one in UNDONE) + refused,
        conflict=fates.states["CONFLICT"] + counts.get("conflict", 0),
        externally_deleted=counts.get("externally-deleted", 0),
    )
