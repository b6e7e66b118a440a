"""From the rows of one endpoint to figures: which estimator, and the words that each figure carries.

Times are days, proportions fractions; intervals are clustered by patient.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import msgspec

from fhir_srs.estimates.grounds import (
    Counted,
    Row,
    at_day,
    counted,
    crossing,
    grounded,
    incidence_terms,
    ordered_days,
    reckoned,
    survival_terms,
)
from fhir_srs.estimates.rows import CohortRows
from fhir_srs.model import Estimate, LeftOut, Status, TimeToEvent
from fhir_srs.survival import aalen_johansen, kaplan_meier, proportion
from fhir_srs.survival.proportions import ProportionMethod

HALF_YEAR, YEAR = 183, 365
KM = "KM, censored at last assessment"
NOTHING_RECORDED = "nothing-recorded"
CIF = "cumulative incidence, death competing"

Rows = Sequence[TimeToEvent]
Figures = Iterator[Estimate]


def rows_of(outcomes: CohortRows, endpoint: str, variant: str | None = None) -> list[TimeToEvent]:
    """The timed rows of one endpoint."""
    return [row for row in outcomes.times_of(endpoint, variant) if row.days is not None]


def days_of(rows: Rows) -> list[int]:
    """The times of *rows*."""
    return [row.days for row in rows if row.days is not None]


def statuses(rows: Rows) -> list[int]:
    """How each of *rows* ended, as `Status` numbers."""
    return [int(row.status) for row in rows if row.status is not None]


def events_of(rows: Rows) -> list[bool]:
    """Whether each of *rows* ended in the event; a competing event is none."""
    return [row.status is Status.EVENT for row in rows]


def clusters_of(rows: Rows) -> list[str]:
    """The patient of each of *rows*."""
    return [row.patient for row in rows]


def watched_days(rows: Rows) -> list[int]:
    """
    The times of *rows* as Kaplan-Meier takes them: who had a competing event is censored when last seen.

    A measured event is seen only where it is looked for; between the last look and the death nobody looked
    (spec/endpoints.md section 15).
    """
    seen = (row.free_until if row.status is Status.COMPETING else None for row in rows)
    return [days if last is None else last for days, last in zip(days_of(rows), seen, strict=True)]


def survival_figures(
    rows: Rows,
    days: Sequence[int],
    *,
    quantile: bool,
    left_out: tuple[LeftOut, ...] = (),
    **names: Any,
) -> Figures:
    """Survival at *days*, and its median where asked; competing events are censored when last looked for."""
    curve = kaplan_meier(watched_days(rows), events_of(rows), clusters_of(rows))
    terms = survival_terms(curve)
    for day in days:
        figure = at_day(curve.at(day), terms)
        yield named(_of(figure, rows, left_out), time_days=day, **names)
    if quantile:
        figure = crossing(curve.quantile(0.5), terms)
        yield named(_of(figure, rows, left_out), **names | {"name": f"median, {names['name']}"})


def incidence_figures(
    rows: Rows,
    days: Sequence[int],
    *,
    quantile: bool = False,
    left_out: tuple[LeftOut, ...] = (),
    **names: Any,
) -> Figures:
    """Cumulative incidence of the event at *days*, and its median where asked."""
    curve = aalen_johansen(days_of(rows), statuses(rows), clusters_of(rows))
    terms = incidence_terms(curve)
    competing = sum(row.status is Status.COMPETING for row in rows)
    for day in days:
        figure = at_day(curve.at(day, 1), terms)
        yield named(_of(figure, rows, left_out), time_days=day, competing=competing, **names)
    if quantile:
        figure = crossing(curve.quantile(0.5, 1), terms)
        named_so = names | {"name": f"median, {names['name']}"}
        yield named(_of(figure, rows, left_out), competing=competing, **named_so)


def _of(figure: Estimate, rows: Rows, left_out: tuple[LeftOut, ...]) -> Estimate:
    return grounded(figure, rows, events_of(rows), left_out)


def beside_figures(rows: Rows, days: Sequence[int], **names: Any) -> Figures:
    """
    1 - Kaplan-Meier at *days*, beside a cumulative incidence of the same rows and named as what it is.

    It overstates how many have the event where death competes (Parpia 2011); papers print it.
    """
    yield from map(complement, survival_figures(rows, days, quantile=False, **names))


def observed_figures(rows: Rows, *, name: str, left_out: tuple[LeftOut, ...] = (), **names: Any) -> Figures:
    """Plain median, minimum and maximum of observed times: no censoring, no interval (decisions.md 17)."""
    days = days_of(rows)
    for label, pick in (("median", median), ("minimum", min), ("maximum", max)):
        found = Estimate(
            name=f"{label}, {name}",
            value=float(pick(days)) if days else None,
            n=len(days),
            clusters=len(set(clusters_of(rows))),
            method="observed times, no censoring",
            status="estimated" if days else "not-estimable",
            reason=None if days else "no-rows",
            **names,
        )
        yield grounded(ordered_days(found, days), rows, [True] * len(rows), left_out)


def left_out(outcomes: CohortRows, endpoint: str, variant: str | None = None, **names: Any) -> Figures:
    """The rows that a time endpoint does not take, by reason: none disappears."""
    rows = list(outcomes.times_of(endpoint, variant))
    named = {"endpoint": endpoint, "variant": variant, "grain": "lesion"} | names
    yield from counts("left out", rows, [row.reason for row in rows], **named)


def counts(what: str, rows: Sequence[Counted], said: Sequence[str | None], **names: Any) -> Figures:
    """How many of *rows* have each of the words *said* of them: counted, so without an interval."""
    for reason, number in sorted(Counter(one for one in said if one).items()):
        found = Estimate(
            name=f"{what}: {reason}",
            value=number / len(rows),
            n=len(rows),
            clusters=len({row.patient for row in rows}),
            numerator=number,
            denominator=len(rows),
            method="count",
            **{"population": "all", **names},
        )
        yield counted(found, rows, said, reason)


def share(
    rows: Sequence[Row],
    success: Sequence[bool],
    *,
    left_out: tuple[LeftOut, ...] = (),
    method: ProportionMethod = "korn-graubard",
    **names: Any,
) -> Estimate:
    """The proportion of *rows* with *success*, its interval clustered, with numerator and denominator."""
    found = proportion(success, [row.patient for row in rows], method)
    made = grounded(found, rows, success, left_out)
    return named(made, numerator=sum(success), denominator=len(success), **names)


def if_recorded(kind: str, outcomes: CohortRows, found: Estimate) -> Estimate:
    """*found*, or that it cannot be had where the cohort has no record of *kind*, of anybody."""
    if kind in outcomes.recorded:
        return found
    return msgspec.structs.replace(
        found,
        value=None,
        numerator=None,
        low=None,
        high=None,
        low_status=None,
        high_status=None,
        status="not-estimable",
        reason=NOTHING_RECORDED,
    )


def named(found: Estimate, **names: Any) -> Estimate:
    """*found* with the words that say what it is a figure of."""
    return msgspec.structs.replace(found, **names)


def complement(found: Estimate) -> Estimate:
    """1 - *found*, its bounds exchanged."""
    said = (
        ()
        if found.value is None
        else (f"1 - {found.value:.6f} = {1 - found.value:.6f}, its limits likewise",)
    )
    return msgspec.structs.replace(
        reckoned(found, *said),
        value=None if found.value is None else 1 - found.value,
        low=None if found.high is None else 1 - found.high,
        high=None if found.low is None else 1 - found.low,
        low_status=found.high_status,
        high_status=found.low_status,
        method=f"1 - {found.method}",
    )
