"""A run with something new reads back the results that it concerns; the outbox is believed of the others.

docs/decisions/042-what-a-run-with-something-new-does-again.md. Dry runs read one by one, so that each shows.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Unpack

import httpx
import pytest

from fhir_srs.config import Settings
from fhir_srs.store import SETTLED
from fhir_srs.sync import run_sync
from fhir_srs.sync.options import Flags
from fhir_srs.sync.session import local_store
from tests.server.patients import pain, person
from tests.server.prepared import Prepared, prepared
from tests.server.test_sync import done, resources, settings
from tests.server.test_sync_quiet import Site, provenance_of

NEW_SCORE = pain(person("a"), "2024-03-04", 1)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with prepared(resources(), tmp_path_factory.mktemp) as one:
        yield one


@pytest.fixture
def site(lasting: Prepared, tmp_path: Path) -> Iterator[Site]:
    one = Site(lasting, tmp_path)
    yield one
    one.ward.close()


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
