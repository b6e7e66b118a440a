"""What people and programs read: figures with their denominators, files complete or absent."""

import csv
import io
import json
import re
from datetime import date

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.errors import LocalIOError
from fhir_srs.mapping.tally import NO_BASELINE, NO_FOLLOW_UP, tally
from fhir_srs.model import Estimate, Issue, Mapped, ResourceCounts
from fhir_srs.report.attrition import attrition_lines
from fhir_srs.report.export import KEYS, estimates_csv, estimates_json, mapped_counts
from fhir_srs.report.figures import estimates_text, interval_text, value_text
from fhir_srs.report.save import save
from tests.properties.mess import messy_cohort
from tests.spec import records

STUDY = ("ryu2008", "1")
COMPLETE = Estimate(
    name="CR",
    value=17 / 37,
    low=0.3,
    high=0.63,
    n=37,
    clusters=30,
    numerator=17,
    denominator=37,
    endpoint="pain-response",
    window="best",
    population="assessable",
    study="ryu2008",
    method="korn-graubard",
)
CONTROL = Estimate(name="pain control", value=0.838, time_days=365, n=30, at_risk=16, endpoint="pain-control")
MEDIAN = Estimate(name="median", value=405.0, n=29, endpoint="relief-duration", variant="descriptive")
MISSING = Estimate(name="median", status="not-reached", n=5, high_status="not-reached", low=3.0)
MAPPED = Mapped(
    lesions=[],
    patients=[],
    events=[],
    issues=[
        Issue(resource="Observation/1", reason="value-out-of-range", severity="error", used=False),
        Issue(resource="Observation/2", reason="date-no-zone", severity="information", used=True),
    ],
    counts=ResourceCounts(read=3, used=1, ignored=1, refused=1, kinds={"Practitioner": 1}),
)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (COMPLETE, "17/37 (45.9 %)"),
        (CONTROL, "83.8 %"),
        (MEDIAN, "405 d (13.3 months)"),
        (Estimate(name="median", value=14.0), "14 d"),
        (MISSING, "not reached"),
        (Estimate(status="not-estimable", reason="no event yet"), "not estimable (no event yet)"),
    ],
)
def test_a_figure_is_printed_with_its_denominator_or_with_why_there_is_none(estimate, text):
    assert value_text(estimate) == text


def test_a_bound_that_does_not_exist_says_so():
    assert interval_text(MISSING) == "3 to not reached"
    assert interval_text(MEDIAN) == "-"
    assert interval_text(COMPLETE) == "30.0 to 63.0"


def test_the_table_groups_by_endpoint_and_names_the_study():
    text = estimates_text({STUDY: [COMPLETE, CONTROL]})
    assert text.startswith("study ryu2008, definition 1\n")
    assert "pain-response\n" in text
    assert "37 in 30 patients" in text
    assert "30, 16 at risk" in text


def test_json_has_the_keys_of_the_contract_and_counts_that_add_up():
    page = json.loads(
        estimates_json({STUDY: [COMPLETE]}, cutoff=date(2008, 1, 1), counts=mapped_counts(tally(MAPPED)))
    )
    assert page["study"] == "ryu2008"
    assert page["studies"] == [{"name": "ryu2008", "version": "1"}]
    assert page["cutoff"] == "2008-01-01"
    assert tuple(page["estimates"][0]) == KEYS
    assert page["estimates"][0]["label"] == "CR"
    assert page["counts"]["resources"] == {"in": 3, "used": 1, "ignored": 1, "refused": 1}
    assert page["counts"]["refused"] == {"value-out-of-range": 1}


def test_two_studies_in_one_json_have_no_single_study():
    page = json.loads(
        estimates_json(
            {STUDY: [], ("icpre2012", "1"): []}, cutoff=date(2008, 1, 1), counts=mapped_counts(tally(MAPPED))
        )
    )
    assert "study" not in page
    assert [study["name"] for study in page["studies"]] == ["ryu2008", "icpre2012"]


def test_csv_has_the_same_keys_and_runs_no_formula_in_a_spreadsheet():
    hostile = Estimate(name="=HYPERLINK(1)", value=-0.5)
    rows = list(csv.DictReader(io.StringIO(estimates_csv({STUDY: [COMPLETE, hostile]}))))
    assert tuple(rows[0]) == KEYS
    assert float(rows[0]["value"]) == 17 / 37
    assert rows[0]["at_risk"] == ""
    assert rows[1]["label"] == "'=HYPERLINK(1)"
    assert float(rows[1]["value"]) == -0.5


def test_an_infinite_estimate_is_a_fault_of_ours_and_loud():
    with pytest.raises(ValueError, match="infinite"):
        estimates_csv({STUDY: [Estimate(value=float("inf"))]})


def test_the_attrition_table_adds_up_and_names_each_reason():
    lines = list(attrition_lines(tally(MAPPED)))
    assert lines[0] == "resources: 3 = 1 used + 1 ignored + 1 refused"
    at = lines.index("refused, by reason:")
    assert lines[at + 1].split() == ["1", "value-out-of-range"]


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_every_resource_of_a_messy_cohort_is_in_one_line_of_the_table(seed):
    """Used, ignored by type, refused by reason: in = used + ignored + refused, each with its parts."""
    found = tally(map_resources(messy_cohort(seed), profile=load_profile("mcode")))
    lines = list(attrition_lines(found))
    read, used, ignored, refused = map(int, re.findall(r"\d+", lines[0].replace(",", "")))
    assert read == used + ignored + refused
    starts = [at for at, line in enumerate(lines) if not line.startswith("  ")]
    parts = {
        lines[at]: sum(int(line.split()[0].replace(",", "")) for line in lines[at + 1 : until])
        for at, until in zip(starts, [*starts[1:], len(lines)], strict=True)
    }
    assert parts["ignored, by type:"] == ignored > 0
    assert parts["refused, by reason:"] == refused > 0


def test_what_stands_as_a_type_and_is_none_is_counted_and_not_printed():
    odd = [{"resourceType": kind, "id": "1"} for kind in ("\x1b[2J", "Mr MARKER", "x" * 9000, "Practitioner")]
    found = map_resources(odd, profile=load_profile("mcode"))
    assert found.counts.kinds == {"Practitioner": 1, "of no type of R4": 3}


def test_a_lesion_without_pain_scores_of_its_own_is_counted_as_such():
    baseline, later = "2024-02-10", "2024-03-06"  # the first fraction is on 5 March

    def lacking(*scores):
        found = tally(records.mapped(*scores))
        return {text for text in found.lacking if "pain" in text}

    none = {NO_BASELINE, NO_FOLLOW_UP}
    knee = {"bodySite": records.concept("72696002")}
    assert lacking() == none
    assert lacking(records.pain(5, "x", effectiveDateTime=baseline)) == {NO_FOLLOW_UP}
    assert lacking(records.pain(5, "x", effectiveDateTime="2024-02-05")) == none
    assert lacking(records.pain(5, "x", effectiveDateTime=later)) == {NO_BASELINE}
    assert lacking(records.pain(5, "x", effectiveDateTime=baseline, **knee)) == none


def test_a_saved_file_is_complete_or_absent(tmp_path):
    def broken():
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        save(tmp_path / "a", broken())
    assert list(tmp_path.iterdir()) == []
    save(tmp_path / "new" / "a", [b"whole"])
    assert (tmp_path / "new" / "a").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LocalIOError, match="cannot write"):
        save(tmp_path / "file" / "below", [b""])
