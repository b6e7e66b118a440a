"""Where a printed figure comes from: its rule and parameters, its arithmetic, the outcomes it is made of.

All of it was kept with the figure when it was computed (`fhir_srs.model.Grounds`); nothing is computed again.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, TypeAlias, TypeVar

import msgspec

from fhir_srs.endpoints import Study
from fhir_srs.errors import UsageError
from fhir_srs.estimates.analysis import Analysis
from fhir_srs.model import Estimate, LeftOut, Response, Term, TestResult, TimeToEvent
from fhir_srs.report.explain import (
    Parameter,
    Rule,
    columns,
    parameter_lines,
    parameters_of,
    rule_lines,
    rule_of,
)
from fhir_srs.report.export import estimate_row, test_row
from fhir_srs.report.figures import count_text, figure_name, interval_text, value_text
from fhir_srs.report.study import test_text

Figure: TypeAlias = Estimate | TestResult
Named = TypeVar("Named", bound=Figure)
LISTED = 20  # figures named where several fit


class FigureExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """
    One figure, an estimate or a test, with everything it rests on.

    *counted* are the outcomes of its numerator, or that ended in the event; *others* the rest of its
    denominator; *left_out* what it does not count, with the reason. *resources* are the resource versions
    of *counted* and *others*.
    """

    figure: dict[str, Any]
    study: str
    version: str
    title: str
    data_cutoff: str
    rule: Rule
    parameters: tuple[Parameter, ...]
    arithmetic: tuple[str, ...]
    terms: tuple[Term, ...]
    counted: tuple[Response | TimeToEvent, ...]
    others: tuple[Response | TimeToEvent, ...]
    left_out: tuple[LeftOut, ...]
    resources: tuple[str, ...]
    printed: str


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """Figures as they were printed, with the tests beside them, and the study that they were made under."""

    study: Study
    data_cutoff: date
    figures: tuple[Estimate, ...]
    tests: tuple[TestResult, ...] = ()


def printed(one: Analysis, data_cutoff: date) -> Iterator[Printed]:
    """
    All figures of *one*: of the study, its groups and its landmarks; then those of each sensitivity run.

    A figure of a run has `sensitivity: ` and the label of the run for its group.
    """
    beside = tuple(figure for landmark in one.landmarks for figure in landmark.figures)
    figures = (*one.table, *one.groups, *beside)
    tests = (*one.comparisons, *(landmark.test for landmark in one.landmarks))
    yield Printed(study=one.study, data_cutoff=data_cutoff, figures=figures, tests=tests)
    for run in one.sensitivity:
        group = f"sensitivity: {run.label}"
        made = tuple(msgspec.structs.replace(each, group=group) for each in run.figures if each)
        yield Printed(study=run.study, data_cutoff=data_cutoff, figures=made)


def words_of(one: Figure) -> str:
    """
    What a figure is asked for by: study, endpoint, variant, window, population, group, day, name.

    A test has study, endpoint, variant, name and the name of its method.
    """
    if isinstance(one, TestResult):
        told = (one.study, one.endpoint, one.variant, one.name, one.method.split(";")[0])
        return " ".join(part for part in told if part)
    day = None if one.time_days is None else str(one.time_days)
    parts = (one.study, one.endpoint, one.variant, one.window, one.population, one.group, day, one.name)
    return " ".join(part for part in parts if part)


def explain_figure(tables: Sequence[Printed], asked: str) -> FigureExplanation:
    """The figure that *asked* names among all of *tables*, explained; a test where no estimate fits."""
    words = _words(asked)
    tests = [test for table in tables for test in table.tests if words <= _said(test)]
    figures = [figure for table in tables for figure in table.figures]
    named = tests and not any(words <= _said(figure) for figure in figures)
    one = _find_test(tests, words) if named else find_figure(figures, asked)
    table = next(table for table in tables if any(one is each for each in (*table.figures, *table.tests)))
    return figure_explanation(table, one)


def _find_test(found: Sequence[TestResult], words: set[str]) -> TestResult:
    found = [one for one in found if words == _said(one)] or found
    return _only(found, "several tests fit", found)


def find_figure(table: Sequence[Estimate], asked: str) -> Estimate:
    """
    The figure of *table* that has every word of *asked*; UsageError for none, or for several.

    A word is the study, endpoint, variant, window, population, group or day, or one of the name's, with or
    without a colon at its end. Where several figures fit, one whose every word was said goes before the
    others, then one of the whole cohort, then one whose whole name was said, then the study's own reading.
    """
    words = _words(asked)
    fits = found = [one for one in table if words <= _said(one)]
    found = [one for one in found if words == _said(one)] or found
    found = [one for one in found if one.group is None] or found
    found = [one for one in found if one.name.lower() in words] or found
    found = [one for one in found if one.variant is None] or found
    said = "several figures fit" if fits else "no figure has all of these words; some are"
    return _only(found, said, found or table)


def _only(found: Sequence[Named], said: str, named: Sequence[Named]) -> Named:
    """The one of *found*; UsageError, as *said*, with the words of those *named*, if there is not one."""
    if len(found) != 1:
        told = [f"  {words_of(one)}" for one in named[:LISTED]]
        raise UsageError("\n".join((f"{said}:", *told)))
    return found[0]


def _said(one: Figure) -> set[str]:
    return _words(words_of(one))


def _words(text: str) -> set[str]:
    return {word.removesuffix(":") for word in text.lower().split()}


def figure_explanation(table: Printed, one: Figure) -> FigureExplanation:
    """All that *one*, a figure of *table*, rests on. UsageError for a figure that is of no endpoint."""
    if one.endpoint is None or one.grounds is None:
        raise UsageError("this figure is made of no outcomes")
    study, grounds = table.study, one.grounds
    rule = rule_of(one.endpoint, one.variant, None if isinstance(one, TestResult) else one.window)
    rows = (*grounds.counted, *grounds.others)
    return FigureExplanation(
        figure=test_row(one) if isinstance(one, TestResult) else estimate_row(one),
        study=study.name,
        version=study.version,
        title=study.title,
        data_cutoff=table.data_cutoff.isoformat(),
        rule=rule,
        parameters=tuple(parameters_of(study, [rule])),
        arithmetic=grounds.arithmetic,
        terms=grounds.terms,
        counted=grounds.counted,
        others=grounds.others,
        left_out=grounds.left_out,
        resources=tuple(sorted({source for row in rows for source in row.sources})),
        printed=test_text(one) if isinstance(one, TestResult) else _estimate_text(one),
    )


def _estimate_text(one: Estimate) -> str:
    parts = (value_text(one), interval_text(one), count_text(one), one.method)
    return f"{figure_name(one)}: {'; '.join(parts)}"


def figure_text(told: FigureExplanation) -> str:
    """*told* as lines of text."""
    over_time = told.terms or "statistic" in told.figure
    heads = ("Ended in the event", "Did not") if over_time else ("Counted", "In the denominator only")
    lines = [
        told.printed,
        f"Study {told.study}, version {told.version}: {told.title}; data up to {told.data_cutoff}",
        "",
        "Rule",
        *rule_lines([told.rule]),
        *parameter_lines(told.parameters),
        "",
        "Arithmetic",
        *(f"  {line}" for line in told.arithmetic),
        *_terms(told.terms),
        "",
        f"{heads[0]}: {len(told.counted)}",
        *columns([_row_cells(row) for row in told.counted]),
        "",
        f"{heads[1]}: {len(told.others)}",
        *columns([_row_cells(row) for row in told.others]),
        "",
        f"Left out: {len(told.left_out)}",
        *columns([[f"  {_whose(row)}", row.reason, " ".join(row.sources)] for row in told.left_out]),
        "",
        f"Resource versions: {len(told.resources)}",
        *(f"  {one}" for one in told.resources),
    ]
    return "\n".join(lines)


def _terms(terms: Sequence[Term]) -> Iterator[str]:
    if terms:
        head = ["  day", "at risk", "events", "competing", "curve"]
        yield from columns(
            [
                head,
                *(
                    [f"  {t.day}", str(t.at_risk), str(t.events), str(t.competing), f"{t.value:.6f}"]
                    for t in terms
                ),
            ]
        )


def _whose(row: Response | TimeToEvent | LeftOut) -> str:
    segment = None if isinstance(row, Response) else row.segment
    return " ".join(filter(None, (row.lesion_id or row.patient, segment)))


def _row_cells(row: Response | TimeToEvent) -> list[str]:
    working = "; ".join(row.working)
    if isinstance(row, Response):
        return [f"  {_whose(row)}", row.category, row.arm or row.reason or "", working]
    ended = "left out" if row.status is None else f"{row.status.name.lower()} {row.days}"
    return [f"  {_whose(row)}", ended, row.description, working]


__all__ = [
    "FigureExplanation",
    "Printed",
    "explain_figure",
    "figure_explanation",
    "figure_text",
    "find_figure",
    "printed",
    "words_of",
]
