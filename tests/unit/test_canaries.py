"""The search for canaries finds them: a search that cannot find proves nothing."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

from pathlib import Path

import pytest

from tests.canaries import found_in, told

SECRETS = ("Zzmarkername", "Canary-Marker", "mrn-a", "canary-4711", "canary-token-4711")


@pytest.mark.parametrize("secret", SECRETS)
def test_I16_I17_a_canary_in_a_log_or_on_a_terminal_is_found(secret: str) -> None:
    assert told(f"a line about {secret}, which is too much".encode())
    assert told(b"mrnotes, canary, marker name") == []


@pytest.mark.parametrize("secret", SECRETS)
def test_I16_I17_a_canary_in_a_state_folder_is_found_but_for_the_number_in_the_store(
    tmp_path: Path, secret: str
) -> None:
    folder = tmp_path / "hidden"
    try:
        folder.mkdir()
        (folder / "state.lock").touch()
        for name in ("store.sqlite", "other"):
            (folder / name).write_text(f"x{secret}" if secret != "mrn-a" else secret)
        expected = ["hidden/other"] if secret == "mrn-a" else ["hidden/other", "hidden/store.sqlite"]
        assert found_in(tmp_path) == expected
    finally:
        for one in folder.iterdir():
            one.unlink()


def test_I17_a_canary_in_a_report_or_in_the_name_of_a_file_is_found(tmp_path: Path) -> None:
    report, named = tmp_path / "report.html", tmp_path / "Zzmarkername.csv"
    report.write_text("<td>Zzmarkername</td>")
    named.touch()
    (tmp_path / "input.json").write_text('{"resourceType": "Patient", "name": [{"family": "Zzmarkername"}]}')
    assert found_in(tmp_path) == ["Zzmarkername.csv", "report.html"]
    report.unlink()
    named.unlink()
