"""The invariants of reliability.md that one whole run or several can show, each by its id."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
import logging
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from fhir_srs.config import load_settings
from fhir_srs.fhir.answers import decipher_capabilities
from fhir_srs.fhir.client import FhirClient, Server
from fhir_srs.fhir.sansio import capabilities
from fhir_srs.model import to_json
from fhir_srs.report.run import run_row, run_text
from fhir_srs.store import open_store, state_folder
from fhir_srs.sync import Machine, run_sync
from fhir_srs.sync.machine import Machine as Clockwork
from fhir_srs.sync.rebuild import rebuild
from fhir_srs.testing.server import running_server
from tests.server.hospital import hospital, stamped
from tests.server.patients import pain, person, story, surgery_coded
from tests.server.rawserver import http, raw_server
from tests.server.test_pull import WHOLE, cursors, names, pull
from tests.server.test_sync import CHANGED, NOTHING, Ward, done
from tests.server.test_sync_crash import Site

TYPES = frozenset(
    "metadata Patient Procedure Observation Condition BodyStructure MedicationRequest MedicationStatement"
    " MedicationDispense MedicationAdministration Medication AdverseEvent DiagnosticReport"
    " ImagingStudy".split()
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_server([one for name in ("a", "b") for one in story(name)]) as server:
        one = Site(server, tmp_path)
        yield one
        one.ward.close()


def live(ward: Ward) -> set[str]:
    """What the server has of the two patients, our own results aside."""
    kinds = ("Patient", "Procedure", "BodyStructure")
    found = {f"{kind}/{name}" for kind in kinds for name in ward.all(kind)}
    return found | {f"Observation/{name}" for name in ward.all("Observation")} - {
        f"Observation/{name}" for name in ward.results()
    }


def test_I1_I2_I3_I7_hold_after_every_sync_of_a_long_random_story(site: Site) -> None:
    chance, days = random.Random(2008), [f"2024-0{month}-{day:02}" for month in (4, 5, 6) for day in (3, 17)]
    for _ in range(6):
        for _ in range(4):
            name, day = chance.choice("ab"), chance.choice(days)
            path = f"{site.server.base_url}/Observation/{name}-pain-{day}"
            if chance.random() < 0.3:
                httpx.delete(path, trust_env=False)
            else:
                status = "entered-in-error" if chance.random() < 0.2 else "final"
                site.ward.put(pain(person(name), day, chance.randint(0, 10), status=status))
        done(run_sync(site.settings, retract=True))
        with open_store(site.folder / "state", site.server.base_url) as store:
            assert {f"{kind}/{name}" for kind, name in store.fingerprints()} == live(site.ward)
        assert done(run_sync(site.settings, full=True)).written == NOTHING
        identities = [one["identifier"][0]["value"] for one in site.ward.results().values()]
        assert len(identities) == len(set(identities))
    assert rebuild(site.settings).agrees
    assert done(run_sync(site.settings, full=True)).written == NOTHING


def test_I4_what_becomes_visible_later_than_it_is_stamped_is_not_lost(tmp_path: Path) -> None:
    with hospital(story("a")) as ehr:
        pull(ehr, tmp_path)
        # Committed after that run, stamped before its start: by less than the lag of 300 s.
        late = stamped(pain(person("a"), "2025-01-01", 3), at="2026-01-05T11:57:00.000Z")
        ehr.resources.append(late)
        pull(ehr, tmp_path, run="2")
        assert "Observation/a-pain-2025-01-01" in names(tmp_path)


def test_I4_what_becomes_visible_later_than_the_lag_allows_is_found_by_the_first_run_of_the_next_day(
    tmp_path: Path,
) -> None:
    moments = [datetime(2026, 1, 5, 8, tzinfo=UTC)]
    with running_server(story("a"), clock=lambda: moments[0]) as server:
        site = Site(server, tmp_path)
        for _ in range(2):
            done(run_sync(site.settings))
            moments[0] += timedelta(hours=6)
        now, moments[0] = moments[0], moments[0] - timedelta(hours=7)
        site.ward.put(pain(person("a"), "2025-01-01", 3))
        moments[0] = now
        assert "Observation" not in done(run_sync(site.settings)).pulled
        moments[0] += timedelta(hours=13)
        assert done(run_sync(site.settings)).pulled["Observation"].new == 1
        site.ward.close()


def test_I5_a_failed_run_moves_no_watermark(tmp_path: Path) -> None:
    with hospital([*story("a"), *story("b", coded=True)]) as ehr:
        pull(ehr, tmp_path)
        before = cursors(tmp_path)
        ehr.resources.append(stamped(pain(person("a"), "2025-01-01", 3), at="2026-01-05T13:00:00.000Z"))
        ehr.uncounted = True
        with pytest.raises(Exception, match="does not count"):
            pull(ehr, tmp_path, run="2")
        assert cursors(tmp_path) == before
        assert names(tmp_path) == WHOLE


def test_I10_what_vanished_without_a_trace_is_found_by_a_server_without_history(tmp_path: Path) -> None:
    with hospital([*story("a"), *story("b", coded=True)]) as ehr:
        ehr.histories = False
        pull(ehr, tmp_path)
        ehr.remove(f"Observation/a-pain-{CHANGED}", trace=False)
        found = pull(ehr, tmp_path, run="2")
        assert found["Observation"].deleted == 1
        assert f"Observation/a-pain-{CHANGED}" not in names(tmp_path)


def test_I11_an_empty_answer_for_everything_withdraws_nothing(tmp_path: Path) -> None:
    with hospital([one for name in ("a", "b", "c") for one in story(name)]) as ehr:
        ehr.histories = False
        pull(ehr, tmp_path)
        before = names(tmp_path)
        # All that this account may still see are resources of somebody else.
        other = {**surgery_coded(person("nobody")), "code": {}}
        ehr.resources = [
            stamped(one) for one in (person("nobody"), pain(person("nobody"), CHANGED, 1), other)
        ]
        with pytest.raises(Exception, match="brake"):
            pull(ehr, tmp_path, run="2")
        assert names(tmp_path) == before


def test_I11_a_hint_that_a_read_does_not_confirm_is_none(tmp_path: Path) -> None:
    with hospital(story("a")) as ehr:
        pull(ehr, tmp_path)
        before = names(tmp_path)
        ehr.deleted.append(f"Observation/a-pain-{CHANGED}")  # the history says so; the resource is there
        assert {one.deleted for one in pull(ehr, tmp_path, run="2").values()} == {0}
        assert names(tmp_path) == before


@pytest.mark.parametrize("bare", [True, False])
def test_I10_a_deletion_is_believed_with_and_without_its_version(tmp_path: Path, bare: bool) -> None:
    with hospital(story("a")) as ehr:
        pull(ehr, tmp_path)
        ehr.bare_deletes = bare
        ehr.remove(f"Observation/a-pain-{CHANGED}")
        assert pull(ehr, tmp_path, run="2")["Observation"].deleted == 1
        assert pull(ehr, tmp_path, run="3") == {}


def test_I15_of_two_processes_one_is_busy_with_nothing_changed(site: Site) -> None:
    done(run_sync(site.settings))
    with state_folder(site.folder / "state"):
        before = {one.name: one.read_bytes() for one in (site.folder / "state").iterdir()}
        command = [sys.executable, "-m", "fhir_srs", "sync", "--once", "-c", str(site.path)]
        ended = subprocess.run(command, check=False, capture_output=True, timeout=60)
        assert ended.returncode == 75
        assert b"another run holds the state folder" in ended.stderr
        assert {one.name: one.read_bytes() for one in (site.folder / "state").iterdir()} == before


def test_I17_no_name_and_no_number_of_a_patient_is_said_or_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fhir_srs")
    site.server.load([{**pain(person("a"), "2025-01-01", 3), "code": "Canary-Marker"}])
    summary = done(run_sync(site.settings))
    said = caplog.text + run_text(summary) + to_json(run_row(summary)).decode()
    stored = b"".join(one.read_bytes() for one in (site.folder / "state").iterdir())
    for canary in ("Canary-Marker", "mrn-a"):
        assert canary not in said
    assert b"Canary-Marker" not in stored


def test_F2_a_wait_that_is_cut_short_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []
    answers = [http(503, b"", "Retry-After: 86400"), http(200, b'{"resourceType":"CapabilityStatement"}')]
    with (
        raw_server(*answers) as server,
        FhirClient(
            Server(base=server.base, allow_insecure_loopback=True),
            sleep=waits.append,
            clock=time.monotonic,
            random=lambda: 0.0,
        ) as client,
    ):
        client.ask(capabilities(), decipher_capabilities)
    assert waits == [600.0]
    assert "retry-after-clamped" in caplog.text


@pytest.mark.parametrize("years", [-10, 10])
def test_I19_a_wrong_local_clock_changes_only_stamps(site: Site, years: int) -> None:
    right = Clockwork()
    wrong = Machine(now=lambda: right.now() + timedelta(days=365 * years))
    first = done(run_sync(site.settings, machine=wrong))
    assert done(run_sync(site.settings, full=True)).written == NOTHING
    site.ward.put(pain(person("a"), CHANGED, 7))
    assert done(run_sync(site.settings, machine=wrong)).pulled["Observation"].changed == 1
    assert first.watermarks["Observation"][:4] == str(right.now().year)


def test_I23_the_order_of_arrival_changes_no_byte_of_the_results(tmp_path: Path) -> None:
    everything = [one for name in ("a", "b", "c") for one in story(name)]
    results = []
    for seed in (1, 2):
        shuffled = random.Random(seed).sample(everything, len(everything))
        with running_server(shuffled) as server:
            folder = tmp_path / str(seed)
            folder.mkdir()
            site = Site(server, folder)
            done(run_sync(site.settings))
            found = site.ward.results()
            site.ward.close()
        results.append(json.dumps({name: {**one, "meta": {}} for name, one in found.items()}, sort_keys=True))
    # Provenance names versions; the results themselves are the same bytes.
    assert results[0] == results[1]


def test_I24_only_the_types_of_the_decision_are_asked_for_and_nothing_is_deleted(site: Site) -> None:
    done(run_sync(load_settings(site.path)))
    paths = [(method, path.removeprefix("/fhir").lstrip("/")) for method, path in site.server.requests]
    asked = {(method, re.split("[/?]", path)[0]) for method, path in paths}
    # Consent is asked for opt-outs alone; the empty path is where transactions and batches of reads go.
    assert {kind for _, kind in asked} <= TYPES | {"Consent", ""}
    assert {method for method, _ in asked} <= {"GET", "POST"}
