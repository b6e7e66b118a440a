"""Synthetic cohorts with a known truth: seeded, marked as test data, no value taken from any patient.

`ryu2008_cohort` has the published margins of Ryu 2008 (`cohort_ryu.py`); `random_cohort` any number of
patients. The truth is read off the latent course (`cohort_latent.py`) before a line of FHIR is written.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import BinaryIO, TypeVar

import msgspec

from fhir_srs.testing.cohort_codes import Json
from fhir_srs.testing.cohort_fhir import MARKER_NAME, build_patient, patient_identifier
from fhir_srs.testing.cohort_latent import RANDOM_CUTOFF, LatentLesion, LatentPatient, random_patient
from fhir_srs.testing.cohort_ryu import RYU_CUTOFF, ryu_patients
from fhir_srs.testing.cohort_shapes import Shapes, Style, draw_style
from fhir_srs.testing.cohort_spine import BILSKY, SCALES, Course, Spine, SpineCourse, Toxicity, draw_spine

Level = TypeVar("Level", str, bool)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsRow:
    """One treated lesion, the rest of its truth; the columns of `truth_findings.csv` in order.

    Days count from the last fraction. A grade is that of before, and another from a visit on, if it changes.
    *growth_day* and *pseudoprogression_day* are first scans, *acute* and *late* the patient's grades. From
    *opioid_raised_day* on no fall of pain is relief for a study that looks at analgesics.
    """

    patient_identifier: str
    levels: tuple[str, ...]
    start: date
    end: date
    visits: tuple[int, ...]
    neuro_scale: str | None
    neuro: str | None
    neuro_later: str | None
    neuro_day: int | None
    walks: bool | None
    walks_later: bool | None
    walking_day: int | None
    epidural: str
    epidural_later: str | None
    epidural_day: int | None
    growth_day: int | None
    pseudoprogression_day: int | None
    fracture_before: bool
    fracture_day: int | None
    cord_compression: bool
    retreatment_day: int | None
    opioid_raised_day: int | None
    acute: int | None
    late: int | None


TRUTH_COLUMNS = tuple(one.name for one in fields(TruthRow))
FINDINGS_COLUMNS = tuple(one.name for one in fields(FindingsRow))


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """One patient's resources, the Patient first, and the truth about their lesions."""

    resources: list[Json]
    truth: list[TruthRow]
    findings: list[FindingsRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Resources patient by patient, the truth about every lesion, and the date up to which it holds."""

    resources: list[Json]
    truth: list[TruthRow]
    cutoff: date
    findings: list[FindingsRow] = field(default_factory=list)

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
        cohort.findings.extend(record.findings)
    return cohort


def _record(patient: LatentPatient, name: str, seed: int, shapes: Shapes) -> PatientRecord:
    patient_id = f"{name}-{seed}-p{patient.number:05}"
    rng = Random(f"shapes:{patient_id}")
    style = draw_style(rng, shapes)
    truth = [_truth(patient, lesion, patient_id, style) for lesion in patient.lesions]
    course = draw_spine(patient, Random(f"spine:{patient_id}"))
    resources = build_patient(patient, course, patient_id, style, shapes, rng)
    spines = zip(truth, course.lesions, strict=True) if shapes.findings else ()
    return PatientRecord(resources, truth, [_findings(row, spine, patient, course) for row, spine in spines])


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


def _findings(row: TruthRow, spine: Spine, patient: LatentPatient, course: SpineCourse) -> FindingsRow:
    neuro, neuro_later, neuro_day = _graded(spine.neuro, SCALES[spine.scale])
    walks, walks_later, walking_day = _graded(spine.walking, (False, True))
    epidural, epidural_later, epidural_day = _graded(spine.epidural, BILSKY)
    return FindingsRow(
        patient_identifier=row.patient_identifier,
        levels=row.levels,
        start=row.start,
        end=row.end,
        visits=spine.visits,
        neuro_scale=None if neuro is None else spine.scale,
        neuro=neuro,
        neuro_later=neuro_later,
        neuro_day=neuro_day,
        walks=walks,
        walks_later=walks_later,
        walking_day=walking_day,
        epidural=epidural or BILSKY[0],
        epidural_later=epidural_later,
        epidural_day=epidural_day,
        growth_day=spine.growth_day,
        pseudoprogression_day=spine.pseudo_day,
        fracture_before=spine.fracture_before,
        fracture_day=spine.fracture_day,
        cord_compression=spine.cord_compression,
        retreatment_day=spine.retreatment_day,
        opioid_raised_day=patient.opioid_raised_day,
        acute=_grade(course.acute),
        late=_grade(course.late),
    )


def _graded(course: Course | None, levels: Sequence[Level]) -> tuple[Level | None, Level | None, int | None]:
    """The grade before, the later one and its day: what was not examined, or did not change, is None."""
    if course is None or course.day is None:
        return (None if course is None else levels[course.before]), None, None
    return levels[course.before], levels[course.after], course.day


def _grade(toxicity: Toxicity | None) -> int | None:
    return None if toxicity is None else toxicity.grade


def write_cohort(cohort: Cohort, folder: Path) -> None:
    """Write one NDJSON file per resource type and the truth into *folder*, made if it is missing."""
    write_records([PatientRecord(cohort.resources, cohort.truth, cohort.findings)], folder)


def write_records(records: Iterable[PatientRecord], folder: Path) -> None:
    """Write *records* as `write_cohort` does, one at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    encode = msgspec.json.Encoder().encode
    files: dict[str, BinaryIO] = {}
    with ExitStack() as stack:
        truth = _table(stack, folder / "truth.csv", TRUTH_COLUMNS)
        findings = _table(stack, folder / "truth_findings.csv", FINDINGS_COLUMNS)
        for record in records:
            truth(record.truth)
            findings(record.findings)
            for resource in record.resources:
                name = resource["resourceType"]
                if name not in files:
                    files[name] = stack.enter_context((folder / f"{name}.ndjson").open("wb"))
                files[name].write(encode(resource) + b"\n")


def _table(stack: ExitStack, path: Path, columns: Sequence[str]) -> Callable[[Iterable[object]], None]:
    """A new file at *path* with a head of *columns*, and what adds rows to it."""
    writer = csv.writer(
        stack.enter_context(path.open("w", newline="", encoding="utf-8")), lineterminator="\n"
    )
    writer.writerow(columns)
    return lambda rows: writer.writerows(_cells(row, columns) for row in rows)


def truth_csv(rows: Iterable[TruthRow]) -> str:
    """*rows* as the text of `truth.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TRUTH_COLUMNS)
    writer.writerows(_cells(row, TRUTH_COLUMNS) for row in rows)
    return text.getvalue()


def _cells(row: object, columns: Sequence[str]) -> list[str]:
    return [_cell(getattr(row, name)) for name in columns]


def _cell(value: object) -> str:
    """*value* as a cell: several joined by semicolons, nothing for None, `true` or `false`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ";".join(map(str, value)) if isinstance(value, tuple) else str(value)


__all__ = [
    "FINDINGS_COLUMNS",
    "MARKER_NAME",
    "TRUTH_COLUMNS",
    "Cohort",
    "FindingsRow",
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
