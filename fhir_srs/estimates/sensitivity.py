"""The primary figures of a study once more: under other definitions, of other lesions, or imputed."""

from collections.abc import Sequence
from datetime import date

import msgspec

from fhir_srs.endpoints import Outcomes, Study, derive
from fhir_srs.endpoints.study import Primary, Sensitivity
from fhir_srs.endpoints.study_file import changed
from fhir_srs.estimates.figures import share
from fhir_srs.estimates.grounds import without_reason
from fhir_srs.estimates.responses import POPULATIONS, pain_rows
from fhir_srs.estimates.table import figures_of
from fhir_srs.model import Estimate, Mapped, Response

AS_DEFINED = "as defined"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the table: what was changed, and the primary figures then, None where there is none.

    *study* is the definition with the change.
    """

    label: str
    study: Study
    figures: tuple[Estimate | None, ...]


def primary_figures(outcomes: Outcomes) -> tuple[Estimate | None, ...]:
    """The primary figures of the study of *outcomes*, in its order; no more is made than leads to them."""
    wanted = outcomes.study.primary
    found: dict[Primary, Estimate] = {}
    for one in figures_of(outcomes, {each.endpoint for each in wanted}):
        found |= {each: one for each in wanted if each not in found and is_primary(one, each)}
        if found.keys() >= set(wanted):
            break
    return tuple(found.get(each) for each in wanted)


def is_primary(one: Estimate, wanted: Primary) -> bool:
    """Whether *one* is the figure that *wanted* names; it must say every word that *wanted* says."""
    said = {
        "endpoint": one.endpoint,
        "label": one.name,
        "window": one.window,
        "population": one.population,
        "time_days": one.time_days,
    }
    asked = {name: getattr(wanted, name) for name in said}
    told = all(value is None or said[name] == value for name, value in asked.items())
    return told and one.variant == wanted.variant


def sensitivity(mapped: Mapped, study: Study, data_cutoff: date) -> list[Run]:
    """The primary figures as defined, then in each run that the study file names."""
    whole = derive(mapped, study=study, data_cutoff=data_cutoff)
    runs = [Run(label=AS_DEFINED, study=study, figures=primary_figures(whole))]
    return [*runs, *(_run(mapped, whole, one, data_cutoff) for one in study.sensitivity)]


def _run(mapped: Mapped, whole: Outcomes, one: Sensitivity, data_cutoff: date) -> Run:
    if one.missing or one.without:
        figures = tuple(_shared(whole, wanted, one) for wanted in whole.study.primary)
        return Run(label=one.label, study=whole.study, figures=figures)
    study = changed(whole.study, one.change)
    figures = primary_figures(derive(mapped, study=study, data_cutoff=data_cutoff))
    return Run(label=one.label, study=study, figures=figures)


def _shared(outcomes: Outcomes, wanted: Primary, run: Sensitivity) -> Estimate | None:
    """The share of responses that *wanted* names as *run* counts it; None for a figure that is no share."""
    if wanted.endpoint != "pain-response" or wanted.label is None:
        return None
    rows = [
        row for row in pain_rows(outcomes) if (row.window, row.variant) == (wanted.window, wanted.variant)
    ]
    population = "itt" if run.missing else wanted.population or "assessable"
    belongs = dict(POPULATIONS)[population]
    flagged = [row for row in rows if belongs(row) and not set(run.without).isdisjoint(row.flags)]
    counted = [row for row in rows if belongs(row) and set(run.without).isdisjoint(row.flags)]
    others = (row for row in rows if not belongs(row))
    return share(
        counted,
        [_responded(row, wanted.label.split("+"), run) for row in counted],
        left_out=(*without_reason(others, ""), *without_reason(flagged, "co-medication")),
        study=outcomes.study.name,
        name=wanted.label,
        endpoint=wanted.endpoint,
        variant=wanted.variant,
        window=wanted.window,
        population=population,
        grain="lesion",
    )


def _responded(row: Response, group: Sequence[str], run: Sensitivity) -> bool:
    """Whether *row* is in *group*; what is not evaluable is what *run* takes it for."""
    return row.category in group or (row.category == "NE" and run.missing == "response")
