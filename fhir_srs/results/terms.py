"""Codes that results are written with: public systems, our own code lists, and the tables between them.

Our own lists are published as CodeSystems in `mappings/fhir/`; a test keeps the two equal. B is the
configured canonical base (`spec/fhir-mapping.md` section 9).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fhir_srs.codes import UCUM

OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
DATA_ABSENT_REASON = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
OBSERVATION_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
PARTICIPANT_TYPE = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
SUPPORTING_INFO = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo"

ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "pain-response": "Pain response",
        "time-to-relief": "Time to pain relief",
        "time-to-relapse": "Time to pain relapse",
        "relief-duration": "Duration of pain relief",
        "pain-control": "Pain control",
        "local-failure": "Local failure on imaging",
        "vertebral-fracture": "Vertebral fracture",
        "neurological-response": "Neurological response",
        "ambulation": "Ambulation",
        "retreatment": "Retreatment of the segment",
        "toxicity": "Toxicity",
        "overall-survival": "Overall survival",
        "follow-up": "Follow-up",
    }
)

CATEGORIES: Mapping[str, str] = MappingProxyType(
    {
        "CR": "Complete response",
        "PR": "Partial response",
        "PP": "Pain progression",
        "IR": "Indeterminate response",
        "STABLE": "Stable",
        "PROG": "Progression of pain",
        "RESPONDER": "Responder, all sites looked at",
        "NON-RESPONDER": "No responder",
        "FLARE": "Pain flare",
        "NO-FLARE": "No pain flare",
        "IMPROVED": "Improved",
        "WORSE": "Worse",
        "AMBULATORY": "Walks",
        "NOT-AMBULATORY": "Does not walk",
        **{f"GRADE-{n}": f"Grade {n}" for n in range(1, 6)},
    }
)

COMPETING: Mapping[str, str] = MappingProxyType(
    {"none": "No competing event", "death": "Death", "retreatment": "Retreatment of the segment"}
)

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "baseline-pain": "Pain at baseline",
        "pain": "Pain",
        "baseline-omed": "Oral morphine equivalent at baseline",
        "omed": "Oral morphine equivalent",
        "omed-table": "Conversion table of oral morphine equivalents",
        "days": "Days from treatment",
        "baseline-grade": "Grade at baseline, 0 the worst of its scale",
        "grade": "Grade, 0 the worst of its scale",
        "scale": "Scale of the grades, or version of the terms",
        "term": "Term of the toxicity",
        "segment": "Vertebral level",
        "rule-arm": "Arm of the response rule that applied",
        "link-rung": "Ground on which scores were linked to the lesion",
        "event-observed": "Whether the event was observed",
        "competing-event": "Competing event",
        "ended-by": "What ended follow-up",
        "free-until": "Last day seen without the event",
        "low": "Lower confidence limit",
        "high": "Upper confidence limit",
        "level": "Confidence level",
        "n": "Rows",
        "clusters": "Patients",
        "events": "Events",
        "competing": "Competing events",
        "at-risk": "At risk",
        "numerator": "Numerator",
        "denominator": "Denominator",
        "day": "Day",
        "population": "Denominator population",
        "label": "Label",
        "variant": "Variant of the endpoint",
        "window": "Visit window",
    }
)

# Reason -> (FHIR R4 data-absent-reason, our display). Section 9's table; reasons that it lacks are the
# endpoints' own for rows left out, "not-applicable" where the endpoint has no meaning for the lesion.
ABSENT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "no-baseline-score": ("not-performed", "No pain score at baseline"),
        "no-score-in-window": ("not-performed", "No pain score in the window"),
        "omed-unknown": ("unknown", "Opioid dose unknown"),
        "omed-evidence-mismatch": ("unknown", "Opioid doses known on unequal evidence"),
        "pain-not-attributable": ("unknown", "Pain not attributable to one lesion"),
        "date-too-coarse": ("unknown", "Date too coarse"),
        "flare-window-only": ("unknown", "Scored in the flare window only"),
        "baseline-below-minimum": ("not-applicable", "Baseline pain below the minimum"),
        "died-before-window": ("not-applicable", "Died before the window"),
        "retreated-before-window": ("not-applicable", "Retreated before the window"),
        "no-assessment-in-window": ("not-performed", "Not assessed in the window"),
        "stabilised-before-treatment": ("not-applicable", "Stabilised before treatment"),
        "late-entry": ("unknown", "First assessed too late"),
        "not-a-responder": ("not-applicable", "No response"),
        "not-index": ("not-applicable", "Not the index lesion"),
        "not-reached": ("not-applicable", "Not reached"),
        "not-estimable": ("unknown", "Not estimable"),
        "left-out": ("unknown", "Left out of this endpoint"),
    }
)

# Those that data of a later date cannot change (status `final`).
SETTLED = frozenset(
    {"no-baseline-score", "baseline-below-minimum", "pain-not-attributable", "late-entry", "not-index"}
)


class Terms:
    """The codes of one canonical base."""

    __slots__ = ("base",)

    def __init__(self, base: str) -> None:
        self.base = base

    def system(self, name: str) -> str:
        """The url of our CodeSystem *name*."""
        return f"{self.base}/CodeSystem/{name}"

    def profile(self, name: str) -> str:
        """The url of our FHIR profile *name*."""
        return f"{self.base}/StructureDefinition/{name}"

    def coding(self, system: str, code: str, display: str | None) -> dict[str, Any]:
        """A coding of our CodeSystem *system*."""
        return coding(self.system(system), code, display)

    def part(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """An Observation.component *name* with *value*, such as `{"valueBoolean": True}`."""
        return {"code": {"coding": [self.coding("component", name, PARTS[name])]}, **value}

    def texts(self, named: Mapping[str, str | None]) -> list[dict[str, Any]]:
        """Components of text; those without one are left out."""
        return [self.part(name, {"valueString": text}) for name, text in named.items() if text]

    def absent(self, reason: str) -> dict[str, Any]:
        """A dataAbsentReason with two codings: FHIR's and ours."""
        general, display = ABSENT.get(reason, ABSENT["left-out"])
        ours = reason if reason in ABSENT else "left-out"
        own = self.coding("absent-reason", ours, display)
        return {"coding": [coding(DATA_ABSENT_REASON, general, None), own], "text": reason}


def coding(system: str, code: str, display: str | None) -> dict[str, Any]:
    """A Coding; no display where None."""
    plain = {"system": system, "code": code}
    return plain if display is None else plain | {"display": display}


def quantity(value: object, unit: str, code: str) -> dict[str, Any]:
    """A UCUM Quantity."""
    return {"valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": code}}


def days(value: object) -> dict[str, Any]:
    """A Quantity of days."""
    return quantity(value, "days", "d")
