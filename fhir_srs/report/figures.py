"""Estimates as a person reads them: a figure never without its denominator, interval and method.

Proportions are printed as `17/37 (45.9 %)`, probabilities as a percentage with the number at risk at
their day, times in days (months in brackets: days / 30.4375, spec/endpoints.md section 1).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from fhir_srs.estimates.groups import is_small
from fhir_srs.mapping.standards import standard_sets
from fhir_srs.model import Estimate

DAYS_PER_MONTH = 30.4375
COLUMNS = ("figure", "population", "estimate", "95 % interval", "n", "method")


def is_share(estimate: Estimate) -> bool:
    """True for proportions and probabilities, false for times in days."""
    return estimate.denominator is not None or estimate.time_days is not None


def percent(share: float) -> str:
    """*share*, a fraction, in per cent with one decimal."""
    return f"{100 * share:.1f} %"


def days_text(days: float) -> str:
    """*days* as whole or half days, and in months from two months up."""
    number = f"{days:g} d"
    return f"{number} ({days / DAYS_PER_MONTH:.1f} months)" if days >= 2 * DAYS_PER_MONTH else number


def value_text(estimate: Estimate) -> str:
    """The figure itself, with numerator and denominator where it has them, or why there is none."""
    if estimate.status != "estimated" or estimate.value is None:
        return estimate.status.replace("-", " ") + (f" ({estimate.reason})" if estimate.reason else "")
    small = " (small group)" if is_small(estimate) else ""
    if estimate.numerator is not None and estimate.denominator is not None:
        return f"{estimate.numerator}/{estimate.denominator} ({percent(estimate.value)}){small}"
    return f"{percent(estimate.value) if is_share(estimate) else days_text(estimate.value)}{small}"


def bound_text(estimate: Estimate, bound: float | None, status: str | None) -> str:
    """One end of the interval; a bound that does not exist says so."""
    if bound is None:
        return (status or "-").replace("-", " ") if status else "-"
    return f"{100 * bound:.1f}" if is_share(estimate) else f"{bound:g}"


def interval_text(estimate: Estimate) -> str:
    """The interval, or a dash where none is estimated (descriptive figures have none)."""
    low = bound_text(estimate, estimate.low, estimate.low_status)
    high = bound_text(estimate, estimate.high, estimate.high_status)
    return "-" if low == high == "-" else f"{low} to {high}"


_CENSORED = {"follow-up": "died"}


def count_text(estimate: Estimate) -> str:
    """Rows and patients, how they ended over all follow-up, and who was still at risk on the day."""
    parts = [f"{estimate.n}"]
    if estimate.clusters is not None and estimate.clusters != estimate.n:
        parts[0] += f" in {estimate.clusters} patients"
    if estimate.events is not None:
        competing = estimate.competing or 0
        what = "observed alive to the end" if estimate.endpoint == "follow-up" else "events"
        parts.append(f"{estimate.events} {what}")
        if competing:
            parts.append(f"{competing} competing")
        parts.append(
            f"{estimate.n - estimate.events - competing} {_CENSORED.get(estimate.endpoint or '', 'censored')}"
        )
    if estimate.at_risk is not None:
        parts.append(f"{estimate.at_risk} at risk")
    return ", ".join(parts)


def figure_name(estimate: Estimate) -> str:
    """Name with variant, window and day, as far as they say something new."""
    parts = [in_words(estimate.name), estimate.variant, estimate.window, estimate.group]
    name = ", ".join(dict.fromkeys(part for part in parts if part))
    return name if estimate.time_days is None else f"{name} at day {estimate.time_days}"


_CODED = re.compile(r"(?P<system>[a-z]+:\S+)\|(?P<code>[\w.-]+)")


def in_words(name: str) -> str:
    """*name* with the codes of adverse events that we know as words: `esophagitis (C57797)`."""
    terms = standard_sets().get("toxicity", {})

    def spoken(found: re.Match[str]) -> str:
        term = terms.get((found["system"], found["code"]))
        return f"{term} ({found['code']})" if term else found[0]

    return _CODED.sub(spoken, name)


def table_row(estimate: Estimate) -> tuple[str, ...]:
    """The cells of one estimate, in the order of COLUMNS."""
    return (
        figure_name(estimate),
        estimate.population or "",
        value_text(estimate),
        interval_text(estimate),
        count_text(estimate),
        estimate.method,
    )


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """*rows* as lines with columns of equal width, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def estimates_text(tables: Mapping[tuple[str, str], Sequence[Estimate]]) -> str:
    """All estimates of all studies, endpoint by endpoint."""
    return "\n".join(line for study, table in tables.items() for line in _study_lines(study, table)) + "\n"


def _study_lines(study: tuple[str, str], table: Sequence[Estimate]) -> Iterator[str]:
    name, version = study
    yield f"study {name}, definition {version}"
    for endpoint, estimates in groupby(table, key=lambda estimate: estimate.endpoint or ""):
        yield ""
        yield f"{endpoint}"
        yield from (f"  {line}" for line in aligned([COLUMNS, *map(table_row, estimates)]))
    yield ""
