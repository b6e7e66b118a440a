"""The public examples of mCODE, CodeX and R4: each resource is used, ignored, or has an Issue."""

from pathlib import Path

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.files import read_sources
from fhir_srs.mapping.reading import Mended, Unreadable, read

EXAMPLES = Path(__file__).parents[3] / "shared" / "fhir-examples"
FOLDERS = sorted(one.name for one in EXAMPLES.iterdir() if one.is_dir()) if EXAMPLES.is_dir() else []
pytestmark = pytest.mark.skipif(not FOLDERS, reason="the public examples lie beside the checkout, not in it")


def sources(folder):
    return read_sources([EXAMPLES / folder], lambda text: None)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_example_is_read_whole(folder):
    found = [(one, body[:90]) for body in sources(folder) for one in read(body)]
    assert [one for one in found if isinstance(one[0], (Unreadable, Mended))] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_example_is_used_ignored_or_has_an_issue(folder):
    profile = load_profile("mcode")
    resources = [one for body in sources(folder) for one in read(body)]
    found = map_resources(sources(folder), profile=profile)
    counts = found.counts
    assert counts.read == len(resources) == counts.used + counts.ignored + counts.refused
    refused = {one.resource for one in found.issues if not one.used}
    assert counts.refused >= len(refused)
    assert found.lesions == []  # none of them is spinal: SOURCES.md of the folder


def test_every_codex_course_is_understood_down_to_its_targets():
    found = map_resources(sources(FOLDERS[0]), profile=load_profile("mcode"))
    courses = {
        one.resource: one.reason
        for one in found.issues
        if not one.used and "CourseSummary" in str(one.resource)
    }
    assert set(courses.values()) <= {"site-not-spinal", "course-superseded"}
    assert len(courses) > 5
