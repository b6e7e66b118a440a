"""Mapping: NDJSON files to lesions, in one process. Reference: the floor.

python -m benchmarks.bench_map DIR
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.floor import files
from benchmarks.measure import Round, compare, report
from benchmarks.truth import row, summary
from fhir_srs import load_profile, map_resources
from fhir_srs.dates import PartialDate
from fhir_srs.files import read_sources
from fhir_srs.model import Mapped


def rounds(folder: Path, number: int) -> list[Round]:
    """*number* rounds against the floor, on CPU time; the mapper must find every true lesion and no other."""
    return compare(
        ["benchmarks.floor", str(folder)],
        ["benchmarks.bench_map", str(folder)],
        rounds=number,
        clock="cpu",
        same=("lines", "lesions", "lesion digest"),
    )


def map_files(folder: Path) -> Mapped:
    """The lesions in *folder*, as `fhir-srs map` finds them."""
    return map_resources(read_sources(files(folder), print), profile=load_profile("mcode"))


def found(mapped: Mapped) -> dict[str, Any]:
    """What the equality check and the table need."""
    rows = [
        row(one.patient_identifier, one.levels, _text(one.start), _text(one.end), one.dose_gy, one.fractions)
        for one in mapped.lesions
    ]
    more = {"events": len(mapped.events), "issues": len(mapped.issues)}
    return {"lines": mapped.counts.read, **summary(rows), **more}


def _text(on: PartialDate | None) -> str | None:
    return on.text if on else None


def main() -> None:
    report(lambda: map_files(Path(sys.argv[1])), found)


if __name__ == "__main__":
    main()
