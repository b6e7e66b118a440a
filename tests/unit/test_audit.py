"""The audit is appended to, and shows when a line was changed, taken out, put in or cut off at the end."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_srs.errors import ConfigurationError, LocalIOError
from fhir_srs.store.audit import append, problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert append(tmp_path, []) is None
    append(tmp_path, [{"event": "create", "result": f"Observation/srs-{n}"} for n in range(3)])
    append(tmp_path, [{"event": "retract", "result": "Observation/srs-1"}])
    return tmp_path


def lines(folder: Path) -> list[str]:
    return (folder / "audit.ndjson").read_text().splitlines()


def test_lines_are_appended_and_ours_alone(folder: Path) -> None:
    assert [json.loads(one)["event"] for one in lines(folder)] == ["create"] * 3 + ["retract"]
    assert stat.S_IMODE((folder / "audit.ndjson").stat().st_mode) == 0o600
    assert list(problems(folder, None)) == []
    assert list(problems(folder, json.loads(lines(folder)[-1])["chain"])) == []


SPOILT: list[Callable[[list[str]], list[str]]] = [
    lambda told: [told[0].replace("srs-0", "srs-9"), *told[1:]],
    lambda told: [told[0], *told[2:]],
    lambda told: [told[0], told[0], *told[1:]],
    lambda told: [told[1], told[0], *told[2:]],
    lambda told: [*told[:2], "{}", *told[2:]],
    lambda told: [*told[:2], "no json", *told[2:]],
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_line_that_is_changed_taken_out_or_put_in_is_noticed(
    folder: Path, spoil: Callable[[list[str]], list[str]]
) -> None:
    spoilt = spoil(lines(folder))
    (folder / "audit.ndjson").write_text("\n".join(spoilt) + "\n")
    (problem,) = problems(folder, None)
    assert "is not what was written" in problem


def test_lines_missing_at_the_end_are_noticed_by_what_the_store_remembers(folder: Path) -> None:
    last = json.loads(lines(folder)[-1])["chain"]
    (folder / "audit.ndjson").write_text("\n".join(lines(folder)[:-1]) + "\n")
    assert list(problems(folder, None)) == []
    assert list(problems(folder, last)) == ["audit.ndjson: lines at its end are missing"]
    (folder / "audit.ndjson").unlink()
    assert list(problems(folder, last)) == ["audit.ndjson: lines at its end are missing"]


def test_half_a_line_of_a_killed_run_is_cut_off(folder: Path) -> None:
    with (folder / "audit.ndjson").open("a") as file:
        file.write('{"event":"cre')
    append(folder, [{"event": "update", "result": "Observation/srs-2"}])
    assert json.loads(lines(folder)[-1])["event"] == "update"
    assert len(lines(folder)) == 5
    assert list(problems(folder, None)) == []


def test_an_audit_that_others_may_read_or_that_is_a_link_is_refused(folder: Path) -> None:
    path = folder / "audit.ndjson"
    path.chmod(0o644)
    with pytest.raises(ConfigurationError):
        append(folder, [{"event": "x"}])
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    with pytest.raises(LocalIOError):
        append(folder, [{"event": "x"}])
