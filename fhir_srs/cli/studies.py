"""Commands from files to estimates: `endpoints`, and study definitions."""

import sys
from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_srs.cli.application import app
from fhir_srs.cli.arguments import By, FigureWords, ProfileName, Sources, text_of
from fhir_srs.cli.mapping import need_readable
from fhir_srs.cli.terminal import note, note_lines, say
from fhir_srs.errors import UsageError

if TYPE_CHECKING:
    from fhir_srs.estimates.analysis import Analysis
    from fhir_srs.mapping.tally import Tally
    from fhir_srs.model import Mapped


class Format(StrEnum):
    """How estimates are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


study_files = typer.Typer(help="Look at study definitions.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(study_files, name="study")


@app.command()
def endpoints(
    sources: Sources,
    study: Annotated[list[str], typer.Option(help="study definition; may be given several times")],
    cutoff: Annotated[str, typer.Option(metavar="DATE", help="last date that may count, as 2026-06-30")],
    profile: ProfileName = "mcode",
    format_: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
    by: By = None,
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
    found = [analyse(mapped, one, last_day, asked) for one in studies]
    if figure is not None:
        say(_explained(found, last_day, figure, as_json=format_ is Format.JSON))
        return
    printers: dict[Format, Callable[[], str]] = {
        Format.TABLE: lambda: analyses_text(found),
        Format.JSON: lambda: analyses_json(found, cutoff=last_day, counts=mapped_counts(tally)).decode(),
        Format.CSV: lambda: analyses_csv(found),
    }
    say(printers[format_]())
    note_lines(attrition_lines(tally))


def _explained(found: "Sequence[Analysis]", cutoff: date, figure: str, *, as_json: bool) -> str:
    """The figure of *found* that has the words of *figure*, explained."""
    from fhir_srs.report.explain import explanation_json
    from fhir_srs.report.figure import explain_figure, figure_text, printed

    told = explain_figure([table for one in found for table in printed(one, cutoff)], figure)
    return explanation_json(told).decode() if as_json else figure_text(told)


@study_files.command("check")
def check_study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a study definition, *.toml")],
) -> None:
    """Say everything that is wrong with a study file; else its parameters and where they come from."""
    from fhir_srs.endpoints.study_file import parse_study
    from fhir_srs.report.parameters import checked_lines

    found = parse_study(text_of(file), subject=f"study file {file.name}")
    say("\n".join(checked_lines(found, file.name)))


def _mapped(sources: Sequence[Path], profile_name: str) -> "tuple[Mapped, Tally]":
    """What endpoints need, with a progress display; DataError (65) if not one resource could be read."""
    from fhir_srs import load_profile
    from fhir_srs.engine import map_study
    from fhir_srs.progress import shown

    profile = load_profile(profile_name)
    with shown(sys.stderr) as report:
        mapped, tally = map_study(sources, profile, notice=note, report=report)
    need_readable(tally)
    return mapped, tally


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("--cutoff must be a date such as 2026-06-30") from None
