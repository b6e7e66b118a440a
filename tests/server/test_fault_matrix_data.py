"""The fault matrix of reliability.md in what a server says: poisoned values, odd dates, hostile texts.

One score is poisoned on each page that holds one. The rest of the patient is read; what cannot be read is
counted and named; nothing stops the run (I13).
"""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_srs import load_profile, map_resources
from fhir_srs.model import to_json
from fhir_srs.report.run import run_row, run_text
from fhir_srs.store import open_store
from tests.server.bench import WHOLE, Bench, Pulls, bench, pulling
from tests.server.hospital import hospital
from tests.server.patients import pain, person, story, surgery_coded
from tests.server.test_pull import names, pull
from tests.server.test_sync import done

FIRST = "Observation/a-pain-2024-03-04"


@pytest.fixture(scope="module")
def pulls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulls]:
    with pulling(lambda: tmp_path_factory.mktemp("data")) as one:
        yield one


def refusals(one: Bench) -> dict[str, int]:
    with open_store(one.folder / "state", one.server.base_url) as store:
        return dict(store.refusals())


def issues(one: Bench) -> set[str]:
    """The reasons that mapping of what was stored gives, as `map` would tell them."""
    with open_store(one.folder / "state", one.server.base_url) as store:
        return {each.reason for each in map_resources(store.payloads(), profile=load_profile("mcode")).issues}


def payload(one: Bench, name: str) -> str:
    with open_store(one.folder / "state", one.server.base_url) as store:
        identity = json.dumps(name.split("/")[1])[1:-1]
        return next(body.decode() for body in store.payloads() if f'"id":"{identity}"'.encode() in body)


@pytest.fixture(scope="module")
def usual(pulls: Pulls) -> set[str]:
    """The reasons that there are without a fault."""
    with pulls() as one:
        done(one.run())
        return issues(one)


@pytest.mark.parametrize("name", ["nan", "infinity", "deep", "lone-surrogate"])
def test_F28_F30_F31_I13_poison_harms_its_resource_alone_and_is_named(pulls: Pulls, name: str) -> None:
    # Two observations begin a page of three; each is poisoned until the page is mended.
    with pulls(f"{name},type=Observation,on=search") as one:
        done(one.run())
        assert one.names() == WHOLE - {FIRST}
        assert refusals(one) == {"resource-unreadable": 1}
        with open_store(one.folder / "state", one.server.base_url) as store:
            found = store.quarantined()
        assert [(each.type, each.id, each.version) for each in found] == [(*FIRST.split("/"), "1")]
        one.faults.clear()
        done(one.run(full=True))
        assert one.names() == WHOLE
        assert refusals(one) == {}


@pytest.mark.parametrize("name", ["1e999", "long-number", "number-as-text"])
def test_F28_F29_F35_a_number_that_is_no_score_is_an_issue_of_its_element(
    pulls: Pulls, usual: set[str], name: str
) -> None:
    with pulls(f"{name},type=Observation,on=search") as one:
        done(one.run())
        assert one.names() == WHOLE
        assert issues(one) - usual


def test_F29_minus_zero_is_a_score_of_zero(pulls: Pulls) -> None:
    with pulls("minus-zero,type=Observation,on=search") as one:
        assert done(one.run()).lesions == 1
        with open_store(one.folder / "state", one.server.base_url) as store:
            mapped = map_resources(store.payloads(), profile=load_profile("mcode"))
        assert 0 in {event.value for event in mapped.events if event.source.startswith(FIRST)}


def test_F32_of_an_element_that_comes_twice_the_last_counts(pulls: Pulls) -> None:
    with pulls("duplicate-keys,type=Observation,on=search") as one:
        done(one.run())
        assert re.search(r'"value":10\b', payload(one, FIRST))


def test_F33_all_digits_of_a_value_are_kept(pulls: Pulls) -> None:
    with pulls("many-digits,type=Observation,on=search") as one:
        done(one.run())
        assert '"value":3.00000000000000000000001' in payload(one, FIRST)


def test_F34_an_impossible_date_is_an_issue_and_is_counted(pulls: Pulls, usual: set[str]) -> None:
    with pulls("bad-date,type=Observation,on=search") as one:
        done(one.run())
        assert one.names() == WHOLE
        assert issues(one) - usual


def test_F35_a_status_that_does_not_exist_is_counted(pulls: Pulls, usual: set[str]) -> None:
    with pulls("bad-status,type=Observation,on=search") as one:
        done(one.run())
        assert one.names() == WHOLE
        assert issues(one) - usual


def test_F36_unknown_elements_are_passed_over_and_a_bad_entry_harms_itself_alone(pulls: Pulls) -> None:
    with pulls("unknown-element") as one:
        done(one.run())
        assert one.names() == WHOLE
        assert "x-vendor" not in one.stored()
    with pulls("bad-entry,type=Observation,on=search") as one:
        done(one.run())
        assert one.names() == WHOLE
        assert refusals(one) == {"resource-unreadable": 1}


@pytest.mark.parametrize("name", ["foreign-reference", "traversal"])
def test_F37_a_row_of_somebody_elsewhere_is_not_taken(pulls: Pulls, name: str) -> None:
    with pulls(f"{name},type=Observation,on=search") as one:
        one.ends("incomplete", 65)  # not what was asked for: as good as an ignored filter
        assert not [path for _, path in one.server.requests if "attacker" in path or ".." in path]
        one.reads_whole()


@pytest.mark.parametrize(
    "subject",
    ["https://attacker.invalid/fhir/Patient/a", "Patient/../../a", "#p", "urn:uuid:0000", "Patient/a/b", ""],
)
def test_F37_a_treatment_of_nobody_here_makes_no_cohort(tmp_path: Path, subject: str) -> None:
    foreign = {**surgery_coded(person("z")), "subject": {"reference": subject}}
    with hospital([*story("a"), foreign]) as ehr:
        pull(ehr, tmp_path)
        assert set(names(tmp_path)) == WHOLE
        assert not [query for query in ehr.queries if "attacker" in query or ".." in query]


def test_F47_hostile_texts_reach_neither_store_nor_table_nor_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evil = "=cmd|' /C calc'!A0\x1b[31m<script>\u202egnp\n"
    patient = person("a")
    patient["name"] = [{"family": evil, "given": ["x" * 1_000_000]}]
    patient["identifier"][0]["value"] = f"mrn{evil}"
    score = {**pain(person("a"), "2024-05-01", 2), "note": [{"text": evil}]}
    resources = [patient, score, *story("a")[1:]]
    with bench(tmp_path, resources=resources, count=100) as one:
        summary = done(one.run())
        said = run_text(summary) + caplog.text
        assert "cmd" not in said + to_json(run_row(summary)).decode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u202a-\u202e]", said)
        assert "x" * 1000 not in one.stored()
        names = [each.name for each in (one.folder / "state").iterdir()]
        assert not [name for name in names if "cmd" in name]
