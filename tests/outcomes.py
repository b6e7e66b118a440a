"""One lesion, its outcomes and a figure, and the results built of them: for the tests of results."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

from fhir_srs.model import Estimate, Lesion, Patient, Response, Status, TimeToEvent
from fhir_srs.results import ResultTarget, build_results

BASE = "https://results.example.org"
NOW = datetime(2024, 6, 30, 12, 0, 5, tzinfo=UTC)
TARGET = ResultTarget(canonical_base=BASE)

LESION = Lesion(
    lesion_id="lesion-a",
    patient="Patient/p1",
    patient_identifier="http://mrn.example.org|M1",
    course="Procedure/c1",
    target="BodyStructure/b1",
    target_label="PTV",
    levels=("T8",),
    region="thoracic",
    start=None,
    end=None,
    dose_gy=Decimal(16),
    fractions=1,
    technique="SRS",
    modality=None,
    intent=None,
    histology=None,
    reirradiation_of=None,
    cord_compression=None,
    sources=("Procedure/c1/_history/2", "BodyStructure/b1/_history/1"),
    issues=(),
)
PATIENT = Patient(
    patient="Patient/p1", identifier="http://mrn.example.org|M1", key="http://mrn.example.org|M1"
)
RESPONSE = Response(
    study="ryu2008",
    patient="Patient/p1",
    lesion_id="lesion-a",
    window="3-month",
    category="CR",
    arm="cr",
    baseline=Decimal(7),
    value=Decimal("0.0"),
    omed_baseline=Decimal("7.10"),
    omed=Decimal(0),
    assessed_on=date(2024, 5, 1),
    days=88,
    sources=("Observation/17/_history/3", "MedicationRequest/m1/_history/1", "Observation/16"),
    link="body-site-level",
    omed_table="cdc-2022",
)
RELAPSE = TimeToEvent(
    study="ryu2008",
    patient="Patient/p1",
    lesion_id="lesion-a",
    endpoint="relief-duration",
    variant="competing",
    origin=date(2024, 2, 1),
    until=date(2024, 6, 1),
    days=121,
    status=Status.COMPETING,
    cause="death",
    description="death",
    sources=("Patient/p1/_history/4", "Observation/17/_history/3"),
)
FIGURE = Estimate(
    name="CR",
    value=17 / 37,
    low=0.29,
    high=None,
    high_status="not-reached",
    n=37,
    clusters=30,
    numerator=17,
    denominator=37,
    method="korn-graubard",
    study="ryu2008",
    endpoint="pain-response",
    population="assessable",
    window="best",
)


@dataclass(frozen=True)
class Study:
    name: str = "ryu2008"
    version: str = "1"


@dataclass(frozen=True)
class Outcomes:
    responses: list = field(default_factory=list)
    times: list = field(default_factory=list)
    study: Study = Study()
    data_cutoff: date = date(2024, 6, 30)


def build(*rows, table=(), target=TARGET, recorded=NOW, version="1.0", study=Study(), lesions=(LESION,)):
    responses = [row for row in rows if isinstance(row, Response)]
    times = [row for row in rows if isinstance(row, TimeToEvent)]
    outcomes = Outcomes(responses, times, study)
    return build_results(outcomes, lesions, [PATIENT], table, target, version, recorded=recorded)


def observation(*rows, **settings):
    (unit,) = [unit for unit in build(*rows, **settings) if unit.type == "Observation"]
    return unit, json.loads(unit.resource, parse_float=Decimal)


def parts(content):
    found = {}
    for part in content["component"]:
        (name,) = (coding["code"] for coding in part["code"]["coding"])
        (found[name],) = (value for key, value in part.items() if key != "code")
    return found
