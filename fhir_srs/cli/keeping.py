"""Commands that look into the store: its state, what lies aside in it, and where a number comes from."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_srs.cli.application import app
from fhir_srs.cli.arguments import AsJson, By, FigureWords, Settings
from fhir_srs.cli.terminal import note, say, say_all
from fhir_srs.errors import DataError, UsageError

if TYPE_CHECKING:
    from fhir_srs.config import Settings as AllSettings


@app.command()
def status(config: Settings, as_json: AsJson = False) -> None:
    """Show what the store holds and how the last runs went; no server is asked."""
    from fhir_srs.config import load_settings
    from fhir_srs.model import to_json
    from fhir_srs.sync.keeping import state_of
    from fhir_srs.sync.words import state_text

    state = state_of(load_settings(config))
    say(to_json(state).decode() if as_json else state_text(state))


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
    say_all(refusal_lines(refusals_of(settings)), none="nothing is in quarantine")
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
    say_all(outbox_lines(unsettled_of(settings)), none="every result is on the target as it should be")
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
        note(f"fhir-srs: {summary.error}")
    return summary.exit_code


@app.command()
def verify(config: Settings) -> None:
    """Check the store without a server: structure, keys, hashes, modes, the audit; 65 if one is wrong."""
    from fhir_srs.config import load_settings
    from fhir_srs.sync.keeping import problems_of

    problems = problems_of(load_settings(config))
    say("\n".join(problems) or "all is well")
    if problems:
        raise typer.Exit(DataError.exit_code)


@app.command()
def explain(
    config: Settings,
    lesion: Annotated[
        str | None, typer.Argument(metavar="LESION", help="lesion_id, or how that alone begins")
    ] = None,
    endpoint: Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="this endpoint only")] = None,
    figure: FigureWords = None,
    by: By = None,
    as_json: Annotated[bool, typer.Option("--json", help="as one JSON object")] = False,
) -> None:
    """
    Show where a number comes from: of a lesion, an endpoint of it, or a printed figure of all.

    With --by the figures of those parts of the cohort can be asked for too.
    """
    from fhir_srs.config import load_settings
    from fhir_srs.report.explain import explanation_json, explanation_text
    from fhir_srs.report.figure import figure_text
    from fhir_srs.sync.explain import explained, explained_figure

    if (lesion is None) == (figure is None):
        raise UsageError("explain takes a LESION, or --figure with the words of a figure")
    settings = load_settings(config)
    if figure is not None:
        found = explained_figure(settings, figure, by=by)
        say(explanation_json(found).decode() if as_json else figure_text(found))
    elif lesion is not None:
        told = explained(settings, lesion, endpoint)
        say(explanation_json(told).decode() if as_json else explanation_text(told))
