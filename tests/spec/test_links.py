"""How an event comes to its lesion (spec/fhir-mapping.md section 2): rungs narrow, they never pick.

The patient of these rows has lesions at T8 and L2, treated on 5 March 2024 in courses of their own; the
record is a pain score of 1 April 2024.
"""

from datetime import date
from typing import Any

import pytest

from fhir_srs import map_resources
from fhir_srs.endpoints import derive, load_study
from tests.spec.records import HL7, MCODE, events, lesion, mapped, pain, record, said
from tests.unit.mapping_given import CODEX, L2, T8, T9, T10, Json, cgy, concept, course, dose, patient, volume

KNEE, FEMUR, T11 = "72696002", "71341001", "52120002"
THORACIC, LUMBAR, SPINE = "122495006", "122496007", "421060004"
TWO = [*lesion("t8", T8), *lesion("l2", L2)]
BONE = "94602001"


def to(name: str) -> Json:
    """A reference; names without a type are volumes."""
    return {"reference": name if "/" in name else f"BodyStructure/{name}"}


def extension(url: str, name: str) -> list[Json]:
    return [{"url": url, "valueReference": to(name)}]


def by_volume(*names: str) -> list[Json]:
    return [one for name in names for one in extension(CODEX + "codexrt-radiotherapy-volume-extension", name)]


def site(code: str, **more: Any) -> Json:
    return {"bodySite": concept(code, **more)}


def structure(id_: str, location: str | None = None, of: str = "p") -> Json:
    found: Json = {"resourceType": "BodyStructure", "id": id_, "patient": to(f"Patient/{of}")}
    return found | ({"location": concept(location)} if location else {})


ELSEWHERE = ("-", "patient", {"site-other-than-lesion"})
GONE = ("-", "patient", {"reference-unresolved"})
STRAYS = [
    record("Condition", "at-l2", code=concept(BONE), bodySite=[concept(L2)]),
    record("Condition", "at-t11", code=concept(BONE), bodySite=[concept(T11)]),
    record("Condition", "breast", code=concept("254837009"), bodySite=[concept("76752008")]),
    record("Condition", "wound", code={"text": "Pressure ulcer"}),
    record("Condition", "primary", code=concept("254837009")),
    structure("tumour", L2),
    structure("rib", "113197003"),
    structure("somewhere"),
    patient("q"),
    structure("q-t8", T8, "q"),
]  # fmt: skip

# what the score says -> the lesion (- for the patient's own), the rung, what is said of it
ROWS: dict[str, tuple[Json, str, str, set[str]]] = {
    "nothing": ({}, "-", "patient", set()),
    # one rung
    "focus on a volume": ({"focus": [to("l2")]}, "L2", "focus-lesion", set()),
    "focus on a tumour at a level": ({"focus": [to("tumour")]}, "L2", "focus-lesion", set()),
    "focus by the volume's DICOM UID": (
        {"focus": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.l2"}}]}, "L2",
        "focus-lesion", set()),
    "focus by the UID without urn:oid": (
        {"focus": [{"identifier": {"system": "urn:dicom:uid", "value": "1.2.l2"}}]}, "L2", "focus-lesion",
        set()),
    "an absolute reference": (
        {"focus": [to("https://ehr.example/fhir/BodyStructure/l2/_history/3")]}, "L2", "focus-lesion", set()),
    "the volume extension": ({"extension": by_volume("l2")}, "L2", "volume-extension", set()),
    "targetBodyStructure": (
        {"extension": extension(HL7 + "procedure-targetBodyStructure", "l2")}, "L2",
        "body-structure-extension", set()),
    "the bodySite extension": (
        {"bodySite": {"text": "back", "extension": extension(HL7 + "bodySite", "l2")}}, "L2",
        "body-structure-extension", set()),
    "part of a course of one lesion": ({"partOf": [to("Procedure/l2")]}, "L2", "part-of-course", set()),
    "a level": (site(L2), "L2", "body-site-level", set()),
    "a level in the other SNOMED set": (site("14293000"), "L2", "body-site-level", set()),
    "a level in text": ({"bodySite": {"text": "L2"}}, "L2", "body-site-level", set()),
    "a region with one lesion": (site(LUMBAR), "L2", "body-site-region", set()),
    "two levels in one code": (
        {"bodySite": {"coding": [*concept(T8)["coding"], *concept(L2)["coding"]]}}, "-", "patient",
        {"level-ambiguous"}),
    "a level that does not exist": ({"bodySite": {"text": "T13"}}, "-", "patient", {"level-ambiguous"}),
    "the spine": (site(SPINE), "-", "patient", set()),
    "a metastasis at a level": ({"focus": [to("Condition/at-l2")]}, "L2", "condition", set()),
    "the primary, which has no site": ({"focus": [to("Condition/primary")]}, "-", "patient", set()),
    # several named
    "two volumes, nothing else": (
        {"extension": by_volume("t8", "l2")}, "-", "patient", {"lesion-link-ambiguous"}),
    "two volumes, narrowed by a level": (
        {"extension": by_volume("t8", "l2"), **site(L2)}, "L2", "volume-extension", set()),
    "two volumes, narrowed by a condition": (
        {"extension": by_volume("t8", "l2"), "focus": [to("Condition/at-l2")]}, "L2", "volume-extension",
        set()),
    # rungs that disagree
    "the stronger rung wins": (
        {"focus": [to("l2")], **site(T8)}, "L2", "focus-lesion", {"link-rungs-disagree"}),
    "and is not weakened by a place of no lesion": (
        {"focus": [to("l2")], **site(KNEE)}, "L2", "focus-lesion", {"link-rungs-disagree"}),
    "a place of no lesion is not mended by a weaker rung": (
        {"focus": [to("rib")], **site(L2)}, *ELSEWHERE),
    # elsewhere
    "another vertebra": (site(T11), *ELSEWHERE),
    "another region": (site("122494005"), *ELSEWHERE),
    "the knee": (site(KNEE), *ELSEWHERE),
    "the knee in words": ({"bodySite": {"text": "left knee"}}, *ELSEWHERE),
    "the lower back in words, which may be the lesion": (
        {"bodySite": {"text": "lower back"}}, "-", "patient", set()),
    "a wound": ({"focus": [to("Condition/wound")]}, *ELSEWHERE),
    "another bone's structure": ({"focus": [to("rib")]}, *ELSEWHERE),
    "a metastasis elsewhere": ({"focus": [to("Condition/at-t11")]}, *ELSEWHERE),
    "the primary at its site": ({"focus": [to("Condition/breast")]}, *ELSEWHERE),
    "a structure that says no place": ({"focus": [to("somewhere")]}, "-", "patient", set()),
    # references that lead nowhere
    "a volume that is not there": ({"focus": [to("gone")]}, *GONE),
    "a course that is not there": ({"partOf": [to("Procedure/gone")]}, *GONE),
    "a condition that is not there": (
        {"focus": [to("Condition/gone")]}, *GONE),
    "a structure inside the record itself": ({"focus": [{"reference": "#v"}]}, *GONE),
    "a UID that no volume has": (
        {"focus": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:9.9"}}]}, *GONE),
    "a course by an identifier alone": (
        {"partOf": [{"identifier": {"system": "urn:courses", "value": "1"}}]}, *GONE),
    "a volume that is not there beside a level": (
        {"focus": [to("gone")], **site(L2)}, "L2", "body-site-level", {"reference-unresolved"}),
    "another patient's structure": ({"focus": [to("q-t8")]}, "-", "patient", {"patient-mismatch"}),
}  # fmt: skip


def where(found: Any) -> tuple[str, str]:
    """The levels of the lesion that the one score belongs to, and the rung."""
    (one,) = events(found, "pain")
    levels = {each.lesion_id: "-".join(each.levels) for each in found.lesions}
    return levels[one.lesion_id] if one.lesion_id else "-", one.link


@pytest.mark.parametrize("name", ROWS)
def test_a_score_comes_to(name: str) -> None:
    hints, level, rung, reasons = ROWS[name]
    found = mapped(*STRAYS, pain(5, **hints), lesions=TWO)
    assert (*where(found), said(found)) == (level, rung, reasons)


@pytest.mark.parametrize("name", ROWS)
def test_what_is_elsewhere_is_marked_and_nothing_else(name: str) -> None:
    hints, _, _, reasons = ROWS[name]
    (one,) = events(mapped(*STRAYS, pain(5, **hints), lesions=TWO), "pain")
    assert ("site-other-than-lesion" in one.flags) is ("site-other-than-lesion" in reasons)


# Two lesions of one course, at T8 and L2.
JOINT = [
    volume("t8", T8),
    volume("l2", L2),
    course("c", dose("t8", cgy(1600)), dose("l2", cgy(1600))),
]
# A lesion across the junction, and one above it.
JUNCTION = [*lesion("t8", T8), volume("j", None, label="PTV_T12-L1"), course("j", dose("j", cgy(1600)))]


def test_a_course_of_two_lesions_names_both() -> None:
    part = {"partOf": [to("Procedure/c")]}
    found = mapped(pain(5, **part), lesions=JOINT)
    assert (*where(found), said(found)) == ("-", "patient", {"lesion-link-ambiguous"})
    found = mapped(pain(5, **part, **site(T11)), lesions=JOINT)
    assert (*where(found), said(found)) == ELSEWHERE
    found = mapped(pain(5, **part, **site(L2)), lesions=JOINT)
    assert (*where(found), said(found)) == ("L2", "part-of-course", set())


def test_a_region_holds_a_lesion_across_its_border() -> None:
    """Either may be meant by "thoracic", so neither is picked."""
    found = mapped(pain(5, **site(THORACIC)), lesions=JUNCTION)
    assert (*where(found), said(found)) == ("-", "patient", {"lesion-link-ambiguous"})
    found = mapped(pain(5, **site(LUMBAR)), lesions=JUNCTION)
    assert where(found) == ("T12-L1", "body-site-region")


def test_a_region_with_two_lesions_is_ambiguous() -> None:
    found = mapped(pain(5, **site(THORACIC)), lesions=[*lesion("t8", T8), *lesion("t10", T10)])
    assert (*where(found), said(found)) == ("-", "patient", {"lesion-link-ambiguous"})


def test_a_condition_treated_at_two_levels_is_ambiguous() -> None:
    reason = [to("Condition/bone")]
    two = [one | ({"reasonReference": reason} if one["resourceType"] == "Procedure" else {}) for one in TWO]
    bone = record("Condition", "bone", code=concept(BONE))
    found = mapped(bone, pain(5, focus=reason), lesions=two)
    assert (*where(found), said(found)) == ("-", "patient", {"lesion-link-ambiguous"})
    alone = [two[0], two[1]]
    assert where(mapped(bone, pain(5, focus=reason), lesions=alone)) == ("T8", "condition")


AGAIN = [*lesion("first", T8, "2024-03-05"), *lesion("second", T8, "2024-09-05")]


@pytest.mark.parametrize(
    ("day", "treated"),
    [
        ("2024-02-20", "2024-03-05"),  # before the first: the first upcoming
        ("2024-03-05", "2024-03-05"),
        ("2024-09-04", "2024-03-05"),
        ("2024-09-05", "2024-09-05"),  # the day of retreatment belongs to the new lesion
        ("2025-01-01", "2024-09-05"),
    ],
)
def test_an_event_at_a_shared_level_belongs_to_the_latest_lesion_begun(day: str, treated: str) -> None:
    found = mapped(pain(5, effectiveDateTime=day, **site(T8)), lesions=AGAIN)
    (one,) = events(found, "pain")
    starts = {each.lesion_id: each.start and each.start.text for each in found.lesions}
    assert (starts[one.lesion_id or ""], one.link, said(found)) == (treated, "body-site-level", set())


def test_without_a_date_a_shared_level_is_ambiguous() -> None:
    found = mapped(pain(5, effectiveDateTime=None, **site(T8)), lesions=AGAIN)
    assert where(found) == ("-", "patient")
    assert said(found) == {"date-missing", "lesion-link-ambiguous"}


def test_a_month_in_which_the_level_was_treated_again_is_ambiguous() -> None:
    found = mapped(pain(5, effectiveDateTime="2024-09", **site(T8)), lesions=AGAIN)
    assert where(found) == ("-", "patient")
    assert said(found) == {"date-partial", "lesion-link-ambiguous"}


def test_levels_of_a_range_link_to_its_lesion() -> None:
    span = [volume("v", None, label="PTV_T8-T10"), course("v", dose("v", cgy(1600)))]
    assert where(mapped(pain(5, **site(T9)), lesions=span)) == ("T8-T9-T10", "body-site-level")


@pytest.mark.parametrize(("place", "category"), [(T8, "CR"), (None, "CR"), (KNEE, "NE"), (T11, "NE")])
def test_pain_of_another_site_counts_for_no_lesion(place: str | None, category: str) -> None:
    """The patient's only lesion is at T8: a score without a site counts for it, one of the knee never."""
    there = site(place) if place else {}
    scores = [pain(7, "before", effectiveDateTime="2024-03-01", **there), pain(0, "after", **there)]
    found = map_resources([patient(), *lesion(), *scores], profile=MCODE)
    rows = derive(found, study=load_study("ryu2008"), data_cutoff=date(2026, 1, 1)).responses
    assert {one.category for one in rows if one.window == "best" and one.variant is None} == {category}
