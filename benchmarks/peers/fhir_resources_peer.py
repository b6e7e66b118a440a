"""fhir.resources: `model_validate_json` of the R4B class, then attributes.  DIR"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.procedure import Procedure

from benchmarks.peers.rows import DOSE, LOINC, PAIN, Row, dose_row, lines, main, pain_row


def read(folder: Path) -> list[Row]:
    """The rows of *folder*."""
    rows: list[Row] = []
    for line in lines(folder):
        if b'"resourceType":"Observation"' in line:
            rows += _pain(Observation.model_validate_json(line))
        else:
            rows += _doses(Procedure.model_validate_json(line))
    return rows


def _pain(found: Any) -> list[Row]:
    if not any(one.system == LOINC and one.code == PAIN for one in found.code.coding or ()):
        return []
    value = found.valueInteger
    if value is None and found.valueQuantity:
        value = found.valueQuantity.value
    return [] if value is None else [pain_row(found.id, found.subject.reference, value)]


def _doses(found: Any) -> list[Row]:
    rows = []
    for one in found.extension or ():
        if one.url != DOSE:
            continue
        parts = {part.url: part for part in one.extension}
        total, count = parts.get("totalDoseDelivered"), parts.get("fractionsDelivered")
        if total is not None:
            quantity = total.valueQuantity
            fractions = count.valueUnsignedInt if count else None
            unit = quantity.code or quantity.unit
            rows.append(dose_row(found.id, found.subject.reference, quantity.value, unit, fractions))
    return rows


if __name__ == "__main__":
    main(read)
