"""The demo: what a newcomer sees first is true, and the README shows it as it is."""

import json
import re
from pathlib import Path

import pytest

from fhir_srs.demo import run_demo
from fhir_srs.progress import silent

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder that the demo wrote, and all it said."""
    out, said = tmp_path_factory.mktemp("demo"), []
    run_demo(out, keep=False, say=said.append, report=silent)
    return out, "\n".join(said)


def table(text):
    """The lines of the table of Ryu 2008 in *text*."""
    lines = [line.rstrip() for line in text.splitlines()]
    first = next(number for number, line in enumerate(lines) if line.startswith("figure "))
    return lines[first : first + 11]


def test_the_second_run_writes_nothing(demo):
    _, said = demo
    first, second = said.split("Second run")
    assert "wrote: 0 created" not in first
    assert "wrote: 0 created, 0 updated, 0 retracted" in second


def test_the_readme_shows_the_table_that_the_demo_prints(demo):
    _, said = demo
    assert table(README.read_text()) == table(said)
    created = re.search(r"wrote: ([\d,]+) created", said)
    assert created is not None
    assert f"writes {created[1]} results" in README.read_text()


def test_the_published_margins_are_recomputed(demo):
    _, said = demo
    printed = "\n".join(table(said))
    for figure in (
        "17/37 (45.9 %)",
        "7/37 (18.9 %)",
        "6/37 (16.2 %)",
        "14 d",
        "4/58 (6.9 %)",
        "2/29 (6.9 %)",
    ):
        assert figure in printed
    assert "405 d (13.3 months)" in printed
    assert "83.8 %" in printed


def test_estimates_are_left_as_json_and_csv_and_nothing_else(demo):
    out, _ = demo
    assert sorted(path.name for path in out.iterdir()) == ["estimates.csv", "estimates.json"]
    page = json.loads((out / "estimates.json").read_text())
    assert [study["name"] for study in page["studies"]] == ["ryu2008", "icpre2012"]
    first = page["estimates"][0]
    assert (first["study"], first["endpoint"], first["window"]) == ("ryu2008", "pain-response", "best")
    assert (first["population"], first["label"]) == ("assessable", "CR")
    assert (first["numerator"], first["denominator"]) == (17, 37)
    assert page["counts"]["lesions"] == 61


def test_no_name_of_a_patient_is_said_or_written(demo):
    out, said = demo
    assert "Zzmarkername" not in said + "".join(path.read_text() for path in out.iterdir())
