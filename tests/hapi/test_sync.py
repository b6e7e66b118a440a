"""Whole runs against a real HAPI server: the story of tests/server/test_sync.py where it matters most."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fhir_srs.summary import Written
from fhir_srs.sync import run_sync
from tests.server.patients import course, pain, person, story
from tests.server.test_sync import CHANGED, Ward, changed, done, made_of, settings

pytestmark = pytest.mark.hapi
JSON = {"Content-Type": "application/fhir+json"}


@pytest.fixture
def ward(hapi_base: str) -> Iterator[Ward]:
    resources = [*story("sync-a"), *story("sync-b", coded=True), *story("sync-c")]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    bundle = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    httpx.post(hapi_base, content=bundle, headers=JSON, timeout=60).raise_for_status()
    one = Ward(hapi_base)
    yield one
    one.close()


def test_outcomes_are_created_once_updated_exactly_and_withdrawn(ward: Ward, tmp_path: Path) -> None:
    chosen = settings(ward.base, tmp_path, study="ryu2008")
    first = done(run_sync(chosen))
    assert first.written.created == first.planned.create > 0
    # What the other tests on this server wrote by another base of the same patients stays theirs.
    nothing = Written(conflict=first.written.conflict)
    before = ward.versions()
    assert done(run_sync(chosen)).written == nothing
    assert ward.versions() == before

    ward.put(pain(person("sync-a"), CHANGED, 7))
    touched = f"Observation/sync-a-pain-{CHANGED}"
    before[touched] = ward.versions()[touched]
    third = done(run_sync(chosen))
    after, provenances = ward.versions(), ward.all("Provenance")
    rewritten = {
        provenances[name.split("/")[1]]["target"][0]["reference"]
        for name in changed(before, after, "Provenance")
    }
    cohort = {
        f"Observation/{name}"
        for name, one in ward.results().items()
        if one["subject"]["reference"].startswith("Group/")
    }
    assert rewritten - cohort == made_of(ward, touched) - cohort != set()
    results = changed(before, after, "Observation")
    assert results - cohort <= rewritten
    assert (third.written.created, third.written.updated) == (0, len(rewritten | results))
    assert done(run_sync(chosen)).written == nothing

    of_c = {name for name, one in ward.results().items() if one["subject"]["reference"] == "Patient/sync-c"}
    ward.put({**course(person("sync-c"))[1], "status": "entered-in-error"})
    assert done(run_sync(chosen, retract=True)).written.retracted == len(of_c)
    assert {ward.results()[name]["status"] for name in of_c} == {"entered-in-error"}
    assert done(run_sync(chosen, dry_run=True, full=True)).planned.update == 0
