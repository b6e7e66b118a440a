"""Outcomes as Observations: ids, shapes, references, status, Provenance, withdrawal."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

import pytest
from msgspec.structs import replace

from fhir_srs import tables
from fhir_srs.model import Status, content_id
from fhir_srs.results import (
    canonical_hash,
    rebased,
    refusals,
    resource_refusals,
    retracted,
    unresolved,
    withdrawn,
)
from fhir_srs.results import terms as terms_module
from fhir_srs.results.sites import LEVELS, REGIONS, body_site
from tests.outcomes import (
    BASE,
    FIGURE,
    LESION,
    NOW,
    PATIENT,
    RELAPSE,
    RESPONSE,
    TARGET,
    Outcomes,
    Study,
    build,
    observation,
    parts,
)


def test_a_response_carries_its_category_scores_and_opioids():
    _, content = observation(RESPONSE)
    assert content["status"] == "final"
    assert content["effectiveDateTime"] == "2024-05-01"
    (value,) = content["valueCodeableConcept"]["coding"]
    assert (value["system"], value["code"]) == (f"{BASE}/CodeSystem/response", "CR")
    found = parts(content)
    assert found["baseline-pain"]["value"] == 7
    assert found["days"] == {"value": 88, "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"}
    assert (found["omed-table"], found["link-rung"], found["window"]) == (
        "cdc-2022",
        "body-site-level",
        "3-month",
    )


def test_decimals_keep_their_digits():
    unit, _ = observation(RESPONSE)
    assert b'"value":7.10,' in unit.resource
    assert b'"value":0.0,' in unit.resource


def test_an_id_is_the_hash_of_what_the_result_is_about_alone():
    unit, content = observation(RESPONSE)
    key = ("ryu2008", "1", "lesion", "lesion-a", "pain-response", None, "3-month", None)
    assert unit.id == f"srs-{content_id(*key)}" == content["id"]
    same, _ = observation(replace(RESPONSE, category="PR", value=Decimal(3)), version="2.0")
    assert same.id == unit.id
    other, _ = observation(RESPONSE, study=Study(version="2"))
    assert other.id != unit.id
    assert content["identifier"] == [
        {"system": f"{BASE}/result", "value": unit.id},
        {"system": f"{BASE}/lesion", "value": "lesion-a"},
    ]


def test_inputs_go_where_r4_lets_them():
    _, content = observation(RESPONSE)
    assert content["subject"] == {"reference": "Patient/p1"}
    assert content["focus"] == [{"reference": "BodyStructure/b1"}]
    assert content["partOf"] == [{"reference": "Procedure/c1"}]
    assert content["derivedFrom"] == [{"reference": "Observation/16"}, {"reference": "Observation/17"}]
    (extension,) = content["extension"]
    assert extension["url"].endswith("/workflow-supportingInfo")
    assert extension["valueReference"] == {"reference": "MedicationRequest/m1"}
    assert content["bodySite"]["coding"][0]["code"] == "77435000"


def test_the_provenance_names_every_input_version():
    unit, content = observation(RESPONSE)
    provenance = json.loads(unit.provenance)
    assert provenance["target"] == [{"reference": f"Observation/{unit.id}"}]
    assert provenance["recorded"] == "2024-06-30T12:00:05Z"
    assert provenance["agent"][0]["who"] == content["device"]
    named = {entity["what"]["identifier"]["value"]: entity["what"] for entity in provenance["entity"]}
    assert tuple(named) == unit.depends_on
    assert set(named) == {*RESPONSE.sources, *LESION.sources}
    assert named["Observation/17/_history/3"]["reference"] == "Observation/17"
    assert provenance["id"] == unit.provenance_id


def test_a_time_to_event_always_says_what_was_observed_and_what_competed():
    unit, content = observation(RELAPSE)
    found = parts(content)
    assert content["valueQuantity"]["value"] == 121
    assert content["effectivePeriod"] == {"start": "2024-02-01", "end": "2024-06-01"}
    assert found["event-observed"] is False
    assert found["competing-event"]["coding"][0]["code"] == "death"
    assert found["variant"] == "competing"
    assert content["status"] == "final"
    assert not refusals(unit)


@pytest.mark.parametrize(
    ("status", "observed", "publication"),
    [
        (Status.EVENT, True, "final"),
        (Status.COMPETING, False, "final"),
        (Status.CENSORED, False, "preliminary"),
    ],
)
def test_what_later_data_may_change_is_preliminary(status, observed, publication):
    _, content = observation(replace(RELAPSE, status=status))
    assert (parts(content)["event-observed"], content["status"]) == (observed, publication)


def test_a_patients_own_time_hangs_on_the_patient():
    row = replace(RELAPSE, endpoint="overall-survival", lesion_id=None, grain="patient", variant=None)
    unit, content = observation(row)
    assert not {"focus", "partOf", "bodySite"} & content.keys()
    assert len(content["identifier"]) == 1
    key = ("ryu2008", "1", "patient", PATIENT.key, "overall-survival", None, None, None)
    assert unit.id == f"srs-{content_id(*key)}"


# spec/fhir-mapping.md section 9, the table of NE reasons.
ABSENT = """
no-baseline-score        not-performed
no-score-in-window       not-performed
omed-unknown             unknown
omed-evidence-mismatch   unknown
pain-not-attributable    unknown
date-too-coarse          unknown
flare-window-only        unknown
baseline-below-minimum   not-applicable
died-before-window       not-applicable
retreated-before-window  not-applicable
"""


@pytest.mark.parametrize("line", ABSENT.split("\n")[1:-1])
def test_not_evaluable_has_no_value_and_two_reasons(line):
    reason, general = line.split()
    unit, content = observation(replace(RESPONSE, category="NE", reason=reason, assessed_on=None))
    assert [one["code"] for one in content["dataAbsentReason"]["coding"]] == [general, reason]
    assert not [name for name in content if name.startswith("value")]
    assert not refusals(unit)


def test_what_is_not_yet_due_is_not_written():
    late = replace(RESPONSE, category="NE", reason="not-yet-due")
    assert [unit.type for unit in build(late)] == ["Device"]


def test_a_row_left_out_of_its_endpoint_says_why():
    _, content = observation(replace(RELAPSE, days=None, status=None, reason="late-entry"))
    assert content["dataAbsentReason"]["coding"][1]["code"] == "late-entry"
    assert content["status"] == "final"


def test_a_figure_stands_on_the_group_of_its_cohort():
    device, group, unit = build(table=[FIGURE])
    content = json.loads(unit.resource, parse_float=Decimal)
    assert (device.type, group.type) == ("Device", "Group")
    assert content["subject"] == {"reference": group.reference}
    assert content["valueQuantity"]["value"] == Decimal("0.459459")
    found = parts(content)
    assert (found["numerator"], found["denominator"], found["n"], found["clusters"]) == (17, 37, 37, 30)
    assert found["high"]["coding"][1]["code"] == "not-reached"
    assert content["method"]["text"] == "ryu2008 1: korn-graubard"
    assert content["status"] == "preliminary"
    assert not [problem for one in (device, group, unit) for problem in refusals(one)]


def test_figures_of_one_endpoint_have_ids_of_their_own():
    others = [replace(FIGURE, name="PR"), replace(FIGURE, population="itt"), replace(FIGURE, time_days=365)]
    units = [unit for unit in build(table=[FIGURE, *others]) if unit.type == "Observation"]
    assert len({unit.id for unit in units}) == 4


def test_a_median_that_is_not_reached_has_no_value():
    median = replace(FIGURE, value=None, low=200.0, status="not-reached", numerator=None, denominator=None)
    _, content = observation(table=[median])
    assert content["dataAbsentReason"]["coding"][0]["code"] == "not-applicable"
    assert parts(content)["low"]["value"] == 200
    assert parts(content)["low"]["code"] == "d"


def test_a_descriptive_figure_has_no_limits_at_all():
    plain = replace(FIGURE, value=405.0, low=None, high=None, high_status=None, numerator=None)
    _, content = observation(table=[plain])
    assert not {"low", "high"} & parts(content).keys()


def test_a_competing_event_that_is_not_of_our_list_is_said_in_words():
    for cause, said in (("amputation", "amputation"), (None, "unknown")):
        _, content = observation(replace(RELAPSE, cause=cause))
        assert parts(content)["competing-event"] == {"text": said}


def test_two_results_with_one_id_are_our_own_fault():
    with pytest.raises(ValueError, match="two results with one id"):
        build(RESPONSE, replace(RESPONSE, category="PR"))


def test_the_order_of_outcomes_changes_no_byte():
    rows = [RESPONSE, replace(RESPONSE, window="1-month"), RELAPSE]
    assert build(*rows, table=[FIGURE]) == build(*reversed(rows), table=[FIGURE])


def test_the_hash_ignores_when_and_by_which_version_it_was_made():
    first, later = (
        build(RESPONSE)[-1],
        build(RESPONSE, recorded=datetime(2025, 1, 1, tzinfo=UTC), version="2")[-1],
    )
    assert first.resource == later.resource
    assert first.provenance != later.provenance
    assert canonical_hash(first.provenance) == canonical_hash(later.provenance)


@pytest.mark.parametrize("characters", [range(0x180), (0x2028, 0xD800, 0xFFFF, 0x1F600)])
def test_the_canonical_form_is_what_the_standard_library_writes_of_any_character(characters):
    for character in map(chr, characters):
        content = {f"b{character}": [character, None, True], "a": f"{character}é", f"{character}": {}}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert canonical_hash(json.dumps(content).encode()) == sha256(text.encode()).hexdigest()


def test_the_canonical_hash_sees_content_alone():
    plain = (
        b'{"resourceType":"Observation","id":"a","valueQuantity":{"value":0.1},'
        b'"subject":{"reference":"Patient/1"}}'
    )
    stored = (
        b'{"subject":{"reference":"Patient/1/_history/4"},"id":"a","text":{"div":"x"},"issued":"2024",'
        b'"meta":{"versionId":"7"},"valueQuantity":{"value":0.1},"resourceType":"Observation"}'
    )
    assert canonical_hash(plain) == canonical_hash(stored)
    for change in (b'"value":0.10', b'"value":"0.1"', b'"value":1'):
        assert canonical_hash(plain.replace(b'"value":0.1', change)) != canonical_hash(plain)


def test_synthetic_data_are_marked_and_profiles_claimed_only_where_known():
    _, plain = observation(RESPONSE)
    assert [one["code"] for one in plain["meta"]["security"]] == ["DEVAST"]
    assert "profile" not in plain["meta"]
    url = f"{BASE}/StructureDefinition/srs-pain-response"
    known = replace(TARGET, synthetic=True, profiles=frozenset({url}), organization="Organization/o1")
    units = build(RESPONSE, table=[FIGURE], target=known)
    for unit in units:
        codes = [one["code"] for one in json.loads(unit.resource)["meta"]["security"]]
        assert "HTEST" in codes
    _, content = observation(RESPONSE, target=known)
    assert content["meta"]["profile"] == [url]
    assert content["performer"] == [{"reference": "Organization/o1"}]


def test_logical_references_name_inputs_by_identifier_alone():
    unit, content = observation(RESPONSE, target=replace(TARGET, references="logical"))
    assert content["subject"]["identifier"] == {"system": "http://mrn.example.org", "value": "M1"}
    assert content["derivedFrom"][0]["identifier"] == {"system": f"{BASE}/input", "value": "Observation/16"}
    text = unit.resource.decode() + unit.provenance.decode()
    literal = [line.split('"')[0] for line in text.split('"reference":"')[1:]]
    assert {name.split("/")[0] for name in literal} == {"Device", "Observation"}  # ours only
    assert set(literal) == {content["device"]["reference"], unit.reference}
    assert not refusals(unit)


def test_elsewhere_a_result_needs_its_patient_there():
    there = replace(TARGET, patients={"Patient/p1": "Patient/x9"})
    _, content = observation(RESPONSE, target=there)
    assert content["subject"] == {"reference": "Patient/x9"}
    assert "reference" not in content["derivedFrom"][0]
    nobody = replace(TARGET, patients={})
    assert [unit.type for unit in build(RESPONSE, RELAPSE, target=nobody)] == ["Device"]
    assert unresolved(Outcomes([RESPONSE], [RELAPSE]), nobody) == ["Patient/p1"]
    assert unresolved(Outcomes([RESPONSE], [RELAPSE]), TARGET) == []


def test_a_withdrawn_result_keeps_its_identity_and_points_at_no_input():
    unit, content = observation(RESPONSE)
    gone = withdrawn(
        unit.resource,
        unit.group,
        TARGET,
        reason="no source supports it",
        recorded=NOW,
        sources=unit.depends_on,
    )
    back = json.loads(gone.resource)
    assert (gone.id, gone.provenance_id, back["status"]) == (unit.id, unit.provenance_id, "entered-in-error")
    assert (
        not {"valueCodeableConcept", "component", "derivedFrom", "partOf", "focus", "extension"} & back.keys()
    )
    assert (back["code"], back["subject"]) == (content["code"], content["subject"])
    provenance = json.loads(gone.provenance)
    assert provenance["reason"] == [{"text": "no source supports it"}]
    assert all(entity["what"].keys() == {"type", "identifier"} for entity in provenance["entity"])
    assert not refusals(gone)
    assert retracted(gone.resource) == gone.resource


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"status": "done"}, "status: not in the required value set"),
        ({"id": "a" * 65}, "id: not a FHIR id"),
        ({"dataAbsentReason": {"text": "x"}}, "dataAbsentReason: beside a value (obs-6)"),
        ({"valueString": "x"}, "value: more than one"),
        ({"performer": [{"reference": "Device/d"}]}, "performer[0]: a type that this element does not take"),
        (
            {"derivedFrom": [{"reference": "Procedure/c"}]},
            "derivedFrom[0]: a type that this element does not take",
        ),
        (
            {"subject": {"reference": "http://elsewhere.example.org/Patient/1"}},
            "subject: not a relative reference",
        ),
        ({"effectiveDateTime": "2024-05-01T10:00"}, "effectiveDateTime: "),
        ({"colour": "red"}, "colour: extra_forbidden"),
    ],
)
def test_the_gate_refuses(change, problem):
    _, content = observation(RESPONSE)
    found = resource_refusals(json.dumps(content | change, default=float).encode())
    assert any(one.startswith(f"Observation.{problem}") for one in found), found


def test_the_gate_refuses_a_component_that_repeats_the_code():
    _, content = observation(RESPONSE)
    content["component"][0]["code"] = content["code"]
    found = resource_refusals(json.dumps(content, default=float).encode())
    assert found == ["Observation.component[0].code: repeats the code of the Observation (obs-7)"]


def test_no_refusal_holds_a_value():
    _, content = observation(RESPONSE)
    content |= {"effectiveDateTime": "zzmarker", "status": "zzmarker", "id": "zz_marker"}
    assert "zzmarker" not in "".join(resource_refusals(json.dumps(content, default=float).encode()))


@pytest.mark.parametrize(
    ("levels", "region", "code", "text"),
    [
        (("L1",), "lumbar", "61032001", "L1"),
        (("T8", "T9", "T10"), "thoracic", "35769007", "T8-T10"),
        ((), "cervical", "122494005", None),
        (("T12", "L1"), None, None, "T12-L1"),
    ],
)
def test_a_level_is_coded_and_a_range_is_text_with_its_region(levels, region, code, text):
    site = body_site(levels, region)
    assert (site.get("coding", [{}])[0].get("code"), site.get("text")) == (code, text)


def test_no_site_no_body_site():
    assert body_site((), None) is None


def definition(name):
    return json.loads(tables.text(f"fhir/{name}.json"))


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("endpoint", terms_module.ENDPOINTS),
        ("response", terms_module.CATEGORIES),
        ("component", terms_module.PARTS),
        ("competing-event", terms_module.COMPETING),
        ("absent-reason", {code: display for code, (_, display) in terms_module.ABSENT.items()}),
    ],
)
def test_our_published_code_systems_are_the_codes_we_write(name, codes):
    system = definition(f"CodeSystem-{name}")
    assert {one["code"]: one["display"] for one in system["concept"]} == dict(codes)
    assert system["count"] == len(codes)


def test_our_definitions_pass_the_gate_library_and_move_to_another_base():
    from fhir.resources.R4B import get_fhir_model_class

    for name in tables.names("fhir/*.json"):
        moved = rebased(tables.text(name), BASE)
        assert b"fhir-srs.example.org" not in moved
        content = json.loads(moved)
        assert content["url"].startswith(f"{BASE}/{content['resourceType']}/")
        get_fhir_model_class(content["resourceType"]).model_validate_json(moved)


def test_levels_are_those_of_the_terminology_table():
    assert len(LEVELS) == 30
    assert len({code for code, _ in (*LEVELS.values(), *REGIONS.values())}) == 34
