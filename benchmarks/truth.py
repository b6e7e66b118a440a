"""What a mapper has to find in the files of the generator, lesion by lesion, as texts that compare."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = tuple[str, ...]


def row(
    patient: str | None, levels: Iterable[str], start: object, end: object, dose: object, fractions: object
) -> Row:
    """One lesion as texts that compare: the dose without its last zeros."""
    plain = "" if dose in (None, "") else f"{Decimal(str(dose)).normalize():f}"
    return (patient or "", ";".join(levels), str(start or ""), str(end or ""), plain, str(fractions or ""))


def summary(rows: Collection[Row]) -> dict[str, Any]:
    """How many *rows*, and one hash over them, whatever their order."""
    digest = hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()[:16]
    return {"lesions": len(rows), "lesion digest": digest}


def true_rows(folder: Path) -> list[Row]:
    """The lesions of truth.csv."""
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as source:
        return [
            row(
                one["patient_identifier"],
                one["levels"].split(";"),
                one["start"],
                one["end"],
                one["dose_gy"],
                one["fractions"],
            )
            for one in csv.DictReader(source)
        ]
