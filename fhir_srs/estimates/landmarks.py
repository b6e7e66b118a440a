"""Responders beside non-responders, from a landmark on: never from t0 (spec/endpoints.md section 15).

One must live to respond, so a comparison from the treatment favours responders whatever it does.
"""

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import numpy as np

from fhir_srs.endpoints import Outcomes
from fhir_srs.estimates.figures import HALF_YEAR, YEAR, days_of, events_of, rows_of
from fhir_srs.estimates.grounds import at_day, compared, grounded, survival_terms, without_reason
from fhir_srs.model import Estimate, Status, TestResult, TimeToEvent
from fhir_srs.survival import kaplan_meier, landmark, log_rank

RESPONDED, NOT = "responders", "non-responders"


class Landmarked(msgspec.Struct, frozen=True, kw_only=True):
    """Survival after one landmark by response until then, and whether the two groups differ.

    *left_out* had died or were lost by the landmark; *not_evaluable* lived, but no lesion of theirs could
    show relief or its absence until then: they are neither responders nor the opposite.
    """

    day: int
    figures: tuple[Estimate, ...]
    test: TestResult
    left_out: int
    not_evaluable: int


def landmark_analysis(outcomes: Outcomes) -> list[Landmarked]:
    """
    Overall survival of patients from each landmark of the study; who died or was lost by then is out.

    The landmark counts from the patient's origin, the t0 of the first eligible lesion; a patient is a
    responder if any lesion was relieved by that date, whenever it was treated.
    """
    return [_landmarked(outcomes, day) for day in outcomes.study.landmark_days]


def _landmarked(outcomes: Outcomes, day: int) -> Landmarked:
    judged = _judged(outcomes)
    rows = rows_of(outcomes, "overall-survival")
    found = landmark(days_of(rows), day)
    alive = [row for row, keep in zip(rows, found.kept, strict=True) if keep]
    said = [_responded(row, judged.get(row.patient, []), day) for row in alive]
    groups = [RESPONDED if one else NOT for one in said if one is not None]
    kept = [row for row, one in zip(alive, said, strict=True) if one is not None]
    days = np.array([one for one, how in zip(found.days, said, strict=True) if how is not None], dtype=int)
    event = events_of(kept)
    out = (
        *without_reason(_but(rows, alive), f"had died or was lost by day {day}"),
        *without_reason(_but(alive, kept), "no lesion that could show relief or its absence"),
    )
    test = compared(log_rank(days, event, groups), kept, groups, out)
    return Landmarked(
        day=day,
        figures=tuple(_curves(outcomes, day, kept, days, groups)),
        test=msgspec.structs.replace(
            test,
            name=f"overall survival from day {day} by response until then",
            method="log-rank; one row a patient",
            study=outcomes.study.name,
            endpoint="overall-survival",
        ),
        left_out=found.left_out,
        not_evaluable=len(alive) - len(kept),
    )


def _but(rows: list[TimeToEvent], others: list[TimeToEvent]) -> list[TimeToEvent]:
    """*rows* without *others*: one row a patient."""
    gone = {row.patient for row in others}
    return [row for row in rows if row.patient not in gone]


def _judged(outcomes: Outcomes) -> dict[str, list[TimeToEvent]]:
    """The times to relief of each patient's lesions that can show relief."""
    judged: dict[str, list[TimeToEvent]] = {}
    for row in rows_of(outcomes, "time-to-relief"):
        judged.setdefault(row.patient, []).append(row)
    return judged


def _responded(survived: TimeToEvent, reliefs: list[TimeToEvent], day: int) -> bool | None:
    """Whether relief came by the landmark, by the calendar; None if no lesion treated by then can tell."""
    if survived.origin is None:
        return None
    mark = survived.origin + timedelta(days=day)
    known = [row for row in reliefs if row.origin and row.origin < mark]
    if not known:
        return None
    return any(row.status is Status.EVENT and row.until and row.until <= mark for row in known)


def _curves(
    outcomes: Outcomes, day: int, kept: list[TimeToEvent], days: np.ndarray, groups: list[str]
) -> Iterator[Estimate]:
    for name in (RESPONDED, NOT):
        mine = [place for place, group in enumerate(groups) if group == name]
        rows = [kept[place] for place in mine]
        curve = kaplan_meier(days[mine], events_of(rows))
        for later in (HALF_YEAR, YEAR):
            figure = at_day(curve.at(later), survival_terms(curve))
            yield msgspec.structs.replace(
                grounded(figure, rows, events_of(rows)),
                name=f"overall survival (KM), days after landmark {day}",
                study=outcomes.study.name,
                endpoint="overall-survival",
                grain="patient",
                group=f"{name} by day {day}",
                population="all",
                time_days=later,
            )
