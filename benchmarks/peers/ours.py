"""The reference: the Structs of `fhir_srs.r4`, one line at a time.  python -m benchmarks.peers.ours DIR"""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.peers.rows import DOSE, LOINC, PAIN, Row, dose_row, lines, main, pain_row
from fhir_srs import r4

_DECODER = msgspec.json.Decoder(r4.Observation | r4.Procedure)


def read(folder: Path) -> list[Row]:
    """The rows of *folder*."""
    rows: list[Row] = []
    for line in lines(folder):
        found = _DECODER.decode(line)
        patient = (found.subject.reference or "") if found.subject else ""
        rows += _pain(found, patient) if isinstance(found, r4.Observation) else _doses(found, patient)
    return rows


def _pain(found: r4.Observation, patient: str) -> list[Row]:
    codings = found.code.coding if found.code else ()
    if not any(one.system == LOINC and one.code == PAIN for one in codings):
        return []
    value = found.value_integer
    if value is None and found.value_quantity:
        value = r4.number(found.value_quantity.value)
    return [] if value is None else [pain_row(found.id or "", patient, value)]


def _doses(found: r4.Procedure, patient: str) -> list[Row]:
    rows = []
    for one in r4.extensions(found.extension, DOSE):
        parts = {part.url: part for part in one.extension}
        total = parts.get("totalDoseDelivered")
        quantity = total.value_quantity if total else None
        count = parts.get("fractionsDelivered")
        if quantity is not None:
            value, unit = r4.number(quantity.value), quantity.code or quantity.unit or ""
            rows.append(
                dose_row(found.id or "", patient, value, unit, count.value_unsigned_int if count else None)
            )
    return rows


if __name__ == "__main__":
    main(read)
