"""What an operator does beside `sync`: each command on a real store and server, as it is typed."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fhir_srs.cli import run as command
from fhir_srs.testing.server import RunningServer, running_server
from tests.server.patients import pain, person, story
from tests.server.settings import WARD, written_settings
from tests.server.test_sync import CHANGED, Ward


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server([one for name in ("a", "b") for one in story(name)]) as running:
        yield running


@pytest.fixture(scope="module")
def ward(server: RunningServer) -> Iterator[Ward]:
    one = Ward(server.base_url)
    yield one
    one.close()


class Site:
    """A settings file and the commands that are run with it."""

    def __init__(self, base_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.path = written_settings(folder, base_url, studies=[WARD])

    def __call__(self, name: str, *options: str, code: int = 0) -> str:
        found = command([name, "-c", str(self.path), *options])
        said = self._capsys.readouterr()
        assert found == code, said
        assert "Canary-Marker" not in said.out + said.err
        assert "mrn-" not in said.out + said.err
        return said.out


@pytest.fixture
def site(server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(server.base_url, tmp_path, capsys)


def test_our_definitions_are_put_once_and_then_claimed(site: Site, ward: Ward, server: RunningServer) -> None:
    assert "warning  target: profiles: 0 of our 3" in site("doctor")
    site("sync")
    assert not [one for one in ward.results().values() if "profile" in one["meta"]]
    assert site("conformance") == "14 created, 0 updated, 0 unchanged\n"
    assert site("conformance") == "0 created, 0 updated, 14 unchanged\n"
    assert "ok       target: profiles: 3 of our 3" in site("doctor")
    ward.put(pain(person("a"), CHANGED, 7))
    site("sync")
    claimed = {url for one in ward.results().values() for url in one["meta"].get("profile", [])}
    assert "https://srs.example.org/StructureDefinition/srs-pain-response" in claimed
    assert "0 created, 0 updated, 0 retracted" in site("sync")


def test_doctor_sends_only_reads_and_names_what_is_missing(site: Site, server: RunningServer) -> None:
    seen = len(server.requests)
    said = site("doctor")
    assert {method for method, _ in server.requests[seen:]} == {"GET"}
    assert "ok       source: history: deletions are told" in said


def test_doctor_says_that_a_server_is_not_there(site: Site) -> None:
    site.path.write_text(site.path.read_text().replace("/fhir", "/nothing"))
    assert "error    source: reach" in site("doctor", code=65)


def test_status_tells_the_state_and_the_last_runs(site: Site) -> None:
    assert "patients: 0" in site("status")
    site("sync")
    state = json.loads(site("status", "--json"))
    assert state["patients"] == 2
    assert state["resources"]["Procedure"] == 2
    assert set(state["outbox"]) == {"CONFIRMED"}
    assert [one["status"] for one in state["runs"]] == ["done"]
    assert "(exit 0)" in site("status")


def test_quarantine_lists_where_and_why(site: Site, server: RunningServer) -> None:
    server.load([{**pain(person("a"), "2025-01-01", 3), "code": "not an object"}])
    site("sync")
    said = site("quarantine")
    assert said.startswith("Observation/a-pain-2025-01-01 version 1: resource-unreadable at code")
    assert site("quarantine", "list") == said
    tries = [int(text.rsplit(" ", 1)[1]) for text in (said, site("quarantine", "retry"))]
    assert tries[0] < tries[1]
    server.load([pain(person("a"), "2025-01-01", 3)])
    site("sync")
    assert site("quarantine") == ""


def test_what_another_program_version_can_read_leaves_the_quarantine_by_a_retry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = [datetime.now(UTC) - timedelta(days=2)]
    with running_server(story("a"), clock=lambda: moments[-1]) as server:
        site = Site(server.base_url, tmp_path, capsys)
        moments.append(datetime.now(UTC))  # so that no increment asks for what was stored before
        site("sync")
        with sqlite3.connect(site.folder / "state" / "store.sqlite") as database:
            # As a program that could not read this score would have left it.
            database.execute("delete from raw where id = ?", (f"a-pain-{CHANGED}",))
            database.execute(
                "insert into quarantine (server, type, id, version, reason, first_seen, patient)"
                " values (1, 'Observation', ?, '1', 'resource-unreadable', '2026-01-05', 'Patient/a')",
                (f"a-pain-{CHANGED}",),
            )
        database.close()
        site("sync", "--retract")
        assert f"Observation/a-pain-{CHANGED}" in site("quarantine")
        assert site("quarantine", "retry") == ""
        site("sync")
        assert "agrees with the store before" in site("rebuild")


def test_F47_what_a_terminal_obeys_is_not_printed(site: Site) -> None:
    site("sync")
    with sqlite3.connect(site.folder / "state" / "store.sqlite") as database:
        database.execute(
            "insert into quarantine (server, type, id, version, reason, first_seen)"
            " values (1, 'Observation', ?, '1', 'resource-unreadable', '2026-01-05')",
            ("?\x1b[2J\u202egnp.exe\x9b",),
        )
    database.close()
    said = site("quarantine")
    assert "[2J" in said
    assert not {"\x1b", "\u202e", "\x9b"} & set(said)


def test_outbox_lists_what_is_not_as_it_should_be_and_a_retry_is_a_run(site: Site, ward: Ward) -> None:
    site("sync")
    assert site("outbox") == ""
    name, result = next((key, one) for key, one in sorted(ward.results().items()) if "valueQuantity" in one)
    ward.put({**result, "note": [{"text": "seen"}]})
    assert site("outbox", "retry") == f"Observation/{name} (ward 1): CONFLICT, tries 0\n"
    assert site("outbox", "list") == site("outbox")
    site("sync", "--on-conflict", "overwrite")
    assert site("outbox") == ""


def test_I22_a_flipped_byte_in_the_store_is_found(site: Site) -> None:
    site("sync")
    assert site("verify") == "all is well\n"
    with sqlite3.connect(site.folder / "state" / "store.sqlite") as database:
        database.execute(
            "update raw set payload = replace(cast(payload as text), 'final', 'fjnal')"
            " where id = 'a-pain-2024-03-04'"
        )
    database.close()
    assert "Observation: content and hash differ" in site("verify", code=65)


def test_census_says_that_all_is_there(site: Site) -> None:
    site("sync")
    said = site("census")
    assert "Procedure: 2 here, 0 missing there, 0 to read" in said


def test_I2_a_rebuild_agrees_with_the_increments_byte_for_byte(site: Site, ward: Ward) -> None:
    site("sync")
    ward.put(pain(person("b"), CHANGED, 3))
    ward.put(pain(person("b"), "2024-10-01", 4))
    site("sync")
    assert "agrees with the store before" in site("rebuild")
    again = site("sync")
    assert "nothing new" in again
    assert "wrote: 0 created, 0 updated, 0 retracted" in again


def test_metrics_are_a_file_that_a_collector_reads(site: Site) -> None:
    path = site.folder / "metrics.prom"
    site("sync", "--once", "--metrics", str(path))
    text = path.read_text()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["fhir_srs_last_success_timestamp_seconds"]) > 1.7e9
    assert values["fhir_srs_last_run_exit_code"] == "0"
    assert values['fhir_srs_resources_total{type="Procedure",outcome="new"}'] == "2"
    assert float(values['fhir_srs_watermark_lag_seconds{type="Observation"}']) >= 300
    assert int(values['fhir_srs_outbox{state="CONFIRMED"}']) > 10
    asked = 'fhir_srs_http_requests_total{route="GET Procedure",code_class="2xx"}'
    assert int(values[asked]) >= 2
    assert "mrn" not in text


def test_a_purged_patient_is_forgotten_for_good(site: Site, ward: Ward) -> None:
    site("sync")
    of_b = [
        one for one in ward.results().values() if one["subject"].get("identifier", {}).get("value") == "mrn-b"
    ]
    assert of_b
    assert "patients left out: purged 1" in site("purge", "--patient", "Patient/b")
    stored = b"".join(one.read_bytes() for one in (site.folder / "state").iterdir())
    assert b"mrn-b" not in stored
    assert b"b-course" not in stored
    now = ward.results()
    assert {now[one["id"]]["status"] for one in of_b} == {"entered-in-error"}
    assert "mapped: 1 lesions" in site("sync", "--full")
    site("rebuild")
    assert "patients left out: purged 1" in site("sync", "--full")
    stored = b"".join(one.read_bytes() for one in (site.folder / "state").iterdir())
    assert b"mrn-b" not in stored
    site("purge", "--patient", "Patient/nobody", code=64)
    lines = [json.loads(one) for one in (site.folder / "state" / "audit.ndjson").read_text().splitlines()]
    assert [one["patient"] for one in lines if one["event"] == "purge"] == ["Patient/b"]
    assert {"retract", "asked"} <= {one["event"] for one in lines}
    assert site("verify") == "all is well\n"
    (site.folder / "state" / "audit.ndjson").write_text("")
    assert "lines at its end are missing" in site("verify", code=65)


def test_the_interval_of_the_settings_holds_where_none_is_given(site: Site) -> None:
    from fhir_srs.config import load_settings
    from fhir_srs.schedule import interval_of

    assert interval_of(load_settings(site.path), "") == ""
    site.path.write_text(site.path.read_text() + 'every = "15m"\n')
    settings = load_settings(site.path)
    assert interval_of(settings, "") == "900s"
    assert interval_of(settings, "1h") == "1h"
    site("sync", "--once")
