"""mappings/views/: SQL-on-FHIR ViewDefinitions, run by sqlonfhir, give the facts that the mapper gives."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlonfhir

from fhir_srs import load_profile, map_resources, tables
from fhir_srs.model import Event
from fhir_srs.testing.cohort import random_cohort

PROFILE = load_profile("mcode")
COHORT = random_cohort(40, 20).resources
FOUND = map_resources(COHORT, profile=PROFILE)
NAMES = ("patient", "srs_procedure", "pain_observation", "disease_status", "medication")
Rows = list[dict[str, Any]]


def rows(name: str) -> Rows:
    """The rows of the view *name* over the cohort; sqlonfhir changes the definition it is given."""
    return sqlonfhir.evaluate(COHORT, json.loads(tables.text(f"views/{name}.json")))


def day(text: str | None) -> str | None:
    return text[:10] if text else None


def by_source(kind: str, keep: Callable[[Event], bool] = lambda _: True) -> dict[str, Event]:
    """The events of *kind* by the id of their resource."""
    events = [one for one in FOUND.events if one.kind == kind and keep(one)]
    return {one.source.split("/")[1]: one for one in events}


def on(event: Event) -> str | None:
    return event.on.text if event.on else None


@pytest.mark.parametrize("name", NAMES)
def test_a_view_is_named_as_its_file_and_has_rows_here(name: str) -> None:
    told = json.loads(tables.text(f"views/{name}.json"))
    assert (told["resourceType"], told["name"]) == ("ViewDefinition", name)
    assert rows(name)


def test_there_is_no_other_view() -> None:
    assert sorted(tables.names("views/*.json")) == sorted(f"views/{name}.json" for name in NAMES)


def test_patients_are_those_of_the_mapper() -> None:
    shown = {one["patient"]: one for one in rows("patient")}
    assert FOUND.patients
    for one in FOUND.patients:
        row = shown[one.patient.removeprefix("Patient/")]
        assert f"{row['mr_system']}|{row['mr_value']}" == one.identifier
        assert (row["sex"], row["birth_date"]) == (one.sex, one.birth_date.text if one.birth_date else None)
        assert bool(row["death"] or row["dead"]) is one.deceased


def test_every_lesion_has_the_row_of_its_volume_with_its_days_dose_and_fractions() -> None:
    shown = {(one["procedure"], one["volume"]): one for one in rows("srs_procedure")}
    told = [one for one in FOUND.lesions if one.dose_gy is not None and "dose-unit-uncoded" not in one.issues]
    assert told
    for one in told:
        row = shown[(one.course or "").removeprefix("Procedure/"), one.target]
        gray = Decimal(str(row["dose"])) / (100 if row["dose_unit"] == "cGy" else 1)
        assert (gray, row["fractions"]) == (one.dose_gy, one.fractions)
        assert (day(row["start"]), day(row["end"])) == (
            one.start and one.start.text,
            one.end and one.end.text,
        )


def score(row: dict[str, Any]) -> Decimal | None:
    """The score in a row of the view: whichever of its columns has one."""
    answer = PROFILE.codes.among("pain-answer").get(("http://loinc.org", row["value_answer"]))
    text = (row["value_text"] or "").partition("/")[0]
    numbers = [row["value_integer"], row["value_number"], answer, text or None]
    told = next((one for one in numbers if one is not None), None)
    return None if told is None else Decimal(str(told))


def test_pain_scores_are_those_of_the_mapper_and_no_others_have_a_value() -> None:
    shown = {one["observation"]: one for one in rows("pain_observation")}
    events = by_source("pain")
    assert events.keys() <= shown.keys()
    for name, one in events.items():
        row = shown[name]
        assert (score(row), day(row["on"])) == (one.value, on(one))
        assert one.code is not None
        assert one.code.endswith(f"|{row['code']}")
    refused = {one.resource for one in FOUND.issues if not one.used}
    assert {f"Observation/{one}" for one in shown.keys() - events.keys()} <= refused


def test_disease_status_is_that_of_the_mapper() -> None:
    shown = {one["observation"]: one for one in rows("disease_status")}
    events = by_source("disease-status")
    assert events.keys() == {name for name, one in shown.items() if one["value"]}
    for name, one in events.items():
        meant = PROFILE.codes.among("disease-status-value")["http://snomed.info/sct", shown[name]["value"]]
        assert (meant, day(shown[name]["on"])) == (one.value, on(one))


def test_orders_are_those_of_the_mapper_with_their_drug_and_dose() -> None:
    """The plain ones: by mouth, one instruction of milligrams so often a day."""
    shown = {one["request"]: one for one in rows("medication")}
    events = by_source("opioid", lambda one: one.evidence == "order")
    assert events.keys() == shown.keys()
    checked = 0
    for name, one in events.items():
        row = shown[name]
        assert row["rxnorm"] is None or (one.code or "").endswith(f"|{row['rxnorm']}")
        drug = PROFILE.codes.among("opioid").get(tuple((one.code or "").rsplit("|", 1)))  # type: ignore[arg-type]
        factor = PROFILE.omed_factors.get((drug or "", "oral"))
        if factor and one.value is not None and row["dose_unit"] == "mg" and row["period_unit"] == "d":
            a_day = Decimal(str(row["dose"])) * row["frequency"] / row["period"]
            assert one.value in (a_day * factor.factor, 0 if row["as_needed"] else a_day * factor.factor)
            checked += 1
    assert checked


@pytest.mark.parametrize(
    ("name", "sets"),
    [
        ("srs_procedure", {"course": None, "radiosurgery": None}),
        ("pain_observation", {"pain": ("nrs", "unstated")}),
        ("disease_status", {"disease-status": None, "disease-status-value": None}),
    ],
)
def test_a_view_names_every_code_of_its_sets(name: str, sets: dict[str, tuple[str, ...] | None]) -> None:
    text = tables.text(f"views/{name}.json")
    for one, meanings in sets.items():
        for (system, code), meaning in PROFILE.codes.among(one).items():
            if meanings is None or meaning in meanings:
                assert f"'{system}'" in text
                assert f"'{code}'" in text
