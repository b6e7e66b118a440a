"""Synthetic cohorts with a known truth: seeded, marked as test data, no value taken from any patient.

`ryu2008_cohort` has the published margins of Ryu 2008 (`cohort_ryu.py`); `random_cohort` any number of
patients. The truth is read off the latent course (`cohort_latent.py`) before a line of FHIR is written.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import BinaryIO

import msgspec

from fhir_srs.testing.cohort_codes import Json
from fhir_srs.testing.cohort_fhir import MARKER_NAME, build_patient, patient_identifier
from fhir_srs.testing.cohort_latent import RANDOM_CUTOFF, LatentLesion, LatentPatient, random_patient
from fhir_srs.testing.cohort_ryu import RYU_CUTOFF, ryu_patients
from fhir_srs.testing.cohort_shapes import Shapes, Style, draw_style


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthRow:
    """One treated lesion as it truly is; the columns of `truth.csv` in order (`decisions.md` 24).

    *relief_day* and *relapse_day* count from the last fraction to the visit that showed them first.
    """

    patient_identifier: str
    levels: tuple[str, ...]
    region: str | None
    start: date
    end: date
    dose_gy: Decimal
    fractions: int
    technique: str
    reirradiation: bool
    death_date: date | None
    last_contact: date
    relief_day: int | None
    relapse_day: int | None


TRUTH_COLUMNS = tuple(field.name for field in fields(TruthRow))


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """One patient's resources, the Patient first, and the truth about their lesions."""

    resources: list[Json]
    truth: list[TruthRow]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Resources patient by patient, the truth about every lesion, and the date up to which it holds."""

    resources: list[Json]
    truth: list[TruthRow]
    cutoff: date

    def records(self) -> Iterator[list[Json]]:
        """The resources of one patient at a time."""
        patient: list[Json] = []
        for resource in self.resources:
            if resource["resourceType"] == "Patient" and patient:
                yield patient
                patient = []
            patient.append(resource)
        if patient:
            yield patient

    def transactions(self) -> Iterator[Json]:
        """One transaction Bundle per patient: each resource a PUT with the client's id."""
        for resources in self.records():
            yield {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [_put(each) for each in resources],
            }


def _put(resource: Json) -> Json:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


def ryu2008_cohort(seed: int = 2008, *, shapes: Shapes | None = None) -> Cohort:
    """49 patients with 61 lesions, in varied shapes, whose margins are those of the paper for every seed."""
    patients = ryu_patients(seed)
    return _cohort((_record(each, "ryu2008", seed, shapes or Shapes()) for each in patients), RYU_CUTOFF)


def random_cohort(patients: int, seed: int, *, shapes: Shapes | None = None) -> Cohort:
    """*patients* invented patients. The nth depends on *seed* and n alone, not on how many there are."""
    return _cohort(random_records(patients, seed, shapes=shapes), RANDOM_CUTOFF)


def random_records(patients: int, seed: int, *, shapes: Shapes | None = None) -> Iterator[PatientRecord]:
    """The patients of `random_cohort` one by one, for cohorts that need not fit into memory."""
    for number in range(1, patients + 1):
        latent = random_patient(number, Random(f"latent:{seed}:{number}"))
        yield _record(latent, "random", seed, shapes or Shapes())


def _cohort(records: Iterable[PatientRecord], cutoff: date) -> Cohort:
    cohort = Cohort([], [], cutoff)
    for record in records:
        cohort.resources.extend(record.resources)
        cohort.truth.extend(record.truth)
    return cohort


def _record(patient: LatentPatient, name: str, seed: int, shapes: Shapes) -> PatientRecord:
    patient_id = f"{name}-{seed}-p{patient.number:05}"
    rng = Random(f"shapes:{patient_id}")
    style = draw_style(rng, shapes)
    truth = [_truth(patient, lesion, patient_id, style) for lesion in patient.lesions]
    return PatientRecord(build_patient(patient, patient_id, style, shapes, rng), truth)


def _truth(patient: LatentPatient, lesion: LatentLesion, patient_id: str, style: Style) -> TruthRow:
    return TruthRow(
        patient_identifier="|".join(patient_identifier(patient_id, style)),
        levels=lesion.levels,
        region=lesion.region,
        start=lesion.start,
        end=lesion.end,
        dose_gy=Decimal(lesion.dose_cgy) / 100,
        fractions=lesion.fractions,
        technique=lesion.technique,
        reirradiation=lesion.before is not None,
        death_date=patient.death,
        last_contact=patient.last_contact,
        relief_day=lesion.relief_day,
        relapse_day=lesion.relapse_day,
    )


def write_cohort(cohort: Cohort, folder: Path) -> None:
    """Write one NDJSON file per resource type and `truth.csv` into *folder*, made if it is missing."""
    write_records([PatientRecord(cohort.resources, cohort.truth)], folder)


def write_records(records: Iterable[PatientRecord], folder: Path) -> None:
    """Write *records* as `write_cohort` does, one at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    encode = msgspec.json.Encoder().encode
    files: dict[str, BinaryIO] = {}
    with ExitStack() as stack, (folder / "truth.csv").open("w", newline="", encoding="utf-8") as truth:
        rows = csv.writer(truth, lineterminator="\n")
        rows.writerow(TRUTH_COLUMNS)
        for record in records:
            rows.writerows(_cells(row) for row in record.truth)
            for resource in record.resources:
                name = resource["resourceType"]
                if name not in files:
                    files[name] = stack.enter_context((folder / f"{name}.ndjson").open("wb"))
                files[name].write(encode(resource) + b"\n")


def truth_csv(rows: Iterable[TruthRow]) -> str:
    """*rows* as the text of `truth.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TRUTH_COLUMNS)
    writer.writerows(_cells(row) for row in rows)
    return text.getvalue()


def _cells(row: TruthRow) -> list[str]:
    return [_cell(getattr(row, name)) for name in TRUTH_COLUMNS]


def _cell(value: object) -> str:
    """*value* as a cell: levels joined by semicolons, nothing for None, `true` or `false`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ";".join(value) if isinstance(value, tuple) else str(value)


__all__ = [
    "MARKER_NAME",
    "TRUTH_COLUMNS",
    "Cohort",
    "PatientRecord",
    "Shapes",
    "TruthRow",
    "random_cohort",
    "random_records",
    "ryu2008_cohort",
    "truth_csv",
    "write_cohort",
    "write_records",
]
