"""Study files: what they say, what is refused, and what a file of one's own inherits."""

from decimal import Decimal
from pathlib import Path

import pytest

from fhir_srs.endpoints import Study, load_study, shipped_studies
from fhir_srs.endpoints.study import Criteria
from fhir_srs.endpoints.study_file import PARAMETERS, changed, parse_study
from fhir_srs.errors import ConfigurationError, UsageError

OWN = 'name = "ours"\nversion = "1"\ntitle = "Ours"\n'
BASED = OWN + 'extends = "icpre2012"\n'

# Cells of the table in spec/endpoints.md section 16, copied by hand: parameter -> ryu2008, icpre2012,
# spino2015, rtog0631, sc24; a value with the initial of its basis.
TABLE = {
    "unit": ["lesion A", "lesion A", "lesion M", "index-lesion M", "lesion A"],
    "time_zero": ["last-fraction A"] * 5,
    "single_fraction": ["True P", "False A", "False A", "False A", "False A"],
    "baseline_first_day": ["-28 A"] * 5,
    "min_baseline_pain": ["1 A", "2 M", "2 M", "5 M", "2 P"],
    "rule": ["threshold A", "icpre P", "icpre M", "rtog P", "icpre P"],
    "pain_delta": ["3 A", "2 P", "2 M", "3 P", "2 P"],
    "analgesics": ["blind A", "aware P", "aware M", "aware P", "aware P"],
    "omed_table": ["cdc-2022 A"] * 5,
    "prn_orders": ["exclude A"] * 5,
    "omed_increase": ["any A"] * 5,
    "flare_days": ["14 A"] * 5,
    "omed_fall": ["0.75 A", "0.75 P", "0.75 P", "0.75 A", "0.75 P"],
    "omed_rise": ["1.25 A", "1.25 M", "1.25 M", "1.25 A", "1.25 M"],
    "relapse_delta": ["3 A", "2 A", "2 A", "3 A", "2 A"],
    "relapse_confirm": ["none A"] * 5,
    "relapse_omed": ["False A", "True A", "True A", "True A", "True A"],
    "relapse_first": ["with-follow-up A", *["responders A"] * 4],
    "duration_first": ["descriptive A", "competing A", "competing A", "kaplan-meier A", "competing A"],
    "control_first": ["A A", "D A", "D A", "A A", "D A"],
    "secondary_sites": ["ignored A", "ignored A", "ignored A", "no-worsening P", "ignored A"],
    "attribution": ["single A", "single A", "single A", "index A", "single A"],
    "lc_confirm": ["spino A", "spino A", "spino M", "spino A", "spino A"],
    "lc_window": ["183 A"] * 5,
    "retreatment_unknown": ["failure A"] * 5,
    "landmark_days": ["(30, 90) A"] * 5,
    "response_at": [
        "('best',) A",
        "('1-month', '2-month', '3-month') M",
        "('3-month',) M",
        "('3-month',) P",
        "('3-month', '6-month') P",
    ],
    "ctcae": ["any A", "any A", "any A", "3 P", "4 P"],
    "death_gap": ["183 A"] * 5,
}
# Of the same table, whom each publication took and the figures that it puts first, in words of ours.
PUBLISHED = {
    "ryu2008": ("solitary", "P"), "icpre2012": ("intent", "M"), "spino2015": ("", "M"),
    "rtog0631": ("schedules targets levels pain", "P"),
    "sc24": ("schedules levels consecutive ecog sins symptomatic_compression", "P"),
}  # fmt: skip
FIRST = {
    "ryu2008": ("pain-control A 365; pain-response best assessable CR+PR+STABLE", "P"),
    "icpre2012": ("; ".join(f"pain-response {window} {population} CR+PR" for window in (
        "1-month", "2-month", "3-month") for population in ("itt", "assessable")), "A"),
    "spino2015": ("local-failure 365; pain-response 3-month assessable CR+PR", "M"),
    "rtog0631": ("pain-response responder 3-month assessable RESPONDER", "P"),
    "sc24": ("pain-response 3-month itt CR", "P"),
}  # fmt: skip
STUDIES = ("ryu2008", "icpre2012", "spino2015", "rtog0631", "sc24")


@pytest.mark.parametrize("parameter", TABLE)
def test_the_shipped_studies_say_what_the_specification_says(parameter: str) -> None:
    told = [load_study(name) for name in STUDIES]
    found = [f"{getattr(one, parameter)} {one.basis[parameter][0].upper()}" for one in told]
    assert found == TABLE[parameter]


@pytest.mark.parametrize("name", STUDIES)
def test_the_published_criteria_and_the_primary_figures_are_those_of_the_specification(name: str) -> None:
    study = load_study(name)
    criteria, own = study.published_criteria, Criteria()
    named = " ".join(one for one in Criteria.__struct_fields__ if getattr(criteria, one) != getattr(own, one))
    assert (named, study.basis["published_criteria"][0].upper()) == PUBLISHED[name]
    words = ("endpoint", "variant", "window", "population", "label", "time_days")
    figures = ("; ").join(
        " ".join(str(value) for word in words if (value := getattr(one, word)) is not None)
        for one in study.primary
    )
    assert (figures, study.basis["primary"][0].upper()) == FIRST[name]


def test_all_shipped_studies_have_a_basis_for_every_parameter() -> None:
    assert sorted(shipped_studies()) == sorted(STUDIES)
    for name in STUDIES:
        assert set(load_study(name).basis) == set(PARAMETERS)


def test_a_study_of_ones_own_takes_what_it_does_not_say_from_another() -> None:
    study = parse_study(BASED + '[pain_delta]\nvalue = 3\nbasis = "assumed"\n', subject="file")
    base = load_study("icpre2012")
    assert (study.name, study.pain_delta, study.basis["pain_delta"]) == ("ours", Decimal(3), "assumed")
    others = [name for name in PARAMETERS if name != "pain_delta"]
    assert [getattr(study, name) for name in others] == [getattr(base, name) for name in others]


# file -> problems, all at once
BAD = {
    "not TOML": ("name =", ["not TOML"]),
    "nothing in it": ("", ["name: missing", "rule: missing", "sensitivity: missing"]),
    "an unknown base": (OWN + 'extends = "chow"', ["extends: no such study"]),
    "unknown keys": (
        BASED + 'colour = "red"\n[pian_delta]\nvalue = 2', ["colour: unknown", "pian_delta: unknown"]),
    "no basis and no value": (
        BASED + "[pain_delta]\n[death_gap]\nvalue = 3\nbasis = \"guessed\"",
        ["pain_delta: value is missing", "pain_delta: basis", "death_gap: basis"]),
    "values of the wrong kind": (
        BASED + '[pain_delta]\nvalue = "two"\nbasis = "assumed"\n[rule]\nvalue = "who"\nbasis = "assumed"',
        ["pain_delta: ", "rule: "]),
    "values that contradict each other": (
        BASED + '[rule]\nvalue = "threshold"\nbasis = "assumed"\n'
        '[secondary_sites]\nvalue = "no-worsening"\nbasis = "assumed"\n'
        '[omed_rise]\nvalue = 0.9\nbasis = "assumed"\n[relapse_delta]\nvalue = 0\nbasis = "assumed"\n'
        '[baseline_first_day]\nvalue = 3\nbasis = "assumed"\n[best_last_day]\nvalue = 0\nbasis = "assumed"\n'
        '[dose_high_gy]\nvalue = -1\nbasis = "assumed"',
        ["analgesics: ", "secondary_sites: ", "omed_rise: must lie", "relapse_delta: must lie",
         "baseline_first_day: must lie", "best_last_day: before", "dose_high_gy: must lie"]),
    "numbers that are none": (
        BASED + '[pain_delta]\nvalue = nan\nbasis = "assumed"\n[omed_rise]\nvalue = inf\nbasis = "assumed"',
        ["pain_delta: must be a number", "omed_rise: must be a number"]),
    "days that no calendar has": (
        BASED + '[baseline_first_day]\nvalue = -999999999\nbasis = "assumed"\n'
        '[landmark_days]\nvalue = [-3]\nbasis = "assumed"\n[death_gap]\nvalue = -5\nbasis = "assumed"',
        ["baseline_first_day: must lie", "landmark_days: must lie", "death_gap: must lie"]),
    "a parameter that is no table": (
        BASED + 'pain_delta = 3\n[[relapse_delta]]\nvalue = 2',
        ["pain_delta: must be a table", "relapse_delta: must be a table"]),
    "several things wrong in one value": (
        BASED + '[published_criteria]\nbasis = "memory"\nvalue = { schedules = [[16]], colour = "red" }\n'
        '[primary]\nbasis = "memory"\nvalue = [{ label = "CR" }, { endpoint = 3 }]',
        ["published_criteria.colour: unknown", "published_criteria.schedules: ",
         "primary[0].endpoint: missing", "primary[1].endpoint: "]),
    "cut-points the wrong way round": (
        BASED + '[severity_cuts]\nvalue = [6, 4]\nbasis = "assumed"', ["severity_cuts: moderate must end"]),
    "a word that is none of the choices": (
        BASED + '[omed_table]\nvalue = "mine"\nbasis = "assumed"',
        ["omed_table: must be one of cdc-2022, cdc-2016, cancer-canada, site"]),
    "a name of ours": (
        OWN.replace("ours", "sc24") + 'extends = "icpre2012"', ["name: sc24 is a study of ours"]),
    "a name with a space and an empty version": (
        OWN.replace('"ours"', '"our study"').replace('"1"', '""'),
        ["name: must be of", "version: must be of"]),
    "no figure, no flare": (
        BASED + '[primary]\nvalue = []\nbasis = "assumed"\n[flare]\nvalue = []\nbasis = "assumed"',
        ["primary: needs one", "flare: needs one"]),
    "a primary figure that is none": (
        BASED + '[primary]\nbasis = "assumed"\nvalue = [{ endpoint = "pain-cure" },\n'
        '{ endpoint = "pain-control", variant = "F" },\n'
        '{ endpoint = "pain-response", window = "9-month", population = "few" }]',
        ["primary[0]: no endpoint 'pain-cure'", "primary[1]: no endpoint 'pain-control' of variant 'F'",
         "primary[2]: no window '9-month'", "primary[2]: no population 'few'"]),
    "flares": (
        BASED + '[flare]\nbasis = "assumed"\nvalue = [{ name = "a", days = 0, points = 2 },\n'
        '{ name = "a", days = 3, points = 0 }]',
        ["flare: needs one definition or more, each of another name", "flare 'a': needs days from 1"]),
    "a run that contradicts itself": (
        BASED + '[sensitivity]\nbasis = "assumed"\nvalue = [\n'
        '{ label = "a", change = { rule = "threshold" } }, { label = "a", change = { omed_rise = 0.5 } }]',
        ["sensitivity 'a': twice", "sensitivity 'a': analgesics: ", "sensitivity 'a': omed_rise: must lie"]),
    "rtog that is blind": (
        BASED + '[rule]\nvalue = "rtog"\nbasis = "assumed"\n[analgesics]\nvalue = "blind"\nbasis = "assumed"',
        ["analgesics: the rtog rule"]),
    "windows": (
        BASED + '[windows]\nbasis = "assumed"\n'
        'value = { "1-month" = [15, 60, 30], "2-month" = [46, 75, 80], "2-weeks" = [1, 15, 14] }',
        ["windows.2-weeks: unknown", "windows.2-month: needs", "windows.2-month: overlaps",
         "response_at: no window '3-month'"]),
    "sensitivity": (
        BASED + '[sensitivity]\nbasis = "assumed"\n'
        'value = [{ label = "x", change = { pian = 1 } }, { label = "y", change = { pain_delta = "a" } },\n'
        '{ label = "z", change = { pain_delta = 3 }, missing = "response" }, { label = "none" },\n'
        '{ label = "v", without = ["steroids"] }]',
        ["sensitivity 'x': pian is unknown", "sensitivity 'y': ", "sensitivity 'z': needs one of",
         "sensitivity 'none': needs one of", "sensitivity 'v': no flag 'steroids'"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_error_that_lists_everything_wrong(name: str) -> None:
    text, problems = BAD[name]
    with pytest.raises(ConfigurationError) as raised:
        parse_study(text, subject="study file x.toml")
    for problem in problems:
        assert problem in str(raised.value)


def test_what_is_wrong_is_said_once() -> None:
    """A value that contradicts another is not told again for each sensitivity run that inherits it."""
    with pytest.raises(ConfigurationError) as raised:
        parse_study(BASED + '[flare]\nvalue = []\nbasis = "assumed"', subject="file")
    assert str(raised.value).count("flare: needs") == 1


def test_without_a_base_that_exists_nothing_is_missing() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_study(OWN + 'extends = "chow"', subject="file")
    assert "missing" not in str(raised.value)


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert parse_study("\ufeff" + BASED, subject="file").name == "ours"


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"rtog0631.*sc24|ryu2008"):
        load_study("chow2012")


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(BASED, encoding="utf-8")
    assert load_study(str(path)).name == "ours"


@pytest.mark.parametrize("name", STUDIES)
def test_every_sensitivity_run_is_another_definition_or_another_imputation(name: str) -> None:
    study = load_study(name)
    for one in study.sensitivity:
        assert one.missing or one.without or changed(study, one.change) != study
    assert isinstance(study, Study)
