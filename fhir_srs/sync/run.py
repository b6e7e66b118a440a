"""One run: pull, map, derive, plan, write, in this order, or a clear reason why it ended before.

Nothing is planned after an incomplete pull, nothing is written in a dry run or without `write = true`, and
what is written is read back. The rooms do the work; here it is only put in order.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import msgspec

from fhir_srs.config import Settings
from fhir_srs.errors import DataError, FhirSrsError, ProtocolViolation, ServerRefused
from fhir_srs.fhir.answers import Unreadable, decipher_capabilities
from fhir_srs.fhir.sansio import capabilities
from fhir_srs.model import Patient, to_json
from fhir_srs.progress import Report, silent
from fhir_srs.results.gate import resource_refusals
from fhir_srs.results.plan import Brake
from fhir_srs.results.target import ResultTarget
from fhir_srs.store import CAPABILITIES, SEARCHED, SETTLED, Store
from fhir_srs.store.failpoints import passing
from fhir_srs.store.spool import STRAYS, Spool, spool
from fhir_srs.summary import RunSummary
from fhir_srs.sync.abilities import with_interaction, writable
from fhir_srs.sync.conformance import known_profiles
from fhir_srs.sync.definitions import Definitions, intake, load_definitions
from fhir_srs.sync.deriving import derive_cohort
from fhir_srs.sync.heap import give_back
from fhir_srs.sync.logs import ENDED
from fhir_srs.sync.machine import Machine, stamp
from fhir_srs.sync.opt_out import read_list
from fhir_srs.sync.options import Flags, Options
from fhir_srs.sync.patients import target_patients
from fhir_srs.sync.planning import Aim, Planner
from fhir_srs.sync.pull import Care, Pull, Pulled
from fhir_srs.sync.quiet import Settled, basis_of, settle, settled
from fhir_srs.sync.session import WRITTEN_TYPES, Session, connected, copied, is_restored, local_store
from fhir_srs.sync.strays import found_results
from fhir_srs.sync.telling import Fates, State, planned, summarised, written
from fhir_srs.sync.trail import Trail
from fhir_srs.sync.vanished import Braked
from fhir_srs.sync.walk import Stopped
from fhir_srs.sync.write import Item, Writer

_LOG = logging.getLogger("fhir_srs.sync")


def _never() -> bool:
    return False


def _ignored(_: object) -> None:
    """Nothing."""


def run_sync(
    settings: Settings,
    *,
    report: Report = silent,
    stop: Callable[[], bool] = _never,
    machine: Machine = Machine(),  # noqa: B008 - frozen
    **options: Unpack[Flags],
) -> RunSummary:
    """
    One run over the state folder of *settings*; the summary says how it ended, whatever the server did.

    *options* are those of `Options`. *stop* is asked between pages. Raises, before the server is asked
    anything: ConfigurationError, UsageError, Busy, LocalIOError.
    """
    asked, preparation = Options(**options), prepared(settings)
    with ExitStack() as stack:
        folder, store = stack.enter_context(local_store(settings))
        preparation.definitions.check(store.definitions())
        if asked.dry_run:
            store = stack.enter_context(copied(store, folder))
        elif is_restored(folder, store):
            _LOG.warning("the store is an older copy: what it says was sent is not believed")
            store.distrust()
        return perform(settings, preparation, folder, store, asked, report, stop, machine)


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is read before any server is asked."""

    definitions: Definitions
    opt_out: frozenset[str]


def prepared(settings: Settings) -> Preparation:
    """The definitions and the opt-out list of *settings*; raises where one of them is wrong."""
    return Preparation(load_definitions(settings), read_list(settings.source.opt_out))


def perform(
    settings: Settings,
    preparation: Preparation,
    folder: Path,
    store: Store,
    asked: Options,
    report: Report,
    stop: Callable[[], bool],
    machine: Machine,
) -> RunSummary:
    """The run itself, over *store* in the locked *folder*."""
    with connected(settings, machine, folder, store) as session:
        state = State(run=machine.new_run(), started=stamp(machine.now()), dry_run=asked.dry_run)
        definitions, opt_out = preparation.definitions, preparation.opt_out
        trail = Trail(None if asked.dry_run else folder, store, run=state.run, at=state.started)
        return _Run(settings, definitions, session, state, report, stop, machine, asked, opt_out, trail)()


@dataclass(frozen=True, slots=True)
class _Run:
    """Everything that one run needs; calling it takes the run to its end."""

    settings: Settings
    definitions: Definitions
    session: Session
    state: State
    report: Report
    stop: Callable[[], bool]
    machine: Machine
    options: Options
    opt_out: frozenset[str]
    trail: Trail

    def __call__(self) -> RunSummary:
        began = self.machine.clock()
        _LOG.info("run began", extra={"run_id": self.state.run})
        try:
            self.trail.asked(self.options.beside_the_usual)
            with spool(self.session.folder) as wanted:
                pulled = self._pull(wanted)
                give_back()
                if not self.options.pull_only:
                    self._go(pulled, wanted)
        except (Stopped, Braked) as error:
            self.state.end("stopped", error)
        except (DataError, ProtocolViolation, Unreadable) as error:
            self.state.end("failed" if self.state.pulled else "incomplete", error)
        except FhirSrsError as error:
            self.state.end("failed", error)
        if self.state.status != "done":
            self.session.store.unmark(CAPABILITIES)
        self.trail.close()
        summary = summarised(self.state, self.session, finished=stamp(self.machine.now()))
        told = {"run_id": summary.run, "status": summary.status, "reason": summary.error}
        took = {"duration_ms": round((self.machine.clock() - began) * 1000)}
        _LOG.info(ENDED, extra={**told, **took})
        return summary

    @property
    def _may_write(self) -> bool:
        return self.settings.sync.write and not self.state.dry_run and not self.state.lacking

    def _pull(self, wanted: Spool) -> Pulled:
        sync, state = self.settings.sync, self.state
        echo = f"{self.settings.target.canonical_base}/result"
        state.pull = pull = Pull(
            self.session.source,
            self.session.store,
            run=state.run,
            intake=intake(
                self.definitions.profile,
                base=self.session.source.base,
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
            # Results that lie on another server show nothing here.
            strays=partial(wanted.note, STRAYS) if self.session.one_server else _ignored,
        )
        statement = pull.capabilities()
        if pull.server_time is not None:
            state.clock_skew = abs((self.machine.now() - pull.server_time).total_seconds())
        self._check_writable(statement)
        self.session.store.begin_run(
            state.run, started=state.started, capabilities=to_json(statement).decode()
        )
        state.pulled = pull.pull(full=self.options.full)
        return state.pulled

    def _care(self) -> Care:
        sync = self.settings.sync
        return Care(
            brake=self._brake(),
            census=sync.census,
            counted=self.options.census,
            anew=self.options.full or self.options.census,
            quarantined=self.options.quarantined,
            opt_out=self.opt_out,
            consent=self.settings.source.consent,
            reads_only=self.state.dry_run,
            reread=sync.reread,
        )

    def _brake(self) -> Brake:
        limit = self.settings.sync.brake
        return Brake(number=limit.number, share=limit.share, released=self.options.retract)

    def _check_writable(self, statement: Mapping[str, Any]) -> None:
        """Nothing, or an error before anything is read, if results could not be written in the end."""
        if not self.session.one_server:
            statement = self.session.target.ask(capabilities(), decipher_capabilities)
        self.state.target_statement = statement
        if self.settings.sync.write:
            # Both servers have answered, so there is a token whose scopes are known.
            self.state.lacking = tuple(self.session.target.lacking(sorted(WRITTEN_TYPES), "cu"))
        missing = sorted(WRITTEN_TYPES - writable(statement))
        if missing and self._may_write:
            raise ProtocolViolation(f"the server takes no {', '.join(missing)} under ids that we choose")

    def _go(self, pulled: Pulled, wanted: Spool) -> None:
        """Map, derive, plan and write what the store now holds."""
        chosen, state = self.settings.study.cutoff, self.state
        state.cutoff = pulled.started.date() if chosen == "server" else chosen
        basis = basis_of(self.settings, self.definitions, state.cutoff)
        may_be = self._changes_show() and not any(wanted.noted(STRAYS, 1))
        before = settled(self.session.outbox, basis) if may_be else None
        if before:
            state.repeat(before)
            _LOG.info("nothing new", extra={"run_id": state.run})
            return
        self.session.outbox.unmark(SETTLED)
        target = self._derive(wanted, state.cutoff)
        give_back()
        passing("wanted-spooled")
        planner = self._planner(wanted, target, basis)
        try:
            self._join(planner, wanted)
            planner.check()
            whole = self._carry_out(planner)
        finally:
            state.planned = planned(planner.counts)
        if whole:
            self._settle(basis)

    def _derive(self, wanted: Spool, cutoff: date) -> ResultTarget:
        """Have *wanted* hold every result that the target should; the tables are kept for the summary."""
        self.session.store.check_sound()
        state, target = self.state, self._result_target()
        found = derive_cohort(
            self.session.store,
            wanted,
            self.definitions.studies,
            profile=self.definitions.profile,
            cutoff=cutoff,
            targets=partial(self._target_of, target),
            recorded=self.machine.now(),
            report=self._heed,
        )
        state.tally, state.tables, state.outcomes = found.tally, found.tables, found.outcomes
        return target

    def _heed(self, stage: str, done: int, total: int | None = None) -> None:
        """Report, or Stopped if the run was asked to end; for where nothing is under way to the server."""
        if self.stop():
            raise Stopped("stopped by a signal")
        self.report(stage, done, total)

    def _planner(self, wanted: Spool, target: ResultTarget, basis: str) -> Planner:
        asked, outbox = self.options, self.session.outbox
        aim = Aim(
            groups=self.definitions.groups,
            system=f"{self.settings.target.canonical_base}/result",
            target=target,
            recorded=self.machine.now(),
            reads_only=self.state.dry_run,
            brake=self._brake(),
            keep=self.definitions.profile_changed(outbox.definitions()) and not asked.retract,
            recreate=asked.recreate,
            overwrite=asked.overwrite,
            adopts=asked.retract or outbox.mark(SEARCHED) is None,
            shows=self._changes_show(),
            basis=basis,
        )
        client, found = self.session.target, self.trail.found
        return Planner(client, outbox, wanted, aim, found=found, report=self.report, stop=self.stop)

    def _changes_show(self) -> bool:
        """Whether all that changed since the last run showed in the pull, and nobody insists on more."""
        pull = self.state.pull
        if self.options.insists or pull is None or pull.compared or not self.session.one_server:
            return False
        return "Observation" in pull.histories

    def _settle(self, basis: str) -> None:
        """Note for the next run that all is as wanted; a target apart does not say when it changes."""
        state, tally = self.state, self.state.tally
        if not self.session.one_server or tally is None:
            return
        found = Settled(
            basis=basis,
            lesions=tally.lesions,
            patients=tally.patients,
            outcomes=state.outcomes,
            results=state.planned.create + state.planned.update + state.planned.unchanged,
            conflict=state.written.conflict,
            externally_deleted=state.written.externally_deleted,
            refused=tally.refusals,
            resources=tally.counts,
        )
        settle(self.session.outbox, found)

    def _result_target(self) -> ResultTarget:
        chosen = self.settings.target
        return ResultTarget(
            canonical_base=chosen.canonical_base,
            organization=chosen.organization,
            references=chosen.references if self.session.one_server else "logical",
            synthetic=chosen.synthetic,
            profiles=self._profiles(),
        )

    def _target_of(self, target: ResultTarget, patients: Sequence[Patient]) -> ResultTarget:
        """*target* with what it knows of *patients*, where it is another server than theirs."""
        if self.session.one_server:
            return target
        there = target_patients(self.session.target, patients, self.stop)
        return msgspec.structs.replace(target, patients=there)

    def _profiles(self) -> frozenset[str]:
        """Our FHIR profiles that the target has: only those are claimed (`decisions.md` 3)."""
        target = self.session.target
        if "StructureDefinition" not in with_interaction(self.state.target_statement, "read"):
            return frozenset()
        base = self.settings.target.canonical_base
        try:
            return known_profiles(target, base, reads_only=self.state.dry_run)
        except ServerRefused:
            # Results are complete without; a scope for definitions is not everywhere to be had.
            return frozenset()

    def _join(self, planner: Planner, wanted: Spool) -> None:
        """What the pull saw of ours; in a store's first run all that is on the target: it may be lost."""
        outbox, count = self.session.outbox, self.settings.sync.count
        is_first = outbox.mark(SEARCHED) is None
        if is_first:
            system = f"{self.settings.target.canonical_base}/result"
            found = found_results(self.session.target, system, count=count, stop=self.stop)
            wanted.note(STRAYS, (f"Observation/{name}" for name in found))
        planner.join()
        if is_first:
            outbox.set_mark(SEARCHED, "all")
        self.state.strangers = planner.strangers

    def _carry_out(self, planner: Planner) -> bool:
        """
        Send what *planner* plans, or plan alone where nothing may be written.

        Whether all that was wanted was done: an edited profile withdraws nothing (decisions.md 4).
        """
        if not self._may_write:
            for _ in planner.items():
                pass
            if planner.cut:
                raise Stopped("stopped by a signal")
            return False
        writer, fates = self._writer(), Fates()
        try:
            for outcome in writer.write(planner.items()):
                fates.add(outcome)
        finally:
            self.state.written = written(fates, refused=writer.refused, counts=planner.counts)
        cut = planner.cut or writer.unsent > 0
        whole = not (cut or (planner.keeps and planner.counts["retract"]))
        self._remember(profile=whole)
        self._judge(fates, writer, planner)
        return whole

    def _writer(self) -> Writer:
        return Writer(
            self.session.target,
            self.session.outbox,
            report=self.report,
            stop=self.stop,
            passes=_passes,
            noted=self.trail.wrote,
        )

    def _judge(self, fates: Fates, writer: Writer, planner: Planner) -> None:
        """Nothing, or why the run is not done."""
        if planner.cut or (writer.unsent and self.stop()):
            raise Stopped("stopped by a signal; what was not sent is sent by the next run")
        if self.state.written.failed or writer.unsent:
            left = fates.undone + writer.refused + writer.unsent
            raise DataError(f"{left} results were not written")

    def _remember(self, *, profile: bool) -> None:
        """Note what studies and profile the results on the server were made by."""
        for name, sha in self.definitions.hashes.items():
            if profile or name != "profile":
                self.session.outbox.define(name, sha)


def _passes(item: Item) -> bool:
    """Whether fhir.resources and our own checks let the bytes of *item* through."""
    return not resource_refusals(item.resource) and not (
        item.provenance and resource_refusals(item.provenance)
    )
