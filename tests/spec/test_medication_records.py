"""Opioids: what a medication record says of the OMED, from when to when (endpoints.md 4, decisions.md 10).

Rows give the spells as `first..last mg/day`, `?` for an OMED that cannot be known.
"""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.spec.records import MCODE, RXNORM, events, mapped, record, said
from tests.unit.mapping_given import Json, concept

MORPHINE, OXYCODONE, FENTANYL, BUPRENORPHINE, ACETAMINOPHEN = "7052", "7804", "4337", "1819", "161"
TWICE: Json = {"frequency": 2, "period": 1, "periodUnit": "d"}
DAY = "2024-03-01"


def drug(code: str) -> Json:
    return concept(code, RXNORM)


def mg(value: Any, unit: str = "mg") -> Json:
    return {"doseQuantity": {"value": value, "unit": unit}}


def dosage(each: Json | None = None, repeat: Json | None = None, **more: Any) -> Json:
    """30 mg twice a day, unless said otherwise."""
    timing = {"timing": {"repeat": TWICE if repeat is None else repeat}}
    return timing | {"doseAndRate": [mg(30) if each is None else each]} | more


def order(code: str = MORPHINE, *told: Json, id_: str = "x", **elements: Any) -> Json:
    usual = {
        "status": "active",
        "intent": "order",
        "authoredOn": DAY,
        "medicationCodeableConcept": drug(code),
    }
    return record(
        "MedicationRequest", id_, **(usual | {"dosageInstruction": list(told or [dosage()])} | elements)
    )


def statement(code: str = MORPHINE, *told: Json, id_: str = "x", **elements: Any) -> Json:
    usual = {"status": "active", "medicationCodeableConcept": drug(code), "effectiveDateTime": DAY}
    return record("MedicationStatement", id_, **(usual | {"dosage": list(told or [dosage()])} | elements))


def dispense(code: str = MORPHINE, *told: Json, id_: str = "x", **elements: Any) -> Json:
    usual = {"status": "completed", "medicationCodeableConcept": drug(code), "whenHandedOver": DAY}
    return record(
        "MedicationDispense", id_, **(usual | {"dosageInstruction": list(told or [dosage()])} | elements)
    )


def administration(code: str = MORPHINE, dose: Any = None, id_: str = "x", **elements: Any) -> Json:
    usual = {"status": "completed", "medicationCodeableConcept": drug(code), "effectiveDateTime": DAY}
    given = {"dose": {"value": 30, "unit": "mg"}} if dose is None else dose
    return record("MedicationAdministration", id_, **(usual | {"dosage": given} | elements))


def medication(*ingredients: tuple[str, Any, Any], form: str | None = None) -> Json:
    """A product of (ingredient, strength, per)."""
    found: Json = {"resourceType": "Medication", "id": "m"}
    found["ingredient"] = [
        {
            "itemCodeableConcept": drug(code),
            "strength": {"numerator": {"value": much, "unit": "mg"}, "denominator": per},
        }
        for code, much, per in ingredients
    ]
    return found | ({"form": drug(form)} if form else {})


def of_product(**elements: Any) -> Json:
    return elements | {
        "medicationCodeableConcept": None,
        "medicationReference": {"reference": "Medication/m"},
    }


def bounds(start: str | None, end: str | None) -> Json:
    period = {name: value for name, value in (("start", start), ("end", end)) if value}
    return TWICE | {"boundsPeriod": period}


def lasting(value: Any, unit: str = "d") -> Json:
    return TWICE | {"boundsDuration": {"value": value, "code": unit}}


def spells(*records: Json, profile: Any = MCODE) -> list[str]:
    found = mapped(*records, profile=profile)
    told = events(found, "opioid")
    return [f"{_text(one.on)}..{_text(one.until)} {number(one.value)}" for one in told]


def number(value: Any) -> str:
    """*value* without zeros at its end; `?` for none."""
    return "?" if value is None else f"{value.normalize():f}"


def _text(on: Any) -> str:
    return on.text[5:] if on else ""


TABLET, SPOON = {"value": 1, "unit": "tablet"}, {"value": 5, "unit": "mL"}
IV, SC = {"coding": [{"system": "http://snomed.info/sct", "code": "47625008"}]}, {"text": "SC"}
SKIN = {"coding": [{"system": "http://snomed.info/sct", "code": "45890007"}]}
HOURLY = {"doseQuantity": {"value": 25, "unit": "ug/h"}}
AS_NEEDED = {"asNeededBoolean": True}

# One record: how much a day, and what is said of it.
DOSES: dict[str, tuple[Json | list[Json], str, set[str]]] = {
    "30 mg twice a day": (order(), "60", set()),
    "30 mg every 8 hours": (
        order(MORPHINE, dosage(repeat={"frequency": 1, "period": 8, "periodUnit": "h"})), "90", set()),
    "30 mg every 7 hours": (
        order(MORPHINE, dosage(repeat={"period": 7, "periodUnit": "h"})), number(30 * 24 / Decimal(7)),
        set()),
    "at two times of day": (
        order(MORPHINE, dosage(repeat={"timeOfDay": ["08:00:00", "20:00:00"]})), "60", set()),
    "morning and evening": (order(MORPHINE, dosage(repeat={"when": ["MORN", "EVE"]})), "60", set()),
    "BID": (order(MORPHINE, dosage() | {"timing": {"code": {"coding": [{"code": "BID"}]}}}), "60", set()),
    "TID as text": (order(MORPHINE, dosage() | {"timing": {"code": {"text": "tid"}}}), "90", set()),
    "0.03 g": (order(MORPHINE, dosage(mg(0.03, "g"))), "60", set()),
    "oxycodone x 1.5": (order(OXYCODONE), "90", set()),
    "codeine x 0.15": (order("2670"), "9", set()),
    "hydromorphone x 5": (order("3423"), "300", set()),
    "methadone x 4.7": (order("6813"), "282", set()),
    "oxymorphone x 3": (order("7814"), "180", set()),
    "tapentadol x 0.4": (order("787390"), "24", set()),
    "tramadol x 0.2": (order("10689"), "12", set()),
    "hydrocodone x 1": (order("5489"), "60", set()),
    "two instructions of one record add up": (order(MORPHINE, dosage(), dosage(mg(10))), "80", set()),
    "no route is by mouth": (order(), "60", set()),
    "route oral": (order(MORPHINE, dosage(route={"text": "Oral"})), "60", set()),
    # as needed
    "as needed: intake unknown, counts 0": (
        order(MORPHINE, dosage(**AS_NEEDED)), "0", {"prn-intake-unknown"}),
    "as needed for a reason": (
        order(MORPHINE, dosage(asNeededCodeableConcept={"text": "pain"})), "0", {"prn-intake-unknown"}),
    "by the clock and as needed": (
        order(MORPHINE, dosage(), dosage(mg(10), **AS_NEEDED)), "60", {"prn-intake-unknown"}),
    # patches
    "a patch by route, 2.4 for each mcg/h": (order(FENTANYL, dosage(HOURLY, route=SKIN)), "60", set()),
    "a patch by dose form": (
        [medication((FENTANYL, 1, TABLET), form="316987"), order(FENTANYL, dosage(HOURLY), **of_product())],
        "60",
        set()),
    "a patch told as a rate": (
        order(FENTANYL, dosage({"rateQuantity": {"value": 12.5, "code": "ug/h"}}, route=SKIN)), "30", set()),
    # products
    "tablets by their strength": (
        [medication((MORPHINE, 15, {"value": 1, "unit": "tablet"})),
         order(MORPHINE, dosage({"doseQuantity": {"value": 2, "unit": "tablet"}}), **of_product())], "60",
        set()),
    "millilitres by their strength": (
        [medication((MORPHINE, 10, SPOON)),
         order(MORPHINE, dosage({"doseQuantity": {"value": 15, "unit": "mL"}}), **of_product())], "60",
        set()),
    "the ingredient beside product codes that no table has": (
        order(medicationCodeableConcept={"coding": [
            {"system": RXNORM, "code": one} for one in ("1049604", OXYCODONE, "1049683")]}), "90", set()),
    "a combination by the codes of its parts": (
        order(medicationCodeableConcept={"coding": [
            {"system": RXNORM, "code": one} for one in (OXYCODONE, ACETAMINOPHEN)]}), "?",
        {"dosage-incomplete"}),
    "milligrams of a combination: of which?": (
        [medication((OXYCODONE, 5, TABLET), (ACETAMINOPHEN, 325, TABLET)),
         order(OXYCODONE, dosage(mg(5)), **of_product())], "?", {"dosage-incomplete"}),
    # not known
    "no dose": (order(MORPHINE, {"timing": {"repeat": TWICE}}), "?", {"dosage-incomplete"}),
    "no timing": (order(MORPHINE, {"doseAndRate": [mg(30)]}), "?", {"dosage-incomplete"}),
    "no instruction": (order(MORPHINE, dosageInstruction=[]), "?", {"dosage-incomplete"}),
    "a range of doses": (
        order(MORPHINE, dosage({"doseRange": {"low": {"value": 5}, "high": {"value": 10}}})), "?",
        {"dosage-incomplete"}),
    "a range of frequency": (
        order(MORPHINE, dosage(repeat=TWICE | {"frequencyMax": 4})), "?", {"dosage-incomplete"}),
    "up to": (
        order(MORPHINE, dosage({"doseQuantity": {"value": 30, "unit": "mg", "comparator": "<"}})), "?",
        {"dosage-incomplete"}),
    "tablets without a strength": (
        order(MORPHINE, dosage({"doseQuantity": TABLET})), "?", {"dosage-incomplete"}),
    "steps that follow each other": (
        order(MORPHINE, dosage(sequence=1), dosage(mg(15), sequence=2)), "?", {"dosage-incomplete"}),
    "some weekdays": (
        order(MORPHINE, dosage(repeat=TWICE | {"dayOfWeek": ["mon"]})), "?", {"dosage-incomplete"}),
    "no factor": (order(BUPRENORPHINE), "?", {"drug-no-factor"}),
    "into a vein": (order(MORPHINE, dosage(route=IV)), "?", {"drug-no-factor"}),
    "a route that we do not know": (order(MORPHINE, dosage(route=SC)), "?", {"drug-no-factor"}),
    "fentanyl by mouth": (order(FENTANYL, dosage(mg(0.4))), "?", {"drug-no-factor"}),
    "milligrams of a patch": (order(FENTANYL, dosage(mg(4.2), route=SKIN)), "?", {"dosage-incomplete"}),
    "a drug in no table": (order("999999"), "?", {"drug-not-recognised"}),
    "a drug in words": (order(medicationCodeableConcept={"text": "Morphine"}), "?", {"drug-not-recognised"}),
    "a product that is not there": (order(**of_product()), "?", {"drug-not-recognised"}),
    # other drugs
    "any other drug shows that the list is kept": (order(ACETAMINOPHEN, dosage()), "0", set()),
}  # fmt: skip


@pytest.mark.parametrize("name", DOSES)
def test_the_omed_of_a_record(name: str) -> None:
    arrives, omed, reasons = DOSES[name]
    found = mapped(*(arrives if isinstance(arrives, list) else [arrives]))
    told = events(found, "opioid")
    opioids = [one for one in told if "not-opioid" not in one.flags]
    values = {number(one.value) for one in opioids or told}
    assert (values, said(found)) == ({omed}, reasons)


def test_flags_say_what_the_number_does_not() -> None:
    flags = {
        code: events(mapped(order(code, dosage(repeat=bounds(DAY, DAY), **more))), "opioid")[0].flags
        for code, more in ((MORPHINE, AS_NEEDED), (ACETAMINOPHEN, {}), (OXYCODONE, {}))
    }
    assert flags == {
        MORPHINE: ("prn-intake-unknown",),
        ACETAMINOPHEN: ("not-opioid", "paracetamol"),
        OXYCODONE: (),
    }


def test_an_event_says_ingredient_unit_and_evidence() -> None:
    for made, level in (
        (order(), "order"), (statement(), "statement"), (dispense(), "dispense"), (administration(),
        "administration"),
    ):  # fmt: skip
        (one,) = events(mapped(made), "opioid")
        assert (one.code, one.unit, one.evidence) == (f"{RXNORM}|{MORPHINE}", "mg/d", level)


# How long a record is active.
SPELLS: dict[str, tuple[list[Json], list[str]]] = {
    "bounds": ([order(MORPHINE, dosage(repeat=bounds("2024-03-04", "2024-03-20")))], ["03-04..03-20 60"]),
    "a length from the start": ([order(MORPHINE, dosage(repeat=lasting(10)))], ["03-01..03-10 60"]),
    "two weeks": ([order(MORPHINE, dosage(repeat=lasting(2, "wk")))], ["03-01..03-14 60"]),
    "the expected supply": (
        [order(dispenseRequest={"expectedSupplyDuration": {"value": 7, "unit": "days"}})],
        ["03-01..03-07 60"]),
    "days supplied": ([dispense(daysSupply={"value": 14})], ["03-01..03-14 60"]),
    "an effective period": (
        [statement(effectiveDateTime=None, effectivePeriod={"start": DAY, "end": "2024-05-05"})],
        ["03-01..05-05 60"]),
    "one dose": (
        [order(MORPHINE, dosage(repeat={"frequency": 1, "period": 1, "periodUnit": "d", "count": 1}))],
        ["03-01..03-01 30"]),
    "seven doses, two a day": (
        [order(MORPHINE, dosage(repeat=TWICE | {"count": 7}))], ["03-01..03-04 60"]),
    "no end: 30 days": ([order()], ["03-01..03-30 60"]),
    "an effective start alone: 30 days": (
        [statement(effectiveDateTime=None, effectivePeriod={"start": DAY})], ["03-01..03-30 60"]),
    "the next entry ends the one before": (
        [order(), order(MORPHINE, dosage(mg(15)), id_="y", authoredOn="2024-03-11")],
        ["03-01..03-10 60", "03-11..04-09 30"]),
    "even one that would last longer: a renewal replaces": (
        [order(MORPHINE, dosage(repeat=lasting(60))), order(MORPHINE, dosage(mg(15)), id_="y",
        authoredOn="2024-03-11")],
        ["03-01..03-10 60", "03-11..04-09 30"]),
    "and one far off as well": (
        [order(), order(id_="y", authoredOn="2024-06-01")], ["03-01..05-31 60", "06-01..06-30 60"]),
    "another drug does not": (
        [order(), order(OXYCODONE, id_="y", authoredOn="2024-03-11")], ["03-01..03-30 60",
        "03-11..04-09 90"]),
    "nor another level of evidence": (
        [order(), statement(id_="y", effectiveDateTime="2024-03-11")], ["03-01..03-30 60",
        "03-11..04-09 60"]),
    "nor the same drug as needed": (
        [order(), order(MORPHINE, dosage(**AS_NEEDED), id_="y", authoredOn="2024-03-11")],
        ["03-01..03-30 60", "03-11..04-09 0"]),
    "nor a cancelled one": (
        [order(), order(id_="y", authoredOn="2024-03-11", status="cancelled")], ["03-01..03-30 60"]),
    "other drugs end likewise": (
        [order(ACETAMINOPHEN)], ["03-01..03-30 0"]),
    "no date": ([order(authoredOn=None)], [".. 60"]),
    "a statement's date of asserting is no start": (
        [statement(effectiveDateTime=None, dateAsserted=DAY)], [".. 60"]),
    "an end before the start": ([order(MORPHINE, dosage(repeat=bounds(DAY, "2024-02-01")))], [".. 60"]),
    "a month": ([order(MORPHINE, dosage(repeat=bounds("2024-03", "2024-05")))], ["03..05 60"]),
    # administrations
    "one administration": ([administration()], ["03-01..03-01 30"]),
    "those of one day add up": (
        [administration(), administration(id_="y", effectiveDateTime=DAY + "T20:00:00Z")],
        ["03-01..03-01 60", "03-01..03-01 60"]),
    "those of two days do not": (
        [administration(), administration(id_="y", effectiveDateTime="2024-03-02")],
        ["03-01..03-01 30", "03-02..03-02 30"]),
    "one unknown dose of a day leaves the day unknown": (
        [administration(), administration(MORPHINE, {}, "y")], ["03-01..03-01 ?", "03-01..03-01 ?"]),
    "a patch lasts three days": (
        [administration(FENTANYL, {"dose": {"value": 25, "unit": "ug/h"}, "route": SKIN})],
        ["03-01..03-03 60"]),
    "or to the next": (
        [administration(FENTANYL, {"dose": {"value": 25, "unit": "ug/h"}, "route": SKIN}, id_,
        effectiveDateTime=on)
         for id_, on in (("x", DAY), ("y", "2024-03-03"))], ["03-01..03-02 60", "03-03..03-05 60"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLS)
def test_how_long_a_record_is_active(name: str) -> None:
    records, expected = SPELLS[name]
    assert spells(*records) == expected


def test_what_ends_by_the_30_days_is_flagged_and_what_ends_by_itself_is_not() -> None:
    first, second = events(mapped(order(), order(id_="y", authoredOn="2024-03-11")), "opioid")
    assert (first.flags, second.flags) == ((), ("open-order",))


def test_how_long_an_open_order_is_believed_is_the_sites_to_say() -> None:
    profile = msgspec.structs.replace(MCODE, open_order_days=90)
    assert spells(order(), profile=profile) == ["03-01..05-29 60"]


BARRED = {
    "a proposal": (order(intent="proposal"), "status-not-usable"),
    "a plan": (order(intent="plan"), "status-not-usable"),
    "not to be given": (order(doNotPerform=True), "status-not-usable"),
    "cancelled": (order(status="cancelled"), "status-not-usable"),
    "a draft": (order(status="draft"), "status-not-usable"),
    "not taken": (statement(status="not-taken"), "status-not-usable"),
    "not given": (administration(status="not-done"), "status-not-usable"),
    "in error": (order(status="entered-in-error"), "status-entered-in-error"),
}


@pytest.mark.parametrize("name", BARRED)
def test_what_was_neither_ordered_nor_taken(name: str) -> None:
    arrives, reason = BARRED[name]
    found = mapped(arrives)
    assert (events(found, "opioid"), said(found)) == ([], {f"not used: {reason}"})


DATES = {
    "none": (order(authoredOn=None), {"date-missing"}),
    "no day of the calendar": (order(authoredOn="2024-02-30"), {"date-not-valid"}),
    "before birth": (order(authoredOn="1940-01-01"), {"date-implausible"}),
    "an end before the start": (
        order(MORPHINE, dosage(repeat=bounds(DAY, "2024-02-01"))), {"date-implausible"}),
    "an end that is none": (order(MORPHINE, dosage(repeat=bounds(DAY, "2024-02-30"))), {"date-not-valid"}),
    "a month": (order(authoredOn="2024-03"), {"date-partial"}),
}  # fmt: skip


@pytest.mark.parametrize("name", DATES)
def test_what_is_said_of_dates(name: str) -> None:
    arrives, reasons = DATES[name]
    found = mapped(arrives)
    assert (said(found), found.counts.refused) == (reasons, 0)


def test_a_drug_may_be_contained_in_its_order() -> None:
    product = medication((MORPHINE, 15, {"value": 1, "unit": "tablet"}))
    told = dosage({"doseQuantity": {"value": 2, "unit": "tablet"}}, lasting(2))
    made = order(MORPHINE, told, contained=[product], medicationCodeableConcept=None)
    assert spells(made | {"medicationReference": {"reference": "#m"}}) == ["03-01..03-02 60"]


def test_a_product_code_becomes_its_ingredients_by_the_sites_table() -> None:
    products = {(RXNORM, "1049621"): (f"{RXNORM}|{OXYCODONE}",)}
    profile = msgspec.structs.replace(MCODE, products=products)
    told = dosage(mg(5), lasting(2))
    assert spells(order("1049621", told), profile=profile) == ["03-01..03-02 15"]
    assert spells(order("1049621", told)) == ["03-01..03-02 ?"]
