"""The site profiles: an example of each site's shapes, and what its profile makes of it beside mcode."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_srs import load_profile, map_resources, tables
from fhir_srs.cli import run
from fhir_srs.mapping.profile import Profile, shipped_profiles
from fhir_srs.model import Mapped
from tests.spec.records import (
    RXNORM,
    SCT,
    T8,
    concept,
    course,
    events,
    observation,
    pain,
    patient,
    record,
    said,
)
from tests.unit.mapping_given import cgy, dose, surgical

EXAMPLES = {name: json.loads(tables.text(f"profiles/examples/{name}.json")) for name in shipped_profiles()}

# profile: levels, dose, technique of its lesion; pain scores; OMED; what mcode alone makes of the same
SHAPES: dict[str, tuple[tuple[Any, ...], list[str], list[str], str]] = {
    "mcode": ((("T8",), 16, "SRS"), ["7"], [], "the same"),
    "hapi-demo": ((("T8",), 16, "SRS"), ["7"], [], "status-unclear"),
    "surgical": ((("T8",), None, "SBRT"), ["7"], [], "no lesion"),
    "epic-like": ((("T8",), 16, None), ["7", "2"], ["30.0"], "no dose, no level, no pain"),
    "cerner-like": ((("T8",), 16, "SRS"), ["7", "2"], ["60.0"], "no pain"),
}


def mapped(name: str, profile: str) -> Mapped:
    return map_resources(EXAMPLES[name], profile=load_profile(profile))


def values(found: Mapped, kind: str) -> list[str]:
    return [str(one.value) for one in events(found, kind)]


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_site_profile_makes_of_its_sites_shapes(name: str) -> None:
    (levels, gray, technique), scores, omed, _ = SHAPES[name]
    found = mapped(name, name)
    (lesion,) = found.lesions
    assert (lesion.levels, lesion.dose_gy, lesion.technique) == (levels, gray, technique)
    assert (values(found, "pain"), values(found, "opioid")) == (scores, omed)
    assert [one for one in found.issues if not one.used] == []


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "mcode"])
def test_mcode_alone_makes_less_of_the_same(name: str) -> None:
    plain, own = mapped(name, "mcode"), mapped(name, name)
    assert plain != own
    assert len(plain.lesions) <= len(own.lesions)
    assert len(values(plain, "pain")) <= len(values(own, "pain"))


def test_every_shipped_profile_has_an_example_and_a_row_here() -> None:
    assert set(SHAPES) == set(shipped_profiles()) == set(EXAMPLES)


# Each key of a profile, and a resource that it makes a difference to.
ZONE = surgical(performedDateTime="2024-03-05T23:30:00Z", performedPeriod=None)
HERE = {"bodySite": [concept(T8, SCT)]}
BARE = course(
    "c",
    dose(None, {"value": 1600}, None),
    **HERE,
    performedPeriod={"start": "2024-03-05", "end": "2024-03-05"},
)
GRAYS = course("c", dose(None, {"value": 16, "unit": "Grey units"}), **HERE)
DIFFERENCES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "codes": (
        '[[codes]]\nset="pain"\nsystem="urn:x"\ncode="1"\nmeaning="nrs"',
        [observation(concept("1", "urn:x"), valueInteger=4)],
    ),
    "text_rules": (
        '[[text_rules]]\nset="pain"\npattern="^NRS"\nsystem="urn:x"\ncode="1"\nmeaning="nrs"',
        [observation({"text": "NRS at rest"}, valueInteger=4)],
    ),
    "systems": (
        '[systems]\n"urn:loinc" = "http://loinc.org"',
        [observation(concept("72514-3", "urn:loinc"), valueInteger=4)],
    ),
    "units of a dose": ('[units]\n"grey units" = "Gy"', [GRAYS]),
    "units of a score": (
        '[units]\n"pts" = "{score}"',
        [pain(None, valueQuantity={"value": 4, "unit": "pts"})],
    ),
    "statuses": ('[statuses]\n"aborted" = "not-done"', [surgical(status="aborted")]),
    "site_labels": (
        "[[site_labels]]\npattern='BWK ?(\\d+)'\nmeans='T\\1'",
        [surgical(site=None, bodySite=[{"text": "BWK 8"}])],
    ),
    "products": (
        f'[[products]]\nsystem="urn:drugs"\ncode="M"\ningredients=["{RXNORM}|7052"]',
        [
            record(
                "MedicationRequest",
                intent="order",
                status="active",
                authoredOn="2024-03-01",
                medicationCodeableConcept=concept("M", "urn:drugs"),
            )
        ],
    ),
    "pain_ranges": (
        '[pain_ranges]\n"http://loinc.org|38214-3" = [0, 100]',
        [observation(concept("38214-3", "http://loinc.org"), valueInteger=40)],
    ),
    "known_modifiers": ('known_modifiers = ["urn:ok"]', [pain(4, modifierExtension=[{"url": "urn:ok"}])]),
    "patient_identifier_system": (
        'patient_identifier_system = "urn:two"',
        [
            patient(identifier=[{"system": "urn:one", "value": "1"}, {"system": "urn:two", "value": "2"}]),
            surgical(),
        ],
    ),
    "time_zone": ('time_zone = "Europe/Berlin"', [ZONE]),
    "open_order_days": (
        "open_order_days = 7",
        [
            record(
                "MedicationRequest",
                intent="order",
                status="active",
                authoredOn="2024-03-01",
                medicationCodeableConcept=concept("7052", RXNORM),
            )
        ],
    ),
    "choices.unstated_pain_scale": (
        '[choices]\nunstated_pain_scale = "refuse"',
        [observation(concept("38208-5", "http://loinc.org"), valueInteger=4)],
    ),
    "choices.dose_without_unit": ('[choices]\ndose_without_unit = "cGy"', [BARE]),
    "choices.radiosurgery_evidence": (
        '[choices]\nradiosurgery_evidence = ["code"]',
        [course("c", dose(None, cgy(1600), 1), **HERE)],
    ),
    "choices.same_course_days": (
        "[choices]\nsame_course_days = 60",
        [
            surgical("a", performedPeriod={"start": "2024-03-05", "end": "2024-03-05"}),
            surgical("b", performedPeriod={"start": "2024-04-05", "end": "2024-04-05"}),
        ],
    ),
    "choices.patient_limit": (
        "[choices]\npatient_limit = 100",
        [pain(4, id_=f"s{number}") for number in range(100)],
    ),
    "choices.order_intents": (
        '[choices]\norder_intents = ["order", "plan"]',
        [
            record(
                "MedicationRequest",
                intent="plan",
                status="active",
                authoredOn="2024-03-01",
                medicationCodeableConcept=concept("7052", RXNORM),
            )
        ],
    ),
}


def site(folder: Path, text: str) -> Profile:
    file = folder / "site.toml"
    file.write_text(text)
    return load_profile(file)


@pytest.mark.parametrize("key", DIFFERENCES)
def test_each_key_of_a_profile_makes_a_difference(key: str, tmp_path: Path) -> None:
    text, resources = DIFFERENCES[key]
    known = [patient(), *resources] if resources[0]["resourceType"] != "Patient" else resources
    assert map_resources(known, profile=site(tmp_path, text)) != map_resources(
        known, profile=load_profile("mcode")
    )


def test_a_profile_extends_a_shipped_one_and_speaks_before_it(tmp_path: Path) -> None:
    profile = site(tmp_path, 'extends = "surgical"\n[choices]\nsame_course_days = 3')
    assert profile.choices.same_course_days == 3
    assert profile.choices.radiosurgery_evidence == ("code", "text")
    assert len(profile.text_rules) == len(load_profile("surgical").text_rules)


def test_local_factors_have_a_table_of_their_own(tmp_path: Path) -> None:
    text = 'omed_table = "ours"\n[[omed_factors]]\ningredient = "morphine"\nform = "oral"\nfactor = 2'
    assert site(tmp_path, text).omed_factors["morphine", "oral"].factor == Decimal(2)


def test_check_says_everything_or_that_nothing_is_wrong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('name = "ours"')
    bad.write_text(
        'nam = "x"\n[choices]\ndose_without_unit = "Gray"\n[[codes]]\nset = "pian"\nsystem = "s"\ncode = "c"'
    )
    assert run(["profile", "check", str(good)]) == 0
    assert run(["profile", "check", str(bad)]) == 78
    assert run(["profile", "check", str(tmp_path / "none.toml")]) == 74
    out, err = capfd.readouterr()
    assert out == "good.toml: profile ours, version 1, is in order\n"
    for said_of in (
        'nam: unknown key (did you mean "name"?)',
        "choices.dose_without_unit",
        'did you mean "pain"?',
    ):
        assert said_of in err


def test_explain_names_the_rule_of_each_resource_and_no_value(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = tmp_path / "epic.json"
    source.write_text(json.dumps(EXAMPLES["epic-like"]))
    assert run(["profile", "explain", str(source), "--profile", "epic-like"]) == 0
    lines = capfd.readouterr().out.splitlines()
    told = {line.split()[0]: line.split()[1] for line in lines if "/" in line}
    assert told == {
        "MedicationRequest/m1": "opioid",
        "Observation/p1": "pain",
        "Observation/p2": "pain",
        "Patient/example": "used",
        "Procedure/c1": "lesion",
    }
    assert "1950" not in "".join(lines)


def test_explain_says_where_what_it_could_not_read_stood(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = json.dumps(patient()) + "\n"
    (tmp_path / "a.ndjson").write_text(first + '{"resourceType": "Observ')
    assert run(["profile", "explain", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert "Patient/p  used" in out
    assert f"a.ndjson: offset {len(first)}: not a readable resource" in err


def test_a_text_rule_says_that_it_was_one() -> None:
    found = mapped("epic-like", "epic-like")
    assert said(found, "p2") == {"code-text-only"}
