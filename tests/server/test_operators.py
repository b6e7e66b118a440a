"""What an operator is told before and after a run, where it is about the installation and not the data."""

import subprocess
import sys
from pathlib import Path

import pytest

from fhir_srs.config import load_settings
from fhir_srs.errors import Busy, ConfigurationError, LocalIOError, UsageError
from fhir_srs.report.run import run_text
from fhir_srs.store import open_store, state_folder
from fhir_srs.sync import Machine, run_sync
from fhir_srs.sync.doctor import examine
from fhir_srs.sync.keeping import problems_of, refusals_of, state_of, unsettled_of
from fhir_srs.sync.words import state_text
from fhir_srs.testing.faults import parse_fault
from fhir_srs.testing.server import running_server
from tests.server.patients import story

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
    assert "pulled: nothing\n" in text  # not "nothing new": nobody was there to say so
    assert "the run ended before anything was mapped, planned or written" in text
    assert "None" not in text


def test_runs_that_no_server_answered_are_told_by_status(tmp_path: Path) -> None:
    """An operator whose server was away reads `status` and must not see good runs alone."""
    asked = load_settings(settings(tmp_path))
    for _ in range(2):
        run_sync(asked, machine=Machine(sleep=lambda _: None))
    told = state_text(state_of(asked)).splitlines()[-2:]
    assert all(
        line.startswith("run ")
        and line.endswith("failed (exit 69): GET metadata: nothing listens at the address of the server")
        for line in told
    )


def test_a_file_that_is_not_there_is_named_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(
        LocalIOError, match=r"\[source\] opt_out cannot be read \(No such file or directory\)"
    ):
        examine(load_settings(settings(tmp_path, source='opt_out = "none.txt"')), Machine())
    secure = settings(tmp_path, base="https://127.0.0.1:9/fhir", source='ca_file = "none.pem"')
    with pytest.raises(
        ConfigurationError, match=r"ca_file:\n  - cannot be read \(No such file or directory\)"
    ):
        examine(load_settings(secure), Machine())


def test_doctor_tells_that_links_lead_elsewhere_before_a_run_fails_of_it(tmp_path: Path) -> None:
    """A proxy that hides its address from the server: the first page with a next one would end a run (76)."""
    two = [*story("a"), *story("b")]
    with running_server(two, faults=[parse_fault("foreign-next")]) as server:
        found = examine(load_settings(settings(tmp_path, base=server.base_url)), Machine())
        links = [(one.level, one.text) for one in found if one.topic == "source: links"]
        told = "begin with another address than base_url (http://attacker.invalid): name it in internal_bases"
        assert links == [("error", told)]
        known = 'internal_bases = ["http://attacker.invalid/fhir"]'
        found = examine(load_settings(settings(tmp_path, base=server.base_url, source=known)), Machine())
        assert not [one for one in found if one.topic == "source: links"]


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


def test_status_and_the_lists_can_be_read_while_a_run_is_under_way(tmp_path: Path) -> None:
    """A first load takes hours: an operator who asks meanwhile hears how far it is, and disturbs nothing."""
    with running_server([*story("a"), *story("b")]) as server:
        asked = load_settings(settings(tmp_path, base=server.base_url))
        seen: list[str] = []

        def look(stage: str, _done: int, _total: int | None = None) -> None:
            if stage == "patients mapped":
                seen.append(state_text(state_of(asked)))
                assert (refusals_of(asked), unsettled_of(asked)) == ([], [])
                with pytest.raises(Busy):
                    problems_of(asked)

        summary = run_sync(asked, report=look)
        assert (summary.status, summary.lesions) == ("done", 2)
    assert "patients: 2; left out: none" in seen[0]
    assert f"run {summary.run} of {summary.started}: under way" in seen[0]
    assert f"run {summary.run} of {summary.started}: done (exit 0)" in state_text(state_of(asked))


def test_a_store_that_nobody_filled_yet_is_busy_and_not_made(tmp_path: Path) -> None:
    asked = load_settings(settings(tmp_path))
    with state_folder(asked.store.folder) as folder:
        with pytest.raises(Busy):
            state_of(asked)
        assert [path.name for path in folder.iterdir()] == ["state.lock"]
        with open_store(folder, "http://another.example.org/fhir"), pytest.raises(Busy):
            state_of(asked)  # of this server nothing is known yet, and nothing is noted
