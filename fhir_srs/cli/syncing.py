"""Commands that ask a FHIR server: one run or one every so often, and what prepares or checks one."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_srs.cli.application import app
from fhir_srs.cli.arguments import AsJson, Every, Metrics, Settings
from fhir_srs.cli.terminal import say
from fhir_srs.errors import DataError, UsageError

if TYPE_CHECKING:  # a command that needs them loads them
    from fhir_srs.summary import RunSummary
    from fhir_srs.sync.options import Flags

SIGNALLED = frozenset({130, 143})  # ended by SIGINT, SIGTERM


class OnConflict(StrEnum):
    """What to do with a result that another has edited."""

    KEEP = "keep"
    OVERWRITE = "overwrite"


@app.command()
def sync(
    config: Settings,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="send only reads, change nothing")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="pull everything again, not only what changed")
    ] = False,
    retract: Annotated[
        bool, typer.Option("--retract", help="release the brake: withdraw however many results must go")
    ] = False,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="write results again that another deleted")
    ] = False,
    on_conflict: Annotated[
        OnConflict, typer.Option("--on-conflict", help="results that another edited")
    ] = OnConflict.KEEP,
    every: Every = "",
    once_: Annotated[bool, typer.Option("--once", help="one run, whatever [sync] every says")] = False,
    metrics: Metrics = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="log as JSON lines on stderr")] = False,
    as_json: AsJson = False,
) -> None:
    """Pull, map, derive, plan and write: one run, or one every so often."""
    from fhir_srs.config import load_settings
    from fhir_srs.progress import shown, silent
    from fhir_srs.schedule import every_so_often, interval_of, once
    from fhir_srs.sync.logs import log_json as log_to

    flags: Flags = {
        "dry_run": dry_run,
        "full": full,
        "retract": retract,
        "recreate": recreate,
        "overwrite": on_conflict is OnConflict.OVERWRITE,
    }
    asked = any(flags.values())
    if every and (asked or once_):
        raise UsageError("--every goes with no option that is meant for one run")
    settings = load_settings(config)
    again = "" if asked or once_ else interval_of(settings, every)
    if log_json:
        log_to(sys.stderr)
    with shown(sys.stderr) as bar:
        report = silent if log_json else bar
        runs = (
            every_so_often(settings, again, report=report)
            if again
            else [once(settings, report=report, **flags)]
        )
        for summary in runs:
            _tell(summary, metrics, as_json=as_json)
            if summary.exit_code and (not again or summary.exit_code in SIGNALLED):
                raise typer.Exit(summary.exit_code)


def _tell(summary: "RunSummary", metrics: Path | None, *, as_json: bool) -> None:
    """Print *summary*, and write its metrics where they are asked for."""
    from fhir_srs.model import to_json
    from fhir_srs.report.run import run_row, run_text
    from fhir_srs.sync.metrics import write_metrics

    say(to_json(run_row(summary)).decode() if as_json else run_text(summary))
    if metrics:
        write_metrics(metrics, summary)


@app.command()
def serve(
    config: Settings,
    every: Every = "",
    port: Annotated[int, typer.Option(help="port on 127.0.0.1 of /livez and /readyz")] = 8090,
    metrics: Metrics = None,
) -> None:
    """Sync every so often until stopped, logs as JSON lines, health on the loopback interface."""
    from fhir_srs.config import load_settings
    from fhir_srs.schedule import every_so_often, interval_of, seconds_of
    from fhir_srs.sync.health import Health, answering
    from fhir_srs.sync.logs import log_json

    settings = load_settings(config)
    again = interval_of(settings, every)
    if not again:
        raise UsageError("serve needs --every or [sync] every")
    log_json(sys.stderr)
    health = Health(seconds_of(again))
    with answering(health, port):
        for summary in every_so_often(settings, again, beat=health.beat):
            health.ran(summary)
            _tell(summary, metrics, as_json=True)
            if summary.exit_code in SIGNALLED:
                raise typer.Exit(summary.exit_code)


@app.command()
def rebuild(config: Settings) -> None:
    """Pull everything into a new store, compare it with the old one, and keep the new one."""
    from fhir_srs.config import load_settings
    from fhir_srs.progress import shown
    from fhir_srs.sync.rebuild import rebuild as rebuild_store
    from fhir_srs.sync.words import rebuilt_text

    with shown(sys.stderr) as report:
        rebuilt = rebuild_store(load_settings(config), report=report)
    say(rebuilt_text(rebuilt))
    if rebuilt.pull.exit_code:
        raise typer.Exit(rebuilt.pull.exit_code)


@app.command()
def census(
    config: Settings,
    retract: Annotated[
        bool, typer.Option("--retract", help="release the brake: believe however much is gone")
    ] = False,
) -> None:
    """Compare all ids on the server with the store; what is gone leaves it. The server gets no write."""
    from fhir_srs.config import load_settings
    from fhir_srs.progress import shown
    from fhir_srs.schedule import once
    from fhir_srs.sync.words import census_text

    with shown(sys.stderr) as report:
        summary = once(load_settings(config), census=True, pull_only=True, retract=retract, report=report)
    say(census_text(summary))
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


@app.command()
def purge(
    config: Settings,
    patient: Annotated[str, typer.Option(metavar="Patient/ID", help="whom to forget")],
) -> None:
    """Forget a patient for good, and withdraw the results with one run, the brake released."""
    from fhir_srs.config import load_settings
    from fhir_srs.progress import shown
    from fhir_srs.report.run import run_text
    from fhir_srs.schedule import once
    from fhir_srs.sync.keeping import forget

    settings = load_settings(config)
    forget(settings, patient)
    with shown(sys.stderr) as report:
        summary = once(settings, retract=True, report=report)
    say(run_text(summary))
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


@app.command()
def conformance(config: Settings) -> None:
    """Put our CodeSystems, ValueSets and FHIR profiles on the target, where they differ."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync.conformance import put_definitions

    done = put_definitions(load_settings(config))
    say(f"{done.created} created, {done.updated} updated, {done.unchanged} unchanged")


@app.command()
def doctor(config: Settings) -> None:
    """Ask the server, by reads alone, what it can do and what will be missing."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync import Machine
    from fhir_srs.sync.doctor import examine
    from fhir_srs.sync.words import finding_lines

    found = examine(load_settings(config), Machine())
    say("\n".join(finding_lines(found)))
    if any(one.level == "error" for one in found):
        raise typer.Exit(DataError.exit_code)
