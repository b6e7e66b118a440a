"""The data of the benchmarks: a seeded synthetic cohort, dressed as an EHR exports it. One NDJSON a type.

    python -m benchmarks.gen --patients 2000 --seed 1 --out DIR

Lesions and scores are those of `fhir_srs.testing.cohort`, with their truth in truth.csv. Around them stands
what a mapper must read past: versions, narratives, race and ethnicity, vital signs. Same seed, number and
GENERATOR give the same bytes. Nothing is copied from a patient.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from fhir_srs.testing.cohort import PatientRecord, Shapes, TruthRow, random_records, truth_csv

GENERATOR = 1  # raise it whenever the bytes change
RELEVANT = 0.45  # share of the Observations that a mapper uses: under half (spec/performance.md section 5)
SHAPES = Shapes(findings=False)  # as since GENERATOR 1

Json = dict[str, Any]
# LOINC code, display, unit, lowest, highest
VITALS = (
    ("8867-4", "Heart rate", "/min", 50, 110),
    ("9279-1", "Respiratory rate", "/min", 10, 24),
    ("8310-5", "Body temperature", "Cel", 35, 39),
    ("29463-7", "Body weight", "kg", 45, 110),
    ("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "%", 88, 100),
    ("85354-9", "Blood pressure panel with all children optional", "mm[Hg]", 60, 180),
)
# https://hl7.org/fhir/us/core: what every Patient of a US hospital carries
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
RACES = (("2106-3", "White"), ("2054-5", "Black or African American"), ("2028-9", "Asian"))
ETHNICITIES = (("2186-5", "Not Hispanic or Latino"), ("2135-2", "Hispanic or Latino"))


def generate(patients: int, seed: int, out: Path, relevant: float = RELEVANT) -> dict[str, str]:
    """Files of *patients* patients in *out*; their SHA-256 by name. Lines of a file are shuffled."""
    lines: defaultdict[str, list[bytes]] = defaultdict(list)
    truth: list[TruthRow] = []
    encode = msgspec.json.Encoder().encode
    for record in records(patients, seed, relevant):
        truth += record.truth
        for resource in record.resources:
            lines[resource["resourceType"]].append(encode(resource))
    out.mkdir(parents=True, exist_ok=True)
    (out / "truth.csv").write_text(truth_csv(truth), encoding="utf-8")
    return {f"{name}.ndjson": _write(out / f"{name}.ndjson", lines[name], seed) for name in sorted(lines)}


def records(patients: int, seed: int, relevant: float = RELEVANT) -> Iterator[PatientRecord]:
    """The same patients one by one, each as a list of resources that a server would take as they are."""
    for number, record in enumerate(random_records(patients, seed, shapes=SHAPES)):
        dressed = _dressed(record.resources, Random(f"noise:{seed}:{number}"), relevant)
        yield PatientRecord(list(dressed), record.truth)


def _write(path: Path, lines: list[bytes], seed: int) -> str:
    Random(f"order:{seed}:{path.name}").shuffle(lines)
    content = b"\n".join([*lines, b""])
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _dressed(resources: list[Json], random: Random, relevant: float) -> Iterator[Json]:
    used = sum(resource["resourceType"] == "Observation" for resource in resources)
    for resource in resources:
        resource["meta"] = {"versionId": "1", "lastUpdated": "2026-01-02T03:04:05.678Z", **resource["meta"]}
        if resource["resourceType"] == "Patient":
            resource |= _demographics(resource, random)
        elif resource["resourceType"] == "Procedure":
            resource["text"] = _narrative(resource, random)
        yield resource
    patient = resources[0]["id"]
    for number in range(round(used * (1 - relevant) / relevant)):
        yield _vital(patient, number, random)


def _demographics(patient: Json, random: Random) -> Json:
    extensions = [_us_core("race", random.choice(RACES)), _us_core("ethnicity", random.choice(ETHNICITIES))]
    return {
        "extension": [*extensions, *patient.get("extension", [])],
        "telecom": [{"system": "phone", "value": f"555-{random.randrange(10**7):07}", "use": "home"}],
        "communication": [
            {
                "language": {
                    "coding": [{"system": "urn:ietf:bcp:47", "code": "en-US", "display": "English"}]
                },
                "preferred": True,
            }
        ],
        "text": _narrative(patient, random),
    }


def _us_core(name: str, category: tuple[str, str]) -> Json:
    code, display = category
    coding = {"system": "urn:oid:2.16.840.1.113883.6.238", "code": code, "display": display}
    return {
        "url": US_CORE + name,
        "extension": [{"url": "ombCategory", "valueCoding": coding}, {"url": "text", "valueString": display}],
    }


def _narrative(resource: Json, random: Random) -> Json:
    """About 800 bytes of generated text, as servers add to what they store."""
    rows = "".join(
        f"<tr><td>Item {random.randrange(1000)}</td><td>{random.randrange(10**6)}</td></tr>"
        for _ in range(16)
    )
    head = f"<p><b>Generated Narrative: {resource['resourceType']}</b></p>"
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{head}<table>{rows}</table></div>'
    return {"status": "generated", "div": div}


def _vital(patient: str, number: int, random: Random) -> Json:
    code, display, unit, low, high = VITALS[number % len(VITALS)]
    on = date(2018, 1, 1) + timedelta(days=random.randrange(2500))
    vital = {
        "resourceType": "Observation",
        "id": f"{patient}-vital-{number}",
        "meta": {
            "versionId": "1",
            "lastUpdated": "2026-01-02T03:04:05.678Z",
            "profile": ["http://hl7.org/fhir/StructureDefinition/vitalsigns"],
        },
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "vital-signs",
                        "display": "Vital Signs",
                    }
                ],
                "text": "Vital Signs",
            }
        ],
        "code": _loinc(code, display),
        "subject": {"reference": f"Patient/{patient}"},
        "encounter": {"identifier": {"system": "http://example.org/visit", "value": f"{patient}-{number}"}},
        "effectiveDateTime": f"{on.isoformat()}T{random.randrange(8, 18):02}:15:00Z",
        "issued": f"{on.isoformat()}T18:00:00.000Z",
        "performer": [{"display": f"Nurse {random.randrange(40)}, Synthetic"}],
    }
    if unit == "mm[Hg]":
        pressures = (("8480-6", "Systolic blood pressure"), ("8462-4", "Diastolic blood pressure"))
        parts = [{"code": _loinc(*each)} | _quantity(unit, low, high, random) for each in pressures]
        return vital | {"component": parts}
    return vital | _quantity(unit, low, high, random)


def _loinc(code: str, display: str) -> Json:
    return {"coding": [{"system": "http://loinc.org", "code": code, "display": display}], "text": display}


def _quantity(unit: str, low: int, high: int, random: Random) -> Json:
    value = round(random.uniform(low, high), 1)
    return {
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--relevant", type=float, default=RELEVANT)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    for name, digest in generate(chosen.patients, chosen.seed, chosen.out, chosen.relevant).items():
        print(f"{digest}  {name}")


if __name__ == "__main__":
    main()
