"""Estimates as Observations on the cohort's Group: value, interval, denominators (`fhir-mapping.md` 9)."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from fhir_srs.model import Estimate, EstimateStatus
from fhir_srs.results.frame import Content, Frame
from fhir_srs.results.resources import cohort_id, result_id
from fhir_srs.results.target import Unit
from fhir_srs.results.terms import Terms, quantity

# A figure is written to six decimals: enough for print, and no rounding of another machine rewrites it.
PLACES = 6

# Component -> field of the Estimate; counts, written as plain numbers.
COUNTS: Mapping[str, str] = MappingProxyType(
    {
        "n": "n",
        "clusters": "clusters",
        "events": "events",
        "competing": "competing",
        "at-risk": "at_risk",
        "numerator": "numerator",
        "denominator": "denominator",
    }
)


def figure(frame: Frame, estimate: Estimate) -> Unit | None:
    """
    The Observation of one figure, `preliminary` while the cohort is open; None for one of no endpoint.

    Shares and probabilities have unit 1, times are days.
    """
    if estimate.endpoint is None:
        return None
    terms = frame.terms
    content: Content = {
        "status": "preliminary",
        **_value(terms, estimate),
        "method": {"text": f"{frame.study.name} {frame.study.version}: {estimate.method}"},
        "component": _parts(terms, estimate),
    }
    links = {"subject": {"reference": f"Group/{cohort_id(frame.study, estimate.group)}"}}
    return frame.unit(_identity(frame, estimate), estimate.endpoint, "srs-cohort-figure", links, content, ())


def _identity(frame: Frame, estimate: Estimate) -> str:
    """`decisions.md` 2; what tells two figures of one cohort apart is part of the group key."""
    key = "\x1e".join((estimate.group or "", estimate.population or "", estimate.grain or "", estimate.name))
    study = frame.study
    return result_id(
        study.name,
        study.version,
        "cohort",
        key,
        estimate.endpoint,
        estimate.variant,
        estimate.window,
        estimate.time_days,
    )


def _value(terms: Terms, estimate: Estimate) -> Content:
    if estimate.value is None:
        return {"dataAbsentReason": terms.absent(_absence(estimate.status))}
    return _number(estimate, estimate.value)


def _number(estimate: Estimate, value: float) -> Content:
    is_share = estimate.numerator is not None or estimate.time_days is not None
    unit = ("1", "1") if is_share else ("days", "d")
    digits = f"{round(Decimal(repr(value)), PLACES):f}"
    return quantity(Decimal(digits.rstrip("0").rstrip(".") if "." in digits else digits), *unit)


def _absence(status: EstimateStatus | None) -> str:
    return "not-reached" if status == "not-reached" else "not-estimable"


def _parts(terms: Terms, estimate: Estimate) -> list[Content]:
    counts = {part: getattr(estimate, name) for part, name in COUNTS.items()}
    texts = {"label": estimate.name, "population": estimate.population}
    return [
        *_limit(terms, estimate, "low", estimate.low, estimate.low_status),
        *_limit(terms, estimate, "high", estimate.high, estimate.high_status),
        terms.part("level", quantity(Decimal(repr(estimate.level)), "1", "1")),
        *(terms.part(name, {"valueInteger": value}) for name, value in counts.items() if value is not None),
        *(
            []
            if estimate.time_days is None
            else [terms.part("day", quantity(estimate.time_days, "days", "d"))]
        ),
        *terms.texts(texts | {"window": estimate.window, "variant": estimate.variant}),
    ]


def _limit(
    terms: Terms, estimate: Estimate, name: str, value: float | None, status: EstimateStatus | None
) -> list[Content]:
    """The limit, or why there is none; nothing for a figure that has no interval by nature."""
    if value is not None:
        return [terms.part(name, _number(estimate, value))]
    if status is None:
        return []
    return [terms.part(name, {"dataAbsentReason": terms.absent(_absence(status))})]
