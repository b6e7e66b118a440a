"""The tables of mappings/terminology: every code has a source, and no drug is an opioid and none."""

from collections import Counter

from fhir_srs import tables
from fhir_srs.model import Event
from tests.spec.records import RXNORM, concept, events, mapped, record

ROWS = [row for name in tables.names("terminology/*.csv") for row in tables.rows(name)]
DRUGS = ("opioid", "opioid-without-factor", "not-opioid")


def drug(code: str, id_: str = "x") -> list[Event]:
    order = {"intent": "order", "status": "active", "authoredOn": "2024-03-01"}
    found = mapped(record("MedicationRequest", id_, medicationCodeableConcept=concept(code, RXNORM), **order))
    return events(found, "opioid")


def test_every_code_says_where_it_is_from() -> None:
    assert [row["code"] for row in ROWS if not row["source"].strip()] == []


def test_no_code_stands_twice_in_one_set_and_none_is_in_two_sets_of_drugs() -> None:
    twice = Counter((row["set"], row["system"], row["code"]) for row in ROWS)
    assert [key for key, number in twice.items() if number > 1] == []
    drugs = Counter((row["system"], row["code"]) for row in ROWS if row["set"] in DRUGS)
    assert [key for key, number in drugs.items() if number > 1] == []


def test_a_common_drug_is_no_opioid_and_leaves_the_omed_known() -> None:
    for code in ("25480", "3264", "7646"):
        (event,) = drug(code)
        assert (event.value, event.flags) == (0, ("not-opioid",))
    (event,) = drug("999999999")
    assert event.value is None
