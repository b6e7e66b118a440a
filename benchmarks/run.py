"""All benchmarks but those that need HAPI (run_hapi), one table: `make bench`.

    python -m benchmarks.run [--patients N] [--rounds N] [--only PART,PART] [--out DIR]

Parts: map, import, peers, survival, regression.
Prints the table and keeps the raw rounds in DIR/results/; DIR/RESULTS.md is made of the newest run of each
part there. Exits with 1 if a subject did not find what its reference found, or could not be measured; never
because something is slow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import bench_import, bench_map, bench_peers, bench_survival, gen
from benchmarks.floor import files
from benchmarks.measure import ROOT, Clock, Differs, Round
from benchmarks.table import PAGES, Row, facts, page, save, table

SEED = 1
PAGE = "RESULTS.md"
PARTS = PAGES[PAGE]


def measured(subject: str, reference: str, clock: Clock, take: Callable[[], list[Round]]) -> Row:
    """The row of *take*, or its problem: nothing is left out because it failed."""
    print(f"{subject} ...", file=sys.stderr)
    try:
        return Row(subject, reference, clock, rounds=take())
    except Differs as difference:
        return Row(subject, reference, clock, problem=f"not comparable: {difference}")
    except subprocess.CalledProcessError as failure:
        return Row(
            subject, reference, clock, problem=f"not measured: process ended with {failure.returncode}"
        )


def rows(chosen: argparse.Namespace, data: Path) -> Iterator[Row]:
    """The rows that *chosen* asks for."""
    for part in PARTS:
        if part in chosen.only:
            yield from (replace(row, part=part) for row in TAKEN[part](chosen, data))


def map_rows(chosen: argparse.Namespace, data: Path) -> Iterator[Row]:
    """Mapping beside the floor, in each way; then an export of which little is ours."""
    for way in bench_map.WAYS:
        take = partial(bench_map.rounds, data, chosen.rounds, way)
        yield measured(way.subject, bench_map.FLOOR, way.clock, take)
    yield export_row(chosen)


def import_rows(chosen: argparse.Namespace, _: Path) -> Iterator[Row]:
    """What `import fhir_srs` costs."""
    yield measured("import fhir_srs", "import msgspec", "wall", lambda: bench_import.rounds(chosen.rounds))


def export_row(chosen: argparse.Namespace) -> Row:
    """Mapping beside the floor, on about as many bytes of which few matter."""
    way = bench_map.EXPORT
    with tempfile.TemporaryDirectory() as folder:
        gen.generate(max(1, chosen.patients // 6), SEED, Path(folder), relevant=0.05)
        take = partial(bench_map.rounds, Path(folder), chosen.rounds, way)
        return measured(way.subject, "orjson.loads of those lines", way.clock, take)


def peer_rows(chosen: argparse.Namespace, _: Path) -> Iterator[Row]:
    """Other libraries to the same rows, or why one is not there."""
    with tempfile.TemporaryDirectory() as folder:
        gen.generate(bench_peers.PATIENTS, SEED, Path(folder))
        for peer in bench_peers.PEERS:
            name = ", ".join(filter(None, (f"{peer.name} {bench_peers.version_of(peer)}", peer.way)))
            subject = f"{name}, pain and dose rows of {bench_peers.PATIENTS} patients"
            try:
                yield measured(
                    subject,
                    "our Structs, the same rows",
                    "cpu",
                    bench_peers.taken(Path(folder), chosen.rounds, peer),
                )
            except bench_peers.NotInstalled as reason:
                yield Row(subject, "our Structs, the same rows", "cpu", problem=f"not measured: {reason}")


def survival_rows(chosen: argparse.Namespace, _: Path) -> Iterator[Row]:
    """Curves beside lifelines."""
    yield from compared(bench_survival.CURVES, chosen.rounds)


def regression_rows(chosen: argparse.Namespace, _: Path) -> Iterator[Row]:
    """Clustered regression beside lifelines, which takes minutes for a round."""
    yield from compared(bench_survival.REGRESSIONS, chosen.rounds)


def compared(comparisons: Sequence[bench_survival.Comparison], number: int) -> Iterator[Row]:
    for one in comparisons:
        subject = f"{one.subject}, {one.rows:,} rows"
        yield measured(subject, one.reference, "cpu", partial(bench_survival.rounds, one, number))


TAKEN: Mapping[str, Callable[[argparse.Namespace, Path], Iterator[Row]]] = {
    "map": map_rows,
    "import": import_rows,
    "peers": peer_rows,
    "survival": survival_rows,
    "regression": regression_rows,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=2000, help="2000 make 100 MB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        digests = gen.generate(chosen.patients, SEED, data)
        found = list(rows(chosen, data))
        megabytes = sum(path.stat().st_size for path in files(data)) / 1e6
    what = f"generator {gen.GENERATOR}, seed {SEED}, {chosen.patients} patients"
    known = facts(what, megabytes, chosen.rounds, found)
    save(chosen.out, known, digests, found)
    (chosen.out / PAGE).write_text(page(chosen.out / "results", PARTS))
    print(table(found))
    sys.exit(any(row.problem for row in found))


if __name__ == "__main__":
    main()
