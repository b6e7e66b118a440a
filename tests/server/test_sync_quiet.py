"""What a run need not do again: one that finds nothing new plans nothing, one that does reads back little.

docs/decisions/040-runs-with-nothing-new.md, 042-what-a-run-with-something-new-does-again.md
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Unpack

import httpx
import msgspec
import pytest

from fhir_srs.config import Settings
from fhir_srs.store import SETTLED
from fhir_srs.summary import RunSummary
from fhir_srs.sync import Machine, run_sync
from fhir_srs.sync.conformance import put_definitions
from fhir_srs.sync.doctor import examine
from fhir_srs.sync.options import Flags
from fhir_srs.sync.session import local_store
from tests.server.patients import pain, person
from tests.server.prepared import Prepared, prepared
from tests.server.test_sync import Ward, done, resources, run, settings


class Site:
    """A server whose results were written, and the state folder that knows it."""

    def __init__(self, lasting: Prepared, folder: Path) -> None:
        self.server, self.folder = lasting.anew(), folder
        self.ward, self.first = Ward(self.server.base_url), lasting.first(folder, run)

    def run(self, **options: Any) -> RunSummary:
        return done(run(self.server, self.folder, **options))

    def planned_anew(self, **options: Any) -> bool:
        """Whether a run reads the server's copies of results, which every plan begins with."""
        seen = len(self.server.requests)
        self.run(**options)
        return ("POST", "/fhir") in [
            (method, path.rstrip("/")) for method, path in self.server.requests[seen:]
        ]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with prepared(resources(), tmp_path_factory.mktemp) as one:
        yield one


@pytest.fixture
def site(lasting: Prepared, tmp_path: Path) -> Iterator[Site]:
    one = Site(lasting, tmp_path)
    yield one
    one.ward.close()


def test_with_nothing_new_a_run_says_what_the_last_one_found_and_only_searches(site: Site) -> None:
    before, seen = site.ward.versions(), len(site.server.requests)
    second = site.run()
    assert {method for method, _ in site.server.requests[seen:]} == {"GET"}
    assert (second.lesions, second.patients, second.outcomes) == (
        site.first.lesions,
        site.first.patients,
        site.first.outcomes,
    )
    assert (second.resources, second.refused) == (site.first.resources, site.first.refused)
    assert second.planned.unchanged == site.first.planned.create
    assert second.requests < site.first.requests
    assert site.ward.versions() == before


def test_a_full_run_plans_all_again_and_finds_it_as_the_quiet_one_said(site: Site) -> None:
    quiet, full = site.run(), site.run(full=True)
    assert full.tables
    assert not quiet.tables
    for name in ("lesions", "patients", "outcomes", "resources", "refused", "planned", "written"):
        assert getattr(full, name) == getattr(quiet, name), name


def test_a_changed_score_is_planned_and_the_run_after_it_is_quiet_again(site: Site) -> None:
    assert not site.planned_anew()
    site.ward.put(pain(person("a"), "2024-03-04", 1))
    assert site.run().written.updated > 0
    assert not site.planned_anew()


def test_a_result_that_another_deleted_is_told_by_the_next_run_and_by_those_after_it(site: Site) -> None:
    name = min(site.ward.results())
    httpx.delete(f"{site.server.base_url}/Provenance/{provenance_of(site, name)}").raise_for_status()
    httpx.delete(f"{site.server.base_url}/Observation/{name}").raise_for_status()
    assert [site.run().written.externally_deleted for _ in range(3)] == [1, 1, 1]


def provenance_of(site: Site, name: str) -> str:
    told = site.ward.all("Provenance").items()
    return next(key for key, one in told if one["target"][0]["reference"] == f"Observation/{name}")


def test_a_result_that_another_edited_is_told_by_the_next_run_and_by_those_after_it(site: Site) -> None:
    result = next(one for _, one in sorted(site.ward.results().items()) if "valueQuantity" in one)
    site.ward.put({**result, "valueQuantity": {**result["valueQuantity"], "value": 99}})
    assert [site.run().written.conflict for _ in range(3)] == [1, 1, 1]


def test_a_copy_of_a_result_that_the_outbox_does_not_know_is_looked_at(site: Site) -> None:
    result = next(iter(site.ward.results().values()))
    site.ward.put({**result, "id": "srs-anothers"})
    assert site.planned_anew()


def test_another_installations_result_is_left_and_told_until_an_operator_insists(site: Site) -> None:
    result = next(iter(site.ward.results().values()))
    name = f"srs-{'a' * 40}"
    system = result["identifier"][0]["system"]
    site.ward.put({**result, "id": name, "identifier": [{"system": system, "value": name}]})
    told = examine(settings(site.server.base_url, site.folder), Machine())
    assert [one.level for one in told if one.topic == "target: results"] == ["warning"]
    second = site.run()
    assert (second.planned.retract, second.written.retracted) == (0, 0)
    assert "1 results under our canonical_base are not of this installation" in " ".join(second.notes)
    assert site.ward.results()[name]["status"] == result["status"]
    assert site.run(retract=True).written.retracted == 1
    assert site.ward.results()[name]["status"] == "entered-in-error"
    assert site.run().notes == ()
    told = examine(settings(site.server.base_url, site.folder), Machine())
    assert "target: results" not in {one.topic for one in told}


def test_after_our_definitions_were_put_on_the_server_all_is_planned(site: Site) -> None:
    put_definitions(settings(site.server.base_url, site.folder))
    assert site.run().tables


@pytest.mark.parametrize("option", ["full", "retract", "recreate", "overwrite", "census"])
def test_what_an_operator_insists_on_is_planned(site: Site, option: str) -> None:
    assert site.planned_anew(**{option: True})


def test_another_cutoff_is_planned(site: Site) -> None:
    chosen = settings(site.server.base_url, site.folder)
    study = chosen.study.model_copy(update={"cutoff": date(2025, 6, 30)})
    summary = done(run_sync(chosen.model_copy(update={"study": study})))
    assert summary.tables


def test_a_dry_run_may_be_quiet_too_and_leaves_the_mark(site: Site) -> None:
    assert site.run(dry_run=True).planned.unchanged == site.first.planned.create
    assert not site.planned_anew()


def test_what_the_mark_holds_is_counts_and_reasons_alone(site: Site) -> None:
    with local_store(settings(site.server.base_url, site.folder)) as (_, store):
        told = msgspec.json.decode(store.mark(SETTLED) or "{}")
    assert told["lesions"] == site.first.lesions
    assert "Patient/" not in str(told)


# A run with something new reads back the results that it concerns; the outbox is believed of the others
# (docs/decisions/042-what-a-run-with-something-new-does-again.md). Dry runs read one by one: each shows.

NEW_SCORE = pain(person("a"), "2024-03-04", 1)


def read_back(site: Site, chosen: Settings | None = None, **options: Unpack[Flags]) -> set[str]:
    """The results whose copies a dry run reads."""
    seen = len(site.server.requests)
    done(run_sync(chosen or settings(site.server.base_url, site.folder), **{**options, "dry_run": True}))
    paths = (path.partition("?")[0] for method, path in site.server.requests[seen:] if method == "GET")
    return {path.rpartition("/")[2] for path in paths if "/Observation/srs-" in path}


def a_numeric_result(site: Site) -> tuple[str, dict[str, object]]:
    return next(one for one in sorted(site.ward.results().items()) if "valueQuantity" in one[1])


def test_of_a_changed_score_only_the_results_that_it_changes_are_read_back(site: Site) -> None:
    site.run()
    site.ward.put(NEW_SCORE)
    read, written = read_back(site), site.run().written
    assert 0 < len(read) == written.created + written.updated < len(site.ward.results())
    assert len(read_back(site, full=True)) == len(site.ward.results())


def test_what_was_believed_counts_as_unchanged(site: Site) -> None:
    site.run()
    site.ward.put(NEW_SCORE)
    planned = site.run(dry_run=True).planned
    assert planned == site.run(dry_run=True, full=True).planned
    assert planned.unchanged > planned.update > 0


def test_the_first_run_on_another_cutoff_reads_all_back(site: Site) -> None:
    site.run()
    assert read_back(site, until(site, date(2025, 6, 30))) >= set(site.ward.results())
    done(run_sync(until(site, date(2025, 6, 30))))
    site.ward.put(NEW_SCORE)
    assert 0 < len(read_back(site, until(site, date(2025, 6, 30)))) < len(site.ward.results())


def until(site: Site, cutoff: date) -> Settings:
    chosen = settings(site.server.base_url, site.folder)
    return chosen.model_copy(update={"study": chosen.study.model_copy(update={"cutoff": cutoff})})


def test_an_edit_by_another_is_told_by_a_run_that_has_something_else_to_do(site: Site) -> None:
    site.run()
    _, result = a_numeric_result(site)
    site.ward.put({**result, "valueQuantity": {"value": 99, "unit": "1", "code": "1"}})
    site.ward.put(NEW_SCORE)
    assert [site.run().written.conflict, site.run().written.conflict] == [1, 1]


def test_a_deletion_by_another_is_told_by_a_run_that_has_something_else_to_do(site: Site) -> None:
    site.run()
    name, _ = a_numeric_result(site)
    httpx.delete(f"{site.server.base_url}/Provenance/{provenance_of(site, name)}").raise_for_status()
    httpx.delete(f"{site.server.base_url}/Observation/{name}").raise_for_status()
    site.ward.put(NEW_SCORE)
    assert [site.run().written.externally_deleted, site.run().written.externally_deleted] == [1, 1]


def test_a_version_without_another_content_is_read_once(site: Site) -> None:
    site.run()
    name, result = a_numeric_result(site)
    site.ward.put({**result, "issued": "2026-01-02T03:04:05Z"})
    site.ward.put(NEW_SCORE)
    assert name in read_back(site)
    site.run()
    with local_store(settings(site.server.base_url, site.folder)) as (_, store):
        store.unmark(SETTLED)
    assert read_back(site) == set()


def test_a_line_of_the_outbox_that_was_flipped_is_not_believed(site: Site) -> None:
    site.run()
    name, _ = a_numeric_result(site)
    with local_store(settings(site.server.base_url, site.folder)) as (_, store):
        store.unmark(SETTLED)
        store._db.execute(
            "update outbox set confirmed_sha = replace(confirmed_sha, 'a', 'b') where id = ?", (name,)
        )
    assert read_back(site) == {name}
