"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from fhir_srs.errors import LocalIOError

Settings = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="settings, fhir-srs.toml")]


Every = Annotated[
    str, typer.Option(metavar="15m", help="again every so often, until stopped; else [sync] every")
]


Metrics = Annotated[
    Path | None, typer.Option(metavar="FILE", help="write metrics for a textfile collector after each run")
]


AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


FigureWords = Annotated[
    str | None,
    typer.Option(
        "--figure",
        metavar="WORDS",
        help='explain the figure that has these words, such as "ryu2008 pain-control A 365"',
    ),
]


By = Annotated[
    str | None, typer.Option(metavar="GROUPING", help="in parts of the cohort, such as dose-group")
]


Sources = Annotated[
    list[Path], typer.Argument(metavar="SOURCE", help="files or folders: .ndjson, .ndjson.gz, .json")
]


ProfileName = Annotated[str, typer.Option("--profile", help="site profile, by name or file")]


def text_of(file: Path) -> str:
    """The text in *file*, an argument; LocalIOError (74) if it cannot be read or is no UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalIOError("the file cannot be read") from None
