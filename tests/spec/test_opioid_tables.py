"""Conversion tables and as-needed orders, which the study chooses (spec/endpoints.md section 4)."""

from decimal import Decimal
from typing import get_args

import msgspec
import pytest

from fhir_srs.endpoints import Study, load_study
from fhir_srs.endpoints.study_file import changed
from fhir_srs.mapping.profile import parse_profile
from fhir_srs.mapping.standards import omed_tables
from tests.spec.records import events, mapped
from tests.spec.test_medication_records import (
    AS_NEEDED,
    DAY,
    FENTANYL,
    MORPHINE,
    OXYCODONE,
    SKIN,
    administration,
    dosage,
    mg,
    order,
)
from tests.spec.timelines import outcomes, response
from tests.unit.mapping_given import Json

METHADONE, HYDROMORPHONE, TRAMADOL = "6813", "3423", "10689"
ONCE: Json = {"frequency": 1, "period": 1, "periodUnit": "d"}
CDC_2022, CDC_2016, CANADA = "cdc-2022", "cdc-2016", "cancer-canada"

# drug, amount (mg/d, or mcg/h of a patch) -> OMED by cdc-2022, cdc-2016, cancer-canada; `?` no factor.
# CDC 2016: the guideline, and for methadone the CDC's compilation of 2017. Canada: table 4 of Canadian Family
# Physician (spec/endpoints.md source 26), of a range of patches its middle, between two patches on the line.
CONVERTED = {
    "morphine": (MORPHINE, 60, "60", "60", "60"),
    "codeine": ("2670", 60, "9", "9", "9"),
    "hydrocodone": ("5489", 60, "60", "60", "?"),
    "hydromorphone": (HYDROMORPHONE, 10, "50", "40", "50"),
    "oxycodone": (OXYCODONE, 40, "60", "60", "60"),
    "oxymorphone": ("7814", 20, "60", "60", "?"),
    "tapentadol": ("787390", 100, "40", "?", "?"),
    "tramadol": (TRAMADOL, 200, "40", "?", "?"),
    "methadone 20": (METHADONE, 20, "94", "80", "?"),
    "methadone 20.5: no gap": (METHADONE, "20.5", "96.35", "164", "?"),
    "methadone 40": (METHADONE, 40, "188", "320", "?"),
    "methadone 60": (METHADONE, 60, "282", "600", "?"),
    "methadone 80": (METHADONE, 80, "376", "960", "?"),
    "fentanyl 25: 60 to 134": (FENTANYL, 25, "60", "60", "97"),
    "fentanyl 37: 135 to 179": (FENTANYL, 37, "88.8", "88.8", "157"),
    "fentanyl 50: 180 to 224": (FENTANYL, 50, "120", "120", "202"),
    "fentanyl 100: 360 to 404": (FENTANYL, 100, "240", "240", "382"),
    "fentanyl 12.5, half way to 25": (FENTANYL, "12.5", "30", "30", "48.5"),
    "fentanyl 125, beyond the table": (FENTANYL, 125, "300", "300", "?"),
}  # fmt: skip


def text(value: Decimal | None) -> str:
    return "?" if value is None else f"{value.normalize():f}"


def by_tables(record: Json | list[Json], *, most: bool = False) -> dict[str, str]:
    found = events(mapped(*(record if isinstance(record, list) else [record])), "opioid")
    return {one.table: text(one.most if most else one.omed) for one in found[0].omeds}


@pytest.mark.parametrize("name", CONVERTED)
def test_a_dose_by_each_table_is(name: str) -> None:
    drug, amount, *expected = CONVERTED[name]
    patch = {"doseQuantity": {"value": float(amount), "unit": "ug/h"}}
    each = dosage(patch, route=SKIN) if drug == FENTANYL else dosage(mg(float(amount)), repeat=ONCE)
    assert by_tables(order(drug, each)) == dict(zip((CDC_2022, CDC_2016, CANADA), expected, strict=True))


def test_what_is_given_of_one_drug_in_a_day_is_added_before_it_is_converted() -> None:
    """Two doses of 15 mg of methadone are 30 mg at 8 (CDC 2016), not twice 15 mg at 4."""
    given = [administration(METHADONE, {"dose": {"value": 15, "unit": "mg"}}, id_=one) for one in "xy"]
    assert by_tables(given)[CDC_2016] == "240"


def test_two_instructions_of_one_order_are_added_before_they_are_converted() -> None:
    told = order(METHADONE, dosage(mg(15), repeat=ONCE), dosage(mg(15), repeat=ONCE))
    assert by_tables(told)[CDC_2016] == "240"


# An as-needed order of morphine -> the most it allows a day; `?` where it does not say.
MOST = {
    "10 mg every 4 hours": (dosage(mg(10), {"frequency": 1, "period": 4, "periodUnit": "h"}), "60"),
    "10 mg every 4 to 6 hours": (
        dosage(mg(10), {"frequency": 1, "period": 4, "periodMax": 6, "periodUnit": "h"}), "60"),
    "10 mg one to three times a day": (
        dosage(mg(10), {"frequency": 1, "frequencyMax": 3, "period": 1, "periodUnit": "d"}), "30"),
    "5 to 10 mg twice a day": (
        dosage({"doseRange": {"low": {"value": 5, "unit": "mg"}, "high": {"value": 10, "unit": "mg"}}}),
        "20"),
    "10 mg every 4 hours, at most 40 mg a day": (
        dosage(mg(10), {"frequency": 1, "period": 4, "periodUnit": "h"}, maxDosePerPeriod={
            "numerator": {"value": 40, "unit": "mg"}, "denominator": {"value": 1, "code": "d"}}), "40"),
    "10 mg at will, at most 20 mg in 12 hours": (
        {"doseAndRate": [mg(10)], "maxDosePerPeriod": {
            "numerator": {"value": 20, "unit": "mg"}, "denominator": {"value": 12, "code": "h"}}}, "40"),
    "10 mg at will": ({"doseAndRate": [mg(10)]}, "?"),
    "at most so many tablets": (
        dosage(mg(10), maxDosePerPeriod={"numerator": {"value": 4, "unit": "tablet"},
                                         "denominator": {"value": 1, "code": "d"}}), "20"),
}  # fmt: skip


@pytest.mark.parametrize("name", MOST)
def test_the_most_of_an_as_needed_order_is(name: str) -> None:
    told, most = MOST[name]
    record = order(MORPHINE, told | AS_NEEDED)
    assert by_tables(record, most=True)[CDC_2022] == most
    assert by_tables(record)[CDC_2022] == "0"


def test_as_needed_comes_on_top_of_what_is_taken_by_the_clock() -> None:
    record = order(MORPHINE, dosage(), dosage(mg(10), **AS_NEEDED))
    assert (by_tables(record)[CDC_2022], by_tables(record, most=True)[CDC_2022]) == ("60", "80")


VISITS = "A | -3 | pain | 7\nA | 91 | pain | 7\n"
# drawing -> OMED at baseline and at three months by the choice of the study
CHOSEN = {
    "by the study's table": (
        "- | -20..200 | opioid | 60 cdc-2022=60 cdc-2016=80", {"omed_table": "cdc-2016"}, "80 80"),
    "by the site's own": (
        "- | -20..200 | opioid | 70 ours=70 cdc-2022=60 cdc-2016=80", {"omed_table": "site"}, "70 70"),
    "unknown by the study's table": (
        "- | -20..200 | opioid | 60 cdc-2022=60 cdc-2016=?", {"omed_table": "cdc-2016"}, "omed-unknown"),
    "as-needed orders at their most": (
        "- | -20..200 | opioid | 0 order cdc-2022=0/40 prn-intake-unknown", {"prn_orders": "max-dose"},
        "40 40"),
    "as-needed orders count 0": (
        "- | -20..200 | opioid | 0 order cdc-2022=0/40 prn-intake-unknown", {}, "0 0"),
    "at their most on top of the same drug by the clock": (
        "- | -20..200 | opioid | 60 order cdc-2022=60\n"
        "- | 50..200 | opioid | 0 order cdc-2022=0/40 prn-intake-unknown", {"prn_orders": "max-dose"},
        "60 100"),
    "nobody knows the most": (
        "- | -20..200 | opioid | 60 order cdc-2022=60\n"
        "- | 50..200 | opioid | 0 order cdc-2022=0/? prn-intake-unknown", {"prn_orders": "max-dose"},
        "omed-unknown"),
    "another drug is in every table": (
        "- | -20..200 | opioid | 0 not-opioid", {"omed_table": "cancer-canada"}, "0 0"),
}  # fmt: skip


def chosen(change: dict[str, object]) -> Study:
    return changed(load_study("icpre2012"), change)


@pytest.mark.parametrize("name", CHOSEN)
def test_the_dose_of_a_day_by_choice_of_the_study_is(name: str) -> None:
    drawing, change, expected = CHOSEN[name]
    row = response(outcomes(VISITS + drawing, chosen(change)), "3-month")
    assert (row.reason or f"{row.omed_baseline} {row.omed}") == expected


def test_a_response_names_the_table_that_its_doses_are_by() -> None:
    drawing = VISITS + "- | -20..200 | opioid | 70 ours=70 cdc-2022=60 cdc-2016=80"
    for table, name in (("cdc-2022", "cdc-2022"), ("cdc-2016", "cdc-2016"), ("site", "ours")):
        row = response(outcomes(drawing, chosen({"omed_table": table})), "3-month")
        assert row.omed_table == name


def test_rotation_is_where_tables_differ() -> None:
    """Morphine 120 to a patch of 50: the same by CDC, more than a quarter up by the Canadian table."""
    drawing = (
        "A | -3 | pain | 7\nA | 91 | pain | 7\n"
        "- | -20..0 | opioid | 120 cdc-2022=120 cancer-canada=120 @7052\n"
        "- | 1..200 | opioid | 120 cdc-2022=120 cancer-canada=202 @4337"
    )
    found = {
        table: response(outcomes(drawing, chosen({"omed_table": table})), "3-month").category
        for table in (CDC_2022, CANADA)
    }
    assert found == {CDC_2022: "IR", CANADA: "PP"}


def test_a_study_may_name_every_shipped_table_and_the_site_s_own() -> None:
    (kind,) = [one.type for one in msgspec.structs.fields(Study) if one.name == "omed_table"]
    assert set(get_args(kind)) == {*omed_tables(), "site"}


def test_a_table_of_the_site_stands_first_and_beside_ours() -> None:
    ours = parse_profile(
        'omed_table = "ours"\n[[omed_factors]]\ningredient = "oxycodone"\nform = "oral"\nfactor = 2\n',
        name="x",
    )
    (event,) = events(mapped(order(OXYCODONE), profile=ours), "opioid")
    assert [(one.table, text(one.omed)) for one in event.omeds][:2] == [("ours", "120"), (CDC_2022, "90")]
    assert (text(event.value), str(event.on and event.on.text)) == ("120", DAY)
