"""Estimates as JSON and CSV: one object, or one row, for each estimate, keys in the contract's order."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fhir_srs.mapping.tally import Tally
from fhir_srs.model import Estimate, ResourceCounts, TestResult, to_json
from fhir_srs.summary import RunSummary

# design.md 4.4; `population` is decisions.md 14, the bounds' states 17.
KEYS = (
    "study",
    "endpoint",
    "variant",
    "grain",
    "group",
    "population",
    "window",
    "time_days",
    "label",
    "value",
    "low",
    "high",
    "level",
    "n",
    "clusters",
    "events",
    "competing",
    "at_risk",
    "numerator",
    "denominator",
    "method",
    "status",
    "reason",
    "low_status",
    "high_status",
)


TEST_KEYS = ("name", "statistic", "df", "p", "n", "clusters", "events", "method", "status", "reason")


def estimate_row(estimate: Estimate) -> dict[str, Any]:
    """*estimate* as a flat object; absent is None, proportions are fractions, times are days."""
    return {key: getattr(estimate, "name" if key == "label" else key) for key in KEYS}


def test_row(test: TestResult) -> dict[str, Any]:
    """*test* as a flat object; absent is None."""
    return {key: getattr(test, key) for key in TEST_KEYS}


def counts_row(
    counts: ResourceCounts, *, refused: Mapping[str, int], lesions: int, patients: int
) -> dict[str, Any]:
    """What went into the estimates: resources by fate, refusals by reason, lesions, patients."""
    fates = {"in": counts.read, "used": counts.used, "ignored": counts.ignored, "refused": counts.refused}
    return {"resources": fates, "refused": refused, "lesions": lesions, "patients": patients}


def mapped_counts(found: Tally) -> dict[str, Any]:
    """The counts of what mapping returned."""
    return counts_row(found.counts, refused=found.refusals, lesions=found.lesions, patients=found.patients)


def run_counts(summary: RunSummary) -> dict[str, Any]:
    """The counts of what a sync run mapped."""
    return counts_row(
        summary.resources, refused=summary.refused, lesions=summary.lesions, patients=summary.patients
    )


def estimates_json(
    tables: Mapping[tuple[str, str], Sequence[Estimate]], *, cutoff: object, counts: Mapping[str, Any]
) -> bytes:
    """
    The estimates of all studies as one JSON object (design.md 4.2, decisions.md 33).

    *tables* maps (study name, version) to its estimates. With one study there is also `study`. *counts*
    say what went into them.
    """
    studies = [{"name": name, "version": version} for name, version in tables]
    head = {"study": studies[0]["name"]} if len(studies) == 1 else {}
    rows = [estimate_row(estimate) for table in tables.values() for estimate in table]
    return to_json(head | {"studies": studies, "cutoff": cutoff, "estimates": rows, "counts": counts})


def estimates_csv(tables: Mapping[tuple[str, str], Sequence[Estimate]]) -> str:
    """The same rows as CSV (RFC 4180), empty for absent; text that a spreadsheet would run is quoted."""
    text = io.StringIO()
    writer = csv.DictWriter(text, KEYS, lineterminator="\r\n")
    writer.writeheader()
    for table in tables.values():
        writer.writerows({key: _cell(value) for key, value in estimate_row(row).items()} for row in table)
    return text.getvalue()


def _cell(value: object) -> object:
    """Guard against formulas: reliability.md section 7, Outputs. Our numbers stay numbers."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\0")):
        return "'" + value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("an estimate must not be infinite or NaN")
    return "" if value is None else value
