"""Responders beside non-responders, from a landmark on: never from t0 (spec/endpoints.md section 15).

One must live to respond, so a comparison from the treatment favours responders whatever it does.
"""

from collections.abc import Iterator

import msgspec
import numpy as np

from fhir_srs.endpoints import Outcomes
from fhir_srs.estimates.figures import HALF_YEAR, YEAR, clusters_of, days_of, events_of, rows_of
from fhir_srs.model import Estimate, Status, TestResult
from fhir_srs.survival import kaplan_meier, landmark, log_rank

RESPONDED, NOT = "responders", "non-responders"


class Landmarked(msgspec.Struct, frozen=True, kw_only=True):
    """Survival after one landmark by response until then, and whether the two groups differ."""

    day: int
    figures: tuple[Estimate, ...]
    test: TestResult
    left_out: int


def landmark_analysis(outcomes: Outcomes) -> list[Landmarked]:
    """Overall survival of patients from each landmark of the study; who died or was lost by then is out."""
    return [_landmarked(outcomes, day) for day in outcomes.study.landmark_days]


def _landmarked(outcomes: Outcomes, day: int) -> Landmarked:
    relieved = {
        row.patient
        for row in rows_of(outcomes, "time-to-relief")
        if row.status is Status.EVENT and row.days is not None and row.days <= day
    }
    rows = rows_of(outcomes, "overall-survival")
    found = landmark(days_of(rows), day)
    kept = [row for row, keep in zip(rows, found.kept, strict=True) if keep]
    groups = [RESPONDED if row.patient in relieved else NOT for row in kept]
    event, patients = events_of(kept), clusters_of(kept)
    test = log_rank(found.days, event, groups, cluster=patients)
    return Landmarked(
        day=day,
        figures=tuple(_curves(outcomes, day, found.days, event, groups)),
        test=msgspec.structs.replace(test, name=f"overall survival from day {day} by response until then"),
        left_out=found.left_out,
    )


def _curves(
    outcomes: Outcomes, day: int, days: np.ndarray, event: list[bool], groups: list[str]
) -> Iterator[Estimate]:
    for name in (RESPONDED, NOT):
        mine = [place for place, group in enumerate(groups) if group == name]
        curve = kaplan_meier(days[mine], [event[place] for place in mine])
        for later in (HALF_YEAR, YEAR):
            yield msgspec.structs.replace(
                curve.at(later),
                name=f"overall survival (KM), days after landmark {day}",
                study=outcomes.study.name,
                endpoint="overall-survival",
                grain="patient",
                group=f"{name} by day {day}",
                population="all",
                time_days=later,
            )
