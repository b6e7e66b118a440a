"""Where the tables of `mappings/` are, and their rows. The only module below the shell that reads files.

An installed wheel carries them as `fhir_srs/_mappings`; a checkout has them beside the package.
"""

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


@cache
def folder() -> Path:
    """The folder of the tables: the wheel's own, else the checkout's (`decisions.md` 30)."""
    inside = _PACKAGE / "_mappings"
    return inside if inside.is_dir() else _PACKAGE.parent / "mappings"


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of the CSV table *name* (`terminology/sites.csv`), each as column -> text."""
    with (folder() / name).open(encoding="utf-8", newline="") as table:
        yield from csv.DictReader(table)


def names(pattern: str) -> list[str]:
    """The tables whose path below the folder matches *pattern*, sorted."""
    return sorted(path.relative_to(folder()).as_posix() for path in folder().glob(pattern))


def text(name: str) -> str:
    """The text of the table *name*."""
    return (folder() / name).read_text(encoding="utf-8")
