"""Hard days of a scheduled sync on a real HAPI server of its own: kills, expired pages, writers meanwhile."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_srs.config import Settings, load_settings
from fhir_srs.store import open_store
from fhir_srs.sync import run_sync
from fhir_srs.sync.rebuild import rebuild
from tests.hapi.launcher import running_hapi
from tests.server import dying
from tests.server.patients import Json, pain, person, story
from tests.server.settings import written_settings
from tests.server.test_sync import NOTHING, Ward, done

pytestmark = [pytest.mark.hapi, pytest.mark.timeout(600)]
CONTEXT = dying.context()
FHIR = {"Content-Type": "application/fhir+json", "Cache-Control": "no-cache"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Pages that nobody reads live for two seconds."""
    with running_hapi(tmp_path_factory.mktemp("hard"), page_expiry=2, search_reuse=0) as hapi:
        yield hapi.base


@pytest.fixture
def ward(base: str) -> Iterator[Ward]:
    one = Ward(base)
    yield one
    one.close()


class Site:
    """Settings in a file, for processes that are killed, and what is left to be done by one that is not."""

    def __init__(self, base: str, folder: Path, **sync: Any) -> None:
        self.base, self.folder = base, folder
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in sync.items())
        self.path = written_settings(folder, base, lines)

    @property
    def settings(self) -> Settings:
        return load_settings(self.path)

    def stored(self) -> dict[str, str | None]:
        with open_store(self.folder / "state", self.base) as store:
            return {f"{kind}/{name}": v for kind in store.live() for name, v in store.versions(kind).items()}


def put_all(base: str, resources: Sequence[Json]) -> None:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    httpx.post(base, json=bundle, headers=FHIR, timeout=120, trust_env=False).raise_for_status()


def test_I8_twenty_runs_killed_at_random_moments_lose_nothing(ward: Ward, base: str, tmp_path: Path) -> None:
    put_all(base, [*story("kill-a"), *story("kill-b")])
    site, took = Site(base, tmp_path, write=True), 1.0
    for seed in range(20):
        ward.put(pain(person("kill-a"), f"2024-08-{seed + 1:02}", seed % 11))
        process = CONTEXT.Process(target=dying.live, args=(str(site.path), "", "sync"))
        process.start()
        process.join(random.Random(seed).uniform(0.05, 1.5) * took)
        process.kill()
        process.join(10)
        if seed % 5 == 4:
            started = time.monotonic()
            run_sync(site.settings, retract=True)
            took = max(1.0, time.monotonic() - started)  # so that kills hit the whole of a run
            assert done(run_sync(site.settings, full=True)).written == NOTHING
            results = ward.results()
            assert len(ward.all("Provenance")) == len(results) > 0
            assert len({one["identifier"][0]["value"] for one in results.values()}) == len(results)
            assert rebuild(site.settings).agrees


def test_H2_F12_pages_that_expire_in_the_middle_of_a_pull_cost_no_row(
    ward: Ward, base: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fhir_srs")
    days = [f"2024-{month:02}-{day:02}" for month in (5, 6) for day in range(1, 16)]
    put_all(base, story("old-a", scores=[(day, 4) for day in days]))
    site = Site(base, tmp_path, count=10, lag="0s", overlap="1s")
    done(run_sync(site.settings))
    time.sleep(2)
    put_all(base, [pain(person("old-a"), day, 7) for day in days])
    slept: list[str] = []

    def slowly(stage: str, _number: int, _total: int | None = None) -> None:
        """A machine that goes to sleep once between two pages of the scores."""
        if stage == "pull pages" and not slept:
            slept.append(stage)
            time.sleep(10)

    summary = done(run_sync(site.settings, report=slowly))
    assert summary.pulled["Observation"].changed == len(days)
    assert "page expired: Observation" in caplog.text
    assert {site.stored()[f"Observation/old-a-pain-{day}"] for day in days} == {"2"}


def test_H19_what_was_expunged_is_missed_and_a_second_life_counts_from_version_one(
    ward: Ward, base: str, tmp_path: Path
) -> None:
    """hapi.md 35: gone from reads, searches and the history; then version 1 with a later stamp."""
    put_all(base, story("exp-a"))
    site = Site(base, tmp_path, lag="0s")
    for value in (5, 6, 7):
        ward.put(pain(person("exp-a"), "2025-01-01", value))
    name = "Observation/exp-a-pain-2025-01-01"
    done(run_sync(site.settings))
    assert site.stored()[name] == "3"
    expunge(base, name)
    assert httpx.get(f"{base}/{name}", trust_env=False).status_code == 404
    ward.put(pain(person("exp-a"), "2025-01-01", 2))
    assert done(run_sync(site.settings)).pulled["Observation"].changed == 1
    assert site.stored()[name] == "1"
    expunge(base, name)
    assert name in site.stored()
    assert done(run_sync(site.settings, census=True)).pulled["Observation"].deleted == 1
    assert name not in site.stored()


def expunge(base: str, name: str) -> None:
    """Delete, and leave nothing (https://hapifhir.io/hapi-fhir/docs/server_jpa/expunge.html)."""
    httpx.delete(f"{base}/{name}", timeout=60, trust_env=False).raise_for_status()
    flags = [
        {"name": "expungeDeletedResources", "valueBoolean": True},
        {"name": "expungePreviousVersions", "valueBoolean": True},
    ]
    asked = {"resourceType": "Parameters", "parameter": flags}
    httpx.post(f"{base}/{name}/$expunge", json=asked, headers=FHIR, timeout=60, trust_env=False)


PEOPLE = 1000
WRITING = 50.0  # seconds: well above lag and overlap, so that increments are increments


def test_I4_H12_nothing_is_lost_of_a_thousand_patients_while_others_write(
    ward: Ward, base: str, tmp_path: Path
) -> None:
    names = [f"many-{number:04}" for number in range(PEOPLE)]
    groups = [[one for name in names[n : n + 20] for one in story(name)] for n in range(0, PEOPLE, 20)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda group: put_all(base, group), groups))
    site = Site(base, tmp_path, lag="30s", overlap="2s")
    first = done(run_sync(site.settings))
    assert first.pulled["Patient"].new >= PEOPLE
    stop, wrote = threading.Event(), [0]
    writers = [threading.Thread(target=meddle, args=(base, names, seed, stop, wrote)) for seed in (1, 2)]
    for one in writers:
        one.start()
    ends = time.monotonic() + WRITING
    runs = 0
    while time.monotonic() < ends or runs < 3:
        assert run_sync(site.settings, retract=True).status in {"done", "incomplete"}
        runs += 1
    stop.set()
    for one in writers:
        one.join()
    done(run_sync(site.settings, retract=True))
    assert wrote[0] > 200
    assert site.stored() == live(base, ward)


def meddle(base: str, names: Sequence[str], seed: int, stop: threading.Event, wrote: list[int]) -> None:
    """Another client: new and changed scores, singly and in transactions, deletions, until told to stop."""
    chance = random.Random(seed)
    with httpx.Client(base_url=base, timeout=120, trust_env=False, headers=FHIR) as client:
        acts: list[Callable[[], httpx.Response]] = [
            lambda: _put(client, chance, names, seed),
            lambda: _put(client, chance, names, seed),
            lambda: _transaction(client, chance, names, seed),
            lambda: client.delete(f"/Observation/{_score(chance, names, seed)['id']}"),
        ]
        while not stop.is_set():
            assert chance.choice(acts)().status_code in {200, 201, 204}
            wrote[0] += 1


def _score(chance: random.Random, names: Sequence[str], seed: int) -> Json:
    """Each client has scores of its own: two that write one resource would only race with each other."""
    day = f"2024-1{seed}-{chance.randint(1, 20):02}"
    return pain(person(chance.choice(names)), day, chance.randint(0, 10))


def _put(client: httpx.Client, chance: random.Random, names: Sequence[str], seed: int) -> httpx.Response:
    one = _score(chance, names, seed)
    return client.put(f"/Observation/{one['id']}", json=one)


def _transaction(
    client: httpx.Client, chance: random.Random, names: Sequence[str], seed: int
) -> httpx.Response:
    scores = {one["id"]: one for one in (_score(chance, names, seed) for _ in range(40))}
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"Observation/{name}"}}
        for name, one in scores.items()
    ]
    return client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})


def live(base: str, ward: Ward) -> dict[str, str]:
    """Every resource of the hospital with its version, our own results aside."""
    kinds = ("Patient", "Procedure", "BodyStructure", "Observation")
    results = ward.results()
    return {
        f"{kind}/{name}": one["meta"]["versionId"]
        for kind in kinds
        for name, one in ward.all(kind).items()
        if name not in results
    }
