"""What vanishes, moves, merges or opts out on a real HAPI server, and our definitions there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_srs.config import load_settings
from fhir_srs.summary import RunSummary
from fhir_srs.sync import Machine, run_sync
from fhir_srs.sync.conformance import put_definitions
from fhir_srs.sync.doctor import examine
from fhir_srs.sync.rebuild import rebuild
from tests.hapi.launcher import running_hapi
from tests.server.patients import pain, person, story
from tests.server.test_sync import CHANGED, NOTHING, Ward, done, made_of
from tests.server.test_sync_deletes import alive, consent

pytestmark = pytest.mark.hapi
JSON = {"Content-Type": "application/fhir+json"}


@pytest.fixture
def base(tmp_path: Path) -> Iterator[str]:
    """A server of its own: a new store takes results of its base that others left for those of a lost one."""
    with running_hapi(tmp_path) as hapi:
        yield hapi.base


@pytest.fixture
def ward(base: str) -> Iterator[Ward]:
    resources = [one for name in ("gone-a", "gone-b", "gone-c") for one in story(name)]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    bundle = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    httpx.post(base, content=bundle, headers=JSON, timeout=60).raise_for_status()
    one = Ward(base)
    yield one
    one.close()


def test_results_follow_what_becomes_of_their_sources(ward: Ward, tmp_path: Path) -> None:
    path = tmp_path / "fhir-srs.toml"
    path.write_text(
        f"""
        [source]
        base_url = "{ward.base}"
        allow_insecure_loopback = true
        [target]
        canonical_base = "https://srs.example.org"
        references = "logical"
        [study]
        names = ["ryu2008"]
        cutoff = 2025-12-31
        [sync]
        write = true
        lag = "0s"
        """
    )
    chosen = load_settings(path)

    def sync(**options: Any) -> RunSummary:
        return done(run_sync(chosen, **options))

    told = {one.topic: one.level for one in examine(chosen, Machine())}
    assert (told["source: history"], told["target: profiles"]) == ("ok", "warning")
    assert put_definitions(chosen).created == 14
    assert put_definitions(chosen).unchanged == 14  # HAPI keeps them as they were sent
    sync()
    assert {url for one in ward.results().values() for url in one["meta"].get("profile", [])}
    assert sync(full=True).written == NOTHING

    # hapi.md 15: a deletion is an entry of the type's history, without a time.
    source = f"Observation/gone-a-pain-{CHANGED}"
    assert made_of(ward, source)
    httpx.delete(f"{ward.base}/{source}").raise_for_status()
    assert sync().pulled["Observation"].deleted == 1
    assert made_of(ward, source) == set()
    assert sync(full=True).written == NOTHING
    ward.put(pain(person("gone-a"), CHANGED, 1))
    sync()
    assert made_of(ward, source)

    # A merge that only the survivor tells of is found by Patient?link.
    link = [{"other": {"reference": "Patient/gone-b"}, "type": "replaces"}]
    ward.put({**person("gone-survivor"), "link": link})
    sync(retract=True)
    assert alive(ward, "gone-survivor")
    assert alive(ward, "gone-b") == set()
    (tmp_path / "fresh").mkdir()
    path_of_fresh = chosen.store.model_copy(update={"folder": tmp_path / "fresh" / "state"})
    anew = chosen.model_copy(update={"store": path_of_fresh})
    plan = done(run_sync(anew, dry_run=True)).planned
    assert (plan.create, plan.update, plan.retract) == (0, 0, 0)

    ward.put(consent("gone-c"))
    assert sync(retract=True).left_out == {"opt-out": 1}
    assert alive(ward, "gone-c") == set()
    ward.put(consent("gone-c", status="inactive"))
    assert sync().left_out == {}
    assert alive(ward, "gone-c")

    census = done(run_sync(chosen, census=True, pull_only=True)).compared
    assert {(one.missing, one.unknown) for one in census.values()} == {(0, 0)}
    assert rebuild(chosen).agrees
    assert sync(full=True).written == NOTHING
