"""The floor: `orjson.loads` of every line of the files, the result dropped. It reports the true lesions.

python -m benchmarks.floor DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from benchmarks.measure import report
from benchmarks.truth import summary, true_rows


def files(folder: Path) -> list[Path]:
    """The NDJSON files of *folder*, in order."""
    return sorted(folder.glob("*.ndjson"))


def load(folder: Path) -> int:
    """How many lines were parsed."""
    lines = 0
    for path in files(folder):
        with path.open("rb") as source:
            for line in source:
                orjson.loads(line)
                lines += 1
    return lines


def main() -> None:
    folder = Path(sys.argv[1])
    report(lambda: load(folder), lambda lines: {"lines": lines, **summary(true_rows(folder))})


if __name__ == "__main__":
    main()
