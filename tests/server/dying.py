"""A sync in a process of its own that is killed at a failpoint, or at any moment."""

import multiprocessing
from multiprocessing.context import ForkServerContext
from pathlib import Path

from fhir_srs.config import load_settings
from fhir_srs.store.failpoints import arm
from fhir_srs.sync import deriving, planning, run_sync
from fhir_srs.sync.rebuild import rebuild


def context() -> ForkServerContext:
    """A server of processes that has the program loaded already: each starts in milliseconds."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.server.dying"])
    return found


def live(path: str, failpoint: str, what: str) -> None:
    """
    Sync, or rebuild, by the settings in *path*, until *failpoint* (`name:n`) is passed.

    A plan has many slices here, and maps one patient at a time: whoever dies may die between them.
    """
    planning._SLICE, deriving._PATIENTS = 20, 1
    arm(failpoint)
    settings = load_settings(Path(path))
    if what == "rebuild":
        rebuild(settings)
    else:
        run_sync(settings, retract=True)
