"""`fhir-srs keys`: key pairs for SMART Backend Services."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fhir_srs.cli.application import app
from fhir_srs.cli.terminal import say

key_files = typer.Typer(help="Keys for SMART Backend Services.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(key_files, name="keys")


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
    say(json.dumps(public_keys([out]), indent=2))


@key_files.command("jwks")
def keys_jwks(files: Annotated[list[Path], typer.Argument(help="key files: current and next")]) -> None:
    """Print the public JWKS of key files, for the server's administrator."""
    import json

    from fhir_srs.fhir.key_pairs import public_keys

    say(json.dumps(public_keys(files), indent=2))
