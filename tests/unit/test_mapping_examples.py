"""The public examples of mCODE, CodeX and R4: what is made of each, reviewed by hand against its JSON.

None of them is spinal, so each course is also read once more with its volumes moved into the spine.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.files import read_sources
from fhir_srs.mapping.reading import Mended, Unreadable, read
from fhir_srs.model import Mapped

EXAMPLES = Path(__file__).parents[3] / "shared" / "fhir-examples"
FOLDERS = sorted(one.name for one in EXAMPLES.iterdir() if one.is_dir()) if EXAMPLES.is_dir() else []
pytestmark = pytest.mark.skipif(not FOLDERS, reason="the public examples lie beside the checkout, not in it")
PROFILE = load_profile("mcode")
CODEX, R4, STU2, STU4 = "codexrt-2.0.0-d8484968", "hl7-r4-spec-4.0.1", "mcode-STU2-tag", "mcode-STU4-543477b5"
SCT = "http://snomed.info/sct"
# Apart from one another, so that each volume is a lesion of its own.
VERTEBRAE = ("32430008", "77435000", "48405002")
Json = dict[str, Any]

# Course -> why it is no lesion as it stands; its first and last day; Gy and fractions of each of its volumes,
# in the order of its dose list. None: not to be believed.
SUMMARY = "Procedure-RadiotherapyCourseSummary-"
CHEST = "Procedure-radiotherapy-treatment-summary-"
COURSES: dict[tuple[str, str], tuple[str, str, list[tuple[str | None, int]]]] = {
    (CODEX, f"{SUMMARY}04-Prostate"): (
        "site-not-spinal", "2020-10-27..2020-10-28", [("3.6", 2), ("3.6", 2), ("3.6", 2)]),
    (CODEX, f"{SUMMARY}101-RTTD-BilateralBreast"): (
        "site-not-spinal", "2020-10-27..2020-10-28", [("50", 25), ("60", 30), ("50", 25)]),
    (CODEX, f"{SUMMARY}XRTS-01-22B-01-Prostate-1P-1V-1Fx"): (
        "course-superseded", "2021-09-06..2021-09-06", [("2", 1)]),
    (CODEX, f"{SUMMARY}XRTS-01-22B-01-Prostate-1P-1V"): (
        "site-not-spinal", "2021-09-06..2021-09-07", [("4", 2)]),
    (CODEX, f"{SUMMARY}XRTS-02-22B-01-Prostate-2P-1V-1Fx"): (
        "course-superseded", "2021-09-06..2021-09-06", [("1.8", 1)]),
    (CODEX, f"{SUMMARY}XRTS-02-22B-01-Prostate-2P-1V"): (
        "site-not-spinal", "2021-09-06..2021-09-17", [("13.4", 7)]),
    (CODEX, f"{SUMMARY}XRTS-03-22B-01-Prostate-1P-3V-1Fx"): (
        "course-superseded", "2021-09-06..2021-09-06", [("2", 1), ("1.8", 1), ("2", 1)]),
    (CODEX, f"{SUMMARY}XRTS-03-22B-01-Prostate-1P-3V"): (
        "site-not-spinal", "2021-09-06..2021-09-10", [("8", 4), ("7.2", 4), ("8", 4)]),
    (CODEX, f"{SUMMARY}XRTS-04-22B-01-Breast-2P-3V-1Fx"): (
        "course-superseded", "2021-09-06..2021-09-06", [("3", 1), ("3", 1)]),
    (CODEX, f"{SUMMARY}XRTS-04-22B-01-Breast-2P-3V"): (
        "site-not-spinal", "2021-09-06..2021-09-17", [("9", 3), ("17", 7), ("9", 3)]),
    (CODEX, f"{SUMMARY}XRTS-05-22B-01-BrainMets-1P-1V-1Fx"): (
        "course-superseded", "2020-09-07..2020-09-07", [("5", 1)]),
    (CODEX, f"{SUMMARY}XRTS-05-22B-01-BrainMets-1P-1V"): (
        "site-not-spinal", "2020-09-07..2020-09-14", [("25", 5)]),
    (CODEX, f"{SUMMARY}XRTS-05-22B-02-BrainMets-1P-1V"): (
        "site-not-spinal", "2021-09-20..2021-09-24", [("20", 5)]),
    (CODEX, f"{SUMMARY}XRTS-06-22B-01-Uterus-1P-1V-1Fx"): (
        "course-superseded", "2021-09-06..2021-09-06", [("6", 1)]),
    (CODEX, f"{SUMMARY}XRTS-06-22B-01-Uterus-1P-1V"): (
        "site-not-spinal", "2021-09-06..2021-09-20", [("30", 5)]),
    # A permanent implant of 145 Gy: outside 1 to 100 Gy, hence null (`dose-implausible`).
    (CODEX, f"{SUMMARY}XRTS-07-22B-01-Uterus-1P-1V"): (
        "site-not-spinal", "2021-09-06..2021-09-06", [(None, 1)]),
    (STU2, f"{CHEST}chest-wall-jenny-m"): (
        "site-not-spinal", "2018-08-15..2018-10-25", [("60", 30), ("50", 25)]),
    (STU4, f"{CHEST}chest-wall-jenny-m"): (
        "site-not-spinal", "2018-08-15..2018-10-25", [("60", 30), ("50", 25)]),
    # The same volumes and days as the one before: the same course.
    (STU4, f"{CHEST}other-with-text"): (
        "course-superseded", "2018-08-15..2018-10-25", [("60", 30), ("50", 25)]),
}  # fmt: skip
PERFORMANCE = {
    "Observation/ecog-performance-status-fully-active": ["performance 2019-04-01 0"],
    "Observation/ecog-performance-status-jenny-m": ["performance 2018-04-12 0"],
    "Observation/karnofsky-performance-status-normal-activity": ["performance 2019-04-01 90"],
    "Observation/cancer-disease-status-improved": ["disease-status 2019-04-01 improved"],
    "Observation/cancer-disease-status-jenny-m": ["disease-status 2018-11-01 improved"],
    "Observation/tumor-size-jenny-m": ["imaging 2018-04-01 25"],
    "Observation/tumor-size-pathology": ["imaging 2019-05-01 12"],
}
# Every event that is no drug. There is no pain score in any example.
EVENTS: dict[str, dict[str, list[str]]] = {
    CODEX: {
        "AdverseEvent/RadiotherapyAdverseEvent-XRTS-07-22B": ["toxicity - 2"],
        "Observation/cancer-disease-status-22B": ["disease-status 2020-10-22 worsened"],
    },
    R4: {
        "DiagnosticReport/f201": ["imaging 2012-12-01 None"],
        "DiagnosticReport/ultrasound": ["imaging 2012-12-01 None"],
        "ImagingStudy/example": ["imaging 2011-01-01 None"],
        "ImagingStudy/example-xr": ["imaging 2017-01-01 None"],
    },
    STU2: PERFORMANCE,
    STU4: PERFORMANCE,
}


def sources(folder: str) -> Any:
    return read_sources([EXAMPLES / folder], lambda text: None)


def mapped(folder: str) -> Mapped:
    return map_resources(sources(folder), profile=PROFILE)


def loaded(folder: str, name: str) -> Json:
    return json.loads((EXAMPLES / folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_example_is_read_whole(folder: str) -> None:
    found = [(one, body[:90]) for body in sources(folder) for one in read(body)]
    assert [one for one in found if isinstance(one[0], (Unreadable, Mended))] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_example_is_used_ignored_or_has_an_issue(folder: str) -> None:
    resources = [one for body in sources(folder) for one in read(body)]
    found = mapped(folder)
    counts = found.counts
    assert counts.read == len(resources) == counts.used + counts.ignored + counts.refused
    refused = {one.resource for one in found.issues if not one.used}
    assert counts.refused >= len(refused)
    assert found.lesions == []  # none of them is spinal: SOURCES.md of the folder


def test_every_file_with_a_course_is_in_the_table() -> None:
    told = {
        (folder, path.stem)
        for folder in FOLDERS
        for path in (EXAMPLES / folder).glob("Procedure-*.json")
        if "-radiotherapy-treatment-summary-" in path.stem or "CourseSummary" in path.stem
    }
    assert told == set(COURSES)


@pytest.mark.parametrize(("folder", "name"), COURSES)
def test_a_course_as_it_stands_is_no_lesion_for_this_reason(folder: str, name: str) -> None:
    reasons = {one.resource: one.reason for one in mapped(folder).issues if not one.used}
    assert reasons[f"Procedure/{loaded(folder, name)['id']}"] == COURSES[folder, name][0]


@pytest.mark.parametrize(("folder", "name"), COURSES)
def test_a_course_moved_into_the_spine_is_understood_down_to_its_volumes(folder: str, name: str) -> None:
    """Only the places change: each volume of the dose list gets a vertebra, in the order of the list."""
    told = loaded(folder, name)
    doses = [one for one in told["extension"] if one["url"].endswith("dose-delivered-to-volume")]
    named = [part for one in doses for part in one["extension"] if part["url"] == "volume"]
    moved = []
    for vertebra, part in zip(VERTEBRAE, named, strict=False):
        volume = loaded(folder, part["valueReference"]["reference"].replace("/", "-"))
        volume.pop("locationQualifier", None)
        volume["location"] = {"coding": [{"system": SCT, "code": vertebra}]}
        volume["identifier"] = [one for one in volume.get("identifier", []) if one.get("use") == "official"]
        volume.pop("description", None)
        moved.append(volume)
    told.pop("bodySite")
    found = map_resources([told, *moved], profile=PROFILE)
    _, days, expected = COURSES[folder, name]
    assert [(one.dose_gy, one.fractions) for one in found.lesions] == [
        (None if gray is None else Decimal(gray), fractions) for gray, fractions in expected
    ]
    shown = {f"{one.start.text}..{one.end.text}" for one in found.lesions if one.start and one.end}
    assert shown == {days}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_event_of_the_examples_is_in_the_table(folder: str) -> None:
    found: dict[str, list[str]] = {}
    for one in mapped(folder).events:
        if one.kind not in ("opioid", "death"):
            day = one.on.text if one.on else "-"
            name = one.source.partition("/_history")[0]
            found.setdefault(name, []).append(f"{one.kind} {day} {one.value}")
    assert found == EVENTS[folder]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_example_has_a_pain_score_that_would_want_a_row(folder: str) -> None:
    pain = PROFILE.codes.among("pain")
    files = [json.loads(one.read_text()) for one in (EXAMPLES / folder).glob("Observation-*.json")]
    parts = [part for one in files for part in (one, *one.get("component", []))]
    codings = [
        (coding.get("system"), coding.get("code"))
        for part in parts
        for coding in part.get("code", {}).get("coding", [])
    ]
    assert codings
    assert [one for one in codings if one in pain] == []
