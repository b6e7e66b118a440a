"""Courses, targets, dose and identity: sections 1, 2, 6 and 7 of fhir-mapping.md, through map_resources."""

from decimal import Decimal

import pytest

from fhir_srs import load_profile, map_resources
from tests.unit.mapping_given import (
    CODEX,
    L2,
    MCODE,
    ROLES,
    SCT,
    T8,
    T9,
    T10,
    cgy,
    concept,
    course,
    dose,
    patient,
    procedure,
    sessions,
    surgical,
    technique,
    volume,
)

PROFILE = load_profile("mcode")
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"


def mapped(*resources):
    found = map_resources([patient(), *resources], profile=PROFILE)
    counts = found.counts
    assert counts.read == counts.used + counts.ignored + counts.refused == len(resources) + 1
    return found


def only(*resources):
    (lesion,) = mapped(*resources).lesions
    return lesion


def refused(found):
    return {(one.resource, one.reason) for one in found.issues if not one.used}


# Route 1: course summary with volumes


def test_a_course_summary_gives_a_lesion_with_everything_it_says():
    lesion = only(
        volume("v", T8, label="PTV_T8"),
        course(
            "c",
            dose("v", cgy(2400), 3),
            technique(),
            performedPeriod={"start": "2024-03-05T09:00:00+01:00", "end": "2024-03-09"},
        ),
    )
    assert (lesion.levels, lesion.region) == (("T8",), "thoracic")
    assert (lesion.dose_gy, lesion.fractions, lesion.technique) == (Decimal(24), 3, "SBRT")
    assert (lesion.start.text, lesion.end.text) == ("2024-03-05", "2024-03-09")
    assert (lesion.course, lesion.target, lesion.target_label) == ("Procedure/c", "BodyStructure/v", "PTV_T8")
    assert lesion.patient_identifier == "urn:mr|P"
    assert lesion.sources == ("BodyStructure/v", "Procedure/c")
    assert lesion.issues == ()


def test_organs_at_risk_are_dropped_by_role_and_by_place():
    found = mapped(
        volume("v"),
        volume("cord", "2748008", "PTV"),
        volume("lung", T8, "OAR"),
        course("c", dose("cord", cgy(1200)), dose("lung", cgy(900)), dose("v", cgy(1800))),
    )
    (lesion,) = found.lesions
    assert lesion.dose_gy == 18
    assert refused(found) == {
        ("BodyStructure/cord", "volume-organ-at-risk"),
        ("BodyStructure/lung", "volume-organ-at-risk"),
    }


def test_the_best_role_gives_the_dose_and_doses_are_never_added():
    lesion = only(
        volume("g", T8, "GTV"),
        volume("p", T8, "PTV"),
        volume("boost", T8, "PTV", label="T8-T9"),
        course("c", dose("g", cgy(2600)), dose("p", cgy(1600)), dose("boost", cgy(2000))),
    )
    assert (lesion.dose_gy, lesion.target) == (20, "BodyStructure/boost")
    assert lesion.levels == ("T8", "T9")
    assert "volumes-nested" in lesion.issues


@pytest.mark.parametrize(
    ("roles", "dose_gy", "issue"),
    [(("PTV", "OAR"), None, "volume-organ-at-risk"), (("PTV", "GTV"), 16, "volume-role-unknown")],
)
def test_a_volume_of_two_roles_is_an_organ_if_one_says_so_else_of_no_role(roles, dose_gy, issue):
    coding = [one for role in roles for one in concept(ROLES[role])["coding"]]
    found = mapped(volume("v", morphology={"coding": coding}), course("c", dose("v", cgy(1600))))
    assert [one.dose_gy for one in found.lesions] == ([dose_gy] if dose_gy else [])
    assert issue in {one.reason for one in found.issues}


def test_a_claimed_fhir_profile_counts_whatever_version_it_is_claimed_in():
    course_profile = {"meta": {"profile": [MCODE + "mcode-radiotherapy-course-summary|2.0.0"]}}
    local = procedure("c", concept("RT", "urn:local"), dose("v", cgy(1600)), **course_profile)
    assert only(volume("v"), local).dose_gy == 16
    phase_profile = {"meta": {"profile": [CODEX + "codexrt-radiotherapy-treated-phase|2.0.0"]}}
    part_of = {"partOf": [{"reference": "Procedure/c"}]}
    part = procedure("f", concept("53438000"), dose("v", cgy(1600)), **phase_profile, **part_of)
    found = mapped(volume("v"), local, part)
    assert len(found.lesions) == 1
    assert found.counts.used == 4


def test_volumes_at_disjoint_levels_are_separate_lesions():
    found = mapped(volume("a", T8), volume("b", L2), course("c", dose("a", cgy(1800)), dose("b", cgy(1600))))
    assert [(one.levels, one.dose_gy) for one in found.lesions] == [(("T8",), 18), (("L2",), 16)]
    assert len({one.lesion_id for one in found.lesions}) == 2


def test_a_volume_without_role_at_a_spinal_site_is_a_target():
    assert "volume-role-unknown" in only(volume("v", role=None), course("c", dose("v", cgy(1800)))).issues


def test_a_target_elsewhere_gives_no_lesion():
    found = mapped(volume("v", "41216001"), course("c", dose("v", cgy(800))))
    assert found.lesions == []
    assert ("Procedure/c", "site-not-spinal") in refused(found)


def test_a_course_without_any_site_gives_no_lesion():
    assert refused(mapped(course("c", dose(None, cgy(1800))))) == {("Procedure/c", "site-missing")}


def test_sessions_stand_in_for_the_fractions_of_one_target_only():
    one = only(volume("v"), course("c", sessions(3), dose("v", cgy(2400), None)))
    assert (one.fractions, "fractions-from-sessions" in one.issues) == (3, True)
    two = mapped(
        volume("v"),
        volume("w", L2),
        course("c", sessions(3), dose("v", cgy(2400), None), dose("w", cgy(2400), None)),
    )
    assert [lesion.fractions for lesion in two.lesions] == [None, None]
    assert "fractions-missing" in two.lesions[0].issues


def test_sessions_never_replace_the_fractions_of_a_volume():
    assert only(volume("v"), course("c", sessions(9), dose("v", cgy(2400), 3))).fractions == 3
    assert only(volume("v"), course("c", sessions(9), dose("v", cgy(2400), 8.5))).fractions is None


@pytest.mark.parametrize(
    ("given", "fractions", "reason"), [(25.0, 25, None), (8.5, None, "fractions-not-integer")]
)
def test_fractions_are_whole_numbers(given, fractions, reason):
    lesion = only(volume("v"), course("c", dose("v", cgy(3000), given)))
    assert lesion.fractions == fractions
    assert reason is None or reason in lesion.issues


def phase(id_, *extensions, **more):
    part_of = {"partOf": [{"reference": "Procedure/c"}]}
    return procedure(id_, concept("1222565005"), *extensions, **(part_of | more))


def test_phases_fill_gaps_and_are_never_added_to_the_course():
    full = only(volume("v"), course("c", dose("v", cgy(2400), 3)), phase("f", dose("v", cgy(2400), 3)))
    assert (full.dose_gy, full.fractions) == (24, 3)
    gaps = only(
        volume("v"),
        course("c"),
        phase("f1", dose("v", cgy(1600), 2)),
        phase(
            "f2",
            dose("v", cgy(800), None),
            {"url": CODEX + "codexrt-radiotherapy-fractions-delivered", "valueUnsignedInt": 1},
        ),
    )
    assert (gaps.dose_gy, gaps.fractions) == (24, 3)
    assert "fractions-from-phases" in gaps.issues


def test_a_gross_volume_inside_a_target_that_got_no_fraction_gives_no_lesion():
    found = mapped(
        volume("p"),
        volume("g", T8, "GTV"),
        course("c", dose("p", cgy(1600), 0), dose("g", cgy(2000), None)),
    )
    assert found.lesions == []
    assert ("Procedure/c", "course-not-delivered") in refused(found)


def test_where_phase_and_course_disagree_the_course_wins():
    lesion = only(volume("v"), course("c", dose("v", cgy(2400), 3)), phase("f", dose("v", cgy(2000), 3)))
    assert (lesion.dose_gy, "dose-conflict" in lesion.issues) == (24, True)


def test_phases_without_their_course_make_one():
    lesion = only(
        volume("v"),
        phase("f1", dose("v", cgy(1600), 2), performedPeriod={"start": "2024-03-05", "end": "2024-03-06"}),
        phase("f2", dose("v", cgy(800), 1), performedPeriod={"start": "2024-03-08", "end": "2024-03-08"}),
    )
    assert (lesion.dose_gy, lesion.fractions, lesion.end.text) == (24, 3, "2024-03-08")
    assert "course-from-phases" in lesion.issues


# Route 2: radiosurgery coded as a procedure


@pytest.mark.parametrize("code", ["115959002", "447704003", "447912004", "446504008", "1304313004"])
def test_radiosurgery_coded_as_surgery_is_a_lesion_at_its_body_site(code):
    lesion = only(surgical("s", dose(None, cgy(1800), 1), code=code))
    assert (lesion.levels, lesion.dose_gy, lesion.fractions, lesion.technique) == (("T8",), 18, 1, "SRS")
    assert (lesion.target, "volume-missing" in lesion.issues) == (None, True)


def test_surgical_radiosurgery_without_a_dose_is_kept_with_dose_null():
    lesion = only(surgical("s"))
    assert (lesion.dose_gy, lesion.fractions, lesion.technique) == (None, None, "SRS")
    assert {"dose-missing", "fractions-missing"} <= set(lesion.issues)


def test_surgical_radiosurgery_may_name_its_structure():
    target = {
        "url": "http://hl7.org/fhir/StructureDefinition/procedure-targetBodyStructure",
        "valueReference": {"reference": "BodyStructure/v"},
    }
    lesion = only(volume("v", T9), surgical("s", target, site=None))
    assert (lesion.levels, lesion.target) == (("T9",), "BodyStructure/v")


def test_several_levels_of_one_procedure_are_one_lesion():
    lesion = only(surgical("s", bodySite=[concept(T9), concept(T8)]))
    assert (lesion.levels, "levels-not-contiguous" in lesion.issues) == (("T8", "T9"), False)


@pytest.mark.parametrize("code", ["429584001", "64134004", "31632008", "473237008", "230911008", "230912001"])
def test_radiosurgery_of_the_brain_is_another_kind_of_data(code):
    found = mapped(surgical("s", code=code, site=None))
    assert (found.lesions, found.issues, found.counts.ignored) == ([], [], 1)


@pytest.mark.parametrize("code", ["77371", "77372", "77432"])
def test_cranial_billing_codes_are_another_kind_of_data(code):
    assert mapped(procedure("b", concept(code, CPT), bodySite=[concept(T8)])).lesions == []


@pytest.mark.parametrize("code", ["171809001", "441783000", "77808004", "287220007", "77636006"])
def test_stereotactic_neighbours_are_not_radiosurgery(code):
    assert mapped(surgical("s", code=code)).lesions == []


def bill(id_, day, code="77373", system=CPT, site=T8, **more):
    sites = {"bodySite": [concept(site)]} if site else {}
    return procedure(id_, concept(code, system), performedPeriod={"start": day, "end": day}, **(sites | more))


def test_billed_deliveries_at_one_level_are_one_course_with_a_fraction_a_day():
    lesion = only(
        bill("a", "2024-03-05"),
        bill("b", "2024-03-07"),
        bill("c", "2024-03-21"),
        bill("d", "2024-03-21", "G0340", HCPCS),
    )
    assert (lesion.fractions, lesion.start.text, lesion.end.text) == (3, "2024-03-05", "2024-03-21")
    assert "fractions-from-procedures" in lesion.issues
    assert lesion.technique == "SBRT"


def test_billed_deliveries_more_than_14_days_apart_are_two_courses():
    first, second = mapped(bill("a", "2024-03-05"), bill("b", "2024-03-20")).lesions
    assert (first.reirradiation_of, second.reirradiation_of) == (None, first.lesion_id)


def test_a_bill_without_a_level_makes_no_lesion():
    assert refused(mapped(bill("a", "2024-03-05", site=None))) == {("Procedure/a", "site-missing")}
    assert refused(mapped(bill("a", "2024-03-05", site="122495006"))) == {("Procedure/a", "level-unknown")}


def test_a_management_code_proves_a_course_but_no_fraction():
    lesion = only(bill("a", "2024-03-05", "77435"))
    assert (lesion.fractions, lesion.technique) == (None, "SBRT")


def test_bills_beside_a_course_are_evidence_not_lesions():
    found = mapped(
        volume("v"),
        course("c", dose("v", cgy(800), 1)),
        bill("a", "2024-03-05", site=None),
        bill("b", "2024-03-12", "77435"),
    )
    (lesion,) = found.lesions
    assert (lesion.course, lesion.technique) == ("Procedure/c", "SRS")
    assert "technique-conflict" in lesion.issues
    assert found.counts.used == 5


def test_codes_are_compared_whole():
    assert mapped(bill("a", "2024-03-05", "773731")).lesions == []


def test_german_application_types_in_an_extension_are_radiosurgery():
    system = "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem/mii-cs-onko-strahlentherapie-applikationsart"
    kind = {
        "url": "x",
        "extension": [{"url": "Applikationsart", "valueCodeableConcept": concept("P-ST", system)}],
    }
    assert only(procedure("s", {"text": "Bestrahlung"}, kind, bodySite=[concept(T8)])).technique == "SBRT"


# How a technique is told: section 1.4


@pytest.mark.parametrize(
    ("value", "fractions", "expected"),
    [
        (1000, 1, "SRS"),
        (800, 1, "other"),
        (2000, 5, "other"),
        (3000, 5, "SBRT"),
        (1200, 2, "SBRT"),
        (3600, 6, "other"),
        (3000, 10, "other"),
    ],
)
def test_dose_alone_tells_radiosurgery(value, fractions, expected):
    lesion = only(volume("v"), course("c", dose("v", cgy(value), fractions)))
    assert (lesion.technique, lesion.issues) == (expected, ())


@pytest.mark.parametrize(
    "text", ["SBRT", "Spine SABR", "SRS", "stereotactic body radiotherapy", "CyberKnife", "Radiosurgery"]
)
def test_text_tells_radiosurgery_and_a_small_dose_contradicts_it(text):
    good = only(volume("v"), course("c", dose("v", cgy(2400), 3), technique(text)))
    assert (good.technique, good.issues) == ("SBRT", ())
    bad = only(volume("v"), course("c", dose("v", cgy(2000), 5), technique(text)))
    assert (bad.technique, bad.issues) == ("SBRT", ("technique-conflict",))


def test_navigation_is_not_radiosurgery():
    text = technique("Stereotactic computer assisted")
    assert only(volume("v"), course("c", dose("v", cgy(800), 1), text)).technique == "other"


def test_two_dimensions_and_a_radiosurgical_dose_are_in_conflict():
    flat = technique(code="1156526006")
    lesion = only(volume("v"), course("c", dose("v", cgy(1800), 1), flat))
    assert (lesion.technique, lesion.issues) == ("SRS", ("technique-conflict",))


def test_without_dose_code_or_text_the_technique_is_unknown():
    lesion = only(volume("v"), course("c", dose("v", None, None)))
    assert lesion.technique is None
    assert {"technique-unknown", "dose-missing", "fractions-missing"} <= set(lesion.issues)


# Which Procedures are courses (1.1, 1.3)


@pytest.mark.parametrize(
    "resource",
    [
        course("c", dose(None, cgy(1800)), bodySite=[concept(T8)]),
        procedure(
            "c",
            concept("USCRS-33529", "http://hl7.org/fhir/us/mcode/CodeSystem/snomed-requested-cs"),
            bodySite=[concept(T8)],
        ),
        procedure("c", concept("448385000"), bodySite=[concept(T8)]),
        procedure(
            "c",
            {"text": "RT"},
            meta={"profile": [MCODE + "mcode-radiotherapy-course-summary"]},
            bodySite=[concept(T8)],
        ),
        procedure(
            "c",
            {"text": "RT"},
            meta={"profile": [MCODE + "mcode-cancer-related-radiation-procedure"]},
            bodySite=[concept(T8)],
        ),
        procedure("c", concept("33195004"), dose(None, cgy(1800)), bodySite=[concept(T8)]),
    ],
)
def test_every_version_of_a_course_is_known(resource):
    assert only(resource).levels == ("T8",)


def test_a_generic_radiotherapy_code_needs_the_dose_extension():
    assert mapped(procedure("c", concept("33195004"), bodySite=[concept(T8)])).lesions == []


def test_a_plain_snomed_id_in_the_requested_system_is_accepted_and_said():
    system = "http://hl7.org/fhir/us/mcode/CodeSystem/snomed-requested-cs"
    lesion = only(procedure("c", concept("1217123003", system), bodySite=[concept(T8)]))
    assert "code-system-misspelt" in lesion.issues


# Status and dates: sections 1.5 and 7


@pytest.mark.parametrize("status", ["preparation", "not-done"])
def test_what_was_not_delivered_is_no_lesion(status):
    found = mapped(volume("v"), course("c", dose("v", cgy(1800)), status=status))
    assert refused(found) == {("Procedure/c", "course-not-delivered")}


def test_no_fraction_at_all_is_not_delivered():
    assert refused(mapped(volume("v"), course("c", dose("v", cgy(1800), 0)))) == {
        ("Procedure/c", "course-not-delivered")
    }


def test_a_running_course_is_provisional():
    lesion = only(
        volume("v"),
        course("c", dose("v", cgy(800)), status="in-progress", performedPeriod={"start": "2024-03-05"}),
    )
    assert (lesion.provisional, "course-in-progress" in lesion.issues) == (True, True)


def test_a_running_course_with_an_end_has_ended():
    lesion = only(volume("v"), course("c", dose("v", cgy(1800)), status="in-progress"))
    assert (lesion.provisional, "status-conflicts-with-dates" in lesion.issues) == (False, True)


@pytest.mark.parametrize("status", ["unknown", "final", None])
def test_an_unclear_status_counts_with_a_dose_and_an_end_only(status):
    told = course("c", dose("v", cgy(1800)), status=status)
    assert "status-unclear" in only(volume("v"), told).issues
    bare = course("c", dose("v", None), status=status)
    assert refused(mapped(volume("v"), bare)) == {("Procedure/c", "status-unclear")}


def test_a_stopped_course_keeps_its_delivered_dose():
    assert only(volume("v"), course("c", dose("v", cgy(1600), 2), status="stopped")).dose_gy == 16


def test_entered_in_error_is_dropped():
    assert refused(mapped(surgical(status="entered-in-error"))) == {
        ("Procedure/srs", "status-entered-in-error")
    }


def test_an_unknown_modifier_extension_bars_the_resource():
    found = mapped(surgical(modifierExtension=[{"url": "http://example.org/not", "valueBoolean": True}]))
    assert refused(found) == {("Procedure/srs", "modifier-extension-unknown")}


@pytest.mark.parametrize(
    ("when", "start", "end", "reason"),
    [
        ({"performedDateTime": "2024-03-05"}, "2024-03-05", "2024-03-05", None),
        ({"performedDateTime": "2024-03-05T23:30:00-05:00"}, "2024-03-05", "2024-03-05", None),
        ({"performedDateTime": "2024-03"}, "2024-03", "2024-03", "date-partial"),
        ({"performedDateTime": "2024-03-05T10:00:00"}, "2024-03-05", "2024-03-05", "date-no-zone"),
        ({"performedDateTime": "2024-02-30"}, None, None, "date-not-valid"),
        ({"performedPeriod": {"start": "2024-03-09", "end": "2024-03-05"}}, None, None, "date-implausible"),
        ({"performedPeriod": {"start": "2024-03-05"}}, "2024-03-05", "2024-03-05", None),
        ({}, None, None, "date-missing"),
    ],
)
def test_dates_are_read_with_the_precision_they_have(when, start, end, reason):
    resource = surgical("s", dose(None, cgy(1800), 1))
    del resource["performedPeriod"]
    lesion = only(resource | when)
    assert (lesion.start and lesion.start.text, lesion.end and lesion.end.text) == (start, end)
    assert reason is None or reason in lesion.issues


def test_a_course_before_birth_or_after_death_has_no_date():
    for person in (patient(birthDate="2030-01-01"), patient(deceasedDateTime="2020-01-01")):
        (lesion,) = map_resources([person, surgical()], profile=PROFILE).lesions
        assert (lesion.start, "date-implausible" in lesion.issues) == (None, True)


# One course twice, retreatment, identity (1.5, 2, 7)


def official(value):
    return {
        "identifier": [
            {"use": "official", "system": "urn:c", "value": value},
            {"use": "usual", "value": "C1"},
        ]
    }


def test_a_snapshot_and_the_summary_of_one_course_are_one_lesion():
    running = {"status": "in-progress", "performedPeriod": {"start": "2024-03-05"}}
    found = mapped(
        volume("v"),
        course("c1", dose("v", cgy(800), 1), **official("1"), **running),
        course("c2", dose("v", cgy(2400), 3), **official("1")),
    )
    (lesion,) = found.lesions
    assert (lesion.course, lesion.dose_gy) == ("Procedure/c2", 24)
    assert refused(found) == {("Procedure/c1", "course-superseded")}


def test_of_two_completed_copies_the_latest_counts():
    copies = [
        course(name, dose("v", cgy(value), 3), meta={"lastUpdated": day})
        for name, value, day in (("a", 2400, "2024-05-01T00:00:00Z"), ("b", 2100, "2024-04-01T00:00:00Z"))
    ]
    assert only(volume("v"), *copies).dose_gy == 24


def test_one_label_in_two_courses_is_two_lesions_and_the_second_a_retreatment():
    first, second = mapped(
        volume("v", label="PTV_T8"),
        volume("w", label="PTV_T8"),
        course("c1", dose("v", cgy(1800)), **official("1")),
        course(
            "c2",
            dose("w", cgy(1600)),
            **official("2"),
            performedPeriod={"start": "2025-01-10", "end": "2025-01-10"},
        ),
    ).lesions
    assert second.reirradiation_of == first.lesion_id != second.lesion_id
    assert first.reirradiation_of is None


def test_procedures_without_dose_days_apart_are_sessions_of_one_course():
    days = ["2024-03-05", "2024-03-12", "2024-03-26", "2024-06-01"]
    told = [surgical(f"s{day}", performedPeriod={"start": day, "end": day}) for day in days]
    first, second = mapped(*told).lesions
    assert (first.start.text, first.end.text, first.fractions) == (days[0], days[2], None)
    assert (second.start.text, second.reirradiation_of) == (days[3], first.lesion_id)
    assert len(first.sources) == 3


def test_a_summary_and_a_surgical_code_of_one_treatment_are_one_lesion():
    found = mapped(volume("v"), course("c", dose("v", cgy(1800), 1)), surgical("s"))
    (lesion,) = found.lesions
    assert lesion.course == "Procedure/c"
    assert refused(found) == {("Procedure/s", "course-superseded")}


def renamed(resource, suffix="-copy"):
    """The same facts on another server: other ids, other versions, other references."""
    import json

    text = json.dumps(resource).replace('"Patient/p"', f'"Patient/p{suffix}"')
    copy = json.loads(text.replace('"BodyStructure/v"', f'"BodyStructure/v{suffix}"'))
    return copy | {"id": resource["id"] + suffix, "meta": {"versionId": "7"}}


@pytest.mark.parametrize(
    "resources",
    [[volume("v"), course("c", dose("v", cgy(1800)))], [surgical("s", dose(None, cgy(1800)))]],
)
def test_the_lesion_id_outlives_a_change_of_server_ids(resources):
    here = map_resources([patient(), *resources], profile=PROFILE).lesions
    there = map_resources([renamed(one) for one in (patient(), *resources)], profile=PROFILE).lesions
    assert [one.lesion_id for one in here] == [one.lesion_id for one in there]
    assert len(here[0].lesion_id) == 40


def test_the_lesion_id_depends_on_no_value():
    one = only(volume("v"), course("c", dose("v", cgy(1800), 1)))
    other = only(volume("v", label="T8"), course("c", dose("v", cgy(2400), 3)))
    assert one.lesion_id == other.lesion_id


def test_a_tumour_identifier_names_a_lesion_without_a_dicom_uid():
    kind = {"coding": [{"system": "http://hl7.org/fhir/resource-types", "code": "BodyStructure"}]}
    tumour = volume("t", T8, None, identifier=[{"type": kind, "system": "urn:t", "value": "7"}])
    plain, named = only(surgical()), only(surgical(), tumour)
    assert plain.lesion_id != named.lesion_id
    assert ("identifier-missing" in plain.issues, "identifier-missing" in named.issues) == (True, False)


def test_equal_lesion_ids_are_numbered_by_content():
    found = mapped(
        course("a", dose(None, cgy(1800), 1), bodySite=[concept(T8)], **official("1")),
        course("b", dose(None, cgy(1600), 1), bodySite=[concept(T8)], **official("2")),
    )
    first, second = sorted(found.lesions, key=lambda one: one.lesion_id)
    assert second.lesion_id == f"{first.lesion_id}#2"
    assert (first.dose_gy, second.dose_gy, second.issues.count("id-collision")) == (18, 16, 1)


# Volumes that are not there


def test_an_unresolved_volume_leaves_the_dose_at_the_site_of_the_course():
    lesion = only(course("c", dose("gone", cgy(1800)), bodySite=[concept(T10)]))
    assert (lesion.levels, lesion.dose_gy) == (("T10",), 18)
    assert {"reference-unresolved", "volume-missing"} <= set(lesion.issues)


def test_a_volume_of_another_patient_is_not_followed():
    theirs = volume("v") | {"patient": {"reference": "Patient/q"}}
    found = mapped(
        theirs,
        course("c", dose("v", cgy(1800)), bodySite=[concept(T8)]),
    )
    assert found.lesions[0].target is None
    assert "patient-mismatch" in {one.reason for one in found.issues}


def test_a_label_alone_places_a_volume():
    lesion = only(volume("v", None, label="PTV_VB_T08"), course("c", dose("v", cgy(1800))))
    assert (lesion.levels, "level-from-text" in lesion.issues) == (("T8",), True)


def test_the_level_of_the_course_narrows_the_region_of_its_only_volume():
    lesion = only(volume("v", "122495006"), course("c", dose("v", cgy(1800)), bodySite=[concept(T8)]))
    assert lesion.levels == ("T8",)


def test_planned_doses_are_ignored_and_radiobiologic_metrics_are_no_dose():
    metric = {
        "url": CODEX + "codexrt-radiobiologic-metric",
        "valueQuantity": {
            "value": 60,
            "unit": "EQD2Gy(a/b=2.5)",
            "system": "http://unitsofmeasure.org",
            "code": "Gy",
        },
    }
    entry = dose("v", cgy(1800), 1)
    entry["extension"].append(metric)
    planned = {
        "resourceType": "ServiceRequest",
        "id": "r",
        "subject": {"reference": "Patient/p"},
        "extension": [dose("v", cgy(9000), 9)],
    }
    assert only(volume("v"), course("c", entry), planned).dose_gy == 18


def test_intent_and_modality_are_written_as_system_and_code():
    photon = {
        "url": MCODE + "mcode-radiotherapy-modality-and-technique",
        "extension": [
            {"url": MCODE + "mcode-radiotherapy-modality", "valueCodeableConcept": concept("1156506007")}
        ],
    }
    intent = {"url": MCODE + "mcode-procedure-intent", "valueCodeableConcept": concept("363676003")}
    lesion = only(volume("v"), course("c", dose("v", cgy(1800)), photon, intent))
    assert (lesion.modality, lesion.intent) == (f"{SCT}|1156506007", f"{SCT}|363676003")
