"""Looking after the store without a server: its state, refusals, integrity, and forgetting a patient."""

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from fhir_srs.config import Settings
from fhir_srs.errors import UsageError
from fhir_srs.store import Refused, RunLine, Sent, Store
from fhir_srs.store.audit import problems
from fhir_srs.sync.machine import stamp
from fhir_srs.sync.opt_out import PURGED
from fhir_srs.sync.session import local_store, seen_store
from fhir_srs.sync.trail import Trail

_RUNS = 10


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds and how the last runs went, newest first; counts by type, state or reason."""

    resources: dict[str, int]
    patients: int
    left_out: dict[str, int]
    watermarks: dict[str, str]
    census: str | None
    outbox: dict[str, int]
    quarantined: dict[str, int]
    runs: list[dict[str, Any]]


def state_of(settings: Settings) -> State:
    """The state of the store of *settings*, as far as it is where a run is under way."""
    with seen_store(settings) as (store, busy):
        out = list(store.left_out().values())
        return State(
            resources=store.live(),
            patients=sum(mark is not None for mark in store.cohort().values()),
            left_out={reason: out.count(reason) for reason in sorted(set(out))},
            watermarks={name: one.watermark for name, one in sorted(store.cursors().items())},
            census=store.census(),
            outbox=_outbox(settings, store).outbox_states(),
            quarantined=store.refusals(),
            runs=[_run_row(line, busy and not at) for at, line in enumerate(store.runs(_RUNS))],
        )


def _run_row(line: RunLine, under_way: bool) -> dict[str, Any]:
    told = msgspec.json.decode(line.summary) if line.summary else {}
    return {
        "run": line.run,
        "started": line.started,
        "finished": line.finished,
        "status": line.status or ("under way" if under_way else "interrupted"),
        "exit_code": told.get("exit_code"),
        "error": told.get("error"),
    }


def refusals_of(settings: Settings) -> list[Refused]:
    """Every resource in quarantine: where it is and why, never what it holds."""
    with seen_store(settings) as (store, _):
        return store.quarantined()


def unsettled_of(settings: Settings) -> list[Sent]:
    """Every line of the outbox whose result is not on the target as it should be."""
    with seen_store(settings) as (store, _):
        lines = _outbox(settings, store).outbox().values()
        return [line for line in lines if line.state != "CONFIRMED"]


def _outbox(settings: Settings, store: Store) -> Store:
    """The rows of the target server: those of the source where results go back to it."""
    return store.beside(settings.target.base_url) if settings.target.base_url else store


def problems_of(settings: Settings) -> list[str]:
    """
    What is wrong with the store, one line each; empty if all is well.

    Checked are SQLite's own structure and keys, the hash of every resource, that every file is ours alone,
    and the chain of the audit.
    """
    with local_store(settings) as (folder, store):
        audit = problems(folder, store.anchored())
        return [*store.problems(), *_damaged(store), *_modes(folder), *audit]


def _damaged(store: Store) -> Iterator[str]:
    for name in store.spoilt():
        yield f"{name.split('/')[0]}: content and hash differ (one resource)"


def _modes(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if stat.S_IMODE(path.lstat().st_mode) & 0o077:
            yield f"{path.name} can be read by others"


def forget(settings: Settings, patient: str) -> None:
    """
    Forget *patient* (`Patient/<id>`): every resource goes, and the file is written anew without it.

    The bare reference stays, as one who is left out: no later run takes the patient in again. The results on
    the server are withdrawn by the next run that may (`spec/reliability.md` section 7, Retention). Raises
    UsageError where there is no such patient.
    """
    with local_store(settings) as (folder, store):
        if patient not in store.cohort():
            raise UsageError("--patient: no such patient in the store (Patient/<id>)")
        trail = Trail(folder, store, run="", at=stamp(datetime.now(UTC)))
        trail.forgot(patient)
        trail.close()
        store.leave_out({patient: PURGED})
        store.compact()
