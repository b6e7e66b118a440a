"""Estimators on arrays: Kaplan-Meier, Aalen-Johansen and clustered Cox, beside lifelines.

    python -m benchmarks.bench_survival WORK ROWS

lifelines knows no clusters but in Cox. Days are whole; where lifelines moves or mistreats tied days
(Aalen-Johansen, clustered Cox) each row has a day of its own, so that both find the same.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import Round, compare, report

SEED = 1
SMALL = 1_000  # of this size a call is repeated, to be longer than the clock's tick
REPEATS = 50
COVARIATES = ("dose", "levels", "cord", "age", "volume")
PATIENTS = 0.8  # for each lesion, as in Ryu et al. 2008


class Comparison(NamedTuple):
    """One row of the table: what is compared at how many rows, and in how many rounds at most."""

    subject: str
    reference: str
    works: tuple[str, str]
    rows: int
    rounds: int = 99


KM = ("Kaplan-Meier with limits", "lifelines KaplanMeierFitter", ("km-lifelines", "km"))
CLUSTERED = ("clustered Kaplan-Meier", "lifelines KaplanMeierFitter, no clusters", ("km-lifelines", "km-ij"))
CIF = ("clustered Aalen-Johansen", "lifelines AalenJohansenFitter, no clusters", ("cif-lifelines", "cif"))
COX = ("clustered Cox, 5 covariates", "lifelines CoxPHFitter, cluster_col", ("cox-lifelines", "cox"))
CURVES = (
    *(Comparison(*KM, rows) for rows in (1_000, 100_000, 1_000_000)),
    Comparison(*CLUSTERED, 100_000),
    *(Comparison(*CIF, rows) for rows in (1_000, 100_000)),
    Comparison(*CIF, 1_000_000, rounds=1),  # a round takes lifelines most of a minute
)
REGRESSIONS = (
    Comparison(*COX, 1_000),
    Comparison(*COX, 100_000, rounds=1),  # a round takes lifelines minutes
)


def rounds(one: Comparison, number: int) -> list[Round]:
    """*number* rounds of *one*, on CPU time; both must find the same."""
    reference, subject = (["benchmarks.bench_survival", work, str(one.rows)] for work in one.works)
    return compare(reference, subject, rounds=min(number, one.rounds), clock="cpu", same=("figures",))


def data(rows: int, *, distinct: bool) -> dict[str, Any]:
    """Invented rows: days until an event or a death, patients with one or more lesions."""
    generator = np.random.default_rng(SEED)
    covariates = {name: generator.normal(size=rows).round(3) for name in COVARIATES}
    rate = np.exp(0.3 * covariates["dose"] - 0.2 * covariates["cord"]) / 500
    event, death = generator.exponential(1 / rate), generator.exponential(900, rows)
    end = generator.uniform(100, 1500, rows)
    first = np.minimum(np.minimum(event, death), end)
    days = first.argsort().argsort() + 1 if distinct else np.ceil(first).astype(np.int64)
    status = np.where(first == event, 1, np.where(first == death, 2, 0))
    patient = generator.integers(0, int(rows * PATIENTS) + 1, rows)
    return {"days": days, "status": status, "patient": patient, "covariates": covariates}


def figures(*values: float) -> dict[str, Any]:
    return {"figures": [f"{value:.6g}" for value in values]}


def km(rows: dict[str, Any], *, clustered: bool) -> dict[str, Any]:
    from fhir_srs.survival.interval import PRESETS, band
    from fhir_srs.survival.km import kaplan_meier

    curve = kaplan_meier(rows["days"], rows["status"] == 1, rows["patient"] if clustered else None)
    band(curve._steps().points, PRESETS["ij_loglog" if clustered else "greenwood_loglog"], 0.95)
    at = curve.at(_middle(rows), "greenwood_loglog")
    return figures(at.value or 0, at.low or 0, at.high or 0)


def km_lifelines(rows: dict[str, Any]) -> dict[str, Any]:
    from lifelines import KaplanMeierFitter

    fitted = KaplanMeierFitter().fit(rows["days"], rows["status"] == 1)
    day = _middle(rows)
    limits = fitted.confidence_interval_.loc[:day].iloc[-1]
    return figures(float(fitted.predict(day)), *limits)


def cif(rows: dict[str, Any]) -> dict[str, Any]:
    from fhir_srs.survival import aalen_johansen

    found = aalen_johansen(rows["days"], rows["status"], rows["patient"])
    return figures(found.at(_middle(rows)).value or 0)


def cif_lifelines(rows: dict[str, Any]) -> dict[str, Any]:
    from lifelines import AalenJohansenFitter

    fitted = AalenJohansenFitter().fit(rows["days"], rows["status"], event_of_interest=1)
    return figures(float(fitted.cumulative_density_.loc[: _middle(rows)].iloc[-1, 0]))


def cox(rows: dict[str, Any]) -> dict[str, Any]:
    from fhir_srs.survival import cox as fit_cox

    fit = fit_cox(rows["days"], rows["status"] == 1, rows["covariates"], cluster=rows["patient"])
    return figures(*(value or 0 for value in (*fit.coef, *fit.std_error)))


def cox_lifelines(rows: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd
    from lifelines import CoxPHFitter

    frame = pd.DataFrame(rows["covariates"])
    frame = frame.assign(days=rows["days"], event=rows["status"] == 1, patient=rows["patient"])
    fitted = CoxPHFitter().fit(
        frame, "days", "event", cluster_col="patient", fit_options={"precision": 1e-12}
    )
    return figures(*fitted.params_, *fitted.standard_errors_)


WORKS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], bool]] = {
    "km": (lambda rows: km(rows, clustered=False), False),
    "km-ij": (lambda rows: km(rows, clustered=True), False),
    "km-lifelines": (km_lifelines, False),
    "cif": (cif, True),
    "cif-lifelines": (cif_lifelines, True),
    "cox": (cox, True),
    "cox-lifelines": (cox_lifelines, True),
}


def _middle(rows: dict[str, Any]) -> int:
    return int(np.median(rows["days"]))


def repeated(work: Callable[[dict[str, Any]], dict[str, Any]], rows: dict[str, Any]) -> Iterator[Any]:
    for _ in range(REPEATS if len(rows["days"]) <= SMALL else 1):
        yield work(rows)


def main() -> None:
    work, distinct = WORKS[sys.argv[1]]
    warnings.simplefilter("ignore")  # lifelines' dependencies'
    work(data(200, distinct=distinct))  # what is imported on first use is no part of the measurement
    rows = data(int(sys.argv[2]), distinct=distinct)
    report(lambda: list(repeated(work, rows)), lambda results: results[-1])


if __name__ == "__main__":
    main()
