"""The commands of `fhir-srs`: arguments in, a result on stdout, everything else on stderr. No logic.

Exit codes are those of `fhir_srs.errors`; each command imports what it needs when it runs.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from fhir_srs.errors import DataError, FhirSrsError, LocalIOError, MissingExtra, UsageError

if TYPE_CHECKING:
    from fhir_srs.config import Settings as AllSettings
    from fhir_srs.endpoints import Study
    from fhir_srs.engine import MappedFiles
    from fhir_srs.mapping.tally import Tally
    from fhir_srs.model import Mapped, ResourceCounts
    from fhir_srs.report.schema import Line

study_files = typer.Typer(help="Look at study definitions.", no_args_is_help=True, rich_markup_mode=None)
profiles = typer.Typer(
    help="Look at site profiles: how a site spells things.", no_args_is_help=True, rich_markup_mode=None
)
key_files = typer.Typer(help="Keys for SMART Backend Services.", no_args_is_help=True, rich_markup_mode=None)
app = typer.Typer(
    name="fhir-srs",
    help="Pain control after radiosurgery of spinal metastases, from any FHIR R4 server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        _say(f"fhir-srs {version('fhir-srs')}")
        raise typer.Exit


_debug: list[Path] = []


@app.callback()
def main_options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version, and end")
    ] = False,
    debug_phi: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="where an internal error leaves its traceback: a new file, 0600, with patients' data in it",
        ),
    ] = None,
) -> None:
    """Pain control after radiosurgery of spinal metastases, from any FHIR R4 server."""
    _debug[:] = [debug_phi] if debug_phi else []


class Format(StrEnum):
    """How estimates are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Engine(StrEnum):
    """Where mapping runs."""

    LOCAL = "local"
    SPARK = "spark"


class LineKind(StrEnum):
    """Whose JSON Schema."""

    LESION = "lesion"
    EVENT = "event"
    ISSUE = "issue"
    STUDY = "study"


class CohortName(StrEnum):
    """Which synthetic cohort."""

    RANDOM = "random"
    RYU2008 = "ryu2008"


Sources = Annotated[
    list[Path], typer.Argument(metavar="SOURCE", help="files or folders: .ndjson, .ndjson.gz, .json")
]
ProfileName = Annotated[str, typer.Option("--profile", help="site profile, by name or file")]
FigureWords = Annotated[
    str | None,
    typer.Option(
        "--figure",
        metavar="WORDS",
        help='explain the figure that has these words, such as "ryu2008 pain-control A 365"',
    ),
]
Settings = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="settings, fhir-srs.toml")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder for estimates.json and estimates.csv")] = Path("out"),
    keep: Annotated[
        bool, typer.Option("--keep", help="keep the settings and the store in the folder too")
    ] = False,
) -> None:
    """Run the main job on an embedded FHIR server: sync twice, print the table of Ryu 2008."""
    _need_testserver()
    from fhir_srs.demo import run_demo
    from fhir_srs.progress import shown

    with shown(sys.stderr) as report:
        run_demo(out, keep=keep, say=_say, report=report)


class OnConflict(StrEnum):
    """What to do with a result that another has edited."""

    KEEP = "keep"
    OVERWRITE = "overwrite"


AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


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
    every: Annotated[
        str, typer.Option(metavar="15m", help="again every so often, until stopped; else [sync] every")
    ] = "",
    once_: Annotated[bool, typer.Option("--once", help="one run, whatever [sync] every says")] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write metrics for a textfile collector after each run"),
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="log as JSON lines on stderr")] = False,
    as_json: AsJson = False,
) -> None:
    """Pull, map, derive, plan and write: one run, or one every so often."""
    from fhir_srs.config import load_settings
    from fhir_srs.model import to_json
    from fhir_srs.progress import shown, silent
    from fhir_srs.report.run import run_row, run_text
    from fhir_srs.schedule import every_so_often, interval_of, once
    from fhir_srs.sync.logs import log_json as log_to
    from fhir_srs.sync.metrics import write_metrics

    overwrite = on_conflict is OnConflict.OVERWRITE
    asked = dry_run or full or retract or recreate or overwrite
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
            else [
                once(
                    settings,
                    dry_run=dry_run,
                    full=full,
                    retract=retract,
                    recreate=recreate,
                    overwrite=overwrite,
                    report=report,
                )
            ]
        )
        for summary in runs:
            _say(to_json(run_row(summary)).decode() if as_json else run_text(summary))
            if metrics:
                write_metrics(metrics, summary)
            if summary.exit_code and (not again or summary.exit_code in {130, 143}):
                raise typer.Exit(summary.exit_code)


@app.command()
def serve(
    config: Settings,
    every: Annotated[str, typer.Option(metavar="15m", help="how often; else [sync] every")] = "",
    port: Annotated[int, typer.Option(help="port on 127.0.0.1 of /livez and /readyz")] = 8090,
    metrics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write metrics for a textfile collector after each run"),
    ] = None,
) -> None:
    """Sync every so often until stopped, logs as JSON lines, health on the loopback interface."""
    from fhir_srs.config import load_settings
    from fhir_srs.model import to_json
    from fhir_srs.report.run import run_row
    from fhir_srs.schedule import every_so_often, interval_of, seconds_of
    from fhir_srs.sync.health import Health, answering
    from fhir_srs.sync.logs import log_json
    from fhir_srs.sync.metrics import write_metrics

    settings = load_settings(config)
    again = interval_of(settings, every)
    if not again:
        raise UsageError("serve needs --every or [sync] every")
    log_json(sys.stderr)
    health = Health(seconds_of(again))
    with answering(health, port):
        for summary in every_so_often(settings, again, beat=health.beat):
            health.ran(summary)
            _say(to_json(run_row(summary)).decode())
            if metrics:
                write_metrics(metrics, summary)
            if summary.exit_code in {130, 143}:
                raise typer.Exit(summary.exit_code)


@app.command()
def conformance(config: Settings) -> None:
    """Put our CodeSystems, ValueSets and FHIR profiles on the target, where they differ."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync.conformance import put_definitions

    done = put_definitions(load_settings(config))
    _say(f"{done.created} created, {done.updated} updated, {done.unchanged} unchanged")


@app.command()
def doctor(config: Settings) -> None:
    """Ask the server, by reads alone, what it can do and what will be missing."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync import Machine
    from fhir_srs.sync.doctor import examine
    from fhir_srs.sync.words import finding_lines

    found = examine(load_settings(config), Machine())
    _say("\n".join(finding_lines(found)))
    if any(one.level == "error" for one in found):
        raise typer.Exit(DataError.exit_code)


@app.command()
def status(config: Settings, as_json: AsJson = False) -> None:
    """Show what the store holds and how the last runs went; no server is asked."""
    from fhir_srs.config import load_settings
    from fhir_srs.model import to_json
    from fhir_srs.sync.keeping import state_of
    from fhir_srs.sync.words import state_text

    state = state_of(load_settings(config))
    _say(to_json(state).decode() if as_json else state_text(state))


class Action(StrEnum):
    """What to do with what lies aside."""

    LIST = "list"
    RETRY = "retry"


Chosen = Annotated[Action, typer.Argument(help="list them, or try them again first")]


@app.command()
def quarantine(config: Settings, action: Chosen = Action.LIST) -> None:
    """List the resources that could not be read: where each is and why, not what it holds."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync.keeping import refusals_of
    from fhir_srs.sync.words import refusal_lines

    settings = load_settings(config)
    code = _again(settings, action, quarantined=True, pull_only=True)
    _say_all(refusal_lines(refusals_of(settings)), none="nothing is in quarantine")
    if code:
        raise typer.Exit(code)


@app.command()
def outbox(config: Settings, action: Chosen = Action.LIST) -> None:
    """List the results that are not on the target as they should be; retry is one run before that."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync.keeping import unsettled_of
    from fhir_srs.sync.words import outbox_lines

    settings = load_settings(config)
    code = _again(settings, action)
    _say_all(outbox_lines(unsettled_of(settings)), none="every result is on the target as it should be")
    if code:
        raise typer.Exit(code)


def _again(settings: "AllSettings", action: Action, **options: bool) -> int:
    """For a retry, the exit code of one run with *options*; an error goes to stderr."""
    if action is Action.LIST:
        return 0
    from fhir_srs.progress import shown
    from fhir_srs.schedule import once

    with shown(sys.stderr) as report:
        summary = once(settings, report=report, **options)
    if summary.error:
        _note(f"fhir-srs: {summary.error}")
    return summary.exit_code


@app.command()
def verify(config: Settings) -> None:
    """Check the store without a server: structure, keys, hashes, modes, the audit; 65 if one is wrong."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync.keeping import problems_of

    problems = problems_of(load_settings(config))
    _say("\n".join(problems) or "all is well")
    if problems:
        raise typer.Exit(DataError.exit_code)


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
    _say(census_text(summary))
    if summary.exit_code:
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
    _say(rebuilt_text(rebuilt))
    if rebuilt.pull.exit_code:
        raise typer.Exit(rebuilt.pull.exit_code)


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
    _say(run_text(summary))
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


@app.command("map")
def map_(
    sources: Sources,
    profile: ProfileName = "mcode",
    out: Annotated[
        Path | None, typer.Option(help="lesions as NDJSON or .parquet; NDJSON on stdout if not given")
    ] = None,
    events: Annotated[Path | None, typer.Option(help="events as NDJSON or .parquet")] = None,
    issues: Annotated[Path | None, typer.Option(help="issues as NDJSON or .parquet")] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="processes; the result is the same")] = 1,
    engine: Annotated[
        Engine, typer.Option(help="local processes, or the Spark of its own settings")
    ] = Engine.LOCAL,
) -> None:
    """Map files to lesions: no server, no store. What does not fit into memory goes through TMPDIR."""
    from fhir_srs.report.attrition import attrition_lines
    from fhir_srs.report.frames import SUFFIX, need_arrow

    if any(path and path.suffix == SUFFIX for path in (out, events, issues)):
        need_arrow()
    with _mapped_by(engine, sources, profile, jobs) as found:
        _need_readable(found.tally.counts)
        _write_lines(out, found.lesions(), "lesion")
        if events:
            _write_lines(events, found.events(), "event")
        if issues:
            _write_lines(issues, found.issues(), "issue")
    _note_lines(attrition_lines(found.tally))


@app.command()
def endpoints(
    sources: Sources,
    study: Annotated[list[str], typer.Option(help="study definition; may be given several times")],
    cutoff: Annotated[str, typer.Option(metavar="DATE", help="last date that may count, as 2026-06-30")],
    profile: ProfileName = "mcode",
    format_: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
    by: Annotated[
        str | None, typer.Option(metavar="GROUPING", help="in parts of the cohort, such as dose-group")
    ] = None,
    baseline: Annotated[bool, typer.Option("--baseline", help="who was treated, and evaluable")] = False,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="the primary figures under other definitions")
    ] = False,
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="survival of responders from a landmark on")
    ] = False,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="only whom the publication would have taken")
    ] = False,
    figure: FigureWords = None,
) -> None:
    """Derive the endpoints of files and estimate them under one study or several, side by side."""
    from fhir_srs.endpoints import load_study
    from fhir_srs.estimates.analysis import Asked, analyse
    from fhir_srs.report.analysis import analyses_csv, analyses_json, analyses_text
    from fhir_srs.report.attrition import attrition_lines
    from fhir_srs.report.export import mapped_counts

    asked = Asked(
        by=by, baseline=baseline, sensitivity=sensitivity, landmarks=landmarks, as_published=as_published
    )
    last_day = _day(cutoff)
    studies = [load_study(name) for name in study]
    mapped, tally = _mapped(sources, profile)
    if figure is not None:
        _say(_explained(mapped, studies, last_day, figure, as_json=format_ is Format.JSON))
        return
    found = [analyse(mapped, one, last_day, asked) for one in studies]
    printers: dict[Format, Callable[[], str]] = {
        Format.TABLE: lambda: analyses_text(found),
        Format.JSON: lambda: analyses_json(found, cutoff=last_day, counts=mapped_counts(tally)).decode(),
        Format.CSV: lambda: analyses_csv(found),
    }
    _say(printers[format_]())
    _note_lines(attrition_lines(tally))


def _explained(
    mapped: "Mapped", studies: "Sequence[Study]", cutoff: date, figure: str, *, as_json: bool
) -> str:
    """The figure of *studies* that has the words of *figure*, explained."""
    from fhir_srs.endpoints import derive
    from fhir_srs.estimates import estimate
    from fhir_srs.report.explain import explanation_json
    from fhir_srs.report.figure import explain_figure, figure_text

    outcomes = [derive(mapped, study=one, data_cutoff=cutoff) for one in studies]
    told = explain_figure([(one, estimate(one)) for one in outcomes], figure)
    return explanation_json(told).decode() if as_json else figure_text(told)


@study_files.command("check")
def check_study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a study definition, *.toml")],
) -> None:
    """Say everything that is wrong with a study file; else its parameters and where they come from."""
    from fhir_srs.endpoints.study_file import parse_study
    from fhir_srs.report.parameters import checked_lines

    found = parse_study(_text_of(file), subject=f"study file {file.name}")
    _say("\n".join(checked_lines(found, file.name)))


@profiles.command("check")
def check_profile(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a profile, *.toml")],
) -> None:
    """Say everything that is wrong with a profile file, or that nothing is."""
    from fhir_srs.mapping.profile import parse_profile

    found = parse_profile(_text_of(file), name=file.name)
    _say(f"{file.name}: profile {found.name}, version {found.version}, is in order")


@profiles.command("explain")
def explain_profile(sources: Sources, profile: ProfileName = "mcode") -> None:
    """Say of each resource which rule took it, or why none did."""
    from fhir_srs import load_profile
    from fhir_srs.files import read_sources
    from fhir_srs.report.profiles import explained, taken_lines

    found = explained(read_sources(sources, notice=_note), load_profile(profile))
    if not found:
        raise DataError("no readable FHIR resource in the sources")
    _say("\n".join(taken_lines(found)))


@app.command()
def schema(
    line: Annotated[LineKind, typer.Argument(help="of which line, or of a study file")],
) -> None:
    """Print the JSON Schema of the lines that `map` writes, or of a study file."""
    from fhir_srs.model import to_json
    from fhir_srs.report.schema import Line, line_schema, study_schema

    if line is LineKind.STUDY:
        _say(to_json(study_schema()).decode())
    else:
        _say(to_json(line_schema(cast(Line, line.value))).decode())


@app.command()
def explain(
    config: Settings,
    lesion: Annotated[
        str | None, typer.Argument(metavar="LESION", help="lesion_id, or how that alone begins")
    ] = None,
    endpoint: Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="this endpoint only")] = None,
    figure: FigureWords = None,
    as_json: Annotated[bool, typer.Option("--json", help="as one JSON object")] = False,
) -> None:
    """Show where a number comes from: of a lesion, an endpoint of it, or a printed figure of all."""
    from fhir_srs.config import load_settings
    from fhir_srs.report.explain import explanation_json, explanation_text
    from fhir_srs.report.figure import figure_text
    from fhir_srs.sync.explain import explained, explained_figure

    if (lesion is None) == (figure is None):
        raise UsageError("explain takes a LESION, or --figure with the words of a figure")
    settings = load_settings(config)
    if figure is not None:
        found = explained_figure(settings, figure)
        _say(explanation_json(found).decode() if as_json else figure_text(found))
    elif lesion is not None:
        told = explained(settings, lesion, endpoint)
        _say(explanation_json(told).decode() if as_json else explanation_text(told))


@app.command()
def testserver(
    port: Annotated[int, typer.Option(help="port on 127.0.0.1; 0 for a free one")] = 8080,
    cohort: Annotated[CohortName | None, typer.Option(help="load this synthetic cohort")] = None,
    patients: Annotated[int, typer.Option(help="size of the random cohort")] = 100,
    seed: Annotated[int, typer.Option(help="seed of the cohort")] = 2008,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="a fault on request (may be repeated)"),
    ] = None,
    faults: Annotated[bool, typer.Option("--faults", help="list the faults, and end")] = False,
    jwks: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="ask for SMART Backend Services, client fhir-srs, these public keys"
        ),
    ] = None,
) -> None:
    """Serve a small FHIR R4 server on 127.0.0.1, for integration tests, until interrupted.

    A fault is NAME[,on=KIND+KIND][,type=TYPE][,from=N][,times=N][,value=TEXT]: it happens to the Nth
    request of that kind and type, and to so many from there (0: all). --faults tells names and defaults.
    """
    _need_testserver()
    import signal

    from fhir_srs.signals import blocked
    from fhir_srs.testing.faults import fault_table, parse_fault
    from fhir_srs.testing.server import running_server

    if faults:
        _say(fault_table())
        return
    planned = [parse_fault(one) for one in fault or []]
    resources = _cohort(cohort, patients, seed).resources if cohort else []
    guard = _guard(jwks)
    ends = (signal.SIGINT, signal.SIGTERM)
    try:
        # Blocked before the server's thread starts, so that only sigwait takes them.
        with (
            blocked(*ends),
            running_server(resources, port=port, faults=planned or None, middleware=guard) as server,
        ):
            _say(server.base_url)
            signal.sigwait(ends)
    except OSError:
        raise LocalIOError(f"cannot listen on port {port} of 127.0.0.1: is it taken?") from None


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="folder for the NDJSON files and truth.csv")],
    patients: Annotated[int, typer.Option(help="how many patients")] = 100,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 2008,
    cohort: Annotated[CohortName, typer.Option(help="which cohort")] = CohortName.RANDOM,
) -> None:
    """Write a synthetic cohort as NDJSON with its truth."""
    from fhir_srs.testing.cohort import write_cohort

    made = _cohort(cohort, patients, seed)
    write_cohort(made, out)
    _note(f"{len(made.resources):,} resources, {len(made.truth):,} lesions in {out}; cutoff {made.cutoff}")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalIOError("the file cannot be read") from None


def _guard(jwks: Path | None) -> list[Any]:
    """The authority that knows the keys in *jwks*, around the test server; nothing without."""
    if jwks is None:
        return []
    from starlette.middleware import Middleware

    from fhir_srs.testing.smart import SmartAuthority, registered

    return [Middleware(SmartAuthority, client=registered("fhir-srs", _text_of(jwks)))]


def _need_testserver() -> None:
    """Raise MissingExtra, with the command that installs it, where the test server cannot run."""
    from importlib.util import find_spec

    if not all(find_spec(name) for name in ("starlette", "uvicorn")):
        raise MissingExtra("testserver")


def _cohort(name: CohortName, patients: int, seed: int) -> Any:
    from fhir_srs.testing.cohort import random_cohort, ryu2008_cohort

    return ryu2008_cohort(seed) if name is CohortName.RYU2008 else random_cohort(patients, seed)


@contextmanager
def _mapped_by(engine: Engine, sources: Sequence[Path], profile: str, jobs: int) -> "Iterator[MappedFiles]":
    from fhir_srs import load_profile
    from fhir_srs.engine import mapped_files
    from fhir_srs.progress import shown

    known = load_profile(profile)
    if engine is Engine.SPARK:
        from fhir_srs.engine.spark import spark_files

        with spark_files(sources, known, notice=_note) as found:
            yield found
    else:
        with (
            shown(sys.stderr) as report,
            mapped_files(sources, known, jobs=jobs, notice=_note, report=report) as found,
        ):
            yield found


def _mapped(sources: Sequence[Path], profile_name: str) -> "tuple[Mapped, Tally]":
    """What endpoints need, with a progress display; DataError (65) if not one resource could be read."""
    from fhir_srs import load_profile
    from fhir_srs.engine import map_study
    from fhir_srs.progress import shown

    profile = load_profile(profile_name)
    with shown(sys.stderr) as report:
        mapped, tally = map_study(sources, profile, notice=_note, report=report)
    _need_readable(tally.counts)
    return mapped, tally


def _need_readable(counts: "ResourceCounts") -> None:
    if counts.read == counts.refused:
        raise DataError("no readable FHIR resource in the sources")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("--cutoff must be a date such as 2026-06-30") from None


def _write_lines(path: Path | None, lines: Iterable[bytes], line: "Line") -> None:
    """Write *lines* to *path*, as its suffix says, or to stdout."""
    from fhir_srs.report.frames import SUFFIX, save_parquet
    from fhir_srs.report.save import save

    if path is None:
        sys.stdout.buffer.writelines(lines)
    elif path.suffix == SUFFIX:
        save_parquet(path, lines, line)
    else:
        save(path, lines)


# What a terminal would obey, or show in another order than it stands: texts of a hospital may hold them.
_OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _say(text: str) -> None:
    text = _OBEYED.sub("\ufffd", text)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def _say_all(lines: Iterable[str], *, none: str) -> None:
    """Each of *lines* on stdout; where there is none, *none* on stderr."""
    told = list(lines)
    for line in told:
        _say(line)
    if not told:
        _note(none)


def _note(text: str) -> None:
    text = _OBEYED.sub("\ufffd", text)
    sys.stderr.write(f"{text}\n")


def _note_lines(lines: Iterable[str]) -> None:
    for line in lines:
        _note(line)


class Algorithm(StrEnum):
    """How a key signs (A1)."""

    RS384 = "RS384"
    ES384 = "ES384"


@key_files.command("new")
def keys_new(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="a new file for the private key")],
    algorithm: Annotated[Algorithm, typer.Option("--alg", help="how it signs")] = Algorithm.ES384,
) -> None:
    """Make a key pair: the private key into a file of mode 0600, the public JWKS on stdout."""
    import json

    from fhir_srs.fhir.key_pairs import new_key_file, public_keys

    new_key_file(out, algorithm.value)
    _say(json.dumps(public_keys([out]), indent=2))


@key_files.command("jwks")
def keys_jwks(files: Annotated[list[Path], typer.Argument(help="key files: current and next")]) -> None:
    """Print the public JWKS of key files, for the server's administrator."""
    import json

    from fhir_srs.fhir.key_pairs import public_keys

    _say(json.dumps(public_keys(files), indent=2))


app.add_typer(key_files, name="keys")
app.add_typer(profiles, name="profile")
app.add_typer(study_files, name="study")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Errors become one message, never a traceback with data in it."""
    try:
        return app(list(arguments), prog_name="fhir-srs", standalone_mode=False) or 0
    except FhirSrsError as error:
        _note(f"fhir-srs: {error}")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """Usage errors of the command line (64), or a fault of ours (70): its class and place, no values."""
    show: Callable[[], None] | None = getattr(error, "show", None)
    if show is not None:
        show()
        return UsageError.exit_code
    _note(_internal(error))
    if _debug:
        _write_traceback(_debug[0], error)
    return FhirSrsError.exit_code


def _internal(error: BaseException | None) -> str:
    place = error.__traceback__ if error else None
    while place and place.tb_next:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "?"
    return f"fhir-srs: internal error, please report it: {type(error).__name__} at {where}"


def _write_traceback(path: Path, error: Exception) -> None:
    """The traceback of *error* into a new file that is ours alone: it may hold a patient's data."""
    import os
    import traceback

    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.writelines(traceback.format_exception(error))
    except OSError as failed:
        _note(f"fhir-srs: no traceback was written ({failed.strerror})")


def main() -> NoReturn:
    """Entry point of the `fhir-srs` command: files ours alone, no core dumps, no traceback of any thread."""
    _close_off()
    sys.exit(run(sys.argv[1:]))


def _close_off() -> None:
    """What the process would tell of patients by other ways than its output (reliability.md section 7)."""
    import os
    import resource
    import threading

    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.excepthook = lambda _kind, error, _trace: _note(_internal(error))
    threading.excepthook = lambda told: _note(_internal(told.exc_value))
