"""mappings/README.md: its example works as told, and its tables name every key and choice."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from fhir_srs.cli import run
from fhir_srs.mapping.choices import Choices
from fhir_srs.mapping.grammar import Written
from fhir_srs.mapping.profile import shipped_profiles
from tests.spec.records import concept, observation

TEXT = (Path(__file__).parents[2] / "mappings" / "README.md").read_text(encoding="utf-8")


def test_the_ten_minutes_work_as_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    toml = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert toml is not None
    profile, export = tmp_path / "ours.toml", tmp_path / "export"
    profile.write_text(re.sub(r"^   ", "", toml[1], flags=re.MULTILINE))
    export.mkdir()
    score = observation(concept("4711", "urn:oid:1.2.3.4"), valueInteger=4)
    (export / "one.json").write_text(json.dumps(score))
    assert run(["profile", "explain", str(export)]) == 0
    assert "other data" in capfd.readouterr().out
    assert run(["profile", "check", str(profile)]) == 0
    capfd.readouterr()
    assert run(["profile", "explain", str(export), "--profile", str(profile)]) == 0
    assert "pain            urn:oid:1.2.3.4|4711" in capfd.readouterr().out


def test_every_key_choice_and_profile_is_in_the_tables() -> None:
    keys = [field.encode_name for field in msgspec.structs.fields(Written)]
    for name in (*keys, *Choices.__struct_fields__, *shipped_profiles()):
        assert re.search(rf"^\|.*[`\[]{name}\b", TEXT, re.MULTILINE), name
