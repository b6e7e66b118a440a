"""How a synthetic patient is written: the choices that real senders differ in, drawn once per patient."""

from dataclasses import dataclass
from random import Random
from typing import Literal

Route = Literal["mcode", "mcode-stu2", "codex", "surgical"]
CodeSet = Literal["A", "B"]
DoseUnit = Literal["cGy", "Gy"]
PainValue = Literal["integer", "quantity", "coded", "text"]
PainCode = Literal["72514-3", "38208-5", "225908003"]
PainLink = Literal["patient", "focus", "volume", "body-site", "part-of", "condition"]
Prescribing = Literal["MedicationRequest", "MedicationStatement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """The spellings to draw from, equally often; one named twice comes twice as often.

    *noise* says whether other treatments, laboratory values, void scores and copies of courses occur;
    *findings* whether the spine and the nerves are examined, else a disease status stands here and there, at
    random; *vitals* is the number of irrelevant Observations added to each patient.
    """

    routes: tuple[Route, ...] = ("mcode", "mcode", "mcode-stu2", "codex", "codex", "surgical", "surgical")
    code_sets: tuple[CodeSet, ...] = ("A", "B")
    dose_units: tuple[DoseUnit, ...] = ("cGy", "Gy")
    pain_values: tuple[PainValue, ...] = ("integer", "quantity", "coded", "text")
    pain_codes: tuple[PainCode, ...] = ("72514-3", "72514-3", "72514-3", "38208-5", "225908003")
    pain_links: tuple[PainLink, ...] = ("patient", "focus", "volume", "body-site", "part-of", "condition")
    prescribing: tuple[Prescribing, ...] = ("MedicationRequest", "MedicationStatement")
    noise: bool = True
    findings: bool = True
    vitals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """One patient's draw: what the one hospital that treated them sends."""

    route: Route
    code_set: int
    dose_unit: DoseUnit
    pain_value: PainValue
    pain_code: PainCode
    pain_link: PainLink
    prescribing: Prescribing
    drug_resources: bool
    mrn_system: str
    clock: str | None


# Record numbers live under an example domain or the arc of OIDs kept for examples (2.999).
_MRN_SYSTEMS = ("http://example.org/mrn", "urn:oid:2.999.2008.35.292")
# None writes plain dates; midnight's neighbours show that the day is the one written (decisions.md 7).
_CLOCKS = (None, "T09:30:00-05:00", "T23:45:00-05:00", "T08:05:00Z", "T14:10:30.500+02:00")


def draw_style(rng: Random, shapes: Shapes) -> Style:
    """One spelling of everything, drawn from *shapes*. Coded answers exist under LOINC 72514-3 alone."""
    pain_value = rng.choice(shapes.pain_values)
    pain_code = rng.choice(shapes.pain_codes)
    return Style(
        route=rng.choice(shapes.routes),
        code_set="AB".index(rng.choice(shapes.code_sets)),
        dose_unit=rng.choice(shapes.dose_units),
        pain_value=pain_value,
        pain_code="72514-3" if pain_value == "coded" else pain_code,
        pain_link=rng.choice(shapes.pain_links),
        prescribing=rng.choice(shapes.prescribing),
        drug_resources=rng.random() < 0.25,
        mrn_system=rng.choice(_MRN_SYSTEMS),
        clock=rng.choice(_CLOCKS),
    )
