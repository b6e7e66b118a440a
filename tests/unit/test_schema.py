"""The JSON Schema of what `map` writes: every line that it writes fits, and a changed line does not."""

import json
import tomllib
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fhir_srs import load_profile, map_resources, tables
from fhir_srs.cli import run
from fhir_srs.endpoints import shipped_studies
from fhir_srs.model import event_row, lesion_row, to_json
from fhir_srs.report.schema import LINES, Line, line_schema, study_schema
from fhir_srs.testing.cohort import random_cohort
from tests.properties.mess import messy_cohort

MAPPED = map_resources(messy_cohort(4), profile=load_profile("mcode"))
MORE = map_resources(random_cohort(40, 21).resources, profile=load_profile("mcode"))
LESION = {
    "lesion_id": "a" * 40,
    "patient": "Patient/p",
    "patient_identifier": "urn:mrn|1",
    "course": "Procedure/c",
    "target": None,
    "target_label": None,
    "levels": ["T8"],
    "region": "thoracic",
    "start": "2024-03",
    "end": None,
    "dose_gy": 16.5,
    "fractions": 1,
    "technique": "SRS",
    "modality": None,
    "intent": None,
    "histology": None,
    "reirradiation_of": None,
    "cord_compression": True,
    "sources": ["Procedure/c/_history/1"],
    "issues": [],
}


def written(name: Line) -> list[Any]:
    rows = {
        "lesion": [lesion_row(one) for found in (MAPPED, MORE) for one in found.lesions],
        "event": [event_row(one) for found in (MAPPED, MORE) for one in found.events],
        "issue": [one for found in (MAPPED, MORE) for one in found.issues],
    }
    return [json.loads(to_json(one)) for one in rows[name]]


@pytest.mark.parametrize("name", LINES)
def test_every_line_that_map_writes_fits_its_schema(name: Line) -> None:
    Draft202012Validator.check_schema(line_schema(name))
    validator, lines = Draft202012Validator(line_schema(name)), written(name)
    assert lines
    assert [error.message for one in lines for error in validator.iter_errors(one)] == []


@pytest.mark.parametrize(
    "change",
    [
        {"levels": ["T13"]},
        {"levels": "T8"},
        {"start": "2024-3"},
        {"start": "05.03.2024"},
        {"dose_gy": "16.5"},
        {"dose_gy": 1650},
        {"fractions": 1.5},
        {"technique": "IMRT"},
        {"region": "cranial"},
        {"lesion_id": "T8"},
        {"name": "somebody"},
        {"cord_compression": None, "sources": None},
    ],
)
def test_a_lesion_line_with_something_else_in_it_does_not_fit(change: dict[str, Any]) -> None:
    validator = Draft202012Validator(line_schema("lesion"))
    assert list(validator.iter_errors(LESION)) == []
    assert list(validator.iter_errors(LESION | change))


@pytest.mark.parametrize("missing", LESION)
def test_a_lesion_line_has_every_key(missing: str) -> None:
    line = {key: value for key, value in LESION.items() if key != missing}
    assert list(Draft202012Validator(line_schema("lesion")).iter_errors(line))


def test_the_command_prints_the_schema(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "event"]) == 0
    assert json.loads(capfd.readouterr().out) == line_schema("event")


@pytest.mark.parametrize("name", shipped_studies())
def test_the_schema_of_study_files_takes_the_shipped_ones(name: str) -> None:
    schema = study_schema()
    Draft202012Validator.check_schema(schema)
    content = tomllib.loads(tables.text(f"studies/{name}.toml"))
    Draft202012Validator(schema).validate(content)
    for wrong in (
        {"rule": {"value": "who", "basis": "assumed"}},
        {"colour": "red"},
        {"death_gap": 3},
        {"death_gap": {"value": -1, "basis": "assumed"}},
        {"omed_rise": {"value": 0.5, "basis": "assumed"}},
        {"windows": {"value": {"1-month": [0, 45, 30]}, "basis": "assumed"}},
        {"landmark_days": {"value": [30, 99999], "basis": "assumed"}},
        {"name": "a name"},
    ):
        assert list(Draft202012Validator(schema).iter_errors(content | wrong))
