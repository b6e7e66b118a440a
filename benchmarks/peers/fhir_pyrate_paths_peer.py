"""fhir-pyrate: `bundles_to_dataframe` over Bundles of 100 lines with a FHIRPath for each column.  DIR

The way that its documentation shows first; `fhir_pyrate_peer` has the other one, a function of one's own.
"""

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
_DOSES = f"extension.where(url='{DOSE}').extension"
_TOTAL = f"{_DOSES}.where(url='totalDoseDelivered').valueQuantity"
_COMMON = [("id", "id"), ("patient", "subject.reference")]
# A key named twice is filled by the first path that finds something.
_PAIN = [
    *_COMMON,
    ("coded", f"code.coding.where(system='{LOINC}' and code='{PAIN}').code"),
    ("value", "valueInteger"),
    ("value", "valueQuantity.value"),
]
_DOSE = [
    *_COMMON,
    ("total", f"{_TOTAL}.value"),
    ("unit", f"{_TOTAL}.code"),
    ("fractions", f"{_DOSES}.where(url='fractionsDelivered').valueUnsignedInt"),
]


def read(folder: Path) -> list[Row]:
    """The rows of *folder*; no server is asked for anything."""
    pirate = Pirate(auth=None, base_url="http://127.0.0.1", num_processes=1)
    pains = pirate.bundles_to_dataframe(bundles=_bundles(folder, b"Observation"), fhir_paths=_PAIN)
    doses = pirate.bundles_to_dataframe(bundles=_bundles(folder, b"Procedure"), fhir_paths=_DOSE)
    rows = [pain_row(one.id, one.patient, one.value) for one in pains.itertuples() if _is_score(one)]
    return [*rows, *(row for one in doses.itertuples() for row in _doses(one))]


def _bundles(folder: Path, kind: bytes) -> Iterator[FHIRObj]:
    wanted = b'"resourceType":"%s"' % kind
    told = (line for line in lines(folder) if wanted in line)
    while page := list(islice(told, _PAGE)):
        yield FHIRObj(entry=[{"resource": json.loads(line)} for line in page])


def _is_score(row: Any) -> bool:
    """A column without a value is None, or NaN, which is not itself."""
    return row.coded == PAIN and row.value is not None and row.value == row.value


def _doses(row: Any) -> Iterator[Row]:
    """A resource is one row: its dose list is a list in each cell, a single entry is plain."""
    cells = [cell if isinstance(cell, list) else [cell] for cell in (row.total, row.unit, row.fractions)]
    for total, unit, fractions in zip(*cells, strict=True):
        if total is not None and total == total:
            yield dose_row(row.id, row.patient, total, unit, fractions)


if __name__ == "__main__":
    main(read)
