"""The application that the commands join, and what is asked before any of them."""

from pathlib import Path
from typing import Annotated

import typer

from fhir_srs.cli.terminal import say

app = typer.Typer(
    name="fhir-srs",
    help="Pain control after radiosurgery of spinal metastases, from any FHIR R4 server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
debug_files: list[Path] = []


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"fhir-srs {version('fhir-srs')}")
        raise typer.Exit


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
    debug_files[:] = [debug_phi] if debug_phi else []
