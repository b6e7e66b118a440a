"""mappings/README.md: its example works as told, and its tables name every key and choice."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.cli import run
from fhir_srs.mapping.choices import Choices
from fhir_srs.mapping.grammar import Written
from fhir_srs.mapping.profile import shipped_profiles
from tests.spec.records import concept, observation

TEXT = (Path(__file__).parents[2] / "mappings" / "README.md").read_text(encoding="utf-8")


def test_the_ten_minutes_work_as_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    toml = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert len(toml) == 2
    profile, export = tmp_path / "ours.toml", tmp_path / "export"
    profile.write_text(re.sub(r"^   ", "", "".join(toml), flags=re.MULTILINE))
    export.mkdir()
    score = observation(concept("4711", "urn:oid:1.2.3.4"), valueInteger=4)
    (export / "one.json").write_text(json.dumps(score))
    spoken = observation({"text": "Schmerz (NRS)"}, "y", valueInteger=5)
    (export / "two.json").write_text(json.dumps(spoken))
    assert run(["profile", "explain", str(export)]) == 0
    out = capfd.readouterr().out
    assert "1  urn:oid:1.2.3.4|4711" in out
    assert "1  a text without a code" in out
    assert run(["profile", "check", str(profile)]) == 0
    capfd.readouterr()
    assert run(["profile", "explain", str(export), "--profile", str(profile)]) == 0
    out = capfd.readouterr().out
    assert "pain            urn:oid:1.2.3.4|4711" in out
    assert "pain            urn:oid:1.2.3.4|by-text" in out


def test_every_key_choice_and_profile_is_in_the_tables() -> None:
    keys = [field.encode_name for field in msgspec.structs.fields(Written)]
    for name in (*keys, *Choices.__struct_fields__, *shipped_profiles()):
        assert re.search(rf"^\|.*[`\[]{name}\b", TEXT, re.MULTILINE), name


def test_a_stranger_teaches_a_scale_to_100_with_a_unit_of_its_own_by_the_words_of_the_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Tried as a new user would: what `explain` shows goes into the profile, the table says the rest."""
    code = concept("FLO-7780", "urn:oid:1.2.246.99", text="Kipu nyt")
    score = observation(code, valueQuantity={"value": 55, "unit": "pts"})
    (tmp_path / "one.json").write_text(json.dumps(score))
    assert run(["profile", "explain", str(tmp_path / "one.json")]) == 0
    seen = re.search(r"\d+  (\S+)\|(\S+)\n*$", capfd.readouterr().out)
    assert seen is not None
    lines = [f'system = "{seen[1]}"', f'code = "{seen[2]}"', 'meaning = "vas"', 'set = "pain"']
    ends, unit = (re.search(pattern, TEXT) for pattern in (r'then `("urn.*?)`', r'then `("pts" = .*?)`'))
    assert ends is not None
    assert unit is not None
    ranges = ends[1].replace("\\|", "|").replace("urn:oid:1.2.3.4|4711", f"{seen[1]}|{seen[2]}")
    (tmp_path / "ours.toml").write_text(
        "\n".join(["[[codes]]", *lines, "[pain_ranges]", ranges, "[units]", unit[1]])
    )
    found = map_resources([score], profile=load_profile(str(tmp_path / "ours.toml")))
    assert [str(one.value) for one in found.events] == ["5.5"]
