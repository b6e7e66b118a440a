"""Bytes, dicts, Bundles and models; what is broken costs only itself; counting; whose resource it is."""

import json

import msgspec
import pytest
from fhir.resources.R4B.procedure import Procedure

from fhir_srs import load_profile, map_resources
from fhir_srs.mapping.reading import read
from tests.unit.mapping_given import cgy, concept, course, dose, patient, procedure, surgical, volume

PROFILE = load_profile("mcode")


def mapped(*items):
    found = map_resources(items, profile=PROFILE)
    assert found.counts.read == found.counts.used + found.counts.ignored + found.counts.refused
    return found


def issues(found):
    return [(one.resource, one.reason, one.path, one.used) for one in found.issues]


def lesion_ids(found):
    return [one.lesion_id for one in found.lesions]


# Kinds of input


def test_dicts_bytes_text_and_models_are_the_same_resource():
    given = surgical(
        "s", dose(None, cgy(1800), 1), performedPeriod={"start": "2024-03-05", "end": "2024-03-05"}
    )
    model = Procedure.model_validate(given)
    ways = [
        given,
        json.dumps(given),
        json.dumps(given).encode(),
        bytearray(json.dumps(given).encode()),
        model,
    ]
    assert len({str(map_resources([patient(), way], profile=PROFILE)) for way in ways}) == 1


def test_a_bundle_stands_for_its_entries_and_a_bad_entry_costs_only_itself():
    entries = [{"resource": patient()}, {"resource": {"id": "x"}}, {"resource": surgical()}, {"response": {}}]
    found = mapped({"resourceType": "Bundle", "type": "collection", "entry": entries})
    assert (len(found.lesions), found.counts.read, found.counts.refused) == (1, 3, 1)


def test_references_by_urn_in_a_bundle_lead_to_its_entries():
    person = patient() | {"id": "7"}
    told = surgical() | {"subject": {"reference": "urn:uuid:aaaa"}}
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": "urn:uuid:aaaa", "resource": person},
            {"fullUrl": "urn:uuid:bbbb", "resource": told},
        ],
    }
    (lesion,) = mapped(bundle).lesions
    assert (lesion.patient, lesion.patient_identifier) == ("Patient/7", "urn:mr|P")


def test_an_entry_without_an_id_is_named_by_its_full_url():
    told = {key: value for key, value in surgical().items() if key != "id"}
    entry = {"fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "resource": told}
    (lesion,) = mapped({"resourceType": "Bundle", "entry": [entry]}).lesions
    assert lesion.course == "Procedure/0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


def test_one_resource_alone_need_not_be_in_a_list():
    assert map_resources(patient(), profile=PROFILE).counts.read == 1


# Broken input


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceType":"Procedure","id":"s","sta',
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff\xfe",
        b'{"id":"s"}',
        b"7",
        object(),
    ],
)
def test_what_is_no_resource_is_an_issue_without_one(body):
    found = mapped(patient(), body, surgical())
    assert (None, "resource-unreadable", None, False) in issues(found)
    assert (len(found.lesions), found.counts.read) == (1, 3)


def test_a_resource_without_an_id_is_refused():
    assert issues(mapped({"resourceType": "Procedure"})) == [(None, "resource-unreadable", "id", False)]


def test_nesting_without_end_is_an_issue():
    assert mapped(b'{"resourceType":"Procedure","id":"s","extension":' + b"[" * 100_000).counts.refused == 1


def test_a_bad_element_is_dropped_with_its_path_and_the_rest_is_used():
    told = course("c", dose("v", cgy(1800), 1), bodySite={"text": "T8"}, category=[1], location="x")
    told["extension"].append({"url": "x", "valueQuantity": {"value": 1, "unit": 5}})
    found = mapped(patient(), volume("v"), told)
    assert found.lesions[0].dose_gy == 18
    paths = {path for _, reason, path, used in issues(found) if reason == "resource-unreadable" and used}
    assert paths == {"bodySite", "category", "extension[1].valueQuantity"}


def test_a_part_of_a_quantity_is_not_dropped_alone():
    bad = cgy(1800) | {"comparator": 7}
    (lesion,) = mapped(patient(), volume("v"), course("c", dose("v", bad, 1))).lesions
    assert (lesion.dose_gy, "dose-missing" in lesion.issues) == (None, True)


def test_an_unreadable_modifier_bars_the_whole_resource():
    found = mapped(patient(), surgical(modifierExtension="no"))
    assert ("Procedure/srs", "resource-unreadable", "modifierExtension", False) in issues(found)


def test_decimals_keep_their_digits_on_the_careful_path_too():
    gray = {"value": 1, "code": "Gy", "system": "http://unitsofmeasure.org"}
    body = json.dumps(surgical("s", dose(None, gray, 1))).replace('"value": 1', '"value": 18.1050')
    plain, mended = body.encode(), body.replace('"status"', '"category":[5],"status"').encode()
    doses = [str(mapped(patient(), one).lesions[0].dose_gy) for one in (plain, mended)]
    assert doses == ["18.1050", "18.1050"]


def test_numbers_follow_the_grammar_of_json_only():
    for bad in ('"1800"', "NaN", "1e999999999999", "true"):
        body = json.dumps(surgical("s", dose(None, cgy(1), 1))).replace('"value": 1', f'"value": {bad}')
        found = mapped(patient(), body)
        assert all(one.dose_gy is None for one in found.lesions)


def test_no_issue_repeats_a_value():
    secret = "S3CRET"
    bad = surgical(bodySite=[{"text": secret}], performedPeriod={"start": secret}) | {"category": secret}
    assert secret not in str(mapped(patient(), bad, f'{{"id": "{secret}'.encode()).issues)


# Versions, our own results, counting


def test_the_newest_version_of_a_resource_counts_whatever_the_order():
    old = surgical() | {"meta": {"versionId": "9", "lastUpdated": "2024-03-06T00:00:00Z"}}
    new = surgical(site="53983007") | {"meta": {"versionId": "10", "lastUpdated": "2024-03-06T00:00:00Z"}}
    for order in ((old, new), (new, old)):
        found = mapped(patient(), *order)
        assert found.lesions[0].levels == ("L2",)
        assert ("Procedure/srs", "version-superseded", "meta.versionId", False) in issues(found)


@pytest.mark.parametrize("newest", ["pain", "pulse"])
def test_a_new_version_may_be_about_something_else(newest):
    def observation(code, number):
        told = {"resourceType": "Observation", "id": "o", "status": "final", "valueInteger": 7}
        told |= {"subject": {"reference": "Patient/p"}, "effectiveDateTime": "2024-04-01"}
        return told | {"code": concept(code, "http://loinc.org"), "meta": {"versionId": number}}

    codes = {"pain": "72514-3", "pulse": "8867-4"}
    versions = [observation(code, "2" if name == newest else "1") for name, code in codes.items()]
    results = [mapped(patient(), *order) for order in (versions, versions[::-1])]
    assert results[0] == results[1]
    assert len(results[0].events) == (newest == "pain")
    assert (results[0].counts.refused, results[0].counts.read) == (1, 3)


def test_versions_are_ordered_by_instant_not_by_text():
    early = surgical() | {"meta": {"lastUpdated": "2024-03-06T09:00:00+09:00"}}
    late = surgical(site="53983007") | {"meta": {"lastUpdated": "2024-03-06T01:00:00Z"}}
    assert mapped(patient(), late, early).lesions[0].levels == ("L2",)


@pytest.mark.parametrize(
    ("id_", "system"),
    [("x", "https://fhir-srs.example.org/result"), ("srs-abc", "https://hospital.example/spine/result")],
)
def test_our_own_results_are_never_an_input(id_, system):
    ours = {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "identifier": [{"system": system, "value": "srs-abc"}],
        "code": concept("72514-3", "http://loinc.org"),
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-04-01",
        "valueInteger": 9,
    }
    found = mapped(patient(), ours)
    assert (found.events, found.counts.ignored) == ([], 1)


def test_other_types_are_ignored_and_counted():
    found = mapped(
        patient(), {"resourceType": "Encounter", "id": "e"}, {"resourceType": "QuestionnaireResponse"}
    )
    assert (found.counts.ignored, found.issues) == (2, [])


# Whose resource it is


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (None, "subject-missing"),
        ({"display": "x"}, "subject-missing"),
        ({"reference": "Group/g"}, "subject-not-patient"),
        ({"reference": "#p"}, "subject-unresolved"),
        ({"identifier": {"system": "urn:mr", "value": "nobody"}}, "subject-unresolved"),
    ],
)
def test_without_a_patient_a_resource_is_refused(subject, reason):
    told = surgical() | {"subject": subject}
    assert ("Procedure/srs", reason, "subject", False) in issues(mapped(patient(), told))


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/p"},
        {"reference": "https://ehr.example/fhir/Patient/p"},
        {"reference": "Patient/p/_history/3"},
        {"reference": "urn:uuid:p"},
        {"identifier": {"system": "urn:mr", "value": "P"}},
    ],
)
def test_a_patient_is_found_by_any_kind_of_reference(subject):
    (lesion,) = mapped(patient(), surgical() | {"subject": subject}).lesions
    assert (lesion.patient, lesion.patient_identifier) == ("Patient/p", "urn:mr|P")


def test_a_merged_patient_is_one_person_under_the_survivors_identifier():
    old = patient("p", active=True, link=[{"other": {"reference": "Patient/q"}, "type": "replaced-by"}])
    new = patient("q")
    again = surgical(
        "t", subject={"reference": "Patient/q"}, performedPeriod={"start": "2025-01-01", "end": "2025-01-01"}
    )
    found = mapped(old, new, surgical("s"), again)
    assert {one.patient for one in found.lesions} == {"Patient/q"}
    assert [one.identifier for one in found.patients] == ["urn:mr|Q"]
    assert found.lesions[1].reirradiation_of == found.lesions[0].lesion_id
    assert ("Patient/p", "patient-merged", None, True) in issues(found)


def test_replaces_says_the_same_from_the_other_side_and_chains_and_rings_end():
    def link(kind, other):
        return {"link": [{"other": {"reference": f"Patient/{other}"}, "type": kind}]}

    chain = [patient("p", **link("replaced-by", "q")), patient("q"), patient("r", **link("replaces", "q"))]
    assert mapped(*chain, surgical()).lesions[0].patient == "Patient/r"
    ring = [patient("p", **link("replaced-by", "q")), patient("q", **link("replaced-by", "p"))]
    assert mapped(*ring, surgical()).lesions[0].patient == "Patient/p"


def test_the_patient_key_prefers_the_profiles_system_then_mr_then_the_first():
    others = [{"system": "urn:b", "value": "2"}, {"system": "urn:a", "value": "1"}]
    mr = patient()["identifier"]
    for identifiers, expected in ((others + mr, "urn:mr|P"), (others, "urn:a|1"), ([], None)):
        person = patient() | {"identifier": identifiers}
        (lesion,) = mapped(person, surgical()).lesions
        assert lesion.patient_identifier == expected
    assert "identifier-missing" in lesion.issues


def test_a_patient_whose_record_is_absent_still_has_lesions():
    (lesion,) = mapped(surgical()).lesions
    assert (lesion.patient, lesion.patient_identifier) == ("Patient/p", None)


def test_two_unmerged_records_with_one_identifier_get_different_lesion_ids():
    twin = patient("q") | {"identifier": patient()["identifier"]}
    found = mapped(patient(), twin, surgical("s"), surgical("t", subject={"reference": "Patient/q"}))
    assert len(set(lesion_ids(found))) == 2
    assert "id-collision" in {one.reason for one in found.issues}


def test_a_procedure_of_another_kind_is_no_lesion():
    assert mapped(patient(), procedure("x", concept("80146002"))).lesions == []


def test_of_a_note_nothing_is_kept_but_that_it_is_there():
    told = course("c", note=[{"text": "Mr MARKER, T8"}], report=[{"display": "MARKER"}])
    (found,) = read(json.dumps(told).encode())
    assert found.note
    assert b"MARKER" not in msgspec.json.encode(found)
