"""fhir-pyrate: `bundles_to_dataframe` over Bundles of 100 lines with a processing function.  DIR"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fhir_pyrate import Pirate
from fhir_pyrate.util.fhirobj import FHIRObj

from benchmarks.peers.rows import DOSE, LOINC, PAIN, Row, dose_row, lines, main, pain_row

_PAGE = 100


def read(folder: Path) -> list[Row]:
    """The rows of *folder*; no server is asked for anything."""
    pirate = Pirate(auth=None, base_url="http://127.0.0.1", num_processes=1)
    frame = pirate.bundles_to_dataframe(bundles=_bundles(folder), process_function=_rows)
    return [tuple(cell for cell in row if isinstance(cell, str)) for row in frame.itertuples(index=False)]


def _bundles(folder: Path) -> Iterator[FHIRObj]:
    told = lines(folder)
    while page := list(islice(told, _PAGE)):
        yield FHIRObj(entry=[{"resource": json.loads(line)} for line in page])


def _rows(bundle: FHIRObj) -> list[dict[str, str]]:
    """What its documentation calls a processing function: one dict a row."""
    rows: list[Row] = []
    for entry in bundle.entry or []:
        found = entry.resource
        rows += _pain(found) if found.resourceType == "Observation" else _doses(found)
    return [dict(enumerate(row)) for row in rows]  # type: ignore[misc]


def _pain(found: Any) -> list[Row]:
    if not any(one.system == LOINC and one.code == PAIN for one in found.code.coding or []):
        return []
    value = found.valueInteger
    if value is None and found.valueQuantity is not None:
        value = found.valueQuantity.value
    return [] if value is None else [pain_row(found.id, found.subject.reference, value)]


def _doses(found: Any) -> list[Row]:
    rows = []
    for one in found.extension or []:
        if one.url != DOSE:
            continue
        parts = {part.url: part for part in one.extension}
        total, count = parts.get("totalDoseDelivered"), parts.get("fractionsDelivered")
        if total is not None and total.valueQuantity is not None:
            quantity = total.valueQuantity
            unit, fractions = quantity.code or quantity.unit, count.valueUnsignedInt if count else None
            rows.append(dose_row(found.id, found.subject.reference, quantity.value, unit, fractions))
    return rows


if __name__ == "__main__":
    main(read)
