"""Analyses of one study or several as text, JSON and CSV: alone with all columns, several side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fhir_srs.estimates.analysis import Analysis
from fhir_srs.model import Estimate, to_json
from fhir_srs.report.export import estimate_row, estimates_csv, test_row
from fhir_srs.report.figures import aligned, estimates_text
from fhir_srs.report.parameters import parameter_rows
from fhir_srs.report.study import (
    baseline_lines,
    comparison_lines,
    landmark_lines,
    sensitivity_lines,
    side_by_side,
)

Tables = dict[tuple[str, str], Sequence[Estimate]]


def analyses_text(found: Sequence[Analysis]) -> str:
    """What was asked for of each study, its estimates, and the parameters with where they come from."""
    studies = [one.study for one in found]
    before = [line for one in found for line in (*_baseline(one), "") if one.baseline]
    if len(found) == 1:
        table = estimates_text(_tables(found)) + "\n".join(_parameters(found[0])) + "\n"
    else:
        table = side_by_side(_tables(found), studies)
    after = [line for one in found for line in _beside(one)]
    return "\n".join((*before, table, *after)).rstrip("\n") + "\n"


def _tables(found: Sequence[Analysis]) -> Tables:
    return {(one.study.name, one.study.version): (*one.table, *one.groups) for one in found}


def _parameters(one: Analysis) -> Iterator[str]:
    yield "Parameters (P published, M from memory, A assumed)"
    yield from (f"  {line}" for line in aligned(list(parameter_rows([one.study]))))


def _baseline(one: Analysis) -> Iterator[str]:
    yield f"study {one.study.name}, definition {one.study.version}"
    yield from baseline_lines(one.baseline)


def _beside(one: Analysis) -> Iterator[str]:
    if one.comparisons:
        yield f"Groups compared, study {one.study.name}"
        yield from comparison_lines(one.comparisons)
        yield ""
    if one.sensitivity:
        yield from sensitivity_lines(one.study, one.sensitivity)
        yield ""
    if one.landmarks:
        yield f"study {one.study.name}"
        yield from landmark_lines(one.landmarks)
        yield ""


def analyses_json(found: Sequence[Analysis], *, cutoff: object, counts: Mapping[str, Any]) -> bytes:
    """
    The estimates as one JSON object (design.md 4.2, decisions.md 33); groups are estimates with `group`.

    What was asked for beside them is under `analyses`, by study, absent where nothing was.
    """
    studies = [{"name": one.study.name, "version": one.study.version} for one in found]
    head = {"study": studies[0]["name"]} if len(studies) == 1 else {}
    rows = [estimate_row(one) for table in _tables(found).values() for one in table]
    beside = {one.study.name: told for one in found if (told := _told(one))}
    page = head | {"studies": studies, "cutoff": cutoff, "estimates": rows, "counts": counts}
    return to_json(page | ({"analyses": beside} if beside else {}))


def _told(one: Analysis) -> dict[str, Any]:
    """What was asked for beside the estimates."""
    runs = [
        {"label": run.label, "figures": [figure and estimate_row(figure) for figure in run.figures]}
        for run in one.sensitivity
    ]
    landmarks = [
        {
            "day": mark.day,
            "left_out": mark.left_out,
            "not_evaluable": mark.not_evaluable,
            "figures": [estimate_row(figure) for figure in mark.figures],
            "test": test_row(mark.test),
        }
        for mark in one.landmarks
    ]
    told = {
        "baseline": one.baseline,
        "comparisons": [test_row(test) for test in one.comparisons],
        "sensitivity": runs,
        "landmarks": landmarks,
    }
    return {name: value for name, value in told.items() if value}


def analyses_csv(found: Sequence[Analysis]) -> str:
    """The estimates alone, as CSV."""
    return estimates_csv(_tables(found))
