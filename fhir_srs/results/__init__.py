"""Outcomes as FHIR Observations, what the server has against what it should have, and the gate on it.

`build_results` makes the units, `plan_writes` compares, `refusals` judges the bytes before they are sent,
`withdrawn` takes a result back. Nothing here sends anything.
"""

from fhir_srs.results.canonical import canonical_hash
from fhir_srs.results.definitions import rebased
from fhir_srs.results.gate import refusals, resource_refusals
from fhir_srs.results.observations import build_results, unresolved
from fhir_srs.results.plan import Action, Brake, Plan, Present, Written, plan_writes
from fhir_srs.results.resources import device, group_key
from fhir_srs.results.target import OutcomesLike, ResultTarget, Unit
from fhir_srs.results.withdrawal import retracted, withdrawn

__all__ = [
    "Action",
    "Brake",
    "OutcomesLike",
    "Plan",
    "Present",
    "ResultTarget",
    "Unit",
    "Written",
    "build_results",
    "canonical_hash",
    "device",
    "group_key",
    "plan_writes",
    "rebased",
    "refusals",
    "resource_refusals",
    "retracted",
    "unresolved",
    "withdrawn",
]
