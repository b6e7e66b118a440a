"""Whole runs against the embedded FHIR server: what lands there, when, and what never does."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fhir_srs.config import Settings, parse_settings
from fhir_srs.summary import Planned, RunSummary, Written
from fhir_srs.sync import run_sync
from fhir_srs.testing.server import RunningServer, running_server
from tests.server.patients import Json, course, pain, person, story, surgery_coded
from tests.server.prepared import Prepared, prepared
from tests.server.proxy import Proxy, proxied
from tests.server.settings import BASE, WARD

RESULT = f"{BASE}/result"
CHANGED = "2024-04-16"
# What takes time in a client and is not under test: compression, and reading all authorities of the machine.
PLAIN = {"Accept-Encoding": "identity"}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
NOTHING = Written()


def settings(base_url: str, folder: Path, *, study: str = WARD, **sync: Any) -> Settings:
    content = {
        "source": {"base_url": base_url, "allow_insecure_loopback": True},
        "target": {"canonical_base": BASE, "synthetic": True},
        "study": {"names": [study], "cutoff": "2025-12-31"},
        "store": {"folder": "state"},
        "sync": {"write": True, **sync},
    }
    return parse_settings(content, folder=folder)


def resources() -> list[Json]:
    """Two lesions with outcomes, one without a dose, and somebody who was never irradiated."""
    strangers = [person("stranger"), pain(person("stranger"), "2024-03-04", 7)]
    return [*story("a"), *story("b", coded=True), *story("c"), *strangers]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with prepared(resources(), tmp_path_factory.mktemp) as one:
        yield one


@pytest.fixture
def server(lasting: Prepared) -> RunningServer:
    return lasting.anew()


class Ward:
    """What a test sees and does at the server, apart from the program under test."""

    def __init__(self, base_url: str) -> None:
        self.base = base_url
        self._http = httpx.Client(trust_env=False, timeout=30, headers=PLAIN, verify=NO_TLS)

    def put(self, resource: Json) -> None:
        path = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        answer = self._http.put(
            path, content=json.dumps(resource), headers={"Content-Type": "application/fhir+json"}
        )
        assert answer.status_code in {200, 201}, answer.text

    def all(self, kind: str) -> dict[str, Json]:
        found: dict[str, Json] = {}
        url: str | None = f"{self.base}/{kind}?_count=1000"
        while url is not None:
            answer = self._http.get(url, headers={"Cache-Control": "no-cache"}).raise_for_status()
            bundle = msgspec.json.decode(answer.content)
            found |= {entry["resource"]["id"]: entry["resource"] for entry in bundle.get("entry", [])}
            url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
        return found

    def results(self) -> dict[str, Json]:
        return {name: one for name, one in self.all("Observation").items() if _is_result(one)}

    def versions(self) -> dict[str, str]:
        """The version of everything on the server."""
        kinds = ("Observation", "Provenance", "Device", "Group", "Patient", "Procedure")
        return {
            f"{kind}/{name}": one["meta"]["versionId"]
            for kind in kinds
            for name, one in self.all(kind).items()
        }

    def close(self) -> None:
        self._http.close()


def _is_result(one: Json) -> bool:
    return any(identifier.get("system") == RESULT for identifier in one.get("identifier", []))


@pytest.fixture
def ward(server: RunningServer) -> Iterator[Ward]:
    one = Ward(server.base_url)
    yield one
    one.close()


def run(server: RunningServer, folder: Path, **options: Any) -> RunSummary:
    return run_sync(settings(server.base_url, folder), **options)


def done(summary: RunSummary) -> RunSummary:
    assert (summary.status, summary.exit_code, summary.error) == ("done", 0, None)
    assert summary.complete
    return summary


def changed(before: dict[str, str], after: dict[str, str], kind: str) -> set[str]:
    return {name for name in after if name.startswith(kind) and before.get(name) != after[name]}


def inputs(provenance: Json) -> set[str]:
    """`Type/id` of what a result was made of."""
    return {
        entity["what"]["identifier"]["value"].split("/_history/")[0]
        for entity in provenance.get("entity", [])
    }


def made_of(ward: Ward, source: str) -> set[str]:
    """The results whose Provenance names *source*."""
    return {one["target"][0]["reference"] for one in ward.all("Provenance").values() if source in inputs(one)}


class Settled:
    """A server after a first run, for tests that change nothing there."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server, self.folder, self.ward = server, folder, Ward(server.base_url)
        self.first = done(run(server, folder))


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settled]:
    with running_server(resources()) as running:
        one = Settled(running, tmp_path_factory.mktemp("settled"))
        yield one
        one.ward.close()


def test_a_first_run_creates_the_outcomes_and_a_second_writes_nothing(settled: Settled) -> None:
    server, ward, folder, first = settled.server, settled.ward, settled.folder, settled.first
    results = ward.results()
    beside = len(ward.all("Device")) + len(ward.all("Group"))
    assert first.lesions == 3
    assert first.written.created == first.planned.create == len(results) + beside
    assert len(ward.all("Provenance")) == len(results)
    assert {one["status"] for one in results.values()} <= {"final", "preliminary"}
    before = ward.versions()
    second = done(run(server, folder))
    assert second.planned.unchanged == first.planned.create
    assert (second.planned.create, second.planned.update, second.planned.retract) == (0, 0, 0)
    assert second.written == NOTHING
    full = done(run(server, folder, full=True))  # planned from all data, where the second found nothing new
    assert (full.planned, full.written) == (second.planned, NOTHING)
    assert ward.versions() == before


def test_results_are_linked_to_what_they_were_made_of(settled: Settled) -> None:
    (relief,) = [
        one
        for one in settled.ward.results().values()
        if one["code"]["coding"][0]["code"] == "time-to-relief" and one["subject"]["reference"] == "Patient/a"
    ][:1]
    assert relief["valueQuantity"]["value"] == 14
    assert "Observation/a-pain-2024-03-19" in {one["reference"] for one in relief["derivedFrom"]}


def test_only_the_cohort_is_stored_and_no_name_of_anybody(settled: Settled) -> None:
    stored = b"".join(one.read_bytes() for one in (settled.folder / "state").iterdir())
    assert b"Canary-Marker" not in stored
    assert b"stranger" not in stored
    assert b"a-pain-2024-03-04" in stored


def test_one_changed_pain_score_updates_exactly_its_dependents(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    before = ward.versions()
    ward.put(pain(person("a"), CHANGED, 7))
    touched = f"Observation/a-pain-{CHANGED}"
    before[touched] = ward.versions()[touched]
    summary = done(run(server, tmp_path))
    assert summary.pulled["Observation"].changed == 1
    assert summary.written.created == 0
    dependents = made_of(ward, touched)
    assert dependents
    after = ward.versions()
    provenances = ward.all("Provenance")
    rewritten = {
        provenances[name.split("/")[1]]["target"][0]["reference"]
        for name in changed(before, after, "Provenance")
    }
    cohort = {
        f"Observation/{name}"
        for name, one in ward.results().items()
        if one["subject"]["reference"].startswith("Group/")
    }
    assert rewritten - cohort == dependents - cohort
    # A cohort figure names no single score: within one second its Provenance is the same text again.
    results = changed(before, after, "Observation")
    assert results - cohort <= rewritten
    assert results - cohort
    assert summary.written.updated == len(rewritten | results)
    assert done(run(server, tmp_path)).written.updated == 0


def test_a_score_entered_in_error_changes_or_withdraws_what_rested_on_it(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    source = "Observation/a-pain-2024-03-19"
    before = {name.split("/")[1] for name in made_of(ward, source)}
    relief = {
        name for name in before if ward.results()[name]["code"]["coding"][0]["code"] == "time-to-relief"
    }
    ward.put(pain(person("a"), "2024-03-19", 2, status="entered-in-error"))
    done(run(server, tmp_path))
    assert made_of(ward, source) == set()
    results = ward.results()
    for name in relief:
        assert results[name]["status"] == "entered-in-error" or results[name]["valueQuantity"]["value"] != 14
    assert done(run(server, tmp_path, full=True)).written == NOTHING


def test_a_treatment_entered_in_error_withdraws_its_results_and_its_return_restores_them(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    before = {name for name, one in ward.results().items() if one["subject"]["reference"] == "Patient/c"}
    treatment = course(person("c"))[1]
    ward.put({**treatment, "status": "entered-in-error"})
    braked = run(server, tmp_path)
    assert (braked.status, braked.exit_code, braked.complete) == ("stopped", 65, True)
    assert braked.written == NOTHING
    assert {ward.results()[name]["status"] for name in before} <= {"final", "preliminary"}
    assert done(run(server, tmp_path, retract=True)).written.retracted == len(before)
    withdrawn = ward.results()
    for name in before:
        one = withdrawn[name]
        assert one["status"] == "entered-in-error"
        assert not [key for key in one if key.startswith(("value", "derivedFrom", "partOf", "focus"))]
    ward.put(treatment)
    done(run(server, tmp_path))
    assert {ward.results()[name]["status"] for name in before} <= {"final", "preliminary"}


def test_I14_results_never_become_inputs(settled: Settled) -> None:
    server, ward, folder, first = settled.server, settled.ward, settled.folder, settled.first
    again = done(run(server, folder, full=True))
    assert (again.lesions, again.outcomes) == (first.lesions, first.outcomes)
    assert again.written == NOTHING
    assert again.refused == first.refused
    for provenance in ward.all("Provenance").values():
        assert not [name for name in inputs(provenance) if "/srs-" in name]
    stored = b"".join(one.read_bytes() for one in (folder / "state").glob("store.sqlite"))
    assert f'"system":"{RESULT}"'.encode() not in stored


def test_I20_a_dry_run_sends_only_reads_and_leaves_the_state_alone(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    ward.put(pain(person("a"), CHANGED, 7))
    state = {one.name: one.read_bytes() for one in (tmp_path / "state").iterdir()}
    seen = len(server.requests)
    summary = done(run(server, tmp_path, dry_run=True))
    sent = server.requests[seen:]
    assert sent
    assert not [path for method, path in sent if method != "GET" and not path.endswith("/_search")]
    assert summary.planned.update > 0
    assert summary.written == NOTHING
    assert {one.name: one.read_bytes() for one in (tmp_path / "state").iterdir()} == state
    real = done(run(server, tmp_path))
    assert real.planned == summary.planned


def test_a_dry_run_from_nothing_leaves_nothing_pulled(server: RunningServer, tmp_path: Path) -> None:
    summary = done(run(server, tmp_path, dry_run=True))
    assert summary.planned.create > 0
    first = done(run(server, tmp_path))
    assert first.pulled["Patient"].new == 3


def test_without_write_the_plan_is_told_and_nothing_sent(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    before = ward.versions()
    summary = done(run_sync(settings(server.base_url, tmp_path, write=False)))
    assert summary.planned.create > 0
    assert summary.written == NOTHING
    assert ward.versions() == before


def test_a_newly_found_patient_gets_the_full_history(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    first = done(run_sync(settings(server.base_url, tmp_path, lag="0s", overlap="0s")))
    assert first.lesions == 3
    person_, *rest = story("late")
    treatment = rest[1]
    for resource in (person_, *rest):
        if resource is not treatment:
            ward.put(resource)
    second = done(run_sync(settings(server.base_url, tmp_path, lag="0s", overlap="0s")))
    assert second.pulled.get("Observation", None) is None or second.pulled["Observation"].new == 0
    ward.put(treatment)
    third = done(run_sync(settings(server.base_url, tmp_path, lag="0s", overlap="0s")))
    assert third.lesions == 4
    assert third.pulled["Observation"].new == 5
    assert third.pulled["Patient"].new == 1


def test_a_later_sync_asks_only_for_what_changed(settled: Settled) -> None:
    server = settled.server
    seen = len(server.requests)
    summary = done(run(server, settled.folder))
    assert not [path for _, path in server.requests[seen:] if "/_search" in path]
    assert all(not found.new and not found.changed for found in summary.pulled.values())


def test_I2_the_increments_end_where_a_full_load_starts(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    lasting.first(tmp_path / "one", run)
    ward.put(pain(person("a"), CHANGED, 7))
    ward.put(pain(person("c"), "2024-07-01", 9))
    done(run(server, tmp_path / "one"))
    fresh = done(run(server, tmp_path / "two", dry_run=True))
    assert (fresh.planned.create, fresh.planned.update, fresh.planned.retract) == (0, 0, 0)


_KILLED = """
import os, signal, sys
from pathlib import Path
from fhir_srs.config import load_settings
from fhir_srs.sync import run_sync
stage, at = sys.argv[2], int(sys.argv[3])
calls = 0
def report(name, done, total=None):
    global calls
    calls += name.startswith(stage)
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
run_sync(load_settings(Path(sys.argv[1])), report=report)
"""


@pytest.mark.parametrize(("stage", "at"), [("pull", 2), ("pull", 5), ("write", 1)])
def test_I8_a_run_killed_between_pages_or_transactions_loses_nothing(
    server: RunningServer, ward: Ward, tmp_path: Path, stage: str, at: int
) -> None:
    path = tmp_path / "fhir-srs.toml"
    path.write_text(
        f"""
        [source]
        base_url = "{server.base_url}"
        allow_insecure_loopback = true
        [target]
        canonical_base = "{BASE}"
        synthetic = true
        [study]
        names = ["{WARD}"]
        cutoff = 2025-12-31
        [sync]
        write = true
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path), stage, str(at)],
        check=False,
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    ward.put(pain(person("a"), CHANGED, 7))
    summary = done(run(server, tmp_path))
    assert summary.lesions == 3
    (tmp_path / "fresh").mkdir()
    fresh = done(run(server, tmp_path / "fresh", dry_run=True))
    assert (fresh.planned.create, fresh.planned.update, fresh.planned.retract) == (0, 0, 0)
    assert len(ward.all("Provenance")) == len(ward.results())


def through(proxy: Proxy, folder: Path, **options: Any) -> RunSummary:
    from fhir_srs.sync import Machine

    machine = Machine(sleep=lambda seconds: None)
    return run_sync(settings(proxy.base, folder), machine=machine, **options)


def _transactions(bodies: Iterable[tuple[str, str, bytes]]) -> list[bytes]:
    return [body for _, _, body in bodies if b'"transaction"' in body]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_I9_a_lost_answer_to_a_write_is_settled_by_reading_back(
    server: RunningServer, ward: Ward, tmp_path: Path, moment: str
) -> None:
    with proxied(server.base_url) as proxy:
        lost: list[int] = []

        def lose(method: str, path: str, body: bytes) -> Any:
            if b'"transaction"' in body and not lost:
                lost.append(1)
                return moment
            return None

        proxy.lose = lose
        summary = done(through(proxy, tmp_path))
        assert lost
        results = ward.results()
        assert len(ward.all("Provenance")) == len(results)
        assert {one["meta"]["versionId"] for one in results.values()} == {"1"}
        assert summary.written.failed == 0
        assert done(through(proxy, tmp_path)).written == NOTHING


def test_I11_a_pull_that_does_not_add_up_plans_and_writes_nothing(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    before = ward.versions()

    def lose_a_row(method: str, path: str, answer: bytes) -> bytes:
        bundle = json.loads(answer) if "Observation/_search" in path else {}
        if bundle.get("entry"):
            bundle["entry"].pop()
            return json.dumps(bundle).encode()
        return answer

    with proxied(server.base_url) as proxy:
        proxy.change = lose_a_row
        summary = through(proxy, tmp_path)
        assert (summary.status, summary.exit_code, summary.complete) == ("incomplete", 65, False)
        assert summary.watermarks == {}
        assert summary.planned == Planned()
        assert ward.versions() == before
        proxy.change = lambda method, path, answer: answer
        assert done(through(proxy, tmp_path)).lesions == 3


def test_F10_a_server_that_answers_html_ends_the_run_with_one_clear_error(
    server: RunningServer, tmp_path: Path
) -> None:
    with proxied(server.base_url) as proxy:
        proxy.change = lambda method, path, answer: b"<html>" if "Condition" in path else answer
        summary = through(proxy, tmp_path)
    assert (summary.status, summary.exit_code) == ("incomplete", 65)
    assert summary.error is not None
    assert "\n" not in summary.error


def test_F40_a_server_that_stores_something_else_is_found_out(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    def twist(method: str, path: str, answer: bytes) -> bytes:
        return answer.replace(b'"final"', b'"amended"') if path == "/fhir" else answer

    with proxied(server.base_url) as proxy:
        proxy.change = twist
        summary = through(proxy, tmp_path)
    assert (summary.status, summary.exit_code) == ("failed", 65)
    assert summary.written.failed > 0


def test_anothers_edit_of_a_result_is_kept_and_told(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    name, result = next((name, one) for name, one in sorted(ward.results().items()) if "valueQuantity" in one)
    ward.put({**result, "valueQuantity": {**result["valueQuantity"], "value": 99}})
    summary = run(server, tmp_path)
    assert summary.written.conflict == 1
    assert summary.exit_code == 0
    assert ward.results()[name]["valueQuantity"]["value"] == 99


def test_a_stop_between_pages_ends_the_run_and_the_next_one_finishes_it(
    server: RunningServer, tmp_path: Path
) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    summary = run(server, tmp_path, stop=stop)
    assert (summary.status, summary.complete, summary.watermarks) == ("stopped", False, {})
    assert done(run(server, tmp_path)).lesions == 3


@pytest.mark.parametrize("stage", ["patients mapped", "studies derived"])
def test_a_stop_while_patients_are_mapped_or_results_compared_ends_the_run_there(
    server: RunningServer, tmp_path: Path, ward: Ward, stage: str
) -> None:
    """With 100,000 results the comparison alone takes longer than a machine that goes down waits."""
    done(run(server, tmp_path))
    before, reached = ward.versions(), list[str]()

    def report(name: str, _done: int, _total: int | None = None) -> None:
        reached.append(name)

    summary = run(server, tmp_path, full=True, report=report, stop=lambda: stage in reached)
    assert (summary.status, summary.complete) == ("stopped", True)
    assert (reached[-1], summary.planned.unchanged) == (stage, 0)
    assert ward.versions() == before
    assert done(run(server, tmp_path, full=True)).planned.unchanged > 0


def test_an_edited_profile_withdraws_nothing_after_a_run_that_was_stopped(tmp_path: Path) -> None:
    """decisions.md 4: without `--retract`, whatever became of the run that first saw the edit."""
    profile = tmp_path / "site.toml"
    label = """[[site_labels]]\npattern = 'zone eight'\nmeans = 'T8'\n"""
    here = [person("z"), {**surgery_coded(person("z")), "bodySite": [{"text": "zone eight"}]}]
    scores = [pain(person("z"), day, score) for day, score in (("2024-03-01", 7), ("2024-04-05", 2))]
    with running_server([*here, *scores]) as own:
        content = {
            "source": {"base_url": own.base_url, "allow_insecure_loopback": True},
            "mapping": {"profile": str(profile)},
            "study": {"cutoff": "2025-12-31"},
            "sync": {"write": True, "brake": {"number": 1000}},
        }
        asked = parse_settings(content, folder=tmp_path)
        profile.write_text(f'name = "site"\nversion = "1"\n{label}')
        assert done(run_sync(asked)).lesions == 1
        profile.write_text('name = "site"\nversion = "1"\n')
        reached = list[str]()

        def report(name: str, _done: int, _total: int | None = None) -> None:
            reached.append(name)

        stopped = run_sync(asked, report=report, stop=lambda: "studies derived" in reached)
        assert stopped.status == "stopped"
        for _ in range(2):
            summary = done(run_sync(asked, full=True))
            assert (summary.lesions, summary.written.retracted) == (0, 0)
            assert summary.planned.retract > 0
        assert done(run_sync(asked, retract=True)).written.retracted > 0


def apart(server: RunningServer, registry: RunningServer, folder: Path) -> Settings:
    """Settings by which the results of *server* go to *registry*."""
    content = {
        "source": {"base_url": server.base_url, "allow_insecure_loopback": True},
        "target": {"base_url": registry.base_url, "allow_insecure_loopback": True, "canonical_base": BASE},
        "study": {"names": [WARD], "cutoff": "2025-12-31"},
        "sync": {"write": True},
    }
    return parse_settings(content, folder=folder)


def there(name: str, **more: Any) -> Json:
    return {**person(name), "id": f"there-{name}", **more}


def people_in(results: dict[str, Json]) -> set[str]:
    """Who the live results are about."""
    alive = (one for one in results.values() if one["status"] != "entered-in-error")
    return {one["subject"]["reference"] for one in alive} - {None}


def test_results_for_another_server_find_their_patients_there_and_name_inputs_by_identifier(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    before = ward.versions()
    with running_server([there("a"), there("c")]) as registry:
        both = apart(server, registry, tmp_path)
        done(run_sync(both))
        other = Ward(registry.base_url)
        results = other.results()
        other.close()
        assert done(run_sync(both)).written == NOTHING
        # Record numbers go in the body of a POST, where no proxy logs them.
        assert not [path for _, path in registry.requests if "mrn" in path]
    assert ward.versions() == before
    subjects = {one["subject"]["reference"].split("/")[0] for one in results.values()}
    people_there = {
        one["subject"]["reference"] for one in results.values() if "Patient/" in str(one["subject"])
    }
    assert subjects == {"Patient", "Group"}
    assert people_there == {"Patient/there-a", "Patient/there-c"}
    assert not [one for one in results.values() for link in one.get("derivedFrom", []) if "reference" in link]


def test_results_on_another_server_follow_source_and_target_and_leave_its_edits_alone(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    with running_server([there("a"), there("c")]) as registry, closing(Ward(registry.base_url)) as other:
        both = apart(server, registry, tmp_path)
        done(run_sync(both))
        name, result = next(
            (key, one)
            for key, one in sorted(other.results().items())
            if "valueQuantity" in one and one["subject"]["reference"].startswith("Group/")
        )
        other.put({**result, "note": [{"text": "seen"}]})
        ward.put(pain(person("a"), CHANGED, 7))
        second = done(run_sync(both))
        assert second.written.updated > 0
        assert second.written.conflict == 1
        assert other.results()[name]["note"]
        ward.put({**course(person("c"))[1], "status": "entered-in-error"})
        done(run_sync(both, retract=True))
        assert "Patient/there-c" not in people_in(other.results())
        # Two records with one number: nobody knows whose the results are, so they are nobody's.
        other.put(there("a") | {"id": "twice-a"})
        done(run_sync(both, retract=True))
        assert not {"Patient/there-a", "Patient/twice-a"} & people_in(other.results())
        assert done(run_sync(both, retract=True)).written.retracted == 0


def test_a_record_number_with_the_signs_of_a_search_is_found_as_it_is(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    odd = [{**person("a")["identifier"][0], "value": "mrn-a,b|c$d\\e"}]
    ward.put({**person("a"), "identifier": odd})
    with running_server([there("a", identifier=odd)]) as registry, closing(Ward(registry.base_url)) as other:
        done(run_sync(apart(server, registry, tmp_path)))
        assert "Patient/there-a" in people_in(other.results())


def test_a_second_run_beside_the_first_is_busy_and_changes_nothing(
    server: RunningServer, tmp_path: Path
) -> None:
    from fhir_srs.errors import Busy

    def again(stage: str, done_: int, total: int | None = None) -> None:
        if stage == "pull pages" and done_ == 2:
            with pytest.raises(Busy):
                run(server, tmp_path)

    done(run(server, tmp_path, report=again))


def test_a_study_with_other_parameters_under_its_version_is_refused(
    lasting: Prepared, server: RunningServer, tmp_path: Path
) -> None:
    import sqlite3

    from fhir_srs.errors import ConfigurationError

    lasting.first(tmp_path, run)
    with sqlite3.connect(tmp_path / "state" / "store.sqlite") as database:
        database.execute("update definition set sha = 'other' where name like 'ward%'")
    database.close()
    with pytest.raises(ConfigurationError, match="other parameters"):
        run(server, tmp_path)
