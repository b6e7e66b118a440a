"""The tables of mappings/terminology: every code has a source, and no drug is an opioid and none."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhir_srs import tables
from fhir_srs.codes import UCUM
from fhir_srs.model import Event
from tests.spec.records import RXNORM, concept, events, mapped, record
from tests.unit.mapping_given import Json

SPEC = Path(__file__).parents[3] / "shared" / "spec" / "terminology.csv"
HL7 = "http://terminology.hl7.org/CodeSystem/"
ROWS = [row for name in tables.names("terminology/*.csv") for row in tables.rows(name)]
DRUGS = ("opioid", "opioid-without-factor", "not-opioid")


def drug(code: str, **more: Any) -> list[Event]:
    order = {"intent": "order", "status": "active", "authoredOn": "2024-03-01"} | more
    found = mapped(record("MedicationRequest", medicationCodeableConcept=concept(code, RXNORM), **order))
    return events(found, "opioid")


def test_every_code_says_where_it_is_from() -> None:
    assert [row["code"] for row in ROWS if not row["source"].strip()] == []


def test_a_code_that_is_deliberately_not_read_is_in_no_table_and_says_why() -> None:
    unread = list(tables.rows("unread.csv"))
    read = {(row["system"], row["code"]) for row in ROWS}
    assert {(row["system"], row["code"]) for row in unread} & read == set()
    assert [row["code"] for row in unread if not row["why"].strip()] == []


@pytest.mark.skipif(not SPEC.exists(), reason="the specification lies beside the checkout")
def test_every_confirmed_code_of_the_specification_is_read_or_deliberately_not() -> None:
    """Units, reasons of absence and the mark of test data are read by the code, cancers by their category."""
    known = {(row["system"], row["code"]) for row in [*ROWS, *tables.rows("unread.csv")]}
    known |= {(f"{HL7}v3-ActReason", "HTEST")}
    with SPEC.open(newline="") as table:
        confirmed = [row for row in csv.DictReader(table) if row["status"] == "confirmed"]
    left = [row for row in confirmed if row["system"] not in {UCUM, f"{HL7}data-absent-reason"}]
    assert len(left) > 300
    assert [
        row["code"]
        for row in left
        if not {(row["system"], row["code"]), (row["system"], row["code"][:3])} & known
    ] == []


def test_no_code_stands_twice_in_one_set_and_none_is_in_two_sets_of_drugs() -> None:
    twice = Counter((row["set"], row["system"], row["code"]) for row in ROWS)
    assert [key for key, number in twice.items() if number > 1] == []
    drugs = Counter((row["system"], row["code"]) for row in ROWS if row["set"] in DRUGS)
    assert [key for key, number in drugs.items() if number > 1] == []


def test_a_common_drug_is_no_opioid_and_leaves_the_omed_known() -> None:
    for code in ("2403", "7646"):
        (event,) = drug(code)
        assert (event.value, event.flags) == (0, ("not-opioid",))
    (event,) = drug("999999999")
    assert event.value is None


def test_what_moves_pain_beside_opioids_says_its_class() -> None:
    """spec/endpoints.md section 4: steroids, NSAIDs, paracetamol, gabapentinoids; section 15: systemic."""
    classes = {"3264": "steroid", "5640": "nsaid", "161": "paracetamol", "25480": "gabapentinoid"}
    for code, name in {**classes, "56946": "systemic-therapy"}.items():
        (event,) = drug(code)
        assert set(event.flags) == {"not-opioid", name}


@pytest.mark.parametrize(("route", "counts"), [
    ({"text": "Topical"}, False), ({"text": "eye drops"}, False),
    ({"coding": [{"display": "Nasal use"}]}, False), ({"text": "subcutaneous"}, True),
    ({"text": "IV"}, True), (None, True),
])  # fmt: skip
def test_a_steroid_on_the_skin_is_none_for_the_spine(route: Json | None, counts: bool) -> None:
    told = [{"route": route}] if route else []
    (event,) = drug("5492", dosageInstruction=told)
    assert ("steroid" in event.flags) is counts


def test_every_drug_with_a_class_is_known_to_be_no_opioid() -> None:
    known = {(row["system"], row["code"]) for row in ROWS if row["set"] == "not-opioid"}
    assert {(row["system"], row["code"]) for row in ROWS if row["set"] == "drug-class"} <= known
