"""What is written of a synthetic cohort: valid R4, resolvable, marked, repeatable, and true to its course."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_srs.testing.cohort import (
    FINDINGS_COLUMNS,
    MARKER_NAME,
    Cohort,
    Shapes,
    TruthRow,
    random_cohort,
    ryu2008_cohort,
    truth_csv,
    write_cohort,
)
from fhir_srs.testing.cohort_codes import PAIN_ANSWERS
from fhir_srs.testing.cohort_latent import RANDOM_CUTOFF, LatentLesion, LatentPatient, random_patient
from fhir_srs.testing.cohort_ryu import ryu_patients

COLUMNS = (
    "patient_identifier,levels,region,start,end,dose_gy,fractions,technique,reirradiation,"
    "death_date,last_contact,relief_day,relapse_day"
)


@pytest.fixture(scope="module")
def ryu() -> Cohort:
    return ryu2008_cohort(2008)


@pytest.fixture(scope="module")
def drawn() -> Cohort:
    return random_cohort(60, 7)


@pytest.fixture(params=["ryu", "drawn"])
def cohort(request: pytest.FixtureRequest) -> Cohort:
    value: Cohort = request.getfixturevalue(request.param)
    return value


def test_every_resource_is_valid_r4(cohort: Cohort) -> None:
    for resource in cohort.resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def empties(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return (not value) + sum(map(empties, inner))
    return value is None or value == ""


def test_no_element_is_empty(cohort: Cohort) -> None:
    """R4: an element has a value or children; a server drops empty lists, and reads back other bytes."""
    assert sum(map(empties, cohort.resources)) == 0


def test_ids_are_unique_and_ones_that_hapi_takes(cohort: Cohort) -> None:
    """`spec/hapi.md` 23: [A-Za-z0-9.-]{1,64}, never digits alone."""
    ids = [(each["resourceType"], each["id"]) for each in cohort.resources]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9.-]{1,64}", each) for _, each in ids)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_references_are_relative_and_stay_within_the_patients_transaction(cohort: Cohort) -> None:
    for bundle in cohort.transactions():
        resources = [entry["resource"] for entry in bundle["entry"]]
        here = {f"{each['resourceType']}/{each['id']}" for each in resources}
        assert set(references(resources)) <= here


def test_each_transaction_puts_every_resource_of_one_patient(cohort: Cohort) -> None:
    bundles = list(cohort.transactions())
    assert sum(len(bundle["entry"]) for bundle in bundles) == len(cohort.resources)
    for bundle in bundles:
        get_fhir_model_class("Bundle").model_validate(bundle)
        assert [e["resource"]["resourceType"] for e in bundle["entry"]].count("Patient") == 1
        for entry in bundle["entry"]:
            resource, request = entry["resource"], entry["request"]
            assert request == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}


def test_every_resource_is_marked_as_test_data(cohort: Cohort) -> None:
    for resource in cohort.resources:
        assert [label["code"] for label in resource["meta"]["security"]] == ["HTEST"]


def test_the_marker_name_stands_in_every_patient_and_nowhere_else(cohort: Cohort) -> None:
    for resource in cohort.resources:
        assert (MARKER_NAME in json.dumps(resource)) == (resource["resourceType"] == "Patient")


def test_record_numbers_are_invented_and_of_type_mr(cohort: Cohort) -> None:
    for patient in (each for each in cohort.resources if each["resourceType"] == "Patient"):
        (identifier,) = patient["identifier"]
        assert identifier["type"]["coding"][0]["code"] == "MR"
        assert identifier["system"].startswith(("http://example.org/", "urn:oid:2.999."))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_cohort(random_cohort(20, 3), tmp_path / name)
        write_cohort(ryu2008_cohort(5), tmp_path / name / "ryu")
    one, two = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_another_seed_gives_other_patients_and_more_patients_change_none_before() -> None:
    few, many = random_cohort(5, 3), random_cohort(9, 3)
    assert many.resources[: len(few.resources)] == few.resources
    assert truth_csv(random_cohort(5, 4).truth) != truth_csv(few.truth)


def test_truth_csv_has_the_agreed_columns_and_a_row_for_each_lesion(drawn: Cohort, tmp_path: Path) -> None:
    write_cohort(drawn, tmp_path)
    text = (tmp_path / "truth.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert text == truth_csv(drawn.truth)
    assert text.splitlines()[0] == COLUMNS
    assert len(rows) == len(drawn.truth)
    assert {row["reirradiation"] for row in rows} == {"true", "false"}
    assert [Decimal(row["dose_gy"]) for row in rows] == [row.dose_gy for row in drawn.truth]


def test_the_rest_of_the_truth_stands_beside_it_row_by_row(drawn: Cohort, tmp_path: Path) -> None:
    write_cohort(drawn, tmp_path)
    with (tmp_path / "truth_findings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == FINDINGS_COLUMNS
    assert [row["start"] for row in rows] == [one.start.isoformat() for one in drawn.truth]
    assert [row["visits"] for row in rows] == [";".join(map(str, one.visits)) for one in drawn.findings]
    assert {row["neuro_scale"] for row in rows} == {"asia", "frankel", "muscle-grade", ""}


def test_without_findings_there_is_no_truth_of_them_and_all_else_stays() -> None:
    """The data of the benchmarks are made so."""
    whole, bare = random_cohort(5, 3), random_cohort(5, 3, shapes=Shapes(findings=False))
    assert bare.truth == whole.truth
    assert bare.findings == []
    kept = [each for each in whole.resources if "-spine-" not in each["id"]]
    assert [each for each in kept if each["resourceType"] != "AdverseEvent"] == [
        each for each in bare.resources if "-status-" not in each["id"]
    ]


def test_nothing_is_found_after_death_or_last_contact(drawn: Cohort) -> None:
    contact = {row.patient_identifier: row.last_contact for row in drawn.truth}
    for row in drawn.findings:
        assert all(row.end + timedelta(days=day) <= contact[row.patient_identifier] for day in row.visits)


def test_each_type_has_its_file_and_each_resource_its_line(drawn: Cohort, tmp_path: Path) -> None:
    write_cohort(drawn, tmp_path)
    lines = {path.stem: len(path.read_bytes().splitlines()) for path in tmp_path.glob("*.ndjson")}
    assert lines == Counter(each["resourceType"] for each in drawn.resources)


def pain_value(observation: dict[str, Any]) -> int:
    if "valueQuantity" in observation:
        return int(observation["valueQuantity"]["value"])
    if "valueCodeableConcept" in observation:
        return PAIN_ANSWERS.index(observation["valueCodeableConcept"]["coding"][0]["code"])
    return int(observation.get("valueInteger", observation.get("valueString", "").split("/")[0]))


def test_every_latent_score_is_written_once_on_its_day() -> None:
    written = Counter(
        (each["subject"]["reference"][-5:], each["effectiveDateTime"][:10], pain_value(each))
        for each in ryu2008_cohort(2008).resources
        if "-pain-" in each["id"]
    )
    latent = Counter(
        (f"{patient.number:05}", score.on.isoformat(), score.value)
        for patient in ryu_patients(2008)
        for lesion in patient.lesions
        for score in lesion.scores
    )
    assert written == latent


def test_a_score_without_site_stands_where_exactly_one_lesion_is_under_observation(drawn: Cohort) -> None:
    """`decisions.md` E3: from 28 days before its first fraction to the day before its retreatment."""
    rows: dict[str, list[TruthRow]] = {}
    for row in drawn.truth:
        rows.setdefault(row.patient_identifier, []).append(row)
    bare = 0
    for bundle in drawn.transactions():
        patient, *others = (entry["resource"] for entry in bundle["entry"])
        identifier = patient["identifier"][0]
        lesions = rows[f"{identifier['system']}|{identifier['value']}"]
        for each in others:
            if "-pain-" not in each["id"] or set(each) & {
                "focus",
                "bodySite",
                "partOf",
                "extension",
            }:
                continue
            on = date.fromisoformat(each["effectiveDateTime"][:10])
            observed = [
                lesion
                for lesion in lesions
                if (lesion.start - on).days <= 28
                and not any(
                    lesion.start < other.start <= on and set(lesion.levels) & set(other.levels)
                    for other in lesions
                )
            ]
            assert len(observed) == 1
            bare += 1
    assert bare > 40


def test_all_shapes_occur_in_the_reproduction_cohort(ryu: Cohort) -> None:
    text = json.dumps(ryu.resources)
    for sign in (
        "mcode-radiotherapy-course-summary",
        "codexrt-radiotherapy-course-summary",
        "mcode-cancer-related-surgical-procedure",
        '"code": "cGy"',
        '"code": "Gy"',
        "valueInteger",
        "{score}",
        "LA6111-4",
        "/10",
        "codexrt-radiotherapy-volume-extension",
        "MedicationRequest",
        "MedicationStatement",
        "1162586008",
        "USCRS-33529",
        "38208-5",
        "225908003",
        "medicationReference",
        "asked-declined",
        "entered-in-error",
    ):
        assert sign in text, sign


def test_chosen_shapes_are_the_only_ones() -> None:
    shapes = Shapes(routes=("surgical",), dose_units=("Gy",), pain_values=("integer",), noise=False)
    cohort = random_cohort(30, 1, shapes=shapes)
    pain = [each for each in cohort.resources if "-pain-" in each["id"]]
    assert pain
    assert all("valueInteger" in each for each in pain)
    assert '"code": "cGy"' not in json.dumps(cohort.resources)


def test_vitals_add_that_many_observations_to_each_patient_and_change_no_truth() -> None:
    plain, loaded = random_cohort(3, 1), random_cohort(3, 1, shapes=Shapes(vitals=50))
    assert len(loaded.resources) - len(plain.resources) == 3 * 50
    assert [each for each in plain.resources if each not in loaded.resources] == []
    assert loaded.truth == plain.truth


@pytest.fixture(scope="module")
def latent() -> list[LatentPatient]:
    return [random_patient(number, Random(f"latent:7:{number}")) for number in range(1, 400)]


def after(lesion: LatentLesion) -> list[tuple[int, int]]:
    return [((s.on - lesion.end).days, s.value) for s in lesion.scores if s.on > lesion.end]


def test_relief_and_relapse_of_random_courses_are_clear_cut(latent: list[LatentPatient]) -> None:
    """Relief is a fall of 3 or to 0 and nothing before it of 2; relapse a rise of 3, none before of 2."""
    for lesion in (lesion for patient in latent for lesion in patient.lesions):
        before = [score.value for score in lesion.scores if score.on <= lesion.start]
        if not before or before[-1] == 0:
            assert lesion.relief_day is None
            continue
        nadir = 10
        for day, value in after(lesion):
            if lesion.relief_day is None or day < lesion.relief_day:
                assert value > before[-1] - 2
                continue
            if day == lesion.relief_day:
                assert value == 0 or value <= before[-1] - 3
            elif lesion.relapse_day is None or day < lesion.relapse_day:
                assert value < nadir + 2
            elif day == lesion.relapse_day:
                assert day > 14
                assert value >= nadir + 3
            nadir = min(nadir, value)


def test_random_courses_have_everything_they_should(latent: list[LatentPatient]) -> None:
    lesions = [lesion for patient in latent for lesion in patient.lesions]
    assert {lesion.technique for lesion in lesions} == {"SRS", "SBRT", "other"}
    assert {lesion.region for lesion in lesions} == {"cervical", "thoracic", "lumbar", "sacral", None}
    assert any(lesion.before is not None for lesion in lesions)
    assert any(lesion.relapse_day is not None for lesion in lesions)
    assert any(len(lesion.levels) == 3 for lesion in lesions)
    assert any(patient.death is not None for patient in latent)


def test_no_random_patient_is_seen_after_death_or_cutoff(latent: list[LatentPatient]) -> None:
    for patient in latent:
        seen = max(patient.last_contact, *(lesion.last_score for lesion in patient.lesions))
        assert seen <= min(RANDOM_CUTOFF, patient.death or RANDOM_CUTOFF)


def test_an_opioid_rises_the_day_before_relief_alone_and_none_overlaps_another(
    latent: list[LatentPatient],
) -> None:
    for patient in latent:
        for first, second in zip(patient.opioids, patient.opioids[1:], strict=False):
            assert (second.start - first.end).days == 1
            if patient.opioid_raised_day is None:
                assert second.mg_per_day < first.mg_per_day
            else:
                assert second.mg_per_day >= first.mg_per_day * 1.25
                assert patient.opioid_raised_day + 1 == patient.lesions[0].relief_day
