"""The rows that every peer must give: pain scores and delivered doses, as texts that compare. Stdlib only.

A pain row is (`pain`, id, patient, value) of LOINC 72514-3 with a number as its value; a dose row is (`dose`,
id, patient, value and unit, fractions) of each entry of a dose list.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import report

DOSE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-radiotherapy-dose-delivered-to-volume"
LOINC, PAIN = "http://loinc.org", "72514-3"
FILES = ("Observation.ndjson", "Procedure.ndjson")
Row = tuple[str, ...]


def lines(folder: Path) -> Iterator[bytes]:
    """The lines of the two files that hold the rows."""
    for name in FILES:
        with (folder / name).open("rb") as file:
            yield from file


def number(value: Any) -> str:
    """*value* without zeros at its end: libraries read 16.50 as they like."""
    text = f"{value}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def pain_row(id_: str, patient: str, value: Any) -> Row:
    """A pain row."""
    return ("pain", id_, patient, number(value))


def dose_row(id_: str, patient: str, value: Any, unit: str, fractions: Any) -> Row:
    """A dose row."""
    return ("dose", id_, patient, number(value), unit or "", "" if fractions is None else str(fractions))


def found(rows: Iterable[Row]) -> dict[str, Any]:
    """How many *rows*, and one hash over them whatever their order."""
    told = sorted(rows)
    return {"rows": len(told), "digest": hashlib.sha256(repr(told).encode()).hexdigest()[:16]}


def main(read: Callable[[Path], list[Row]]) -> None:
    """Measure *read* over the folder that the command names."""
    folder = Path(sys.argv[1])
    report(lambda: read(folder), found)
