"""Vertebral levels: every code of both sets, and every trap of fhir-mapping.md section 3."""

import re
from pathlib import Path

import pytest

from fhir_srs import load_profile, r4
from fhir_srs.mapping.labels import LEVELS, parse_label
from fhir_srs.mapping.sites import read_site

PROFILE = load_profile("mcode")
SPEC = Path(__file__).parents[3] / "shared" / "spec" / "fhir-mapping.md"
SCT = "http://snomed.info/sct"
TG263 = "http://hl7.org/fhir/us/mcode/CodeSystem/tg263-cs"


def site(*codes, label=None, text=None, system=SCT):
    concepts = [
        r4.CodeableConcept(coding=(r4.Coding(system=system, code=code),), text=text) for code in codes
    ]
    if text and not codes:
        concepts = [r4.CodeableConcept(text=text)]
    return read_site(concepts, label, PROFILE.codes)


@pytest.mark.skipif(not SPEC.exists(), reason="the specification lies beside the checkout, not in it")
def test_every_level_code_of_the_specification_is_read_as_its_level():
    text = SPEC.read_text().split("## 3.")[1].split("## 4.")[0]
    pairs = re.findall(r"\b([CTLS]\d{1,2}) (\d{6,})(?:/(\d{6,}))?", text)
    assert len(pairs) == len(LEVELS)
    for level, *codes in pairs:
        for code in filter(None, codes):
            assert site(code).levels == (level,)


def test_the_code_table_names_each_of_the_29_levels():
    assert set(PROFILE.codes.among("vertebra").values()) == set(LEVELS)


@pytest.mark.parametrize(
    ("label", "levels"),
    [
        ("T8-T10", "T8 T9 T10"),
        ("T8-10", "T8 T9 T10"),
        ("T08_T10", "T8 T9 T10"),
        ("PTV_T08_T10", "T8 T9 T10"),
        ("T12-L1", "T12 L1"),
        ("T8–T10", "T8 T9 T10"),
        ("T8 to T10", "T8 T9 T10"),
        ("T8 through 10", "T8 T9 T10"),
        ("T10-T8", "T8 T9 T10"),
        ("C7-T1", "C7 T1"),
        ("L5-S1", "L5 S1"),
        ("D8", "T8"),
        ("Th8", "T8"),
        ("T8, T10", "T8 T10"),
        ("T8/9", "T8 T9"),
        ("VB_T08", "T8"),
        ("PTV_VB_T08", "T8"),
        ("PTV_2400_VB_L2", "L2"),
        ("VB_S1", "S1"),
        ("GTV1_T8", "T8"),
        ("T8_2400", "T8"),
        ("T8 - 24 Gy", "T8"),
        ("PTV T8 24Gy x1", "T8"),
        ("PTV_T8 boost", "T8"),
        ("T8_L", "T8"),
        ("T8 (R)", "T8"),
        ("Left L2 pedicle", "L2"),
        ("C7/T1", "C7 T1"),
        ("L5/S1", "L5 S1"),
        ("C2 dens", "C2"),
    ],
)
def test_labels_say_levels_the_ways_people_write_them(label, levels):
    found = site(label=label)
    assert found.levels == tuple(levels.split())
    assert found.spinal is True
    assert "level-from-text" in found.reasons


@pytest.mark.parametrize("label", ["T8-6", "C8", "T13", "L6", "PTV_T13", "VB_T13"])
def test_a_level_that_cannot_be_is_ambiguous_and_gives_none(label):
    found = site(label=label)
    assert (found.levels, found.spinal) == ((), True)
    assert "level-ambiguous" in found.reasons


@pytest.mark.parametrize(
    "text",
    ["pT2", "T2 N1 M0", "T2a", "T1w MRI", "T2 flair", "C1_Prostate", "course C1", "Prostate", "Femur_L"],
)
def test_stages_sequences_and_course_numbers_are_no_levels(text):
    assert parse_label(text, spinal=False).levels == ()
    assert site(label=text).spinal is not True


@pytest.mark.parametrize("text", ["Prostate", "Femur_L", "left knee", "Right lung", "Head"])
def test_another_part_of_the_body_in_words_is_elsewhere(text):
    assert site(label=text).spinal is False


@pytest.mark.parametrize("text", ["lower back", "neck", "flank", "site 2", "generalised"])
def test_words_that_may_mean_a_treated_segment_say_nothing(text):
    assert site(text=text).spinal is None


def test_a_vertebra_beside_another_part_of_the_body_is_not_read_without_a_code():
    assert site(label="T8 and rib").spinal is None
    assert site("77435000", label="T8 and rib").levels == ("T8",)


def test_a_lymph_node_level_is_no_vertebra():
    assert site(label="LN_Neck_VB_L").spinal is False
    assert site("LN_Neck_VB_L", system=TG263).spinal is False


@pytest.mark.parametrize(
    "label", ["SpinalCord", "SpinalCanal", "CaudaEquina", "ThecalSac", "SacralPlex", "PTV_SpinalCord"]
)
def test_organs_are_never_the_target_by_name(label):
    found = site(label=label)
    assert (found.spinal, found.reasons) == (False, ("volume-organ-at-risk",))


@pytest.mark.parametrize("code", ["2748008", "61853006", "7173007", "37554007", "62397004"])
def test_organs_are_never_the_target_by_code(code):
    assert site(code).reasons == ("volume-organ-at-risk",)


@pytest.mark.parametrize(
    ("name", "levels", "region"),
    [
        ("VB_C1", ("C1",), "cervical"),
        ("VB_T01", ("T1",), "thoracic"),
        ("VB_T12", ("T12",), "thoracic"),
        ("VB_S5", ("S5",), "sacral"),
        ("VB_T", (), "thoracic"),
        ("VB_L", (), "lumbar"),
        ("VB", (), None),
    ],
)
def test_tg263_names_are_read_whole_as_code_and_as_label(name, levels, region):
    for found in (site(name, system=TG263), site(label=name)):
        assert (found.levels, found.region, found.spinal) == (levels, region, True)


@pytest.mark.parametrize(
    ("code", "region"),
    [
        ("122494005", "cervical"),
        ("122495006", "thoracic"),
        ("35769007", "thoracic"),
        ("122496007", "lumbar"),
        ("73903008", "lumbar"),
        ("54735007", "sacral"),
        ("87141009", "sacral"),
        ("421060004", None),
        ("51282000", None),
        ("3572006", None),
        ("1217256009", None),
        ("297173004", None),
    ],
)
def test_a_region_is_spinal_without_a_level(code, region):
    found = site(code)
    assert (found.levels, found.region, found.spinal) == ((), region, True)
    assert found.reasons == ("level-unknown",)


def test_the_thirteenth_thoracic_vertebra_is_thoracic_and_ambiguous():
    found = site("1186895000")
    assert (found.levels, found.region, found.reasons) == ((), "thoracic", ("level-ambiguous",))


def test_the_dens_is_the_second_cervical_vertebra():
    assert site("1172006").levels == ("C2",)


def test_a_label_range_that_contains_the_coded_level_wins():
    found = site("77435000", label="PTV_T8-T10")
    assert (found.levels, found.reasons) == (("T8", "T9", "T10"), ("level-from-text",))


def test_a_label_that_repeats_the_code_adds_nothing():
    assert site("77435000", label="PTV_VB_T08").reasons == ()


def test_a_label_that_contradicts_the_code_leaves_no_levels():
    found = site("77435000", label="T10")
    assert (found.levels, found.spinal, found.reasons) == ((), True, ("level-ambiguous",))


def test_a_label_outside_the_coded_region_is_ambiguous_and_inside_it_narrows():
    assert site("122496007", label="T8").reasons == ("level-ambiguous",)
    assert site("122495006", label="T8").levels == ("T8",)
    assert site("1217256009", label="T12-L1").levels == ("T12", "L1")


def test_levels_apart_are_one_site_with_both():
    found = site(label="T8, T10")
    assert "levels-not-contiguous" in found.reasons
    assert "levels-not-contiguous" in site("77435000", "48405002").reasons


def test_two_levels_in_one_concept_contradict_each_other():
    two = r4.CodeableConcept(
        coding=(r4.Coding(system=SCT, code="77435000"), r4.Coding(system=SCT, code="33766003"))
    )
    assert read_site([two], None, PROFILE.codes).reasons == ("level-ambiguous",)


def test_one_level_in_both_code_sets_is_that_level():
    two = r4.CodeableConcept(
        coding=(r4.Coding(system=SCT, code="77435000"), r4.Coding(system=SCT, code="11068009"))
    )
    assert read_site([two], None, PROFILE.codes) == site("77435000")


def test_a_code_elsewhere_outweighs_a_loose_label_but_not_a_tg263_name():
    prostate = "41216001"
    assert site(prostate, label="PTV T2").spinal is False
    assert site(prostate, label="PTV_VB_T02").levels == ("T2",)


def test_a_misspelt_system_is_accepted_and_said():
    for system in ("https://snomed.info/sct", "http://snomed.info/sct/"):
        found = site("77435000", system=system)
        assert (found.levels, found.reasons) == (("T8",), ("code-system-misspelt",))


def test_text_of_a_site_is_read_like_a_label():
    assert site(text="T8-T9 vertebral bodies").levels == ("T8", "T9")
    assert site(text="thoracic spine").region == "thoracic"
    assert site(text="Left breast, stage T2").spinal is None


def test_nothing_said_is_not_elsewhere():
    assert read_site([], None, PROFILE.codes).spinal is None
