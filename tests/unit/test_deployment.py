"""What is started on a schedule is started in a way that the program takes: unit, containers, settings."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from fhir_srs.cli import run as command
from fhir_srs.config import load_settings, parse_settings

ROOT = Path(__file__).resolve().parents[2]
UNIT = (ROOT / "deploy" / "fhir-srs.service").read_text()
COMPOSE = (ROOT / "docker" / "compose.yaml").read_text()
GUIDE = (ROOT / "docs" / "operations.md").read_text()
NOT_THERE = 74  # the settings file: what is asked before was understood


def in_unit() -> list[str]:
    """The words after the program in the unit's ExecStart."""
    (line,) = re.findall(r"^ExecStart=\S+ (.*)$", UNIT, re.MULTILINE)
    return shlex.split(line)


def in_compose() -> list[str]:
    """The command of the container, which compose.yaml writes as JSON."""
    (line,) = re.findall(r'^    command: \[(".*")\]$', COMPOSE, re.MULTILINE)
    return [word.strip(' "') for word in line.split(",")]


@pytest.mark.parametrize("words", [in_unit(), in_compose()], ids=["unit", "compose"])
def test_the_command_line_is_understood_and_asks_for_its_settings(words: list[str], tmp_path: Path) -> None:
    assert "-c" in words
    settings = words.index("-c") + 1
    words = [*words[:settings], str(tmp_path / "none.toml"), *words[settings + 1 :]]
    assert command(words) == NOT_THERE


def test_the_settings_of_the_container_are_settings_and_keep_the_store_on_its_volume() -> None:
    found = load_settings(ROOT / "docker" / "fhir-srs.toml")
    assert found.sync.every is not None  # serve needs it
    assert found.store.folder.is_relative_to("/state")
    assert "- state:/state" in COMPOSE


def test_every_settings_block_of_the_guide_is_accepted(tmp_path: Path) -> None:
    blocks = re.findall(
        r"^(?:```toml|cat > \S+\.toml <<'END')\n(.*?)^(?:```|END)$", GUIDE, re.MULTILINE | re.DOTALL
    )
    assert len(blocks) >= 2
    for block in blocks:
        parse_settings(tomllib.loads(block), folder=tmp_path)


def test_what_goes_into_the_image_is_there_and_nothing_else_is_sent_to_its_builder() -> None:
    recipe = (ROOT / "docker" / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.*)$", recipe, re.MULTILINE) for name in line.split()[:-1]}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_container_that_loads_patients_runs_what_is_python() -> None:
    (text,) = re.findall(r"^    command:\n      - \|\n((?:        .*\n)+)", COMPOSE, re.MULTILINE)
    compile(re.sub(r"^ {8}", "", text, flags=re.MULTILINE), "compose.yaml", "exec")
