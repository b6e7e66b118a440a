"""Bad input, the whole way from a file: an Issue each, the rest processed, nothing invented.

resource shape -> the issue it gives, and whether it still counts (spec/fhir-mapping.md sections 6 to 8).
"""

import json
from decimal import Decimal

import pytest

from fhir_srs import load_profile, map_resources

SCT, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
DOSE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-radiotherapy-dose-delivered-to-volume"


def concept(system, code, text=None):
    return {"coding": [{"system": system, "code": code}]} | ({"text": text} if text else {})


def person(name="p"):
    return {
        "resourceType": "Patient",
        "id": name,
        "identifier": [
            {"type": {"coding": [{"code": "MR"}]}, "system": "http://example.org/mrn", "value": name}
        ],
    }


def course(name="c", *, start="2024-03-05", site="77435000", dose=None, **more):
    """Radiosurgery coded as surgery, with dose and site around it."""
    quantity = dose or {"value": 16, "unit": "Gy", "system": UCUM, "code": "Gy"}
    parts = [
        {"url": "totalDoseDelivered", "valueQuantity": quantity},
        {"url": "fractionsDelivered", "valueUnsignedInt": 1},
    ]
    return {
        "resourceType": "Procedure",
        "id": name,
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "code": concept(SCT, "447704003"),
        "performedPeriod": {"start": start, "end": start},
        "bodySite": [concept(SCT, site)],
        "extension": [{"url": DOSE, "extension": parts}],
        **more,
    }


def pain(name, value, when="2024-04-05", **more):
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "code": concept(LOINC, "72514-3"),
        "effectiveDateTime": when,
        "valueInteger": value,
        **more,
    }


GOOD = [person(), course(), pain("good", 3)]


def mapped(*resources):
    return map_resources([*GOOD, *resources], profile=load_profile("mcode"))


def issues(found, resource):
    return {(issue.reason, issue.used) for issue in found.issues if issue.resource == resource}


# resource -> its reference, the issue, whether it still counts
REFUSED_SCORES = {
    "pain of 11": (pain("x", 11), "value-out-of-range"),
    "pain as text": (pain("x", "high"), None),
    "no value": ({**pain("x", 1), "valueInteger": None}, None),
    "declined": (
        {key: value for key, value in pain("x", 1).items() if key != "valueInteger"}
        | {
            "dataAbsentReason": concept(
                "http://terminology.hl7.org/CodeSystem/data-absent-reason", "asked-declined"
            )
        },
        "value-absent",
    ),
    "a comparator": (
        {key: value for key, value in pain("x", 1).items() if key != "valueInteger"}
        | {"valueQuantity": {"value": 3, "comparator": "<"}},
        "value-not-usable",
    ),
    "entered in error": (pain("x", 9, status="entered-in-error"), "status-entered-in-error"),
    "cancelled": (pain("x", 9, status="cancelled"), "status-not-usable"),
    "a wound's score": (
        pain("x", 9) | {"code": concept(LOINC, "72514-3", "wound exudate score")},
        "code-meaning-doubtful",
    ),
}


@pytest.mark.parametrize("name", REFUSED_SCORES)
def test_a_score_that_is_none_is_refused_with_its_reason_and_never_counted(name):
    resource, reason = REFUSED_SCORES[name]
    found = mapped(resource)
    assert [event.value for event in found.events if event.kind == "pain"] == [Decimal(3)]
    said = issues(found, "Observation/x")
    assert said
    assert reason is None or (reason, False) in said
    assert found.counts.read == found.counts.used + found.counts.ignored + found.counts.refused


def test_the_30th_of_february_is_said_and_sets_no_date():
    found = mapped(pain("x", 9, when="2024-02-30"))
    assert "date-not-valid" in {reason for reason, _ in issues(found, "Observation/x")}
    (event,) = [event for event in found.events if event.source == "Observation/x"]
    assert event.on is None


@pytest.mark.parametrize(
    ("quantity", "gray", "reason"),
    [
        ({"value": 16}, Decimal(16), "dose-unit-missing"),
        ({"value": 1600}, Decimal(16), "dose-unit-missing"),
        ({"value": 50}, None, "dose-unit-missing"),
        ({"value": 1600, "unit": "Gy", "system": UCUM, "code": "Gy"}, Decimal(16), "dose-unit-implausible"),
        ({"value": 16, "unit": "cGy", "system": UCUM, "code": "cGy"}, None, "dose-unit-implausible"),
        ({"value": 1600, "unit": "rad"}, None, "dose-unit-not-recognised"),
        (
            {"value": 16, "unit": "EQD2Gy(a/b=10)", "system": UCUM, "code": "Gy"},
            None,
            "dose-unit-not-recognised",
        ),
        ({"value": "16", "unit": "Gy", "system": UCUM, "code": "Gy"}, None, None),
    ],
)
def test_a_dose_is_taken_only_where_its_unit_allows_one_reading(quantity, gray, reason):
    found = map_resources([person(), course(dose=quantity)], profile=load_profile("mcode"))
    (lesion,) = found.lesions
    assert lesion.dose_gy == gray
    said = {name for name, _ in issues(found, "Procedure/c")}
    assert said
    assert reason is None or reason in said


@pytest.mark.parametrize(
    ("text", "levels"), [("T13", ()), ("C8", ()), ("L6", ()), ("T8-T10", ("T8", "T9", "T10"))]
)
def test_a_vertebra_that_is_none_gives_no_level(text, levels):
    treatment = course() | {"bodySite": [concept(SCT, "421060004", text)]}
    found = map_resources([person(), treatment], profile=load_profile("mcode"))
    (lesion,) = found.lesions
    assert lesion.levels == levels
    expected = "level-ambiguous" if not levels else "level-from-text"
    assert expected in {name for name, _ in issues(found, "Procedure/c")}


def test_two_courses_with_one_label_are_two_lesions_the_second_a_reirradiation():
    label = {"identifier": [{"system": "http://example.org/course", "value": "Spine 1"}]}
    found = map_resources(
        [person(), course("one", **label), course("two", start="2024-09-05", **label)],
        profile=load_profile("mcode"),
    )
    first, second = sorted(found.lesions, key=lambda lesion: lesion.start.text)
    assert first.lesion_id != second.lesion_id
    assert second.reirradiation_of == first.lesion_id


def test_a_bundle_with_one_bad_entry_gives_all_others():
    entries = [
        {"resource": one}
        for one in (person(), course(), {"resourceType": "Observation", "id": 17}, pain("g", 3))
    ]
    bundle = json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries})
    found = map_resources([bundle], profile=load_profile("mcode"))
    assert len(found.lesions) == 1
    assert [event.source for event in found.events] == ["Observation/g"]
    assert any(issue.reason == "resource-unreadable" for issue in found.issues)


def test_a_login_page_is_no_resource():
    found = mapped("<html><title>Sign in</title></html>")
    assert [(one.resource, one.reason) for one in found.issues if one.reason == "resource-unreadable"] == [
        (None, "resource-unreadable")
    ]
