"""Neurological function, walking, pain flare and toxicity as shares, each with its own denominator."""

from collections.abc import Callable, Iterable
from typing import Any

from fhir_srs.endpoints.flare import WINDOW as FLARE
from fhir_srs.endpoints.function import AMBULATION, NEUROLOGY, highest, walks
from fhir_srs.endpoints.toxicity import ACUTE, LATE
from fhir_srs.estimates.figures import Figures, counts, if_recorded, rows_of, share
from fhir_srs.estimates.grounds import excluded_rows, without_reason
from fhir_srs.estimates.rows import CohortRows
from fhir_srs.model import Response, TimeToEvent

Test = Callable[[Response], bool]


def _deficit(row: Response) -> bool:
    return row.scale is not None and row.baseline is not None and row.baseline < highest(row.scale)


def _could_worsen(row: Response) -> bool:
    return row.baseline is not None and row.baseline > 0


def _all(_: Response) -> bool:
    return True


def _walked(row: Response) -> bool:
    return row.scale is not None and row.baseline is not None and walks(row.scale, row.baseline)


def _did_not_walk(row: Response) -> bool:
    return not _walked(row)


# Endpoint, category, name, which of the assessed lesions are its denominator (section 11).
SHARES: tuple[tuple[str, str, str, Test], ...] = (
    (NEUROLOGY, "IMPROVED", "improved, of those with a deficit at baseline", _deficit),
    (NEUROLOGY, "STABLE", "stable", _all),
    (NEUROLOGY, "WORSE", "worse, of those who could worsen", _could_worsen),
    (AMBULATION, "AMBULATORY", "walking", _all),
    (AMBULATION, "AMBULATORY", "walking, of those who walked at baseline", _walked),
    (AMBULATION, "AMBULATORY", "walking, of those who did not at baseline", _did_not_walk),
)
WORST = (1, 2, 3)
OUTSIDE = "not of this denominator"


def function_figures(outcomes: CohortRows) -> Figures:
    """Each share in each window among the lesions assessed there, then the lesions not assessed by reason."""
    for endpoint in (NEUROLOGY, AMBULATION):
        for window in outcomes.study.visits:
            yield from _window(outcomes, endpoint, window.name)


def _window(outcomes: CohortRows, endpoint: str, window: str) -> Figures:
    rows = list(outcomes.responses_of(endpoint, window))
    names: dict[str, Any] = {"endpoint": endpoint, "window": window, "grain": "lesion"}
    assessed = [row for row in rows if row.category != "NE"]
    missing = (*without_reason((row for row in rows if row.category == "NE"), ""), *excluded_rows(outcomes))
    for one, category, name, belongs in SHARES:
        if one == endpoint and assessed:
            found = [row for row in assessed if belongs(row)]
            others = without_reason((row for row in assessed if not belongs(row)), OUTSIDE)
            success = [row.category == category for row in found]
            words = names | {"name": name, "population": "assessable"}
            yield share(found, success, left_out=(*others, *missing), **words)
    yield from counts("not assessed", rows, [row.reason for row in rows], **names)


def flare_figures(outcomes: CohortRows) -> Figures:
    """Pain flare by each definition, among lesions with a baseline that were looked at on its days."""
    for number, rule in enumerate(outcomes.study.flare):
        yield from _flares(outcomes, rule.name if number else None)


def _flares(outcomes: CohortRows, variant: str | None) -> Figures:
    rows = [row for row in outcomes.responses_of("pain-response", FLARE) if row.variant == variant]
    seen = [row for row in rows if row.category != "NE"]
    missing = (*without_reason((row for row in rows if row.category == "NE"), ""), *excluded_rows(outcomes))
    names: dict[str, Any] = {"endpoint": "pain-response", "window": FLARE, "grain": "lesion"}
    names["variant"] = variant
    name = f"pain flare ({variant})" if variant else "pain flare"
    success = [row.category == "FLARE" for row in seen]
    yield share(seen, success, left_out=missing, name=name, population="assessable", **names)
    yield from counts("not evaluable", rows, [row.reason for row in rows], **names)


def toxicity_figures(outcomes: CohortRows) -> Figures:
    """
    Patients with a toxicity of at least each grade, acute and late; then the patients by term.

    The denominator is all patients: one without a record counts as free of it, since adverse events are
    recorded, their absence is not. Where no patient has one, that says that nobody records them: the shares
    are then not estimable, `nothing-recorded`.
    """
    everyone = {row.patient: row for row in rows_of(outcomes, "follow-up")}
    for period in (ACUTE, LATE):
        names: dict[str, Any] = {"endpoint": "toxicity", "window": period, "grain": "patient"}
        found = [row for row in outcomes.responses_of("toxicity", period) if row.patient in everyone]
        for grade in WORST:
            worst = _worst(row for row in found if row.value is not None and row.value >= grade)
            told = [worst.get(patient, row) for patient, row in sorted(everyone.items())]
            success = [row.patient in worst for row in told]
            hurt = share(told, success, name=f"grade {grade} or worse", population="all", **names)
            yield if_recorded("toxicity", outcomes, hurt)
        yield from _terms(found, everyone, names)


def _worst(rows: Iterable[Response]) -> dict[str, Response]:
    """The row of the highest grade of each patient."""
    ordered = sorted(rows, key=lambda row: (row.value or 0, row.term or ""))
    return {row.patient: row for row in ordered}


def _terms(found: list[Response], everyone: dict[str, TimeToEvent], names: dict[str, Any]) -> Figures:
    """The patients of each term at its worst grade."""
    terms = sorted({(row.term or "unknown", row.category.lower()) for row in found})
    for term, grade in terms:
        mine = {
            row.patient: row
            for row in found
            if (row.term or "unknown", row.category.lower()) == (term, grade)
        }
        told = [mine.get(patient, row) for patient, row in sorted(everyone.items())]
        said = [f"{term}, {grade}" if row.patient in mine else None for row in told]
        yield from counts("worst of term", told, said, **names)
