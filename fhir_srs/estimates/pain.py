"""Relief, relapse, duration of relief, pain control: the study's own first reading stands first in each."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from fhir_srs.estimates.figures import (
    CIF,
    HALF_YEAR,
    KM,
    YEAR,
    Figures,
    Rows,
    beside_figures,
    clusters_of,
    complement,
    counts,
    days_of,
    events_of,
    incidence_figures,
    left_out,
    named,
    observed_figures,
    rows_of,
    share,
    survival_figures,
)
from fhir_srs.estimates.grounds import excluded_rows, grounded, reckoned, untimed, without_reason
from fhir_srs.estimates.responses import best_rows
from fhir_srs.estimates.rows import CohortRows
from fhir_srs.model import Estimate, LeftOut, Status, TimeToEvent
from fhir_srs.survival import Turnbull, turnbull
from fhir_srs.survival.quantile import TOL

# Retreatments that count as a relapse on an assumption (section 15).
DOUBTFUL = ("possibly-same-course", "retreatment-reason-unknown")
RELIEF_DAYS = (30, 61, 91)  # one, two and three months (spec/statistics.md section 1)


def relief_figures(outcomes: CohortRows) -> Figures:
    """Days to relief among responders, and its cumulative incidence (section 5)."""
    rows = rows_of(outcomes, "time-to-relief")
    reached = [row for row in rows if row.status is Status.EVENT]
    names: dict[str, Any] = {"endpoint": "time-to-relief", "grain": "lesion"}
    missing = untimed(outcomes, "time-to-relief", None)
    never = without_reason((row for row in rows if row.status is not Status.EVENT), "no relief")
    yield from observed_figures(
        reached,
        left_out=(*never, *missing),
        name="visit date of relief",
        variant="visit-date",
        population="responders",
        **names,
    )
    yield from incidence_figures(
        rows,
        RELIEF_DAYS,
        quantile=True,
        name="relief (cumulative incidence, death and retreatment competing)",
        variant="competing",
        population="with-follow-up",
        left_out=missing,
        **names,
    )
    yield from beside_figures(
        rows,
        RELIEF_DAYS,
        left_out=missing,
        name=f"relief (1 - {KM})",
        variant="kaplan-meier",
        population="with-follow-up",
        **names,
    )
    yield _between_visits(outcomes)
    yield from left_out(outcomes, "time-to-relief")


def _between_visits(outcomes: CohortRows) -> Estimate:
    """The median of relief as something that happened between two visits (Turnbull, sensitivity)."""
    rows = rows_of(outcomes, "time-to-relief", "interval")
    first = [row.free_until for row in rows]
    last = [row.days if row.status is Status.EVENT else float("inf") for row in rows]
    estimated = turnbull(first, last)
    found = reckoned(estimated.median(), *_masses(estimated))
    made = grounded(found, rows, events_of(rows), untimed(outcomes, "time-to-relief", "interval"))
    return named(
        made,
        name="median, relief between two visits",
        clusters=len(set(clusters_of(rows))),
        events=sum(events_of(rows)),
        endpoint="time-to-relief",
        variant="interval",
        population="with-follow-up",
        grain="lesion",
    )


def _masses(found: Turnbull) -> Iterator[str]:
    """The intervals that hold mass, up to the one in which half of it is reached, and the certificate."""
    total = 0.0
    for left, right, mass in zip(found.left, found.right, found.mass, strict=True):
        total += float(mass)
        end = f"{right:g}" if right < float("inf") else "never"
        yield f"({left:g}, {end}] holds {mass:.6f}, together {total:.6f}"
        if total >= 0.5 - TOL:
            break
    if found.excess is not None:
        yield f"no mass would gain: largest derivative 1 {found.excess:+.1e}, after {found.rounds} rounds"


def relapse_figures(outcomes: CohortRows) -> Figures:
    """Relapses over each of three denominators (decisions.md 12), the study's own first."""
    shares: dict[str, Callable[[], list[TimeToEvent]]] = {
        "responders": lambda: rows_of(outcomes, "relief-duration", "kaplan-meier"),
        "ever-controlled": lambda: rows_of(outcomes, "time-to-relapse"),
        "with-follow-up": lambda: _with_follow_up(outcomes),
    }
    first = outcomes.study.relapse_first
    for population in sorted(shares, key=lambda name: name != first):
        rows = shares[population]()
        yield share(
            rows,
            events_of(rows),
            left_out=_not_in(outcomes, rows),
            name="relapse",
            endpoint="time-to-relapse",
            variant="descriptive",
            population=population,
            grain="lesion",
        )
    yield from incidence_figures(
        rows_of(outcomes, "pain-control", "D"),
        (YEAR,),
        name=f"relapse ({CIF})",
        endpoint="time-to-relapse",
        variant="competing",
        population="ever-controlled",
        grain="lesion",
        left_out=untimed(outcomes, "pain-control", "D"),
    )
    rows = rows_of(outcomes, "time-to-relapse")
    for flag in DOUBTFUL:
        said = [flag if flag in row.flags and row.status is Status.EVENT else None for row in rows]
        yield from counts(
            "relapse", rows, said, endpoint="time-to-relapse", grain="lesion", population="ever-controlled"
        )
    yield from left_out(outcomes, "time-to-relapse")


def _not_in(outcomes: CohortRows, rows: Rows) -> tuple[LeftOut, ...]:
    """The lesions that are not among *rows*, each with the reason for which it has no time to relapse."""
    taken = {row.lesion_id for row in rows}
    told = outcomes.times_of("time-to-relapse", None)
    others = (row for row in told if row.lesion_id not in taken)
    return (*without_reason(others, "not of this denominator"), *excluded_rows(outcomes))


def _with_follow_up(outcomes: CohortRows) -> list[TimeToEvent]:
    """Every lesion with a follow-up score, with its relapse after control or relief if it had one."""
    relapsed = {
        row.lesion_id: row
        for endpoint, variant in (("relief-duration", "kaplan-meier"), ("time-to-relapse", None))
        for row in outcomes.times_of(endpoint, variant)
        if row.days is not None and row.status is Status.EVENT
    }
    followed = rows_of(outcomes, "pain-control", "C")
    quiet = {row.lesion_id: msgspec.structs.replace(row, status=Status.CENSORED) for row in followed}
    return [relapsed.get(lesion_id, row) for lesion_id, row in quiet.items()]


def duration_figures(outcomes: CohortRows) -> Figures:
    """The three readings of the duration of relief (section 7)."""
    names: dict[str, Any] = {"endpoint": "relief-duration", "grain": "lesion", "population": "responders"}
    descriptive = rows_of(outcomes, "relief-duration", "descriptive")
    readings: dict[str, Callable[[], Figures]] = {
        "descriptive": lambda: observed_figures(
            descriptive,
            left_out=untimed(outcomes, "relief-duration", "descriptive"),
            name="duration of relief",
            variant="descriptive",
            **names,
        ),
        "kaplan-meier": lambda: survival_figures(
            rows_of(outcomes, "relief-duration", "kaplan-meier"),
            (HALF_YEAR, YEAR),
            quantile=True,
            left_out=untimed(outcomes, "relief-duration", "kaplan-meier"),
            name=f"in relief ({KM})",
            variant="kaplan-meier",
            **names,
        ),
        "competing": lambda: incidence_figures(
            rows_of(outcomes, "relief-duration", "competing"),
            (HALF_YEAR, YEAR),
            left_out=untimed(outcomes, "relief-duration", "competing"),
            name=f"relapse after relief ({CIF})",
            variant="competing",
            **names,
        ),
    }
    for variant in sorted(readings, key=lambda name: name != outcomes.study.duration_first):
        yield from readings[variant]()
    yield from _complete(outcomes)
    yield _net(outcomes)
    yield from left_out(outcomes, "relief-duration", outcomes.study.duration_first)


def _complete(outcomes: CohortRows) -> Figures:
    """The duration of relief of lesions whose best class was CR."""
    best = {row.lesion_id for row in best_rows(outcomes) if row.category == "CR"}
    rows = [row for row in rows_of(outcomes, "relief-duration", "descriptive") if row.lesion_id in best]
    yield from observed_figures(
        rows,
        name="duration of relief, best class CR",
        endpoint="relief-duration",
        variant="descriptive",
        population="responders",
        grain="lesion",
    )


def _net(outcomes: CohortRows) -> Estimate:
    """
    Net pain relief: days in relief of days alive after treatment, over all responders (section 7).

    A ratio of two sums, so without an interval; van der Velden 2018 printed 64 %. In a part of the cohort
    a lesion counts where its patient's survival does.
    """
    alive = {row.patient: row.until for row in rows_of(outcomes, "overall-survival")}
    treated = {row.lesion_id: row.origin for row in rows_of(outcomes, "time-to-relief")}
    durations = rows_of(outcomes, "relief-duration", "descriptive")
    rows = [row for row in durations if row.patient in alive and row.lesion_id in treated]
    spans = [(alive[row.patient], treated[row.lesion_id]) for row in rows]
    lived = sum((until - since).days for until, since in spans if until and since)
    relieved = sum(days_of(rows))
    net = Estimate(
        name="net pain relief: days in relief of days alive",
        value=relieved / lived if lived else None,
        n=len(rows),
        clusters=len(set(clusters_of(rows))),
        numerator=relieved,
        denominator=lived,
        method="ratio of sums, no interval",
        status="estimated" if lived else "not-estimable",
        reason=None if lived else "no-rows",
        endpoint="relief-duration",
        variant="net",
        population="responders",
        grain="lesion",
    )
    said = f"{relieved} days in relief of {len(rows)} lesions / {lived} days alive after their treatment"
    return reckoned(grounded(net, rows, [True] * len(rows)), said)


CONTROL_POPULATIONS = {
    "A": "ever-controlled",
    "B": "responders",
    "C": "with-follow-up",
    "D": "ever-controlled",
    "E": "assessable",
}


def control_figures(outcomes: CohortRows) -> Figures:
    """Pain control by each named reading, the study's own first; A and D condition on later control."""
    for variant in sorted(CONTROL_POPULATIONS, key=lambda name: name != outcomes.study.control_first):
        rows = rows_of(outcomes, "pain-control", variant)
        names: dict[str, Any] = {
            "endpoint": "pain-control",
            "grain": "lesion",
            "variant": variant,
            "population": CONTROL_POPULATIONS[variant],
            "left_out": untimed(outcomes, "pain-control", variant),
        }
        if variant == "D":
            incidences = incidence_figures(rows, (HALF_YEAR, YEAR), name=f"pain control (1 - {CIF})", **names)
            yield from map(complement, incidences)
        else:
            yield from survival_figures(
                rows, (HALF_YEAR, YEAR), quantile=False, name=f"pain control ({KM})", **names
            )
        yield from left_out(outcomes, "pain-control", variant)
