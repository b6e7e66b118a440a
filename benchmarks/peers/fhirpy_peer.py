"""fhirpy: `client.resource` of each line's dict, then `get_by_path`.  DIR"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fhirpy import SyncFHIRClient

from benchmarks.peers.rows import DOSE, LOINC, PAIN, Row, dose_row, lines, main, pain_row


def read(folder: Path) -> list[Row]:
    """The rows of *folder*; the client is never asked for anything."""
    client = SyncFHIRClient("http://127.0.0.1")
    rows: list[Row] = []
    for line in lines(folder):
        found = client.resource(**_split(json.loads(line)))
        rows += _pain(found) if found.resource_type == "Observation" else _doses(found)
    return rows


def _split(body: dict[str, Any]) -> dict[str, Any]:
    return {"resource_type": body.pop("resourceType"), **body}


def _pain(found: Any) -> list[Row]:
    if found.get_by_path(["code", "coding", {"system": LOINC, "code": PAIN}]) is None:
        return []
    value = found.get_by_path(["valueInteger"])
    value = found.get_by_path(["valueQuantity", "value"]) if value is None else value
    return (
        [] if value is None else [pain_row(found["id"], found.get_by_path(["subject", "reference"]), value)]
    )


def _doses(found: Any) -> list[Row]:
    rows = []
    patient = found.get_by_path(["subject", "reference"])
    for one in found.get("extension", []):
        if one["url"] != DOSE:
            continue
        parts = {part["url"]: part for part in one["extension"]}
        quantity = parts.get("totalDoseDelivered", {}).get("valueQuantity")
        if quantity is not None:
            count = parts.get("fractionsDelivered", {}).get("valueUnsignedInt")
            unit = quantity.get("code") or quantity.get("unit")
            rows.append(dose_row(found["id"], patient, quantity["value"], unit, count))
    return rows


if __name__ == "__main__":
    main(read)
