"""What an operator is told before and after a run, where it is about the installation and not the data."""

import subprocess
import sys
from pathlib import Path

import pytest

from fhir_srs.config import load_settings
from fhir_srs.errors import LocalIOError, UsageError
from fhir_srs.report.run import run_text
from fhir_srs.sync import Machine, run_sync
from fhir_srs.sync.doctor import examine

NOBODY = "http://127.0.0.1:9/fhir"  # discard: nothing listens there


def settings(folder: Path, *, source: str = "", rest: str = "", base: str = NOBODY) -> Path:
    path = folder / "fhir-srs.toml"
    path.write_text(f'[source]\nbase_url = "{base}"\nallow_insecure_loopback = true\n{source}\n{rest}\n')
    return path


@pytest.mark.parametrize(
    ("source", "rest", "error"),
    [
        ('opt_out = "none.txt"', "", LocalIOError),
        ("", '[study]\nnames = ["ryu2009"]', UsageError),
        ("", '[mapping]\nprofile = "epik"', UsageError),
    ],
)
def test_doctor_finds_what_would_end_a_run_before_a_server_is_asked(
    tmp_path: Path, source: str, rest: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        examine(load_settings(settings(tmp_path, source=source, rest=rest)), Machine())


def test_a_server_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    still = Machine(sleep=lambda _: None)
    summary = run_sync(load_settings(settings(tmp_path)), machine=still)
    assert summary.exit_code == 69
    assert summary.error == "GET metadata: nothing listens at the address of the server"
    text = run_text(summary)
    assert "the run ended before anything was mapped, planned or written" in text
    assert "None" not in text


def test_the_version_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fhir_srs", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("fhir-srs 0.")


@pytest.mark.parametrize("command", ["quarantine", "outbox"])
def test_a_list_with_nothing_in_it_says_so(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fhir_srs", command, "-c", str(settings(tmp_path))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert done.stderr.strip()
