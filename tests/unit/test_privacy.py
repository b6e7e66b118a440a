"""What the process tells of patients by other ways than its results: nothing (reliability.md section 7)."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import stat
import subprocess
import sys
from pathlib import Path

_BROKEN = """
import sys
from pathlib import Path
from fhir_srs.cli import app, process, run

@app.command()
def broken() -> None:
    raise KeyError(sys.argv[1])

process.close_off()
Path(sys.argv[2]).touch()
sys.exit(run([*sys.argv[3:], "broken"]))
"""
_THREAD = """
import resource, sys, threading
from fhir_srs.cli import process

process.close_off()
thread = threading.Thread(target=lambda: {}[sys.argv[1]])
thread.start()
thread.join()
print(resource.getrlimit(resource.RLIMIT_CORE))
{}[sys.argv[1]]
"""
SECRET = "a patient's name"


def ended(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", script, SECRET, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_I17_an_internal_error_tells_its_class_and_place_and_files_are_ours_alone(tmp_path: Path) -> None:
    made = tmp_path / "made"
    found = ended(_BROKEN, str(made))
    assert found.returncode == 70
    assert found.stderr == "fhir-srs: internal error, please report it: KeyError at <string>:8\n"
    assert found.stdout == ""
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_I17_a_traceback_is_written_where_one_is_asked_for_into_a_new_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    found = ended(_BROKEN, str(tmp_path / "made"), "--debug-phi", str(path))
    assert SECRET not in found.stderr
    assert SECRET in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("kept")
    assert (
        "no traceback was written" in ended(_BROKEN, str(tmp_path / "made"), "--debug-phi", str(path)).stderr
    )
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    ended(_BROKEN, str(tmp_path / "made"), "--debug-phi", str(link))
    assert path.read_text() == "kept"
    assert not (tmp_path / "elsewhere").exists()


def test_I17_a_thread_that_fails_tells_no_more_and_no_core_is_dumped() -> None:
    found = ended(_THREAD)
    assert found.stdout == "(0, 0)\n"
    lines = found.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("fhir-srs: internal error, please report it: KeyError at") for line in lines)
