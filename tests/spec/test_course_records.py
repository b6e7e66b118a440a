"""Courses: which records become a lesion, at which levels, with which dose (fhir-mapping.md 1 to 3, 6, 7).

Rows: what arrives -> the lesions as `levels dose x fractions technique`, with `day` if not 5 March 2024, and
what is said. Course c treated volume v, a PTV at T8, with 16 Gy in one fraction on 5 March 2024 unless said
otherwise. `?` is what cannot be known.
"""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.endpoints import derive, load_study
from fhir_srs.mapping.doses import read_dose
from fhir_srs.model import Lesion, Mapped, Status
from fhir_srs.r4 import Quantity
from tests.spec.records import loinc, record
from tests.unit.mapping_given import (
    CODEX,
    L2,
    MCODE,
    T8,
    Json,
    cgy,
    concept,
    course,
    dose,
    patient,
    procedure,
    sessions,
    surgical,
    technique,
    volume,
)

PROFILE = load_profile("mcode")
CPT = "http://www.ama-assn.org/go/cpt"
REQUESTED = "http://hl7.org/fhir/us/mcode/CodeSystem/snomed-requested-cs"
ONKO = (
    "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem/mii-cs-onko-strahlentherapie-"
)
AT_T8 = {"bodySite": [concept(T8)]}
ON = {"performedPeriod": {"start": "2024-03-05", "end": "2024-03-05"}}
SIXTEEN = dose("v", cgy(1600))
V = volume("v")
Row = tuple[list[Json], list[str], set[str]]


def claims(profile: str) -> Json:
    return {"meta": {"profile": [profile]}}


def phase(id_: str = "f", *extensions: Json, **more: Any) -> Json:
    return procedure(id_, concept("1222565005"), *extensions, partOf=[{"reference": "Procedure/c"}], **more)


def official(value: str) -> Json:
    return {"identifier": [{"use": "official", "system": "urn:course", "value": value}]}


def days(start: str | None, end: str | None = None) -> Json:
    period = {name: day for name, day in (("start", start), ("end", end)) if day}
    return {"performedPeriod": period}


def bill(id_: str, day: str, code: str = "77373", **more: Any) -> Json:
    return procedure(id_, concept(code, CPT), **days(day, day), **more)


def omop(code: str) -> Json:
    coding = {"system": "http://fhir.ohdsi.org/CodeSystem/concepts", "code": code}
    told = technique()
    told["extension"][0]["valueCodeableConcept"]["coding"].append(coding)
    return told


def inner(reference: str, dose_cgy: int = 1600) -> Json:
    """The entry of a dose list whose volume is contained in the course."""
    parts = dose("v", cgy(dose_cgy))["extension"]
    parts[0]["valueReference"]["reference"] = reference
    return {"extension": parts}


def again(said: bool) -> Json:
    return {"url": CODEX + "codexrt-radiotherapy-course-involves-reirradiation", "valueBoolean": said}


def fractions_of_phase(number: int) -> Json:
    return {"url": CODEX + "codexrt-radiotherapy-fractions-delivered", "valueUnsignedInt": number}


# Which Procedures are courses
COURSES: dict[str, Row] = {
    "mCODE STU3 and later, CodeX 2.0.0": ([V, course("c", SIXTEEN)], ["T8 16 x1 SRS"], set()),
    "mCODE STU2, CodeX 1.0.0: the requested code": (
        [V, procedure("c", concept("USCRS-33529", REQUESTED), SIXTEEN)], ["T8 16 x1 SRS"], set()),
    "the requested system with a plain SNOMED id": (
        [V, procedure("c", concept("1217123003", REQUESTED), SIXTEEN)], ["T8 16 x1 SRS"],
        {"code-system-misspelt"}),
    "mCODE STU1: the modality, a day, no dose": (
        [procedure("c", concept("448385000"), performedPeriod=None, performedDateTime="2024-03-05", **AT_T8)],
        ["T8 ? x? ?"], {"dose-missing", "fractions-missing", "identifier-missing", "technique-unknown"}),
    "a local code that claims the FHIR profile, in whatever version": (
        [V, procedure("c", concept("XRT", "urn:local"), SIXTEEN,
                      **claims(MCODE + "mcode-radiotherapy-course-summary|4.0.0"))], ["T8 16 x1 SRS"], set()),
    "radiotherapy in general, with the dose extension": (
        [V, procedure("c", concept("33195004"), SIXTEEN)], ["T8 16 x1 SRS"], set()),
    "radiotherapy in general, without it": ([procedure("c", concept("33195004"), **AT_T8)], [], set()),
    "radiosurgery coded as an operation, without a dose": (
        [surgical("c")], ["T8 ? x? SRS"], {"dose-missing", "fractions-missing", "identifier-missing"}),
    "a stereotactic application type of the German oncology module": (
        [procedure("c", {"text": "Bestrahlung"},
                   {"url": "x", "valueCodeableConcept": concept("P-ST", ONKO + "applikationsart")}, **AT_T8)],
        ["T8 ? x? SBRT"],
        {"dose-missing", "fractions-missing", "identifier-missing"}),
    "radiosurgery of the brain": ([surgical("c", code="429584001", site=None)], [], set()),
    "stereotactic navigation": ([surgical("c", code="171809001")], [], set()),
    "a phase alone": (
        [V, phase("c", SIXTEEN)], ["T8 16 x1 SRS"], {"course-from-phases", "fractions-from-phases"}),
    "a plan or a fraction alone": ([V, procedure("c", concept("1255724003"), SIXTEEN)], [], set()),
    "billed deliveries at one level, days apart": (
        [bill("cde"[n], day, **AT_T8) for n, day in enumerate(("2024-03-05", "2024-03-07", "2024-03-09"))],
        ["T8 ? x3 SBRT"], {"dose-missing", "fractions-from-procedures", "identifier-missing"}),
    "a bill for the whole course: no fraction is counted": (
        [bill("c", "2024-03-05", "77435", **AT_T8)], ["T8 ? x? SBRT"],
        {"dose-missing", "fractions-missing", "identifier-missing"}),
    "a bill without a level": ([bill("c", "2024-03-05")], [], {"not used: site-missing"}),
    "a bill of the brain": ([bill("c", "2024-03-05", "77371", **AT_T8)], [], set()),
    "everything in a note": (
        [course("c", note=[{"text": "T8, 16 Gy x 1"}])], [], {"not used: document-only"}),
    "everything in a report": (
        [course("c", report=[{"reference": "DiagnosticReport/r"}])], [], {"not used: document-only"}),
    "no dose, only a note": (
        [course("c", **AT_T8, note=[{"text": "16 Gy x 1"}])], ["T8 ? x? ?"],
        {"dose-missing", "fractions-missing", "identifier-missing", "technique-unknown"}),
}  # fmt: skip

# Whether it is radiosurgery
TECHNIQUES: dict[str, Row] = {
    "one fraction of 10 Gy": ([V, course("c", dose("v", cgy(1000)))], ["T8 10 x1 SRS"], set()),
    "one fraction of 8 Gy": ([V, course("c", dose("v", cgy(800)))], ["T8 8 x1 other"], set()),
    "five fractions of 6 Gy": ([V, course("c", dose("v", cgy(3000), 5))], ["T8 30 x5 SBRT"], set()),
    "20 Gy in five": ([V, course("c", dose("v", cgy(2000), 5))], ["T8 20 x5 other"], set()),
    "30 Gy in ten": ([V, course("c", dose("v", cgy(3000), 10))], ["T8 30 x10 other"], set()),
    "20 Gy in five, called SBRT": (
        [V, course("c", dose("v", cgy(2000), 5), technique("Spine SBRT"))], ["T8 20 x5 SBRT"],
        {"technique-conflict"}),
    "20 Gy in five, as OMOP codes SBRT": (
        [V, course("c", dose("v", cgy(2000), 5), omop("4215577"))], ["T8 20 x5 SBRT"],
        {"technique-conflict"}),
    "16 Gy in one, in two dimensions": (
        [V, course("c", SIXTEEN, technique(code="1156526006"))], ["T8 16 x1 SRS"], {"technique-conflict"}),
    "no dose, called CyberKnife": (
        [V, course("c", dose("v", None, None), technique("CyberKnife"))], ["T8 ? x? SRS"],
        {"dose-missing", "fractions-missing"}),
    "neither dose nor name": (
        [V, course("c", dose("v", None, None))], ["T8 ? x? ?"],
        {"dose-missing", "fractions-missing", "technique-unknown"}),
}  # fmt: skip

# Targets, dose and fractions
TARGETS: dict[str, Row] = {
    "an organ at risk in the dose list": (
        [V, volume("o", "2748008", "OAR"), course("c", dose("o", cgy(1200)), SIXTEEN)], ["T8 16 x1 SRS"],
        set()),
    "a boost inside: the highest total of the best role, never a sum": (
        [V, volume("b", T8), course("c", SIXTEEN, dose("b", cgy(1800)))], ["T8 18 x1 SRS"],
        {"volumes-nested"}),
    "a GTV inside a PTV: the PTV's": (
        [V, volume("g", T8, "GTV"), course("c", SIXTEEN, dose("g", cgy(2000)))], ["T8 16 x1 SRS"],
        {"volumes-nested"}),
    "two levels apart are two lesions": (
        [V, volume("w", L2), course("c", SIXTEEN, dose("w", cgy(1800)))], ["T8 16 x1 SRS", "L2 18 x1 SRS"],
        set()),
    "a volume without a role": (
        [volume("v", role=None), course("c", SIXTEEN)], ["T8 16 x1 SRS"], {"volume-role-unknown"}),
    "a volume of two roles": (
        [volume("v", morphology={"coding": [{"system": "http://snomed.info/sct", "code": one}
                                            for one in ("228793007", "228791009")]}), course("c", SIXTEEN)],
        ["T8 16 x1 SRS"], {"volume-role-unknown"}),
    "the vertebral column by ICD-O-3": (
        [volume("v", None) | {"location": concept("C41.2", "http://terminology.hl7.org/CodeSystem/icd-o-3")},
         course("c", SIXTEEN)], ["? 16 x1 SRS"], {"level-unknown"}),
    "another place": ([volume("v", "76752008"), course("c", SIXTEEN)], [], {"not used: site-not-spinal"}),
    "no place at all": ([course("c", dose(None, cgy(1600)))], [], {"not used: site-missing"}),
    "a dose without a volume: where the course was given": (
        [course("c", dose(None, cgy(1600)), **AT_T8)], ["T8 16 x1 SRS"],
        {"identifier-missing", "volume-missing"}),
    "a volume inside the course itself": (
        [course("c", dose("v", cgy(1600)) | inner("#v"), contained=[V])], ["T8 16 x1 SRS"], set()),
    "an organ inside the course itself": (
        [V, course("c", SIXTEEN, dose("o", cgy(900)) | inner("#o", 900),
                   contained=[volume("o", "2748008", "OAR")])], ["T8 16 x1 SRS"], set()),
    "a target named inside the course, without a dose": (
        [surgical("c", site=None, contained=[V], bodySite=[{"text": "spine", "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/bodySite", "valueReference": {"reference": "#v"}}
        ]}])], ["T8 ? x? SRS"], {"dose-missing", "fractions-missing"}),
    "a volume that is not there": (
        [course("c", dose("gone", cgy(1600)), **AT_T8)], ["T8 16 x1 SRS"],
        {"identifier-missing", "reference-unresolved", "volume-missing"}),
    "sessions stand in for the fractions of one target": (
        [V, course("c", dose("v", cgy(2700), None), sessions(3))], ["T8 27 x3 SBRT"],
        {"fractions-from-sessions"}),
    "but never replace them": (
        [V, course("c", dose("v", cgy(2700), 3), sessions(9))], ["T8 27 x3 SBRT"], set()),
    "25.0 fractions": ([V, course("c", dose("v", cgy(5000), 25.0))], ["T8 50 x25 other"], set()),
    "8.5 fractions": (
        [V, course("c", dose("v", cgy(2400), 8.5))], ["T8 24 x? ?"],
        {"fractions-missing", "fractions-not-integer", "technique-unknown"}),
    "phases repeat the dose of their course": (
        [V, course("c", dose("v", cgy(2400), 2)), phase("f", dose("v", cgy(2400), 2))], ["T8 24 x2 SBRT"],
        set()),
    "phases fill what their course does not say": (
        [V, course("c"), phase("f", dose("v", cgy(1200))), phase("g", dose("v", cgy(1200), None),
                                                                 fractions_of_phase(1))],
        ["T8 24 x2 SBRT"], {"fractions-from-phases"}),
    "a phase that disagrees": (
        [V, course("c", dose("v", cgy(2400), 2)), phase("f", dose("v", cgy(2200), 2))], ["T8 24 x2 SBRT"],
        {"dose-conflict"}),
    "a dose planned, not delivered": (
        [V, {"resourceType": "ServiceRequest", "id": "c", "extension": [SIXTEEN]}], [], set()),
}  # fmt: skip

# Status, days, copies
STATES: dict[str, Row] = {
    "stopped": ([V, course("c", SIXTEEN, status="stopped")], ["T8 16 x1 SRS"], set()),
    "not done": ([V, course("c", SIXTEEN, status="not-done")], [], {"not used: course-not-delivered"}),
    "0 fractions": ([V, course("c", dose("v", cgy(1600), 0))], [], {"not used: course-not-delivered"}),
    "in progress": (
        [V, course("c", SIXTEEN, status="in-progress", **days("2024-03-05"))], ["T8 16 x1 SRS provisional"],
        {"course-in-progress"}),
    "in progress, with an end": (
        [V, course("c", SIXTEEN, status="in-progress")], ["T8 16 x1 SRS"], {"status-conflicts-with-dates"}),
    "a status outside R4's list, with dose and end": (
        [V, course("c", SIXTEEN, status="final")], ["T8 16 x1 SRS"], {"status-unclear"}),
    "unknown, without an end": (
        [V, course("c", SIXTEEN, status="unknown", **days("2024-03-05"))], [], {"not used: status-unclear"}),
    "in error": (
        [V, course("c", SIXTEEN, status="entered-in-error")], [], {"not used: status-entered-in-error"}),
    "a modifier that nobody knows": (
        [V, course("c", SIXTEEN, modifierExtension=[{"url": "urn:not", "valueBoolean": True}])], [],
        {"not used: modifier-extension-unknown"}),
    "a month": (
        [V, course("c", SIXTEEN, **days("2024-03", "2024-03"))], ["T8 16 x1 SRS 2024-03"], {"date-partial"}),
    "no date": ([V, course("c", SIXTEEN, performedPeriod=None)], ["T8 16 x1 SRS -"], {"date-missing"}),
    "three fractions, of which nobody says when they ended": (
        [V, course("c", dose("v", cgy(2700), 3), **days("2024-03-05"))], ["T8 27 x3 SBRT"], {"date-missing"}),
    "one fraction needs no end": ([V, course("c", SIXTEEN, **days("2024-03-05"))], ["T8 16 x1 SRS"], set()),
    "30 February": (
        [V, course("c", SIXTEEN, **days("2024-02-30", "2024-02-30"))], ["T8 16 x1 SRS -"],
        {"date-not-valid"}),
    "the end before the start": (
        [V, course("c", SIXTEEN, **days("2024-03-05", "2024-03-01"))], ["T8 16 x1 SRS -"],
        {"date-implausible"}),
    "a snapshot and the summary of one course": (
        [V, course("c", SIXTEEN, **official("1")),
         course("d", dose("v", cgy(800)), status="in-progress", **official("1"))], ["T8 16 x1 SRS"], set()),
    "a summary and a coded procedure on one day": (
        [V, course("c", SIXTEEN), surgical("d")], ["T8 16 x1 SRS"], set()),
    "one label in two courses: the second is a retreatment": (
        [volume("v", label="T8"), volume("w", label="T8"), course("c", SIXTEEN),
         course("d", dose("w", cgy(1600)), **days("2024-09-05", "2024-09-05"))],
        ["T8 16 x1 SRS", "T8 16 x1 SRS again 2024-09-05"], set()),
    "a retreatment that says so": (
        [V, volume("w"), course("c", SIXTEEN, again(True), **days("2024-09-05", "2024-09-05")),
         course("d", dose("w", cgy(1600)))],
        ["T8 16 x1 SRS", "T8 16 x1 SRS again said 2024-09-05"], set()),
    "a retreatment of what is not here": (
        [V, course("c", SIXTEEN, again(True))], ["T8 16 x1 SRS said"], {"reference-unresolved"}),
    "a retreatment that denies it": (
        [V, volume("w"), course("c", SIXTEEN, again(False), **days("2024-09-05", "2024-09-05")),
         course("d", dose("w", cgy(1600)))],
        ["T8 16 x1 SRS", "T8 16 x1 SRS again denied 2024-09-05"], {"fields-contradict"}),
    "a first treatment that says so": (
        [V, course("c", SIXTEEN, again(False))], ["T8 16 x1 SRS denied"], set()),
    "a retreatment of one of two targets": (
        [V, volume("w"), volume("l", "66794005"), course("d", dose("w", cgy(1600))),
         course("c", SIXTEEN, dose("l", cgy(1800)), again(True), **days("2024-09-05", "2024-09-05"))],
        ["T8 16 x1 SRS", "T8 16 x1 SRS again said 2024-09-05", "L1 18 x1 SRS said 2024-09-05"], set()),
}  # fmt: skip


def lesions_of(found: Mapped) -> list[str]:
    return [_text(one) for one in found.lesions]


def _text(one: Lesion) -> str:
    day = one.start.text if one.start else "-"
    parts = [
        "-".join(one.levels) or one.region or "?",
        "?" if one.dose_gy is None else f"{one.dose_gy:f}",
        f"x{'?' if one.fractions is None else one.fractions}",
        one.technique or "?",
        *["again"] * (one.reirradiation_of is not None),
        *([] if one.reirradiation is None else ["said" if one.reirradiation else "denied"]),
        *["provisional"] * one.provisional,
        *[day] * (day != "2024-03-05"),
    ]
    return " ".join(parts)


def about_c(found: Mapped) -> set[str]:
    mine = [one for one in found.issues if one.resource == "Procedure/c"]
    return {one.reason if one.used else f"not used: {one.reason}" for one in mine}


ALL = {
    f"{title}: {name}": row
    for title, table in (
        ("course", COURSES), ("technique", TECHNIQUES), ("target", TARGETS), ("state", STATES)
    )
    for name, row in table.items()
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_course(name: str) -> None:
    arrives, lesions, reasons = ALL[name]
    found = map_resources([patient(), *arrives], profile=PROFILE)
    counts = found.counts
    assert (lesions_of(found), about_c(found)) == (lesions, reasons)
    assert counts.read == counts.used + counts.ignored + counts.refused


@pytest.mark.parametrize(
    ("arrives", "evidence"),
    [
        (course("c", SIXTEEN), ("dose",)),
        (course("c", dose("v", cgy(800))), ()),
        (course("c", dose("v", cgy(800)), technique("Spine SBRT")), ("text",)),
        (surgical("c", SIXTEEN, technique("CyberKnife")), ("code", "text", "dose")),
        (surgical("c"), ("code",)),
    ],
)
def test_what_made_it_radiosurgery_is_recorded(arrives: Json, evidence: tuple[str, ...]) -> None:
    (one,) = map_resources([patient(), V, arrives], profile=PROFILE).lesions
    assert one.evidence == evidence
    assert (one.technique in ("SRS", "SBRT")) == bool(evidence)


# A volume's code and label -> its levels or region, and what is said. The code is SNOMED's, or TG-263's name.
LEVELS: dict[str, tuple[str | None, str | None, str, set[str]]] = {
    "a code": ("77435000", None, "T8", set()),
    "the code of the other set": ("11068009", None, "T8", set()),
    "a TG-263 name": ("VB_T08", None, "T8", set()),
    "a label": (None, "PTV_T8", "T8", {"level-from-text"}),
    "a label with a dose": (None, "PTV_2400_VB_L2", "L2", {"level-from-text"}),
    "German D8": (None, "D8", "T8", {"level-from-text"}),
    "a side": (None, "T8_L", "T8", {"level-from-text"}),
    "a range": (None, "T8-T10", "T8-T9-T10", {"level-from-text"}),
    "a range, short": (None, "T8-10", "T8-T9-T10", {"level-from-text"}),
    "a range with an underscore": (None, "PTV_T08_T10", "T8-T9-T10", {"level-from-text"}),
    "a range written upwards": (None, "T10-T8", "T8-T9-T10", {"level-from-text"}),
    "a range in one word": (None, "PTV1_T8T10", "T8-T9-T10", {"level-from-text"}),
    "a course and a stage, no range": (None, "C1T2", "no lesion", {"not used: site-missing"}),
    "across a junction in one word": (None, "T12L1", "T12-L1", {"level-from-text"}),
    "across a junction": (None, "L5-S1", "L5-S1", {"level-from-text"}),
    "with a slash": (None, "C7/T1", "C7-T1", {"level-from-text"}),
    "a list": (None, "T8, T10", "T8-T10", {"level-from-text", "levels-not-contiguous"}),
    "a label range that contains the coded level": (T8, "T8-T10", "T8-T9-T10", {"level-from-text"}),
    "a label that contradicts the code": (T8, "T10", "?", {"level-ambiguous"}),
    "a label outside the coded region": ("122496007", "T8", "lumbar", {"level-ambiguous"}),
    "a vertebra that does not exist": (None, "T13", "?", {"level-ambiguous"}),
    "a range that cannot be": (None, "T8-6", "?", {"level-ambiguous"}),
    "a region": ("122495006", None, "thoracic", {"level-unknown"}),
    "the spine": ("421060004", None, "?", {"level-unknown"}),
    "the thirteenth thoracic vertebra": ("1186895000", None, "thoracic", {"level-ambiguous"}),
    "a stage": (None, "T2 N1 M0", "no lesion", {"not used: site-missing"}),
    "a lymph node level": (None, "LN_Neck_VB_L", "no lesion", {"not used: site-not-spinal"}),
    "the cord": ("2748008", None, "no lesion", {"not used: site-not-spinal"}),
    "another bone in words": (None, "Femur_L", "no lesion", {"not used: site-not-spinal"}),
}


def _coded(code: str) -> Json:
    tg263 = MCODE.replace("StructureDefinition/", "CodeSystem/tg263-cs")
    return concept(code, tg263) if code.startswith("VB") else concept(code)


@pytest.mark.parametrize("name", LEVELS)
def test_the_levels_of_a_volume(name: str) -> None:
    code, label, expected, reasons = LEVELS[name]
    treated = volume("v", None, label=label) | ({"location": _coded(code)} if code else {})
    found = map_resources([patient(), treated, course("c", SIXTEEN)], profile=PROFILE)
    places = ["-".join(one.levels) or one.region or "?" for one in found.lesions]
    assert ("no lesion" if not places else places[0], about_c(found)) == (expected, reasons)


# A dose of one volume in three fractions -> Gy, and what is said.
DOSES: dict[str, tuple[Json, str, str]] = {
    "UCUM": ({"value": "2400", "code": "cGy", "system": "ucum"}, "24", ""),
    "its digits are kept": ({"value": "24.50", "code": "Gy", "system": "ucum"}, "24.50", ""),
    "another case": ({"value": "2400", "unit": "cGY"}, "24", "dose-unit-uncoded"),
    "unit text only": ({"value": "24", "unit": "Gy"}, "24", "dose-unit-uncoded"),
    "no unit, 1 to 30 Gy a fraction in one of them": ({"value": "2400"}, "24", "dose-unit-missing"),
    "no unit, and both or neither fit": ({"value": "200"}, "?", "dose-unit-missing"),
    "more than 200 Gy": ({"value": "2400", "code": "Gy", "system": "ucum"}, "24", "dose-unit-implausible"),
    "less than 100 cGy": ({"value": "24", "code": "cGy", "system": "ucum"}, "?", "dose-unit-implausible"),
    "rad": ({"value": "2400", "unit": "rad"}, "?", "dose-unit-not-recognised"),
    "EQD2, whatever the code": (
        {"value": "60", "unit": "EQD2Gy(a/b=2.5)", "code": "Gy", "system": "ucum"}, "?",
        "dose-unit-not-recognised"),
    "RBE-weighted": ({"value": "24", "unit": "Gy(RBE)"}, "?", "dose-unit-not-recognised"),
    "outside 1 to 100 Gy": ({"value": "0.5", "code": "Gy", "system": "ucum"}, "?", "dose-implausible"),
    "more than": ({"value": "24", "unit": "Gy", "comparator": ">"}, "?", "value-not-usable"),
    "in quotes": ({"value": '"24"', "unit": "Gy"}, "?", "dose-missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOSES)
def test_a_dose_in_gray(name: str) -> None:
    arrives, gray, reason = DOSES[name]
    elements = {key: text if text != "ucum" else "http://unitsofmeasure.org" for key, text in arrives.items()}
    raw = msgspec.Raw(elements.pop("value").encode())
    found = read_dose(Quantity(value=raw, **elements), 3)
    assert found.reasons == tuple(filter(None, [reason]))
    assert found.gy == (None if gray == "?" else Decimal(gray))


AGAIN = [
    volume("w"),
    course("c", SIXTEEN),
    course("d", dose("w", cgy(1600)), **days("2024-09-05", "2024-09-05"), reasonCode=[concept("22253000")]),
]


def test_a_retreatment_that_says_why_is_an_event_of_the_earlier_lesion() -> None:
    found = map_resources([patient(), V, *AGAIN], profile=PROFILE)
    first, second = found.lesions
    (one,) = [each for each in found.events if each.kind == "retreatment"]
    assert (one.lesion_id, one.on, one.flags) == (first.lesion_id, second.start, ("for-pain",))
    assert (one.link, one.source, second.reirradiation_of) == (
        "body-site-level", "Procedure/d", first.lesion_id,
    )  # fmt: skip


def test_a_retreatment_for_pain_is_a_relapse_and_its_reason_is_known() -> None:
    """The way to the endpoints: `retreatment-reason-unknown` is said only where nothing says it."""
    scores = [
        record(
            "Observation",
            f"s{n}",
            status="final",
            code=loinc("72514-3"),
            effectiveDateTime=day,
            valueInteger=value,
        )
        for n, (day, value) in enumerate((("2024-03-01", 7), ("2024-04-05", 1), ("2024-06-05", 1)))
    ]
    plain = [one | {"reasonCode": []} if one["id"] == "d" else one for one in AGAIN]
    flags = []
    for arrives in (AGAIN, plain):
        found = map_resources([patient(), V, *arrives, *scores], profile=PROFILE)
        times = derive(found, study=load_study("icpre2012"), data_cutoff=date(2025, 1, 1)).times
        (row,) = [
            one
            for one in times
            if one.endpoint == "retreatment" and one.lesion_id == found.lesions[0].lesion_id
        ]
        assert (row.until, row.status) == (date(2024, 9, 5), Status.EVENT)
        flags.append("retreatment-reason-unknown" in row.flags)
    assert flags == [False, True]
