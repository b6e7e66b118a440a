"""A result taken back: entered in error, without value, and a Provenance that says why. Never a DELETE."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from fhir_srs.model import to_json
from fhir_srs.results.resources import provenance_id, withdrawal_provenance
from fhir_srs.results.target import ResultTarget, Unit

# What a withdrawn result keeps: what it was, of whom, for which definition; no value and nothing that
# points at an input, so that the hospital can delete its own (`decisions.md` 5).
KEPT = frozenset(
    {
        "resourceType",
        "id",
        "meta",
        "identifier",
        "category",
        "code",
        "subject",
        "method",
        "device",
        "performer",
    }
)
META_KEPT = frozenset({"profile", "security", "tag"})


def retracted(observation: bytes) -> bytes:
    """*observation*, ours or the server's copy of it, as `entered-in-error`."""
    content: dict[str, Any] = json.loads(observation, parse_float=Decimal)
    kept = {name: value for name, value in content.items() if name in KEPT}
    meta = {name: value for name, value in content.get("meta", {}).items() if name in META_KEPT}
    return to_json({**kept, "meta": meta, "status": "entered-in-error"})


def withdrawn(
    observation: bytes,
    group: str,
    target: ResultTarget,
    *,
    reason: str,
    recorded: datetime,
    sources: Sequence[str] = (),
) -> Unit:
    """
    The unit that takes *observation* back, under the same ids; *reason* goes into its Provenance.

    *sources* are the input versions that it was made of, as far as known. *recorded* is an aware moment.
    """
    resource = retracted(observation)
    identity = json.loads(resource)["id"]
    return Unit(
        id=identity,
        group=group,
        resource=resource,
        provenance_id=provenance_id(identity),
        provenance=withdrawal_provenance(target, identity, sources, reason=reason, recorded=recorded),
        depends_on=tuple(sources),
    )
