"""The same rows by other libraries, each in an environment of its own. Reference: our Structs.

Their requirements are in `peers/`; environments are made in `.venv-peers/` at the first run. What does not
install is listed with its error.
"""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import ROOT, Round, compare

ENVIRONMENTS = ROOT / ".venv-peers"
PATIENTS = 200  # a slice of 9 MB: a peer takes up to a hundred times as long


class Peer(NamedTuple):
    """A library: its module in `peers/`, the file of its requirements there, and which of its ways it is."""

    name: str
    module: str
    requirements: str
    way: str = ""


PEERS = (
    Peer("fhir.resources", "benchmarks.peers.fhir_resources_peer", "fhir_resources.txt"),
    Peer("fhirpy", "benchmarks.peers.fhirpy_peer", "fhirpy.txt"),
    Peer("fhir-pyrate", "benchmarks.peers.fhir_pyrate_paths_peer", "fhir_pyrate.txt", "FHIRPath columns"),
    Peer("fhir-pyrate", "benchmarks.peers.fhir_pyrate_peer", "fhir_pyrate.txt", "a processing function"),
)


class NotInstalled(Exception):
    """The peer has no environment; the last line of what pip said."""


def python_of(peer: Peer) -> Path:
    """The interpreter of the environment of *peer*, which is made where it is missing."""
    folder = ENVIRONMENTS / peer.requirements.removesuffix(".txt")
    python = folder / "bin" / "python"
    if (folder / "installed").exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    wanted = ROOT / "benchmarks" / "peers" / peer.requirements
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or "pip failed").splitlines()
        raise NotInstalled(f"{peer.name} does not install: {said[-1][:200]}")
    (folder / "installed").touch()
    return python


def version_of(peer: Peer) -> str:
    """The version that its requirements name."""
    return (ROOT / "benchmarks" / "peers" / peer.requirements).read_text().strip().partition("==")[2]


def rounds(folder: Path, number: int, peer: Peer) -> list[Round]:
    """*number* rounds of *peer* against ours; both must find the same rows."""
    return compare(
        ["benchmarks.peers.ours", str(folder)],
        [peer.module, str(folder)],
        rounds=number,
        clock="cpu",
        same=("rows", "digest"),
        python=str(python_of(peer)),
    )


def taken(folder: Path, number: int, peer: Peer) -> Callable[[], list[Round]]:
    """`rounds`, to be called when its turn comes."""
    return lambda: rounds(folder, number, peer)


__all__ = ["PATIENTS", "PEERS", "NotInstalled", "Peer", "rounds", "taken", "version_of"]
