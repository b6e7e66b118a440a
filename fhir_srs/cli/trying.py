"""Commands that need no hospital: the demo, the test server, synthetic cohorts."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fhir_srs.cli.application import app
from fhir_srs.cli.arguments import text_of
from fhir_srs.cli.terminal import note, say
from fhir_srs.errors import LocalIOError, MissingExtra


class CohortName(StrEnum):
    """Which synthetic cohort."""

    RANDOM = "random"
    RYU2008 = "ryu2008"


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
        run_demo(out, keep=keep, say=say, report=report)


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
        say(fault_table())
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
            say(server.base_url)
            signal.sigwait(ends)
    except OSError:
        raise LocalIOError(f"cannot listen on port {port} of 127.0.0.1: is it taken?") from None


@app.command()
def synth(
    out: Annotated[Path, typer.Option(help="folder for the NDJSON files and their truth")],
    patients: Annotated[int, typer.Option(help="how many patients")] = 100,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 2008,
    cohort: Annotated[CohortName, typer.Option(help="which cohort")] = CohortName.RANDOM,
) -> None:
    """Write a synthetic cohort as NDJSON with its truth."""
    from fhir_srs.testing.cohort import write_cohort

    made = _cohort(cohort, patients, seed)
    write_cohort(made, out)
    note(f"{len(made.resources):,} resources, {len(made.truth):,} lesions in {out}; cutoff {made.cutoff}")


def _guard(jwks: Path | None) -> list[Any]:
    """The authority that knows the keys in *jwks*, around the test server; nothing without."""
    if jwks is None:
        return []
    from starlette.middleware import Middleware

    from fhir_srs.testing.smart import SmartAuthority, registered

    return [Middleware(SmartAuthority, client=registered("fhir-srs", text_of(jwks)))]


def _need_testserver() -> None:
    """Raise MissingExtra, with the command that installs it, where the test server cannot run."""
    from importlib.util import find_spec

    if not all(find_spec(name) for name in ("starlette", "uvicorn")):
        raise MissingExtra("testserver")


def _cohort(name: CohortName, patients: int, seed: int) -> Any:
    from fhir_srs.testing.cohort import random_cohort, ryu2008_cohort

    return ryu2008_cohort(seed) if name is CohortName.RYU2008 else random_cohort(patients, seed)
