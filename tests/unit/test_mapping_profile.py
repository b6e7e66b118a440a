"""Profiles, tables and the closed list of reasons."""

import csv
import pickle
import re
from pathlib import Path

import pytest

from fhir_srs import load_profile, map_resources, tables
from fhir_srs.errors import ConfigurationError, UsageError
from fhir_srs.model import Issue
from tests.unit.mapping_given import cgy, concept, dose, patient, procedure, surgical

SPEC = Path(__file__).parents[3] / "shared" / "spec"
beside = pytest.mark.skipif(not SPEC.is_dir(), reason="the specification lies beside the checkout, not in it")
SITE_PROFILE = """
name = "north"
time_zone = "Europe/Berlin"
patient_identifier_system = "urn:north"
result_systems = ["https://north.example/spine/result"]
known_modifiers = ["http://north.example/harmless"]
[[codes]]
set = "radiosurgery"
system = "urn:oid:1.2.3"
code = "CK-1"
meaning = "any"
[[text_rules]]
set = "radiosurgery"
pattern = "wirbel.*radiochirurgie"
system = "urn:text"
code = "radiosurgery"
meaning = "any"
[[products]]
system = "urn:north:drugs"
code = "MST10"
ingredients = ["http://www.nlm.nih.gov/research/umls/rxnorm|7052"]
[pain_ranges]
"http://loinc.org|38214-3" = [0, 100]
[systems]
"urn:snomed" = "http://snomed.info/sct"
"""


@pytest.fixture
def north(tmp_path):
    file = tmp_path / "north.toml"
    file.write_text(SITE_PROFILE)
    return load_profile(file)


def test_a_site_profile_adds_to_mcode_and_takes_nothing_away(north):
    mcode = load_profile("mcode")
    assert north.codes.sets["vertebra"] == mcode.codes.sets["vertebra"]
    assert north.result_systems > mcode.result_systems
    assert (north.name, north.open_order_days, north.omed_table) == ("north", 30, "cdc-2022")


def test_local_codes_and_texts_make_courses(north):
    by_code = procedure("a", concept("CK-1", "urn:oid:1.2.3"), bodySite=[concept("77435000")])
    by_text = procedure(
        "b", {"text": "Wirbelkörper-Radiochirurgie"}, bodySite=[concept("53983007", "urn:snomed")]
    )
    found = map_resources([patient(), by_code, by_text], profile=north).lesions
    assert [one.levels for one in found] == [("T8",), ("L2",)]
    assert "code-text-only" in found[1].issues
    assert map_resources([patient(), by_code, by_text], profile=load_profile("mcode")).lesions == []


def test_the_sites_zone_converts_before_the_day_is_taken(north):
    told = surgical(performedDateTime="2024-03-05T23:30:00Z")
    del told["performedPeriod"]
    days = [
        map_resources([told], profile=one).lesions[0].start.text for one in (load_profile("mcode"), north)
    ]
    assert days == ["2024-03-05", "2024-03-06"]


def test_the_sites_identifier_system_comes_first(north):
    person = patient(identifier=[*patient()["identifier"], {"system": "urn:north", "value": "9"}])
    assert map_resources([person, surgical()], profile=north).lesions[0].patient_identifier == "urn:north|9"


def test_a_known_modifier_bars_nothing(north):
    told = surgical(modifierExtension=[{"url": "http://north.example/harmless", "valueBoolean": True}])
    assert len(map_resources([told], profile=north).lesions) == 1


def test_a_profile_travels_to_other_processes(north):
    copy = pickle.loads(pickle.dumps(north))  # noqa: S301
    resources = [patient(), surgical("s", dose(None, cgy(1800)))]
    assert map_resources(resources, profile=copy) == map_resources(resources, profile=north)


def test_a_profile_that_is_not_there_is_a_usage_error():
    with pytest.raises(UsageError, match="mcode"):
        load_profile("nowhere")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('colour = "red"\nopen_order_days = "x"\n', ["colour", "open_order_days"]),
        ("name = [", [""]),
        ('time_zone = "Mars/Olympus"', ["time_zone: no such time zone"]),
        (
            '[[text_rules]]\nset="pian"\npattern="("\nsystem="b"\ncode="c"\nmeaning="d"',
            ["text_rules[0].pattern: no regular expression", 'did you mean "pain"?'],
        ),
        (
            '[[codes]]\nset="a"\ncolour="b"',
            ["codes[0].colour: unknown", "codes[0].system", "codes[0].code", "codes[0].set: no such set"],
        ),
        (
            '[[text_rules]]\nset="vertebra"\npattern="("',
            [
                "text_rules[0].system",
                "text_rules[0].code",
                "rules[0].pattern: no regular",
                "rules[0].set: a text",
            ],
        ),
        ('[[codes]]\nset="pain"\nsystem="x"\nmeaning="nsr"', ["codes[0].code: missing", 'mean "nrs"?']),
        ('[[omed_factors]]\ningredient="x"\nform="oral"\nunit="ml"', ["factor: missing", "unit: must be"]),
        ('[[codes]]\nset="pain"\nsystem="x"\ncode="y"\nmeaning="nsr"', ["codes[0].meaning: must be one of"]),
        ('extends = "epik-like"', ['extends: no such profile (did you mean "epic-like"?)']),
        (
            '[choices]\ndose_without_unit = "rad"\nsame_course = 3',
            ["choices.dose_without_unit", "choices.same"],
        ),
        ('[units]\n"BED" = "Gy"\n"centi" = "cgy"', ['units."BED"', 'units."centi"']),
        ('[pain_ranges]\n"http://loinc.org|38214-3" = [100, 0]', ["the lowest value must be below"]),
        ('[systems]\n"urn:x" = "http://loinc.com"', ['did you mean "http://loinc.org"?']),
        ('[[site_labels]]\npattern = "BWK"\nmeans = "kidney"', ["site_labels[0].means"]),
        ('omed_table = "cdc-1999"', ["omed_table: there are"]),
    ],
)
def test_a_bad_profile_says_every_problem(tmp_path, text, problems):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_profile(file)
    assert all(any(wanted in problem for problem in raised.value.problems) for wanted in problems)
    assert len(raised.value.problems) == len(problems)


def test_a_profile_file_that_is_absent_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError):
        load_profile(tmp_path / "absent.toml")


@beside
def test_the_closed_list_is_the_specifications_and_the_decisions():
    section = (SPEC / "fhir-mapping.md").read_text().split("## 8.")[1].split("## 9.")[0]
    listed = [
        cell for line in section.splitlines() if line.startswith("| `") for cell in [line.split("|")[1]]
    ]
    wanted = set(re.findall(r"`([a-z-]+)`", " ".join(listed)))
    wanted |= {"link-rungs-disagree", "before-origin", "patient-too-large", "id-collision", "after-cutoff"}
    assert set(load_profile("mcode").reasons) == wanted


def test_every_reason_is_documented_once():
    rows = list(tables.rows("issues.csv"))
    assert len({row["reason"] for row in rows}) == len(rows)
    assert all(row["documentation"].endswith(".") for row in rows)


def test_severity_says_whether_the_resource_counts():
    profile = load_profile("mcode")
    for reason, rule in profile.reasons.items():
        assert (rule.severity == "error") is not rule.used
        for used in (True, False):
            issue = profile.issue(reason, "Procedure/1", used=used)
            assert isinstance(issue, Issue)
            assert (issue.severity == "error") is not used


@beside
def test_every_code_of_the_derived_tables_is_confirmed_in_the_specification():
    with (SPEC / "terminology.csv").open(newline="") as table:
        confirmed = {
            (row["system"], row["code"]) for row in csv.DictReader(table) if row["status"] == "confirmed"
        }
    derived = ("radiotherapy", "sites", "conditions", "events")
    ours = {
        (row["system"], row["code"]) for name in derived for row in tables.rows(f"terminology/{name}.csv")
    }
    assert ours - confirmed == set()


def test_every_code_has_a_source():
    for name in tables.names("terminology/*.csv"):
        assert all(row["source"] for row in tables.rows(name))


def test_no_code_means_two_things_in_one_set():
    seen = set()
    for name in tables.names("terminology/*.csv"):
        for row in tables.rows(name):
            key = (row["set"], row["system"], row["code"])
            assert key not in seen
            seen.add(key)
