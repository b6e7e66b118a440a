"""Whom a study takes by default and as published, on drawn lesions (spec/endpoints.md section 16)."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fhir_srs.endpoints import Outcomes, derive, load_study
from fhir_srs.endpoints.study_file import changed
from tests.spec.timelines import LATER, draw

PALLIATIVE = "http://snomed.info/sct|363676003"


def published(study: str, drawing: str, **lesion: Any) -> Outcomes:
    """The outcomes of *drawing* as published, lesion A with some fields changed."""
    mapped = draw(drawing)
    lesions = [
        msgspec.structs.replace(one, **lesion) if one.lesion_id == "A" else one for one in mapped.lesions
    ]
    strict = changed(load_study(study), {"eligibility": "as-published"})
    return derive(msgspec.structs.replace(mapped, lesions=lesions), study=strict, data_cutoff=LATER)


ONE = "A | 0 | srs | T8\n"
RTOG = ONE + "A | -3 | pain | 5\n"
SC24 = "A | 0..1 | sbrt | T8 2\n"
KNOWN = SC24 + "- | -3 | performance | {ecog} 2\nA | -3 | imaging | {sins} 11\n"

# study, drawing, fields of lesion A -> why it is not taken; None: taken; `unknown`: taken, flagged
CASES: dict[str, tuple[str, str, dict[str, Any], str | None]] = {
    "solitary": ("ryu2008", ONE, {}, None),
    "a second target within 28 days": ("ryu2008", ONE + "B | 28 | srs | L2", {}, "criterion-solitary"),
    "a second target later": ("ryu2008", ONE + "B | 29 | srs | L2", {}, None),
    "palliative": ("icpre2012", ONE, {"intent": PALLIATIVE}, None),
    "another intent": ("icpre2012", ONE, {"intent": "http://snomed.info/sct|373808002"}, "criterion-intent"),
    "intent unknown": ("icpre2012", ONE, {}, "unknown"),
    "RTOG: 16 Gy in one": ("rtog0631", RTOG, {}, None),
    "RTOG: 18 Gy in one": ("rtog0631", RTOG, {"dose_gy": Decimal("18.0")}, None),
    "RTOG: 17 Gy in one": ("rtog0631", RTOG, {"dose_gy": Decimal(17)}, "criterion-schedules"),
    "RTOG: dose unknown": ("rtog0631", RTOG, {"dose_gy": None}, "unknown"),
    "RTOG: two bodies": ("rtog0631", RTOG, {"levels": ("T8", "T9")}, None),
    "RTOG: three bodies": ("rtog0631", RTOG, {"levels": ("T8", "T9", "T10")}, "criterion-levels"),
    "RTOG: pain of 4": ("rtog0631", ONE + "A | -3 | pain | 4", {}, "criterion-pain"),
    "RTOG: pain unknown": ("rtog0631", ONE, {}, "unknown"),
    "RTOG: four targets": (
        "rtog0631", RTOG + "B | 0 | srs | L2\nC | 0 | srs | C4\nD | 0 | srs | T2", {}, "criterion-targets"),
    "a course that goes on": ("ryu2008", ONE, {"provisional": True}, "course-in-progress"),
    "no radiosurgery": ("ryu2008", ONE, {"technique": "other"}, "not-radiosurgery"),
    "solitary, at an unknown time": ("ryu2008", "A | ? | srs | T8", {}, "unknown"),
    "RTOG: at an unknown time": ("rtog0631", "A | ? | srs | T8", {}, "unknown"),
    "SC.24: three consecutive segments": (
        "sc24", KNOWN,
        {"dose_gy": Decimal(24), "levels": ("T12", "L1", "L2"), "cord_compression": False}, None),
    "SC.24: two segments with one between": (
        "sc24", KNOWN, {"dose_gy": Decimal(24), "levels": ("T8", "T10")}, "criterion-consecutive"),
    "SC.24: four segments": (
        "sc24", KNOWN, {"dose_gy": Decimal(24), "levels": ("T8", "T9", "T10", "T11")}, "criterion-levels"),
    "SC.24: segment unknown": ("sc24", KNOWN, {"dose_gy": Decimal(24), "levels": ()}, "unknown"),
    "SC.24": ("sc24", KNOWN, {"dose_gy": Decimal(24), "cord_compression": False}, None),
    "SC.24: compression not recorded": ("sc24", KNOWN, {"dose_gy": Decimal(24)}, "unknown"),
    "SC.24: compression": (
        "sc24",
        KNOWN, {"dose_gy": Decimal(24), "cord_compression": True}, "criterion-symptomatic_compression"),
    "SC.24: 24 Gy in three": (
        "sc24", KNOWN.replace("T8 2", "T8 3"), {"dose_gy": Decimal(24)}, "criterion-schedules"),
    "SC.24: ECOG 3": (
        "sc24", KNOWN.replace("{ecog} 2", "{ecog} 3"), {"dose_gy": Decimal(24)}, "criterion-ecog"),
    "SC.24: SINS 12": (
        "sc24", KNOWN.replace("{sins} 11", "{sins} 12"), {"dose_gy": Decimal(24)}, "criterion-sins"),
    "SC.24: an ECOG older than 28 days is not known": (
        "sc24", KNOWN.replace("- | -3",
        "- | -29"), {"dose_gy": Decimal(24), "cord_compression": False}, "unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_published_takes(name: str) -> None:
    study, drawing, lesion, expected = CASES[name]
    found = published(study, drawing, **lesion)
    reasons = {one.lesion_id: one.reason for one in found.excluded}
    flagged = any("eligibility-unknown" in row.flags for row in found.responses if row.lesion_id == "A")
    assert reasons.get("A") == (None if expected == "unknown" else expected)
    assert flagged == (expected == "unknown")


def test_by_default_no_criterion_of_the_publication_is_asked() -> None:
    found = derive(draw(ONE + "B | 0 | srs | L2"), study=load_study("ryu2008"), data_cutoff=LATER)
    assert not found.excluded
