"""Pain response as shares of lesions: each window, reading and population; who is not evaluable, and why."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fhir_srs.endpoints import Outcomes, Study
from fhir_srs.endpoints.criteria import BEST_FIRST, POINT_DROPS
from fhir_srs.endpoints.flare import WINDOW as FLARE
from fhir_srs.endpoints.response import RESPONDER
from fhir_srs.estimates.figures import Figures, counts, share
from fhir_srs.estimates.grounds import Counted, excluded_rows, without_reason
from fhir_srs.estimates.rows import CohortRows
from fhir_srs.model import LeftOut, Response

BEST = "best"
# Why a lesion might have been left out, and was not: counted, so that a reader can judge (section 16).
KEPT = ("dose-outside-study", "eligibility-unknown")
# A score was taken in the window, but no category could be given.
SCORED = frozenset({"omed-unknown", "omed-evidence-mismatch", "flare-window-only"})


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


def response_figures(outcomes: CohortRows) -> Figures:
    """Every window and reading in its three populations, then the lesions without a category by reason."""
    # A lesion has every reading in every window, so those of one window are those of all.
    variants = list(dict.fromkeys(row.variant for row in _pains(outcomes, BEST))) or [None]
    for window in (BEST, *(one.name for one in outcomes.study.visits)):
        for variant in variants:
            yield from _reading(outcomes, window, variant)
    yield from _plain(outcomes)
    yield from _low_baselines(outcomes)
    yield from _not_evaluable(outcomes)


def _reading(outcomes: CohortRows, window: str, variant: str | None) -> Figures:
    """One window by one reading, in each population."""
    rows, excluded = [*_judged(outcomes, window, variant)], excluded_rows(outcomes)
    for population, belongs in POPULATIONS:
        found = [row for row in rows if belongs(row)]
        others = without_reason((row for row in rows if not belongs(row)), "")
        groups = response_groups(outcomes.study, variant, population)
        words: dict[str, Any] = {"population": population, "window": window, "variant": variant}
        yield from _shares(found, groups, left_out=(*others, *excluded), **words)


def _pains(outcomes: CohortRows, window: str) -> Iterator[Response]:
    return outcomes.responses_of("pain-response", window)


def _judged(outcomes: CohortRows, window: str, variant: str | None) -> Iterator[Response]:
    return (row for row in _pains(outcomes, window) if row.variant == variant)


def best_rows(outcomes: CohortRows) -> list[Response]:
    """The best class of each lesion, by the study's own reading."""
    return [*_judged(outcomes, BEST, None)]


def pain_rows(outcomes: Outcomes) -> list[Response]:
    """The pain responses, without what else is judged in windows."""
    return [row for row in outcomes.responses if row.endpoint == "pain-response" and row.window != FLARE]


def _plain(outcomes: CohortRows) -> Figures:
    """The best class with the interval that papers quote: Clopper-Pearson, lesions as if independent."""
    rows = [row for row in best_rows(outcomes) if is_assessable(row)]
    for category in BEST_FIRST[outcomes.study.rule]:
        yield share(
            rows,
            [row.category == category for row in rows],
            method="clopper-pearson",
            left_out=_unassessed(outcomes),
            name=f"{category} (lesions as if independent)",
            endpoint="pain-response",
            window=BEST,
            population="assessable",
            grain="lesion",
        )


def _unassessed(outcomes: CohortRows) -> tuple[LeftOut, ...]:
    missing = (row for row in best_rows(outcomes) if not is_assessable(row))
    return (*without_reason(missing, ""), *excluded_rows(outcomes))


def _not_evaluable(outcomes: CohortRows) -> Figures:
    """The lesions that the study does not take, and those without a best class, by reason."""
    rows = best_rows(outcomes)
    names = {"endpoint": "pain-response", "window": BEST, "grain": "lesion"}
    lesions: list[Counted] = [*rows, *excluded_rows(outcomes)]
    reasons = [*(None for _ in rows), *(one.reason for one in outcomes.excluded)]
    yield from counts("not eligible", lesions, reasons, **names)
    yield from counts("not evaluable", rows, [row.reason for row in rows], **names)
    for flag in KEPT:
        yield from counts("kept", rows, [flag if flag in row.flags else None for row in rows], **names)


def response_groups(study: Study, variant: str | None, population: str) -> list[tuple[str, ...]]:
    """The categories counted of one reading, each by itself, then those that are counted together."""
    if variant == RESPONDER:
        return [("RESPONDER",)]
    rule = "icpre" if variant == "icpre" else study.rule
    classes = BEST_FIRST[rule] if population == "assessable" else ("CR", "PR")
    groups: list[tuple[str, ...]] = [*((one,) for one in classes), ("CR", "PR")]
    controlled = rule in POINT_DROPS and population == "assessable"
    return [*groups, ("CR", "PR", "STABLE")] if controlled else groups


def _shares(rows: Sequence[Response], groups: Sequence[tuple[str, ...]], **words: Any) -> Figures:
    """The share of each of *groups* among *rows*; marginal intervals, each its own."""
    for group in groups:
        success = [row.category in group for row in rows]
        yield share(rows, success, name="+".join(group), endpoint="pain-response", grain="lesion", **words)


def _low_baselines(outcomes: CohortRows) -> Figures:
    """How many of a point-drop study started too low for PR: they can only be CR, STABLE or PROG (E13)."""
    if outcomes.study.rule != "threshold":
        return
    assessable = [row for row in best_rows(outcomes) if is_assessable(row) and row.baseline is not None]
    low = [row.baseline is not None and row.baseline < outcomes.study.pain_delta for row in assessable]
    yield share(
        assessable,
        low,
        left_out=_unassessed(outcomes),
        name="baseline below the drop that PR needs",
        endpoint="pain-response",
        window=BEST,
        population="assessable",
        grain="lesion",
    )
