"""One run: pull, map, derive, plan, write, in this order, or a clear reason why it ended before.

Nothing is planned after an incomplete pull, nothing is written in a dry run or without `write = true`, and
what is written is read back. The rooms do the work; here it is only put in order.
"""

import random
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fhir_srs.config import Access, Settings
from fhir_srs.endpoints import derive
from fhir_srs.errors import DataError, FhirSrsError, ProtocolViolation
from fhir_srs.estimates import estimate
from fhir_srs.fhir.answers import Unreadable, decipher_capabilities
from fhir_srs.fhir.client import FhirClient, Limits, Server
from fhir_srs.fhir.sansio import capabilities, origin
from fhir_srs.fhir.token import load_token
from fhir_srs.mapping import map_resources
from fhir_srs.model import Estimate, Mapped, to_json
from fhir_srs.progress import Report, silent
from fhir_srs.results.gate import resource_refusals
from fhir_srs.results.observations import build_results
from fhir_srs.results.plan import Brake, Plan, plan_writes
from fhir_srs.results.target import ResultTarget, Unit
from fhir_srs.store import Store, open_store, secure_folder, state_folder
from fhir_srs.summary import NOTHING_READ, Found, Planned, RunStatus, RunSummary, Written
from fhir_srs.sync.abilities import writable
from fhir_srs.sync.definitions import Definitions, intake, load_definitions
from fhir_srs.sync.opt_out import read_list
from fhir_srs.sync.outgoing import Known, distinct, insisted, items, look
from fhir_srs.sync.patients import target_patients
from fhir_srs.sync.pull import Care, Pull, Pulled
from fhir_srs.sync.vanished import Braked
from fhir_srs.sync.walk import Stopped
from fhir_srs.sync.write import Item, Outcome, Writer

_WRITTEN_TYPES = frozenset({"Observation", "Provenance", "Device", "Group"})


def _never() -> bool:
    return False


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_run() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run takes from the machine: waiting, clocks, chance and a name for itself."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now
    random: Callable[[], float] = random.random
    new_run: Callable[[], str] = _new_run


def run_sync(
    settings: Settings,
    *,
    full: bool = False,
    dry_run: bool = False,
    retract: bool = False,
    recreate: bool = False,
    overwrite: bool = False,
    report: Report = silent,
    stop: Callable[[], bool] = _never,
    machine: Machine = Machine(),
) -> RunSummary:
    """
    One run over the state folder of *settings*; the summary says how it ended, whatever the server did.

    *full* pulls everything again. *dry_run* sends only reads and works on a copy of the store. *retract*
    releases the brake and lets an edited site profile withdraw results; *recreate* writes results again that
    another deleted, *overwrite* those that another edited. *stop* is asked between pages.
    Raises, before the server is asked anything: ConfigurationError, UsageError, Busy, LocalIOError.
    """
    definitions = load_definitions(settings)
    opt_out = read_list(settings.source.opt_out)
    base = settings.source.base_url
    with ExitStack() as stack:
        folder = stack.enter_context(state_folder(settings.store.folder))
        store = stack.enter_context(open_store(folder, base))
        definitions.check(store.definitions())
        if dry_run:
            store = stack.enter_context(_copied(store, folder, base))
        source = stack.enter_context(_client(settings.source, base, settings, machine))
        target = source
        if settings.target.base_url:
            target = _client(settings.target, settings.target.base_url, settings, machine)
            stack.enter_context(target)
        state = _State(run=machine.new_run(), started=_stamp(machine.now()), dry_run=dry_run)
        return _Run(
            settings,
            definitions,
            store,
            source,
            target,
            state,
            report,
            stop,
            machine,
            full,
            retract,
            recreate,
            overwrite,
            opt_out,
        )()


@contextmanager
def _copied(store: Store, folder: Path, base: str) -> Iterator[Store]:
    """Give a temporary store with the content of *store*, inside its folder and as private as that."""
    with tempfile.TemporaryDirectory(prefix="dry-run-", dir=folder) as temporary:
        secure_folder(Path(temporary))
        copy = store.copy_to(Path(temporary), base)
        try:
            yield copy
        finally:
            copy.close()


def _client(access: Access, base: str, settings: Settings, machine: Machine) -> FhirClient:
    server = Server(
        base=base,
        token=load_token(access.token_file) if access.token_file else None,
        allowed=frozenset(map(origin, access.allowed_origins)),
        allow_insecure_loopback=access.allow_insecure_loopback,
        ca_file=str(access.ca_file) if access.ca_file else None,
    )
    limits = Limits(connections=settings.sync.connections)
    return FhirClient(server, sleep=machine.sleep, clock=machine.clock, random=machine.random, limits=limits)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(slots=True, kw_only=True)
class _State:
    """What is known of the run so far: the summary in the making."""

    run: str
    started: str
    dry_run: bool
    begun: bool = False
    status: RunStatus = "done"
    exit_code: int = 0
    error: str | None = None
    pull: Pull | None = None
    pulled: Pulled | None = None
    mapped: Mapped | None = None
    cutoff: date | None = None
    outcomes: int = 0
    tables: dict[tuple[str, str], list[Estimate]] = field(default_factory=dict)
    planned: Planned = field(default_factory=Planned)
    written: Written = field(default_factory=Written)

    def end(self, status: RunStatus, error: FhirSrsError) -> None:
        """The run ended with *error*."""
        self.status, self.error, self.exit_code = status, str(error), error.exit_code


@dataclass(frozen=True, slots=True)
class _Run:
    """Everything that one run needs; calling it takes the run to its end."""

    settings: Settings
    definitions: Definitions
    store: Store
    source: FhirClient
    target: FhirClient
    state: _State
    report: Report
    stop: Callable[[], bool]
    machine: Machine
    full: bool
    retract: bool
    recreate: bool
    overwrite: bool
    opt_out: frozenset[str]

    def __call__(self) -> RunSummary:
        try:
            self._go(self._pull())
        except (Stopped, Braked) as error:
            self.state.end("stopped", error)
        except (DataError, ProtocolViolation, Unreadable) as error:
            self.state.end("failed" if self.state.pulled else "incomplete", error)
        except FhirSrsError as error:
            self.state.end("failed", error)
        return self._summary()

    @property
    def _outbox(self) -> Store:
        """The store's rows of the target server."""
        return self.store if self._is_source else self.store.beside(self.target.base)

    @property
    def _is_source(self) -> bool:
        return self.target is self.source

    @property
    def _may_write(self) -> bool:
        return self.settings.sync.write and not self.state.dry_run

    def _pull(self) -> Pulled:
        sync, state = self.settings.sync, self.state
        echo = f"{self.settings.target.canonical_base}/result"
        state.pull = pull = Pull(
            self.source,
            self.store,
            run=state.run,
            intake=intake(
                self.definitions.profile,
                base=self.source.base,
                echo=echo,
                synthetic=self.settings.target.synthetic,
            ),
            count=sync.count,
            overlap=sync.overlap,
            lag=sync.lag,
            report=self.report,
            stop=self.stop,
            now=state.started,
            care=self._care(),
        )
        statement = pull.capabilities()
        self._check_writable(statement)
        self.store.begin_run(state.run, started=state.started, capabilities=to_json(statement).decode())
        state.begun = True
        state.pulled = pull.pull(full=self.full)
        return state.pulled

    def _care(self) -> Care:
        sync = self.settings.sync
        return Care(
            brake=self._brake(),
            census=sync.census,
            opt_out=self.opt_out,
            reads_only=self.state.dry_run,
        )

    def _brake(self) -> Brake:
        limit = self.settings.sync.brake
        return Brake(number=limit.number, share=limit.share, released=self.retract)

    def _check_writable(self, statement: Mapping[str, Any]) -> None:
        """Nothing, or an error before anything is read, if results could not be written in the end."""
        if not self._may_write:
            return
        if not self._is_source:
            statement = self.target.ask(capabilities(), decipher_capabilities)
        missing = sorted(_WRITTEN_TYPES - writable(statement))
        if missing:
            raise ProtocolViolation(f"the server takes no {', '.join(missing)} under ids that we choose")

    def _go(self, pulled: Pulled) -> None:
        """Map, derive, plan and write what the store now holds."""
        chosen, state = self.settings.study.cutoff, self.state
        state.cutoff = pulled.started.date() if chosen == "server" else chosen
        state.mapped = mapped = map_resources(self.store.payloads(), profile=self.definitions.profile)
        self.report("map", len(mapped.lesions), len(mapped.lesions))
        target = self._result_target(mapped)
        wanted = self._wanted(mapped, target, state.cutoff)
        known = self._look(wanted)
        plan = self._plan(wanted, known)
        if self._may_write:
            self._write(plan, known, target)

    def _result_target(self, mapped: Mapped) -> ResultTarget:
        chosen = self.settings.target
        return ResultTarget(
            canonical_base=chosen.canonical_base,
            organization=chosen.organization,
            references=chosen.references if self._is_source else "logical",
            synthetic=chosen.synthetic,
            patients=None if self._is_source else target_patients(self.target, mapped.patients),
        )

    def _wanted(self, mapped: Mapped, target: ResultTarget, cutoff: date) -> list[Unit]:
        """Every result that the target should hold; the tables are kept for the summary."""
        units: list[Unit] = []
        recorded, program = self.machine.now(), version("fhir-srs")
        for study in self.definitions.studies:
            outcomes = derive(mapped, study=study, data_cutoff=cutoff)
            table = estimate(outcomes)
            self.state.tables[study.name, study.version] = table
            self.state.outcomes += len(outcomes.responses) + len(outcomes.times)
            units += build_results(
                outcomes, mapped.lesions, mapped.patients, table, target, program, recorded=recorded
            )
            self.report("derive", len(self.state.tables), len(self.definitions.studies))
        return distinct(units)

    def _look(self, wanted: Sequence[Unit]) -> Known:
        known = look(
            self.target,
            self._outbox.outbox(),
            wanted,
            groups=self.definitions.groups,
            one_by_one=self.state.dry_run,
        )
        self._outbox.post(known.settled)
        return known

    def _plan(self, wanted: Sequence[Unit], known: Known) -> Plan:
        plan = plan_writes(wanted, known.present, known.written, self._brake())
        plan = insisted(plan, recreate=self.recreate, overwrite=self.overwrite)
        self.state.planned = _planned(plan)
        if plan.stopped:
            raise Braked("more results would be withdrawn than the brake allows; nothing was written")
        return plan

    def _write(self, plan: Plan, known: Known, target: ResultTarget) -> None:
        """Send *plan*. An edited site profile withdraws nothing by itself (decisions.md 4)."""
        outbox = self._outbox
        keep = self.definitions.profile_changed(outbox.definitions()) and not self.retract
        sent = list(items(plan, known, target=target, recorded=self.machine.now(), keep=keep))
        fit = [one for one in sent if _passes(one)]
        writer = Writer(self.target, outbox, outbox=known.outbox, report=self.report, stop=self.stop)
        outcomes = writer.write(fit)
        self.state.written = _written(outcomes, refused=len(sent) - len(fit), plan=plan)
        self._remember(profile=not keep or not self.state.planned.retract)
        if len(outcomes) < len(fit) and self.stop():
            raise Stopped("stopped by a signal; what was not sent is sent by the next run")
        if self.state.written.failed or len(outcomes) < len(fit):
            raise DataError(f"{len(sent) - _confirmed(outcomes)} results were not written")

    def _remember(self, *, profile: bool) -> None:
        """Note what studies and profile the results on the server were made by."""
        for name, sha in self.definitions.hashes.items():
            if profile or name != "profile":
                self._outbox.define(name, sha)

    def _summary(self) -> RunSummary:
        state = self.state
        found = state.pull.found if state.pull else {}
        summary = RunSummary(
            run=state.run,
            status=state.status,
            started=state.started,
            finished=_stamp(self.machine.now()),
            pulled={name: Found(one.new, one.changed, one.deleted) for name, one in sorted(found.items())},
            refused=self._refused(),
            left_out=dict(sorted(Counter(self.store.left_out().values()).items())),
            notes=tuple(state.pull.notes) if state.pull else (),
            lesions=len(state.mapped.lesions) if state.mapped else 0,
            patients=len(state.mapped.patients) if state.mapped else 0,
            resources=state.mapped.counts if state.mapped else NOTHING_READ,
            outcomes=state.outcomes,
            planned=state.planned,
            written=state.written,
            complete=state.pulled is not None,
            watermarks={name: one.watermark for name, one in sorted(self.store.cursors().items())},
            exit_code=state.exit_code,
            error=state.error,
            cutoff=state.cutoff.isoformat() if state.cutoff else None,
            requests=self.source.requests + (0 if self._is_source else self.target.requests),
            dry_run=state.dry_run,
            tables=state.tables,
        )
        self._record(summary)
        return summary

    def _refused(self) -> dict[str, int]:
        """Resources that count for nothing, by reason: those in quarantine and those mapping refused."""
        refused = self.store.refusals()
        for issue in self.state.mapped.issues if self.state.mapped else ():
            if not issue.used:
                refused[issue.reason] = refused.get(issue.reason, 0) + 1
        return dict(sorted(refused.items()))

    def _record(self, summary: RunSummary) -> None:
        if self.state.begun:
            told = {name: getattr(summary, name) for name in summary.__struct_fields__ if name != "tables"}
            self.store.end_run(
                summary.run, finished=summary.finished, status=summary.status, summary=to_json(told)
            )


def _planned(plan: Plan) -> Planned:
    counts = plan.counts()
    return Planned(
        create=counts.get("create", 0),
        update=counts.get("update", 0),
        unchanged=counts.get("unchanged", 0),
        retract=counts.get("retract", 0),
    )


def _passes(item: Item) -> bool:
    """Whether fhir.resources and our own checks let the bytes of *item* through."""
    return not resource_refusals(item.resource) and not (
        item.provenance and resource_refusals(item.provenance)
    )


def _confirmed(outcomes: Sequence[Outcome]) -> int:
    return sum(one.state == "CONFIRMED" for one in outcomes)


def _written(outcomes: Sequence[Outcome], *, refused: int, plan: Plan) -> Written:
    """What became of the items; conflicts that the plan already saw count as such."""
    done = [one.item.kind for one in outcomes if one.state == "CONFIRMED"]
    states = [one.state for one in outcomes]
    return Written(
        created=done.count("create"),
        updated=done.count("update"),
        retracted=done.count("retract"),
        failed=states.count("FAILED") + refused,
        conflict=states.count("CONFLICT") + plan.counts().get("conflict", 0),
        externally_deleted=plan.counts().get("externally-deleted", 0),
    )
