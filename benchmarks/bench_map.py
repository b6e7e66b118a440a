"""Mapping: NDJSON files to lesions, in memory and through the spill folder. Reference: the floor.

python -m benchmarks.bench_map DIR [JOBS]

Without JOBS in memory and in one process; else through the spill folder with so many processes, to the
lines of all three files. Peak RSS is that of the largest process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.floor import files
from benchmarks.measure import Clock, Round, compare, report
from benchmarks.truth import row, summary
from fhir_srs import load_profile, map_resources
from fhir_srs.engine import mapped_files
from fhir_srs.engine.run import Limits
from fhir_srs.files import read_sources
from fhir_srs.model import Mapped, lesion_row
from fhir_srs.progress import silent


class Way(NamedTuple):
    """One way through the engine; *jobs* as the command of this module takes it."""

    subject: str
    clock: Clock
    jobs: tuple[str, ...] = ()


FLOOR = "orjson.loads of the same lines"
WAYS = (
    Way("files to lesions, one process, in memory", "cpu"),
    Way("files to lesions, one process, flat memory", "cpu", ("1",)),
    Way("files to lesions, two processes, flat memory", "wall", ("2",)),
)
# A hospital's export: one Observation in twenty is ours (spec/performance.md section 2.4).
EXPORT = Way("files to lesions, one process, in memory, 5 % of the Observations ours", "cpu")


def rounds(folder: Path, number: int, way: Way) -> list[Round]:
    """*number* rounds against the floor; the mapper must find every true lesion and no other."""
    return compare(
        ["benchmarks.floor", str(folder)],
        ["benchmarks.bench_map", str(folder), *way.jobs],
        rounds=number,
        clock=way.clock,
        same=("lines", "lesions", "lesion digest"),
    )


def map_files(folder: Path) -> Mapped:
    """The lesions in *folder*, as `fhir-srs map` finds them where they fit into memory."""
    return map_resources(read_sources(files(folder), print), profile=load_profile("mcode"))


def map_through_spill(folder: Path, jobs: int) -> dict[str, Any]:
    """What `found` says, of the lines that `fhir-srs map` writes: all are read, none is kept."""
    profile, limits = load_profile("mcode"), Limits(in_memory=0)
    with mapped_files(
        files(folder), profile, jobs=jobs, notice=print, report=silent, limits=limits
    ) as found_files:
        lesions = (json.loads(one) for block in found_files.lesions() for one in block.splitlines())
        summed = _summary(lesions)
        size = sum(len(one) for lines in (found_files.events(), found_files.issues()) for one in lines)
        return {"lines": found_files.tally.counts.read, **summed, "bytes": size}


def found(mapped: Mapped) -> dict[str, Any]:
    """What the equality check and the table need."""
    lesions = [lesion_row(one) for one in mapped.lesions]
    more = {"events": len(mapped.events), "issues": len(mapped.issues)}
    return {"lines": mapped.counts.read, **_summary(lesions), **more}


def _summary(lesions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    keys = ("patient_identifier", "levels", "start", "end", "dose_gy", "fractions")
    return summary([row(*(one[key] for key in keys)) for one in lesions])


def main() -> None:
    folder, jobs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if jobs:
        report(lambda: map_through_spill(folder, jobs), lambda made: made, children=True)
    else:
        report(lambda: map_files(folder), found)


if __name__ == "__main__":
    main()
