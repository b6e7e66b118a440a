"""The benchmarks against a real HAPI server, one table: `make bench-hapi` (Java 17, Maven).

    python -m benchmarks.run_hapi [--patients N] [--outcomes N] [--rounds N] [--only pull,sync,write]

Prints the table and keeps the raw rounds in results/; RESULTS-hapi.md is made of the newest run of each part.
The server runs on the same machine and is part of what is measured. Exits as `benchmarks.run` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import bench_pull, bench_sync, bench_write, gen
from benchmarks.measure import ROOT
from benchmarks.run import SEED, measured
from benchmarks.table import PAGES, Row, facts, page, save, table
from tests.hapi.launcher import Hapi, running_hapi

PAGE = "RESULTS-hapi.md"
PARTS = PAGES[PAGE]
HEAP = "6g"  # the database is in memory, and each round writes its own results
PULLS = {
    "pages": "the same pages, thrown away",
    "requests": "the same pages and counts, thrown away",
    "windows": "all rows in windows of one page, thrown away (the best query shape)",
}


def rows(chosen: argparse.Namespace) -> Iterator[Row]:
    """The rows that *chosen* asks for: reading first, while the server holds the cohort alone."""
    with loaded_hapi(chosen.patients) as hapi:
        if "pull" in chosen.only:
            for reference, text in PULLS.items():
                way: Any = reference
                take = partial(bench_pull.rounds, hapi.base, chosen.rounds, reference=way, server=hapi.pid)
                yield shared("pull", measured(f"pull of {chosen.patients} patients", text, "wall", take))
        if "sync" in chosen.only:
            take = partial(bench_sync.rounds, hapi.base, chosen.rounds, server=hapi.pid)
            yield shared(
                "sync", measured("sync with nothing new", "the searches that it needs", "wall", take)
            )
        if "write" in chosen.only:
            take = partial(
                bench_write.rounds, hapi.base, chosen.write_rounds, units=chosen.outcomes, server=hapi.pid
            )
            subject = f"{chosen.outcomes:,} outcomes written and read back"
            yield shared("write", measured(subject, "the same transactions posted", "wall", take))


def shared(part: str, row: Row) -> Row:
    """*row* of *part*, with the client's share of CPU."""
    return replace(row, share=True, part=part)


@contextmanager
def loaded_hapi(patients: int) -> Iterator[Hapi]:
    """A HAPI server that holds the generator's *patients*."""
    with tempfile.TemporaryDirectory() as folder, running_hapi(Path(folder), heap=HEAP) as hapi:
        loaded = bench_pull.load_server(hapi.base, patients, SEED)
        print(f"{loaded} resources on the server", file=sys.stderr)
        yield hapi


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=200, help="a radiosurgery cohort is of this size")
    parser.add_argument("--outcomes", type=int, default=10_000, help="200 patients give some 11,800")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write-rounds", type=int, default=3, help="each takes minutes")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    found = list(rows(chosen))
    known = facts("", 0.0, chosen.rounds, found)
    known["data"] = (
        f"generator {gen.GENERATOR}, seed {SEED}, {chosen.patients} patients on HAPI FHIR JPA 8.8.0"
    )
    save(chosen.out, known, {}, found)
    (chosen.out / PAGE).write_text(page(chosen.out / "results", PARTS))
    print(table(found))
    sys.exit(any(row.problem for row in found))


if __name__ == "__main__":
    main()
