"""The store made anew from the server, beside the one that grew by increments, and the two compared (I2)."""

from collections.abc import Callable

import msgspec

from fhir_srs.config import Settings
from fhir_srs.progress import Report, silent
from fhir_srs.summary import RunSummary
from fhir_srs.sync.machine import Machine
from fhir_srs.sync.options import Options
from fhir_srs.sync.run import Preparation, perform, prepared
from fhir_srs.sync.session import fresh, local_store


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """The pull that made the new store, and resources of the old one that are the same or are not."""

    pull: RunSummary
    same: int = 0
    only_before: int = 0
    only_now: int = 0
    different: int = 0

    @property
    def agrees(self) -> bool:
        """Whether the store that grew by increments was what a full load gives."""
        return not (self.only_before or self.only_now or self.different)


def rebuild(
    settings: Settings,
    *,
    report: Report = silent,
    stop: Callable[[], bool] = lambda: False,
    machine: Machine = Machine(),  # noqa: B008 - frozen
) -> Rebuilt:
    """
    Pull everything into an empty store, compare, and keep the new one. The outbox stays as it is.

    Nothing is planned or written; without a complete pull the old store is kept. Raises as `run_sync`.
    """
    preparation: Preparation = prepared(settings)
    with local_store(settings) as (folder, store), fresh(store, folder) as empty:
        pull = perform(
            settings, preparation, folder, empty, Options(full=True, pull_only=True), report, stop, machine
        )
        if pull.status != "done":
            return Rebuilt(pull=pull)
        before, now = store.fingerprints(), empty.fingerprints()
        store.adopt(empty)
    both = before.keys() & now.keys()
    same = sum(before[key] == now[key] for key in both)
    return Rebuilt(
        pull=pull,
        same=same,
        only_before=len(before.keys() - now.keys()),
        only_now=len(now.keys() - before.keys()),
        different=len(both) - same,
    )
