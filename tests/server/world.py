"""A hospital that changes under the program, and what must be true after every sync, from its own records.

The oracle is the test server's memory, read directly: which versions of what are live, who had radiosurgery,
who was merged with whom, who opted out. The program under test is not asked.
"""

import json
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from fhir_srs.config import Settings, parse_settings
from fhir_srs.endpoints import derive, load_study
from fhir_srs.estimates import estimate
from fhir_srs.mapping import map_resources
from fhir_srs.mapping.profile import load_profile
from fhir_srs.results.canonical import canonical_hash
from fhir_srs.results.observations import build_results
from fhir_srs.results.target import ResultTarget
from fhir_srs.store import open_store
from fhir_srs.store.database import Store
from fhir_srs.summary import RunSummary
from fhir_srs.sync import Machine, run_sync
from fhir_srs.testing.faults import Planned
from fhir_srs.testing.server import running_server
from tests.canaries import found_in
from tests.server.patients import OTHER, Json, story
from tests.server.settings import BASE, written_settings
from tests.server.test_sync import Ward, done

CUTOFF = datetime(2025, 12, 31, tzinfo=UTC).date()
START = datetime(2026, 1, 5, 12, tzinfo=UTC)
LAG = timedelta(seconds=300)
_MERGED = {"replaced-by", "replaces"}
_PROFILE = load_profile("mcode")


class World:
    """The hospital, its clock, one state folder, and the results that somebody else has laid hands on."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self.folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        self.now, self.skew = START, timedelta(0)
        self.faults: list[Planned] = []
        first = [one for name in ("a", "b") for one in story(name)]
        server = running_server(first, clock=lambda: self.now, faults=self.faults)
        self.server = self._open.enter_context(server)
        self.ward = Ward(self.server.base_url)
        self._open.callback(self.ward.close)
        self.versions = self.server._versions
        self.edited: dict[str, Json] = {}  # results that an operator changed
        self.removed: set[str] = set()  # results that an operator deleted
        self.traceless = False  # something was expunged since all ids were last compared
        self.went_back = False  # the server's clock, since the last clean run
        self.watermarks: dict[str, str] = {}
        sync = "write = true\ncount = 10\n"
        self.path = written_settings(self.folder, self.server.base_url, sync)

    def close(self) -> None:
        found = found_in(self.folder)
        self._open.close()
        assert found == []

    # What the hospital does.

    def put(self, resource: Json) -> None:
        self.ward.put(resource)

    def put_unreadable(self, resource: Json) -> None:
        """Store what no server should have taken."""
        self.server.load([resource])

    def delete(self, name: str) -> None:
        """Delete `Type/id`, unless others refer to it."""
        answer = httpx.delete(f"{self.server.base_url}/{name}", trust_env=False)
        assert answer.status_code in {200, 409}, answer.text

    def expunge(self, name: str) -> None:
        """Take `Type/id` away with all its versions, as `$expunge` does, unless others refer to it."""
        kind, _, identity = name.partition("/")
        live = identity in self.versions.current(kind)
        if live and self.versions._referrers.get(name, set()) - {(kind, identity)}:
            return
        if live:
            self.versions._unindex((kind, identity))
            self.traceless = True
        self.versions._history.pop((kind, identity), None)
        self.versions._log = [one for one in self.versions._log if one.address != name]

    def live(self, kind: str) -> dict[str, Json]:
        found = self.versions.current(kind)
        return {name: json.loads(one.raw) for name, one in sorted(found.items())}

    def is_live(self, name: str) -> bool:
        kind, _, identity = name.partition("/")
        return identity in self.versions.current(kind)

    # What the program does.

    def settings(self, folder: str = "state") -> Settings:
        content = {
            "source": {"base_url": self.server.base_url, "allow_insecure_loopback": True},
            "target": {"canonical_base": BASE, "synthetic": True, "references": "logical"},
            "study": {"names": ["ryu2008"], "cutoff": CUTOFF.isoformat()},
            "store": {"folder": folder},
            "sync": {"write": True, "count": 10},
        }
        return parse_settings(content, folder=self.folder)

    def sync(self, folder: str = "state", **options: Any) -> RunSummary:
        machine = Machine(sleep=lambda _: None, now=lambda: datetime.now(UTC) + self.skew, random=lambda: 0.5)
        return run_sync(self.settings(folder), machine=machine, **options)

    def clean(self, **options: Any) -> RunSummary:
        """
        A run without faults; all ids are compared where something went without a trace.

        So it is where the server's clock went back and has caught up with our watermark unseen.
        """
        self.faults.clear()
        caught_up = self.went_back and self.now >= max(
            map(datetime.fromisoformat, self.marks().values()), default=self.now
        )
        asked = {"retract": True, "census": self.traceless or caught_up, **options}
        summary = done(self.sync(**asked))
        self.traceless = self.went_back = False
        return summary

    # What must hold.

    def check(self) -> None:
        """I1, I2, I3, I5, I7, I10, I12, I14 after a clean run."""
        self._check_watermarks()
        with open_store(self.folder / "state", self.server.base_url) as store:
            assert set(store.fingerprints()) == self.in_scope()
            assert _versions(store) == self._live_versions()
            derived = self._check_rebuild(store)
        self._check_results(derived)
        before = self.ward.versions()
        again = self.sync(retract=True)
        assert self._wrote_nothing(done(again))
        assert self.ward.versions() == before

    def _wrote_nothing(self, summary: RunSummary) -> bool:
        wrote = summary.written
        return (wrote.created, wrote.updated, wrote.retracted, wrote.failed) == (0, 0, 0, 0)

    def marks(self) -> dict[str, str]:
        with open_store(self.folder / "state", self.server.base_url) as store:
            return {name: one.watermark for name, one in store.cursors().items()}

    def _check_watermarks(self) -> None:
        found = self.marks()
        assert all(found.get(name, "") >= mark for name, mark in self.watermarks.items())
        self.watermarks = found

    def _check_rebuild(self, store: Store) -> dict[str, str]:
        """The store is what a full load makes (I2); the results that follow from it, by reference."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            Path(name).chmod(0o700)
            done(self.sync(Path(name).name, pull_only=True))
            with open_store(Path(name), self.server.base_url) as fresh:
                assert store.fingerprints() == fresh.fingerprints()
                refused = [(one.type, one.id, one.version, one.path) for one in store.quarantined()]
                assert refused == [(one.type, one.id, one.version, one.path) for one in fresh.quarantined()]
                return _results(fresh)

    def _check_results(self, derived: dict[str, str]) -> None:
        """What is on the server is what follows from the data; others' edits and deletions are left alone."""
        current = self.versions.current("Observation")
        live = {
            f"Observation/{name}": canonical_hash(current[name].raw)
            for name, one in self.results().items()
            if one["status"] != "entered-in-error"
        }
        theirs = {f"Observation/{name}" for name in {*self.edited, *self.removed}}
        assert {name: sha for name, sha in live.items() if name not in theirs} == {
            name: sha for name, sha in derived.items() if name not in theirs
        }
        for name, content in self.edited.items():
            assert self.results()[name]["note"] == content["note"]
        assert not self.removed & self.results().keys()

    def results(self) -> dict[str, Json]:
        return {name: one for name, one in self.live("Observation").items() if _is_ours(one)}

    def in_scope(self) -> set[tuple[str, str]]:
        """Type and id of all that is live, readable, and of a person who was treated and is no opt-out."""
        members = self.members()
        found = {("Patient", name.removeprefix("Patient/")) for name in members if self.is_live(name)}
        for kind in ("Procedure", "Observation", "BodyStructure", "MedicationRequest"):
            for name, one in self.live(kind).items():
                if _owner(one) in members and not _is_ours(one) and not _is_broken(one):
                    found.add((kind, name))
        requests = self.live("MedicationRequest")
        for kind, name in sorted(found):
            target = (
                (requests.get(name) or {}).get("medicationReference") if kind == "MedicationRequest" else None
            )
            if target and self.is_live(target["reference"]):
                found.add(("Medication", target["reference"].removeprefix("Medication/")))
        return found

    def members(self) -> set[str]:
        found = {
            _owner(one)
            for one in self.live("Procedure").values()
            if one["code"] != OTHER and not _is_broken(one)
        }
        links = self._links()
        out = {_owner(one) for one in self.live("Consent").values() if one["status"] == "active"}
        return _closure(found, links) - _closure(out, links)

    def _links(self) -> list[set[str]]:
        return [
            {f"Patient/{name}", link["other"]["reference"]}
            for name, one in self.live("Patient").items()
            for link in one.get("link", [])
            if link["type"] in _MERGED
        ]

    def _live_versions(self) -> dict[tuple[str, str], str]:
        return {(kind, name): str(self.versions.current(kind)[name].number) for kind, name in self.in_scope()}


def _versions(store: Store) -> dict[tuple[str, str], str | None]:
    return {(kind, name): number for kind in store.live() for name, number in store.versions(kind).items()}


def _results(store: Store) -> dict[str, str]:
    """The canonical hash of each result that the resources in *store* support, by reference."""
    mapped = map_resources(store.payloads(), profile=_PROFILE)
    outcomes = derive(mapped, study=load_study("ryu2008"), data_cutoff=CUTOFF)
    target = ResultTarget(canonical_base=BASE, references="logical", synthetic=True)
    units = build_results(
        outcomes,
        mapped.lesions,
        mapped.patients,
        estimate(outcomes),
        target,
        version("fhir-srs"),
        recorded=START,
    )
    return {unit.reference: canonical_hash(unit.resource) for unit in units if unit.type == "Observation"}


def _closure(seeds: set[str], links: list[set[str]]) -> set[str]:
    found = set(seeds)
    while more := set().union(*(link for link in links if link & found)) - found:
        found |= more
    return found


def _owner(one: Json) -> str:
    found: str = (one.get("subject") or one["patient"]).get("reference", "")
    return found


def _is_ours(one: Json) -> bool:
    return any(each.get("system") == f"{BASE}/result" for each in one.get("identifier", []))


def _is_broken(one: Json) -> bool:
    return isinstance(one.get("code"), str)
