"""Commands from files to lesions: `map`, the schema of its lines, and site profiles."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from fhir_srs.cli.application import app
from fhir_srs.cli.arguments import ProfileName, Sources, text_of
from fhir_srs.cli.terminal import note, note_lines, say
from fhir_srs.errors import DataError, UsageError

if TYPE_CHECKING:
    from fhir_srs.engine import MappedFiles
    from fhir_srs.mapping.tally import Tally
    from fhir_srs.report.schema import Line


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


profiles = typer.Typer(
    help="Look at site profiles: how a site spells things.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(profiles, name="profile")


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

    outputs = [path for path in (out, events, issues) if path]
    _keep_apart(sources, outputs)
    if any(path.suffix == SUFFIX for path in outputs):
        need_arrow()
    with _mapped_by(engine, sources, profile, jobs) as found:
        need_readable(found.tally)
        _write_lines(out, found.lesions(), "lesion")
        if events:
            _write_lines(events, found.events(), "event")
        if issues:
            _write_lines(issues, found.issues(), "issue")
    note_lines(attrition_lines(found.tally))


@profiles.command("check")
def check_profile(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a profile, *.toml")],
) -> None:
    """Say everything that is wrong with a profile file, or that nothing is."""
    from fhir_srs.mapping.profile import parse_profile

    found = parse_profile(text_of(file), name=file.name)
    say(f"{file.name}: profile {found.name}, version {found.version}, is in order")


@profiles.command("explain")
def explain_profile(sources: Sources, profile: ProfileName = "mcode") -> None:
    """Say of each resource which rule took it, or why none did."""
    from fhir_srs import load_profile
    from fhir_srs.files import Place, read_sources
    from fhir_srs.report.profiles import explained, taken_lines

    place = Place()
    found = explained(
        read_sources(sources, note, place),
        load_profile(profile),
        unread=lambda path: note(place.unread(path)),
    )
    if not found:
        raise DataError("no readable FHIR resource in the sources")
    say("\n".join(taken_lines(found)))


@app.command()
def schema(
    line: Annotated[LineKind, typer.Argument(help="of which line, or of a study file")],
) -> None:
    """Print the JSON Schema of the lines that `map` writes, or of a study file."""
    from fhir_srs.model import to_json
    from fhir_srs.report.schema import Line, line_schema, study_schema

    if line is LineKind.STUDY:
        say(to_json(study_schema()).decode())
    else:
        say(to_json(line_schema(cast(Line, line.value))).decode())


@contextmanager
def _mapped_by(engine: Engine, sources: Sequence[Path], profile: str, jobs: int) -> "Iterator[MappedFiles]":
    from fhir_srs import load_profile
    from fhir_srs.engine import mapped_files
    from fhir_srs.progress import shown

    known = load_profile(profile)
    if engine is Engine.SPARK:
        from fhir_srs.engine.spark import spark_files

        with spark_files(sources, known, notice=note) as found:
            yield found
    else:
        with (
            shown(sys.stderr) as report,
            mapped_files(sources, known, jobs=jobs, notice=note, report=report) as found,
        ):
            yield found


def _keep_apart(sources: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Raise UsageError if a file is to be written twice, or is read and written; a device may be."""
    from fhir_srs.report.save import is_stream

    written = [path.resolve() for path in outputs if not is_stream(path)]
    if len({*written}) < len(written):
        raise UsageError("two of --out, --events and --issues are one file")
    if not {*written}.isdisjoint(path.resolve() for path in sources):
        raise UsageError("a source would be overwritten")


def need_readable(found: "Tally") -> None:
    """Raise DataError (65) if not one resource could be read; what was read and refused has its reason."""
    if found.counts.read == found.reasons[False, "resource-unreadable"]:
        raise DataError("no readable FHIR resource in the sources")


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
