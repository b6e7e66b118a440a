"""What a study report has beside its estimates: baseline table, sensitivity, groups compared, landmarks."""

from collections.abc import Iterator, Mapping, Sequence

from fhir_srs.endpoints import Study
from fhir_srs.estimates.baseline import Characteristic
from fhir_srs.estimates.landmarks import Landmarked
from fhir_srs.estimates.sensitivity import Run, is_primary
from fhir_srs.model import Estimate, TestResult
from fhir_srs.report.figures import aligned, figure_name, interval_text, table_row, value_text
from fhir_srs.report.parameters import parameter_rows

Tables = Mapping[tuple[str, str], Sequence[Estimate]]


def baseline_lines(table: Sequence[Characteristic]) -> Iterator[str]:
    """The baseline table: `12/37 (32.4 %)` for a category, `median (lowest to highest), n` for a number."""
    yield "Baseline"
    rows = [[_label(one), *map(_cell, (one.all, one.evaluable, one.not_evaluable))] for one in table]
    yield from _indented([["", "all", "evaluable", "not evaluable"], *rows])


def _label(one: Characteristic) -> str:
    return one.name if one.category is None else f"{one.name}: {one.category}"


def _cell(numbers: tuple[float, ...] | None) -> str:
    if numbers is None:
        return "unknown"
    if len(numbers) == 2:
        number, total = numbers
        return f"{number:g}/{total:g}" + (f" ({100 * number / total:.1f} %)" if total else "")
    middle, low, high, known = numbers
    return f"{middle:.3g} ({low:.3g} to {high:.3g}), {known:g} known"


def sensitivity_lines(study: Study, runs: Sequence[Run]) -> Iterator[str]:
    """
    One line a run, one column a primary figure; `-` where a run has no such figure.

    A figure of another population than its column's says so: imputed responses are over all who were due.
    """
    yield f"Sensitivity of the primary figures, study {study.name}"
    first = runs[0].figures
    heads = [_primary_name(one) for one in first]
    rows = [[run.label, *map(_moved, first, run.figures)] for run in runs]
    yield from _indented([["", *heads], *rows])


def _primary_name(one: Estimate | None) -> str:
    return "-" if one is None else f"{one.endpoint}: {figure_name(one)} [{one.population}]"


def _moved(own: Estimate | None, other: Estimate | None) -> str:
    text = _figure(other)
    if own is None or other is None or own.population == other.population:
        return text
    return f"{text} [{other.population}]"


def _figure(one: Estimate | None) -> str:
    """Value and interval, and for a curve the rows and who was at risk: no figure without its denominator."""
    if one is None:
        return "-"
    interval = interval_text(one)
    text = value_text(one) if interval == "-" else f"{value_text(one)}, {interval}"
    if one.numerator is not None:
        return text
    at_risk = "" if one.at_risk is None else f", {one.at_risk} at risk"
    return f"{text} (n {one.n}{at_risk})"


def comparison_lines(tests: Sequence[TestResult]) -> Iterator[str]:
    """Each test with its statistic, degrees of freedom and p-value, or why there is none, and its rows."""
    rows = [[one.name, *_tested(one), _rows(one), one.method] for one in tests]
    yield from _indented([["test", "chi-square", "df", "p", "n", "method"], *rows])


def test_text(one: TestResult) -> str:
    """One test as a line: its name, statistic, degrees of freedom, p-value, rows and method."""
    value, df, p = _tested(one)
    found = f"{value} {df}".strip() if one.statistic is None else f"chi-square {value} on {df}, p {p}"
    return f"{one.name}: {found}; {_rows(one)}; {one.method}"


def _rows(one: TestResult) -> str:
    patients = f" in {one.clusters} patients" if one.clusters not in (None, one.n) else ""
    return f"{one.n}{patients}, {one.events or 0} events"


def _tested(one: TestResult) -> tuple[str, str, str]:
    if one.statistic is None or one.p is None:
        return one.status.replace("-", " "), one.reason or "", "-"
    return f"{one.statistic:.3f}", str(one.df), f"{one.p:.4f}" if one.p >= 0.0001 else "< 0.0001"


def landmark_lines(found: Sequence[Landmarked]) -> Iterator[str]:
    """Of each landmark both curves and the test, and how many had ended before it."""
    yield "Responders beside non-responders, from a landmark"
    for one in found:
        yield (
            f"  day {one.day}: {one.left_out} patients had died or were lost by then, "
            f"{one.not_evaluable} had no lesion that could show relief or its absence"
        )
        yield from _indented([list(table_row(figure)) for figure in one.figures])
        yield from comparison_lines([one.test])


def side_by_side(tables: Tables, studies: Sequence[Study]) -> str:
    """
    One line a figure, one column a study: the primary figures of each, marked `*`, then all by endpoint.

    A study without a figure has `-` there: another rule set has other categories. The parameters and their
    basis stand at the end, those that are the same in all studies apart.
    """
    heads = ["figure", *(f"{name} {version}" for name, version in tables)]
    found = [{_key(one): one for one in table} for table in tables.values()]
    keys = merged([list(table) for table in found])
    rows = {key: [_title(key, found), *_columns(key, found, studies)] for key in keys}
    primary = [key for key in keys if any(cell.endswith(PRIMARY) for cell in rows[key])]
    lines = ["Primary figures (* of that study)"]
    lines += _indented([heads, *([f"{key[0]}: {rows[key][0]}", *rows[key][1:]] for key in primary)])
    for endpoint in dict.fromkeys(key[0] for key in keys):
        ours = [rows[key] for key in keys if key[0] == endpoint]
        lines += ["", endpoint, *_indented([heads, *ours])]
    lines += ["", *_parameters(studies, heads[1:])]
    return "\n".join(lines) + "\n"


PRIMARY = " *"


def _parameters(studies: Sequence[Study], heads: Sequence[str]) -> Iterator[str]:
    rows = list(parameter_rows(studies))
    same = [[name, cells[0]] for name, *cells in rows if len(set(cells)) == 1]
    yield "Parameters that differ (P published, M from memory, A assumed)"
    yield from _indented([["parameter", *heads], *(row for row in rows if len(set(row[1:])) > 1)])
    yield ""
    yield "Parameters that are the same in all"
    yield from _indented(same or [["none"]])


Key = tuple[str, str | None, str | None, str | None, str | None, str, int | None]


def _key(one: Estimate) -> Key:
    return (
        one.endpoint or "",
        one.variant,
        one.window,
        one.population,
        one.group,
        one.name,
        one.time_days,
    )


def merged(lists: Sequence[Sequence[Key]]) -> list[Key]:
    """The keys of all *lists*, each once: where a list has one of its own, after what precedes it there."""
    keys: list[Key] = []
    for one in lists:
        known, place = set(keys), 0
        for key in one:
            if key in known:
                place = keys.index(key) + 1
            else:
                keys.insert(place, key)
                place += 1
    return keys


def _title(key: Key, found: Sequence[Mapping[Key, Estimate]]) -> str:
    one = next(table[key] for table in found if key in table)
    return f"{figure_name(one)} [{one.population}]" if one.population else figure_name(one)


def _columns(key: Key, found: Sequence[Mapping[Key, Estimate]], studies: Sequence[Study]) -> Iterator[str]:
    for table, study in zip(found, studies, strict=True):
        one = table.get(key)
        marked = one is not None and any(is_primary(one, wanted) for wanted in study.primary)
        yield "-" if one is None else f"{_figure(one)}{PRIMARY if marked else ''}"


def _indented(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in aligned(rows)]
