"""One run from the FHIR server and back: pull, map, derive, plan, write.

`pull` and `intake` bring resources into the store, `outgoing` compares what is wanted with what is there,
`write` sends it, `run` puts the steps in order.
"""

from fhir_srs.summary import RunSummary
from fhir_srs.sync.machine import Machine
from fhir_srs.sync.run import run_sync

__all__ = ["Machine", "RunSummary", "run_sync"]
