"""What `import fhir_srs` costs, and `import msgspec`, on which it is built. Reference: msgspec.

python -m benchmarks.bench_import MODULE
"""

from __future__ import annotations

# Nothing else up here: a module that is already loaded would not be charged to its user.
import importlib
import sys
import time

TYPE_CHECKING = False  # as in typing, which is one of those modules
if TYPE_CHECKING:
    from benchmarks.measure import Round

HEAVY = ("fhir", "httpx", "lifelines", "numpy", "pandas", "pydantic", "scipy", "sqlite3")


def rounds(number: int) -> list[Round]:
    """*number* rounds, on wall time: it is what a user waits for. None of HEAVY may be loaded."""
    from benchmarks.measure import compare

    return compare(
        ["benchmarks.bench_import", "msgspec"],
        ["benchmarks.bench_import", "fhir_srs"],
        rounds=number,
        clock="wall",
        same=("heavy modules",),
    )


def main() -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    importlib.import_module(sys.argv[1])
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    found = {"heavy modules": [one for one in HEAVY if one in sys.modules]}

    import json

    from benchmarks.measure import peak_rss_kib

    print(json.dumps({"cpu": cpu, "wall": wall, "rss_kib": peak_rss_kib(), "found": found}))


if __name__ == "__main__":
    main()
