"""The main job on a real HAPI server: outcomes created once, then exactly the dependents of a change."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_srs.config import Settings, parse_settings
from fhir_srs.model import to_json
from fhir_srs.summary import RunSummary
from fhir_srs.sync import run_sync
from fhir_srs.testing.cohort import Cohort, ryu2008_cohort

pytestmark = [pytest.mark.hapi, pytest.mark.timeout(600)]

BASE = "https://end-to-end.example.org"
RESULT = f"{BASE}/result"
FHIR = {"Content-Type": "application/fhir+json", "Cache-Control": "no-cache"}
Json = dict[str, Any]


class Hospital:
    """The server as a bystander sees it, without the program under test."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._http = httpx.Client(trust_env=False, timeout=120, headers=FHIR)

    def load(self, cohort: Cohort) -> None:
        for bundle in cohort.transactions():
            answer = self._http.post(self.base, content=to_json(bundle))
            assert answer.status_code == 200, answer.text[:300]

    def put(self, resource: Json) -> None:
        path = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        answer = self._http.put(path, content=json.dumps(resource))
        assert answer.status_code == 200, answer.text[:300]

    def search(self, query: str) -> list[Json]:
        url: str | None = f"{self.base}/{query}"
        found: list[Json] = []
        while url:
            bundle = self._http.get(url).json()
            found += [entry["resource"] for entry in bundle.get("entry", [])]
            url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
        return found

    def results(self) -> dict[str, Json]:
        found = self.search(f"Observation?identifier={RESULT}%7C&_count=1000")
        return {f"Observation/{one['id']}": one for one in found}

    def versions(self) -> dict[str, str]:
        return {name: one["meta"]["versionId"] for name, one in self.results().items()}

    def inputs(self) -> dict[str, set[str]]:
        """What each result was made of, by its Provenance."""
        found: dict[str, set[str]] = {}
        for one in self.search("Provenance?_count=1000"):
            values = [
                entity["what"].get("identifier", {}).get("value", "") for entity in one.get("entity", [])
            ]
            for target in one["target"]:
                found[target["reference"]] = {value.split("/_history/")[0] for value in values}
        return found

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def hospital(hapi_base: str) -> Iterator[Hospital]:
    one = Hospital(hapi_base)
    yield one
    one.close()


def settings(base: str, folder: Path, cohort: Cohort) -> Settings:
    content = {
        "source": {"base_url": base, "allow_insecure_loopback": True},
        "target": {"canonical_base": BASE, "synthetic": True},
        "study": {"names": ["ryu2008"], "cutoff": cohort.cutoff},
        "store": {"folder": "state"},
        "sync": {"write": True},
    }
    return parse_settings(content, folder=folder)


def done(summary: RunSummary) -> RunSummary:
    assert (summary.status, summary.exit_code, summary.error) == ("done", 0, None)
    assert summary.complete
    return summary


def a_score(cohort: Cohort) -> Json:
    """A whole-number pain score long after treatment, of a patient who has others."""
    scores = [
        one
        for one in cohort.resources
        if one["resourceType"] == "Observation"
        and one["status"] == "final"
        and one["code"]["coding"][0]["code"] == "72514-3"
        and "valueInteger" in one
    ]
    return max(scores, key=lambda one: (str(one.get("effectiveDateTime", "")), one["id"]))


def test_outcomes_are_created_once_and_one_changed_score_updates_exactly_its_dependents(
    hospital: Hospital, tmp_path: Path
) -> None:
    cohort = ryu2008_cohort()
    hospital.load(cohort)
    where = settings(hospital.base, tmp_path, cohort)

    first = done(run_sync(where))
    before = hospital.versions()
    assert first.lesions >= 61
    assert len(before) > 1000
    assert first.written.created == first.planned.create >= len(before)

    second = done(run_sync(where, full=True))  # planned from all data again, not left as settled
    assert (second.written.created, second.written.updated, second.written.retracted) == (0, 0, 0)
    assert second.planned.unchanged == first.planned.create
    assert hospital.versions() == before
    assert done(run_sync(where)).requests < second.requests

    score = a_score(cohort)
    name = f"Observation/{score['id']}"
    rested = {one for one, sources in hospital.inputs().items() if name in sources}
    hospital.put({**score, "valueInteger": 9 if score["valueInteger"] != 9 else 1})
    third = done(run_sync(where))
    results = hospital.results()
    after = {one: body["meta"]["versionId"] for one, body in results.items()}
    changed = {one for one in after if after[one] != before.get(one)}
    figures = {one for one, body in results.items() if body["subject"]["reference"].startswith("Group/")}
    rests = {one for one, sources in hospital.inputs().items() if name in sources}
    assert changed - figures
    assert changed - figures <= rested | rests
    assert third.pulled["Observation"].changed == 1
    assert third.written.created == 0
    assert third.written.updated >= len(changed)

    fourth = done(run_sync(where))
    assert (fourth.written.created, fourth.written.updated, fourth.written.retracted) == (0, 0, 0)
    assert hospital.versions() == after
