"""SIGKILL at every failpoint and at random moments: the next run ends where it would have ended anyway."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
import random
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_srs.config import Settings, load_settings
from fhir_srs.store import SCHEMA
from fhir_srs.store.failpoints import NAMES
from fhir_srs.store.schema import _TABLES
from fhir_srs.summary import RunSummary
from fhir_srs.sync import run_sync
from fhir_srs.sync.keeping import problems_of
from fhir_srs.sync.rebuild import rebuild
from fhir_srs.testing.server import RunningServer
from tests.server import dying
from tests.server.patients import OTHER, course, pain, person, story
from tests.server.prepared import Prepared, prepared
from tests.server.settings import WARD, written_settings
from tests.server.test_sync import CHANGED, NOTHING, Ward, done
from tests.server.test_sync_deletes import consent, delete

CONTEXT = dying.context()
IN_A_FIRST_RUN = (
    ("run-begun", 1),
    ("page-before-commit", 2),
    ("page-committed", 3),
    ("patients-loaded", 1),
    ("watermark-before-commit", 1),
    ("watermark-committed", 1),
    ("wanted-spooled", 1),
    ("slice-planned", 1),
    ("slice-planned", 4),
    ("outbox-before-commit", 1),
    ("outbox-committed", 2),
    ("before-send", 1),
    ("after-send", 1),
    ("before-confirm", 1),
    ("definitions-before-commit", 1),
    ("run-ended", 1),
)
IN_A_LATER_RUN = (
    ("deleted-before-commit", 1),
    ("deleted-committed", 1),
    ("dismissed-before-commit", 1),
    ("left-out-before-commit", 1),
    ("after-send", 1),
    ("watermark-before-commit", 1),
)
IN_A_MIGRATION = ("before-migration", "in-migration")
IN_A_REBUILD = ("adopted-before-commit",)


class Site:
    """A server of two patients, what a test sees of it, and settings to sync it by."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server, self.ward, self.folder = server, Ward(server.base_url), folder
        self.path = written_settings(folder, server.base_url, studies=[WARD])

    @property
    def settings(self) -> Settings:
        return load_settings(self.path)

    def die(self, failpoint: str, what: str = "sync") -> None:
        process = CONTEXT.Process(target=dying.live, args=(str(self.path), failpoint, what))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, failpoint

    def check(self) -> None:
        """I1, I2, I3, I7, I8: one clean run, and all is as if nothing had happened."""
        run_sync(self.settings, retract=True)
        assert done(run_sync(self.settings, full=True)).written == NOTHING
        results = self.ward.results()
        assert len(self.ward.all("Provenance")) == len(results)
        values = [one["identifier"][0]["value"] for one in results.values()]
        assert len(values) == len(set(values))
        assert rebuild(self.settings).agrees
        # Temporary folders hold patients' data: the next run removes what a killed one left.
        assert not [one for one in (self.folder / "state").iterdir() if one.is_dir()]
        self.check_audit()

    def check_audit(self) -> None:
        """Every version of every result that is there stands in the audit, whatever was killed."""
        assert problems_of(self.settings) == []
        lines = (self.folder / "state" / "audit.ndjson").read_text().splitlines()
        told = {(one.get("result"), one.get("version")) for one in map(json.loads, lines)}
        there = {
            (f"Observation/{name}", one["meta"]["versionId"]) for name, one in self.ward.results().items()
        }
        assert there <= told


def synced(server: RunningServer, folder: Path) -> RunSummary:
    return run_sync(load_settings(written_settings(folder, server.base_url, studies=[WARD])))


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    people = [one for name in ("a", "b", "c") for one in story(name)]
    with prepared(people, tmp_path_factory.mktemp) as one:
        yield one


@pytest.fixture
def site(lasting: Prepared, tmp_path: Path) -> Iterator[Site]:
    one = Site(lasting.anew(), tmp_path)
    yield one
    one.ward.close()


@pytest.fixture
def synced_site(lasting: Prepared, site: Site) -> Site:
    """The same after a first run."""
    lasting.first(site.folder, synced)
    return site


def test_every_failpoint_has_a_test() -> None:
    tried = {name for name, _ in (*IN_A_FIRST_RUN, *IN_A_LATER_RUN)} | {*IN_A_MIGRATION, *IN_A_REBUILD}
    assert tried == set(NAMES)


@pytest.mark.parametrize(("name", "number"), IN_A_FIRST_RUN)
def test_I8_a_first_run_killed_at_a_failpoint_loses_nothing(site: Site, name: str, number: int) -> None:
    site.die(f"{name}:{number}")
    site.check()


@pytest.mark.parametrize(("name", "number"), IN_A_LATER_RUN)
def test_I8_a_later_run_killed_at_a_failpoint_loses_nothing(
    synced_site: Site, name: str, number: int
) -> None:
    site = synced_site
    delete(site.server, f"Observation/a-pain-{CHANGED}")
    site.ward.put(pain(person("a"), "2024-06-05", 7))
    site.ward.put(consent("b"))
    site.ward.put({**course(person("c"))[1], "code": OTHER, "extension": []})
    site.die(f"{name}:{number}")
    site.check()
    assert run_sync(site.settings).left_out == {"opt-out": 1}


@pytest.mark.parametrize("name", IN_A_MIGRATION)
def test_I22_a_migration_killed_half_way_leaves_the_old_store_whole(synced_site: Site, name: str) -> None:
    site = synced_site
    store = site.folder / "state" / "store.sqlite"
    as_schema_1(store)
    site.die(name)
    with sqlite3.connect(store) as database:
        assert database.execute("pragma user_version").fetchone() == (1,)
        assert "patient" not in {row[1] for row in database.execute("pragma table_info(raw)")}
    database.close()
    site.check()
    with sqlite3.connect(store) as database:
        assert database.execute("pragma user_version").fetchone() == (SCHEMA,)
        owners = set(database.execute("select patient from raw where type = 'Observation'"))
        assert owners == {("Patient/a",), ("Patient/b",), ("Patient/c",)}
    database.close()


def as_schema_1(path: Path) -> None:
    """Write the store as the first schema had it, with the same content."""
    old = path.with_name("old.sqlite")
    with sqlite3.connect(old) as database:
        database.executescript(_TABLES)
        database.execute("attach ? as new", (str(path),))
        tables = [
            row[0] for row in database.execute("select name from main.sqlite_master where type = 'table'")
        ]
        for table in tables:
            columns = ", ".join(row[1] for row in database.execute(f"pragma main.table_info({table})"))
            copy = f"insert into main.{table} ({columns}) select {columns} from new.{table}"  # noqa: S608
            database.execute(copy)
        database.execute("pragma user_version = 1")
    database.close()
    for beside in path.parent.glob("store.sqlite*"):
        beside.unlink()
    old.chmod(0o600)
    old.rename(path)


@pytest.mark.parametrize("name", IN_A_REBUILD)
def test_I8_a_rebuild_that_is_killed_leaves_the_old_store(synced_site: Site, name: str) -> None:
    site = synced_site
    site.die(name, "rebuild")
    assert [one for one in (site.folder / "state").iterdir() if one.is_dir()]
    site.check()


def killed_at_random(site: Site, seed: int) -> None:
    """Kill a sync after a random part of the time that one takes, upon whatever the last one left."""
    chance = random.Random(seed)
    process = CONTEXT.Process(target=dying.live, args=(str(site.path), "", "sync"))
    process.start()
    process.join(chance.uniform(0.02, 0.6))
    process.kill()
    process.join(10)


def test_I8_ten_runs_killed_at_random_moments_lose_nothing(site: Site) -> None:
    for seed in range(10):
        site.ward.put(pain(person("a"), f"2024-08-{seed + 10}", seed))
        killed_at_random(site, seed)
        if seed % 5 == 4:
            site.check()


@pytest.mark.long
def test_I8_two_hundred_runs_killed_at_random_moments_lose_nothing(site: Site) -> None:
    for seed in range(200):
        site.ward.put(pain(person("a"), f"2024-{seed // 28 + 4:02}-{seed % 28 + 1:02}", seed % 11))
        killed_at_random(site, seed)
        if seed % 5 == 4:
            site.check()
