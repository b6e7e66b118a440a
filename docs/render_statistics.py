"""The parts of docs/statistics.md that are made from what runs: estimators, presets, reasons, an example."""

import inspect
import json
import re
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fhir_srs import survival
from fhir_srs.model import Estimate, Fit, TestResult

MEASURED = Path(__file__).parent / "measured"
WORKED = Path(__file__).parent.parent / "tests" / "reference" / "worked.py"


def statistics(current: str) -> str:
    """docs/statistics.md with its marked blocks as the program has them now."""
    for name, lines in BLOCKS.items():
        block = "\n".join([f"<!-- {name}: make docs -->", *lines(), "<!-- end -->"])
        current = re.sub(rf"<!-- {name}:.*?<!-- end -->", lambda _, new=block: new, current, flags=re.DOTALL)
    return current


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """*rows* below *head* as Markdown."""
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def functions() -> Iterator[str]:
    """Every public function with its signature and its first sentence."""
    found = [(name, getattr(survival, name)) for name in survival.__all__]
    calls = [(name, call) for name, call in found if inspect.isfunction(call)]
    return table(
        ("function", "gives"), ((f"`{_signature(name, call)}`", _first(call)) for name, call in calls)
    )


def presets() -> Iterator[str]:
    """The parts of each preset of intervals."""
    head = ("preset", "variance", "quantile", "transform", "flat rule")
    return table(
        head,
        ((f"`{p.name}`", p.variance, p.distribution, p.transform, p.flat) for p in survival.PRESETS.values()),
    )


def reasons() -> Iterator[str]:
    """The closed list of reasons."""
    return table(("reason", "means"), ((f"`{name}`", text) for name, text in survival.REASONS.items()))


def example() -> Iterator[str]:
    """Every estimator on the worked example of the spec, run now."""
    return table(("call", "figure", "method"), _figures(runpy.run_path(str(WORKED))))


def _figures(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    days, event, status = data["DAYS"], data["EVENT"], data["STATUS"]
    patient, x, z = data["PATIENT"], data["X"], data["Z"]
    curve = survival.kaplan_meier(days, event, patient)
    model = survival.cox(days, event, {"x": x, "z": z}, cluster=patient)
    calls: dict[str, Estimate | TestResult | Fit] = {
        "kaplan_meier(...).at(9)": curve.at(9),
        "kaplan_meier(...).at(9, 'greenwood_log')": curve.at(9, "greenwood_log"),
        "kaplan_meier(...).quantile(0.5)": curve.quantile(0.5),
        "aalen_johansen(...).at(9)": survival.aalen_johansen(days, status, patient).at(9),
        "restricted_mean(..., 12)": survival.restricted_mean(days, event, 12, patient),
        "proportion(z <= 3)": survival.proportion([one <= 3 for one in z], patient),
        "log_rank(..., x)": survival.log_rank(days, event, x),
        "log_rank(..., x, cluster=patient)": survival.log_rank(days, event, x, cluster=patient),
        "gray_test(..., x)": survival.gray_test(days, status, x),
        "cox(..., {x, z}, cluster=patient)": model,
        "cox(...).proportional_hazards()['global']": model.proportional_hazards()["global"],
        "fine_gray(..., {x, z}, cluster=patient)": survival.fine_gray(
            days, status, {"x": x, "z": z}, cluster=patient
        ),
    }
    return ((f"`{call}`", _figure(found), found.method) for call, found in calls.items())


def _figure(found: Estimate | TestResult | Fit) -> str:
    if isinstance(found, TestResult):
        return f"chi-square {found.statistic:.4f}, {found.df} df, p {found.p:.4f}"
    if isinstance(found, Fit):
        pairs = zip(found.names, found.coef, found.std_error, strict=True)
        return "; ".join(f"{name} {value:.4f} (SE {error:.4f})" for name, value, error in pairs)
    high = found.high_status if found.high is None else f"{found.high:.4f}"
    return f"{found.value:.4f} ({found.low:.4f} to {high})"


def coverage() -> Iterator[str]:
    """What docs/measured/coverage.json holds: kept by tests/reference/test_survival_coverage.py."""
    found = json.loads((MEASURED / "coverage.json").read_text(encoding="utf-8"))
    yield (
        f"{found['lesions']} lesions in {found['patients']} patients, {found['studies']:,} studies a cell, "
        f"S(365) = {found['truth']:.2f}; taken on {found['date']} at commit {found['commit']}."
    )
    yield ""
    curves = ([name, *_thousandths(row)] for name, row in found["curves"].items())
    yield from table(("figure, variance of the frailty", *map(str, found["frailties"])), curves)
    yield ""
    shares = ([name, *_thousandths(row)] for name, row in found["proportions"].items())
    heads = (f"{one:g}" for one in found["correlations"])
    yield from table(("proportion, correlation within patients", *heads), shares)


def _thousandths(row: Iterable[float]) -> list[str]:
    return [f"{one:.3f}" for one in row]


def truth() -> Iterator[str]:
    """What docs/measured/truth-STUDY.json hold: kept by tests/properties/test_truth_recovered.py."""
    heads = ("figure", "truth", "mean of the cohorts", "intervals that hold it", "spread, of what is told")
    for path in sorted(MEASURED.glob("truth-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        yield (
            f"`{found['study']}`: {found['cohorts']} cohorts of {found['patients']:,} patients; "
            f"taken on {found['date']} at commit {found['commit']}."
        )
        yield ""
        yield from table(heads, map(_recovered, found["figures"]))
        yield ""


def _recovered(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["name"], row["truth"], row["mean"], row["held"], row["spread"] + row["wrong"]


def _signature(name: str, call: Callable[..., object]) -> str:
    """The call without its types."""
    signature = inspect.signature(call)
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    return f"{name}{signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)}"


def _first(call: Callable[..., object]) -> str:
    text = re.sub(r"\s+", " ", inspect.getdoc(call) or "")
    return re.split(r"\.(?: |$)", text)[0].replace("*", "")


BLOCKS: Mapping[str, Callable[[], Iterator[str]]] = {
    "functions": functions,
    "presets": presets,
    "reasons": reasons,
    "coverage": coverage,
    "truth": truth,
    "example": example,
}
