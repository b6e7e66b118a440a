"""Outcomes to estimates: which estimator answers which endpoint. The one place where the two meet.

Times are days, proportions fractions; intervals are clustered by patient. Each figure names its
population (decisions.md 14): a proportion is never printed without its denominator.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import Any

import msgspec

from fhir_srs.endpoints import Outcomes
from fhir_srs.endpoints.criteria import BEST_FIRST
from fhir_srs.endpoints.study import WINDOWS
from fhir_srs.model import Estimate, Response, Status, TimeToEvent
from fhir_srs.survival import aalen_johansen, follow_up, kaplan_meier, proportion

HALF_YEAR, YEAR = 183, 365
RELIEF_DAYS = (30, 61, 91)  # one, two and three months (spec/statistics.md section 1)
KM = "KM, censored at last assessment"
CIF = "cumulative incidence, death competing"
# A score was taken in the window, but no category could be given.
SCORED = frozenset({"omed-unknown", "omed-evidence-mismatch", "flare-window-only"})

Rows = Sequence[TimeToEvent]
Figures = Iterator[Estimate]


def estimate(outcomes: Outcomes) -> list[Estimate]:
    """All figures of *outcomes*, endpoint by endpoint; the study's own first reading stands first in each."""
    table = [
        *_responses(outcomes),
        *_relief(outcomes),
        *_relapse(outcomes),
        *_duration(outcomes),
        *_control(outcomes),
        *_patients(outcomes),
    ]
    return [msgspec.structs.replace(one, study=outcomes.study.name) for one in table]


def in_itt(row: Response) -> bool:
    """Due, with a baseline at or above the minimum; not evaluable counts as no response (section 15)."""
    return row.baseline is not None and row.reason not in {"not-yet-due", "baseline-below-minimum"}


def is_assessable(row: Response) -> bool:
    """A category was given."""
    return row.category != "NE"


def in_per_visit(row: Response) -> bool:
    """A baseline and a score in the window; one without a category counts as no response."""
    return is_assessable(row) or row.reason in SCORED


POPULATIONS: tuple[tuple[str, Callable[[Response], bool]], ...] = (
    ("assessable", is_assessable),
    ("itt", in_itt),
    ("per-visit", in_per_visit),
)


def _responses(outcomes: Outcomes) -> Figures:
    study = outcomes.study
    variants = list(dict.fromkeys(row.variant for row in outcomes.responses)) or [None]
    for window in ("best", *(one.name for one in WINDOWS)):
        for variant in variants:
            rows = [row for row in outcomes.responses if (row.window, row.variant) == (window, variant)]
            rule = study.rule if variant is None else "icpre"
            for population, belongs in POPULATIONS:
                yield from _shares([row for row in rows if belongs(row)], rule, population, window, variant)
    yield from _plain(outcomes)
    yield from _low_baselines(outcomes)
    yield from _not_evaluable(outcomes)


def _best(outcomes: Outcomes) -> list[Response]:
    return [row for row in outcomes.responses if (row.window, row.variant) == ("best", None)]


def _plain(outcomes: Outcomes) -> Figures:
    """The best class with the interval that papers quote: Clopper-Pearson, lesions as if independent."""
    rows = [row for row in _best(outcomes) if is_assessable(row)]
    for category in BEST_FIRST[outcomes.study.rule]:
        success = [row.category == category for row in rows]
        found = proportion(success, [row.patient for row in rows], "clopper-pearson")
        yield _named(
            found,
            name=f"{category} (lesions as if independent)",
            numerator=sum(success),
            denominator=len(success),
            endpoint="pain-response",
            window="best",
            population="assessable",
            grain="lesion",
        )


def _not_evaluable(outcomes: Outcomes) -> Figures:
    """The lesions that the study does not take, and those without a best class, by reason."""
    rows = _best(outcomes)
    names = {"endpoint": "pain-response", "window": "best", "grain": "lesion"}
    lesions = [row.patient for row in rows] + [one.patient for one in outcomes.excluded]
    yield from _counts("not eligible", [one.reason for one in outcomes.excluded], lesions, **names)
    yield from _counts(
        "not evaluable", [row.reason for row in rows if row.reason], [row.patient for row in rows], **names
    )


def _left_out(outcomes: Outcomes, endpoint: str, variant: str | None = None, **names: Any) -> Figures:
    """The rows that a time endpoint does not take, by reason: none disappears."""
    rows = [row for row in outcomes.times if (row.endpoint, row.variant) == (endpoint, variant)]
    reasons = [row.reason for row in rows if row.reason]
    named = {"endpoint": endpoint, "variant": variant, "grain": "lesion"} | names
    yield from _counts("left out", reasons, [row.patient for row in rows], **named)


def _counts(what: str, reasons: Iterable[str], patients: Sequence[str], **names: Any) -> Figures:
    """How many of *patients*' rows have each of *reasons*: counted, so without an interval."""
    for reason, number in sorted(Counter(reasons).items()):
        yield Estimate(
            name=f"{what}: {reason}",
            value=number / len(patients),
            n=len(patients),
            clusters=len(set(patients)),
            numerator=number,
            denominator=len(patients),
            method="count",
            population="all",
            **names,
        )


def _shares(
    rows: Sequence[Response], rule: str, population: str, window: str, variant: str | None
) -> Figures:
    """The share of each category, and of responders, in one population; marginal intervals, each its own."""
    classes = BEST_FIRST[rule] if population == "assessable" else ("CR", "PR")
    groups: list[tuple[str, ...]] = [*((one,) for one in classes), ("CR", "PR")]
    if rule == "threshold" and population == "assessable":
        groups.append(("CR", "PR", "STABLE"))
    for group in groups:
        yield _proportion(
            [row.category in group for row in rows],
            [row.patient for row in rows],
            name="+".join(group),
            endpoint="pain-response",
            variant=variant,
            window=window,
            population=population,
            grain="lesion",
        )


def _low_baselines(outcomes: Outcomes) -> Figures:
    """How many of a point-drop study started too low for PR: they can only be CR, STABLE or PROG (E13)."""
    if outcomes.study.rule != "threshold":
        return
    assessable = [row for row in _best(outcomes) if is_assessable(row) and row.baseline is not None]
    low = [row.baseline is not None and row.baseline < outcomes.study.pain_delta for row in assessable]
    patients = [row.patient for row in assessable]
    yield _proportion(
        low,
        patients,
        name="baseline below the drop that PR needs",
        endpoint="pain-response",
        window="best",
        population="assessable",
        grain="lesion",
    )


def _proportion(success: Sequence[bool], cluster: Sequence[str], **names: Any) -> Estimate:
    found = proportion(success, cluster)
    return _named(found, numerator=sum(success), denominator=len(success), **names)


def _named(found: Estimate, **names: Any) -> Estimate:
    return msgspec.structs.replace(found, **names)


def _rows(outcomes: Outcomes, endpoint: str, variant: str | None = None) -> list[TimeToEvent]:
    """The timed rows of one endpoint."""
    return [
        row
        for row in outcomes.times
        if row.endpoint == endpoint and row.variant == variant and row.days is not None
    ]


def _days(rows: Rows) -> list[int]:
    return [row.days for row in rows if row.days is not None]


def _status(rows: Rows) -> list[int]:
    return [int(row.status) for row in rows if row.status is not None]


def _events(rows: Rows) -> list[bool]:
    return [row.status is Status.EVENT for row in rows]


def _clusters(rows: Rows) -> list[str]:
    return [row.patient for row in rows]


def _km(rows: Rows, days: Sequence[int], *, quantile: bool, **names: Any) -> Figures:
    """Survival at *days*, and its median where asked; competing events are censored here."""
    curve = kaplan_meier(_days(rows), _events(rows), _clusters(rows))
    for day in days:
        yield _named(curve.at(day), time_days=day, **names)
    if quantile:
        yield _named(curve.quantile(0.5), **names | {"name": f"median, {names['name']}"})


def _cif(rows: Rows, days: Sequence[int], *, quantile: bool = False, **names: Any) -> Figures:
    curve = aalen_johansen(_days(rows), _status(rows), _clusters(rows))
    competing = sum(row.status is Status.COMPETING for row in rows)
    for day in days:
        yield _named(curve.at(day, 1), time_days=day, competing=competing, **names)
    if quantile:
        median_day = curve.quantile(0.5, 1)
        yield _named(median_day, competing=competing, **names | {"name": f"median, {names['name']}"})


def _observed(days: Sequence[int], clusters: Sequence[str], *, name: str, **names: Any) -> Figures:
    """Plain median, minimum and maximum of observed times: no censoring, no interval (decisions.md 17)."""
    for label, pick in (("median", median), ("minimum", min), ("maximum", max)):
        yield Estimate(
            name=f"{label}, {name}",
            value=float(pick(days)) if days else None,
            n=len(days),
            clusters=len(set(clusters)),
            method="observed times, no censoring",
            status="estimated" if days else "not-estimable",
            reason=None if days else "no-rows",
            **names,
        )


def _relief(outcomes: Outcomes) -> Figures:
    rows = _rows(outcomes, "time-to-relief")
    reached = [row for row in rows if row.status is Status.EVENT]
    names = {"endpoint": "time-to-relief", "grain": "lesion"}
    yield from _observed(
        _days(reached),
        _clusters(reached),
        name="visit date of relief",
        variant="visit-date",
        population="responders",
        **names,
    )
    yield from _cif(
        rows,
        RELIEF_DAYS,
        quantile=True,
        name="relief (cumulative incidence, death and retreatment competing)",
        variant="competing",
        population="with-follow-up",
        **names,
    )
    yield from _left_out(outcomes, "time-to-relief")


def _relapse(outcomes: Outcomes) -> Figures:
    """Relapses over each of three denominators (decisions.md 12), the study's own first."""
    shares = {
        "responders": _rows(outcomes, "relief-duration", "kaplan-meier"),
        "ever-controlled": _rows(outcomes, "time-to-relapse"),
        "with-follow-up": _with_follow_up(outcomes),
    }
    first = outcomes.study.relapse_first
    for population in sorted(shares, key=lambda name: name != first):
        rows = shares[population]
        yield _proportion(
            _events(rows),
            _clusters(rows),
            name="relapse",
            endpoint="time-to-relapse",
            variant="descriptive",
            population=population,
            grain="lesion",
        )
    yield from _cif(
        _rows(outcomes, "pain-control", "D"),
        (YEAR,),
        name=f"relapse ({CIF})",
        endpoint="time-to-relapse",
        variant="competing",
        population="ever-controlled",
        grain="lesion",
    )
    yield from _left_out(outcomes, "time-to-relapse")


def _with_follow_up(outcomes: Outcomes) -> list[TimeToEvent]:
    """Every lesion with a follow-up score, with its relapse after control or relief if it had one."""
    relapsed = {
        row.lesion_id: row
        for endpoint, variant in (("relief-duration", "kaplan-meier"), ("time-to-relapse", None))
        for row in _rows(outcomes, endpoint, variant)
        if row.status is Status.EVENT
    }
    followed = _rows(outcomes, "pain-control", "C")
    quiet = {row.lesion_id: msgspec.structs.replace(row, status=Status.CENSORED) for row in followed}
    return [relapsed.get(lesion_id, row) for lesion_id, row in quiet.items()]


def _duration(outcomes: Outcomes) -> Figures:
    names: dict[str, Any] = {"endpoint": "relief-duration", "grain": "lesion", "population": "responders"}
    descriptive = _rows(outcomes, "relief-duration", "descriptive")
    readings: dict[str, Callable[[], Figures]] = {
        "descriptive": lambda: _observed(
            _days(descriptive),
            _clusters(descriptive),
            name="duration of relief",
            variant="descriptive",
            **names,
        ),
        "kaplan-meier": lambda: _km(
            _rows(outcomes, "relief-duration", "kaplan-meier"),
            (HALF_YEAR, YEAR),
            quantile=True,
            name=f"in relief ({KM})",
            variant="kaplan-meier",
            **names,
        ),
        "competing": lambda: _cif(
            _rows(outcomes, "relief-duration", "competing"),
            (HALF_YEAR, YEAR),
            name=f"relapse after relief ({CIF})",
            variant="competing",
            **names,
        ),
    }
    for variant in sorted(readings, key=lambda name: name != outcomes.study.duration_first):
        yield from readings[variant]()
    yield from _left_out(outcomes, "relief-duration", outcomes.study.duration_first)


CONTROL_POPULATIONS = {
    "A": "ever-controlled",
    "B": "responders",
    "C": "with-follow-up",
    "D": "ever-controlled",
    "E": "assessable",
}


def _control(outcomes: Outcomes) -> Figures:
    """Pain control by each named reading, the study's own first; A and D condition on later control."""
    for variant in sorted(CONTROL_POPULATIONS, key=lambda name: name != outcomes.study.control_first):
        rows = _rows(outcomes, "pain-control", variant)
        names: dict[str, Any] = {
            "endpoint": "pain-control",
            "grain": "lesion",
            "variant": variant,
            "population": CONTROL_POPULATIONS[variant],
        }
        if variant == "D":
            incidences = _cif(rows, (HALF_YEAR, YEAR), name=f"pain control (1 - {CIF})", **names)
            yield from map(complement, incidences)
        else:
            yield from _km(rows, (HALF_YEAR, YEAR), quantile=False, name=f"pain control ({KM})", **names)
        yield from _left_out(outcomes, "pain-control", variant)


def complement(found: Estimate) -> Estimate:
    """1 - *found*, its bounds exchanged."""
    return msgspec.structs.replace(
        found,
        value=None if found.value is None else 1 - found.value,
        low=None if found.high is None else 1 - found.high,
        high=None if found.low is None else 1 - found.low,
        low_status=found.high_status,
        high_status=found.low_status,
        method=f"1 - {found.method}",
    )


def _patients(outcomes: Outcomes) -> Figures:
    names: dict[str, Any] = {"grain": "patient", "population": "all"}
    survived = _rows(outcomes, "overall-survival")
    yield from _km(
        survived,
        (HALF_YEAR, YEAR),
        quantile=True,
        name="overall survival (KM)",
        endpoint="overall-survival",
        **names,
    )
    yield from _km(
        _rows(outcomes, "overall-survival", "death-month-midpoint"),
        (YEAR,),
        quantile=True,
        name="overall survival (KM, deaths known to the month in its middle)",
        endpoint="overall-survival",
        variant="death-month-midpoint",
        **names,
    )
    rows = _rows(outcomes, "follow-up")
    curve = follow_up(_days(rows), _events(rows), _clusters(rows))
    yield _named(curve.quantile(0.5), name="median follow-up (reverse KM)", endpoint="follow-up", **names)
    yield from list(
        _observed(_days(rows), _clusters(rows), name="time observed", endpoint="follow-up", **names)
    )[1:]
