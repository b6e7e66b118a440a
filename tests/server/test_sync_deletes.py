"""What happens to results when their sources vanish, move or merge; what another deleted stays deleted."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_srs.store import open_store
from fhir_srs.sync import run_sync
from fhir_srs.testing.server import RunningServer
from tests.server.patients import Json, course, pain, person, story
from tests.server.prepared import Prepared, prepared
from tests.server.test_sync import CHANGED, NOTHING, Ward, done, made_of, run, settings

PEOPLE = ("a", "b", "c")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with prepared([one for name in PEOPLE for one in story(name)], tmp_path_factory.mktemp) as one:
        yield one


@pytest.fixture
def server(lasting: Prepared) -> RunningServer:
    return lasting.anew()


@pytest.fixture
def ward(server: RunningServer) -> Iterator[Ward]:
    one = Ward(server.base_url)
    yield one
    one.close()


def delete(server: RunningServer, name: str) -> None:
    assert httpx.delete(f"{server.base_url}/{name}", trust_env=False).status_code == 200, name


def apart(server: RunningServer, folder: Path, **options: Any) -> Any:
    """A run whose results hold their inputs by identifier, so that those can be deleted (decisions.md 5)."""
    chosen = settings(server.base_url, folder)
    target = chosen.target.model_copy(update={"references": "logical"})
    return run_sync(chosen.model_copy(update={"target": target}), **options)


def stored(folder: Path, base: str) -> set[str]:
    with open_store(folder / "state", base) as store:
        return {f"{kind}/{name}" for kind in store.live() for name in store.present(kind)}


def test_I10_a_deleted_score_leaves_the_results_and_comes_back_with_it(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    source = f"Observation/a-pain-{CHANGED}"
    before = ward.results()
    assert made_of(ward, source)
    delete(server, source)
    summary = done(apart(server, tmp_path))
    assert summary.pulled["Observation"].deleted == 1
    assert made_of(ward, source) == set()
    assert source not in stored(tmp_path, server.base_url)
    assert done(apart(server, tmp_path)).written == NOTHING
    ward.put(pain(person("a"), CHANGED, 1))
    assert done(apart(server, tmp_path)).pulled["Observation"].new == 1
    after = ward.results()
    assert {name: one["status"] for name, one in after.items()} == {
        name: one["status"] for name, one in before.items()
    }
    assert made_of(ward, source)


def test_I10_a_deleted_treatment_withdraws_its_results_and_no_other(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    of_c = alive(ward, "c")
    delete(server, "Procedure/c-course")
    braked = apart(server, tmp_path)
    assert (braked.status, braked.exit_code, braked.written) == ("stopped", 65, NOTHING)
    summary = done(apart(server, tmp_path, retract=True))
    assert summary.written.retracted == len(of_c)
    assert summary.lesions == 2
    withdrawn = {name for name, one in ward.results().items() if one["status"] == "entered-in-error"}
    assert withdrawn == of_c


@pytest.mark.parametrize("traceless", [False, True])
def test_I2_a_patient_whose_only_treatment_is_gone_leaves_the_store(
    lasting: Prepared, server: RunningServer, tmp_path: Path, traceless: bool
) -> None:
    lasting.first(tmp_path, apart)
    before = stored(tmp_path, server.base_url)
    (expunge if traceless else delete)(server, "Procedure/c-course")
    done(apart(server, tmp_path, retract=True, census=traceless))
    of_c = {one for one in before if one == "Patient/c" or "/c-" in one}
    assert stored(tmp_path, server.base_url) == before - of_c


def test_I10_what_was_expunged_is_found_by_the_census(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    source = f"Observation/a-pain-{CHANGED}"
    expunge(server, source)
    assert "Observation" not in {
        kind for kind, one in done(apart(server, tmp_path)).pulled.items() if one.deleted
    }
    assert source in stored(tmp_path, server.base_url)
    summary = done(apart(server, tmp_path, full=True))
    assert summary.pulled["Observation"].deleted == 1
    assert made_of(ward, source) == set()


def expunge(server: RunningServer, name: str) -> None:
    """Take a resource out of the server's memory with all its versions, as `$expunge` does."""
    kind, _, identity = name.partition("/")
    versions = server._versions  # no interaction of the test server does it
    for referrers in versions._referrers.values():
        referrers.discard((kind, identity))
    del versions._current[kind][identity], versions._history[kind, identity]


def test_I11_more_gone_than_the_brake_allows_stops_the_run_until_an_operator_says_so(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    first = lasting.first(tmp_path, apart)
    for name in ("a", "b"):
        for day in ("2024-03-19", "2024-04-16", "2024-06-05"):
            delete(server, f"Observation/{name}-pain-{day}")
    before = ward.versions()
    for _ in range(2):
        braked = apart(server, tmp_path)
        assert (braked.status, braked.exit_code, braked.complete) == ("stopped", 65, False)
        assert "Observation 6" in (braked.error or "")
        assert braked.watermarks == first.watermarks
    assert ward.versions() == before
    assert done(apart(server, tmp_path, retract=True)).pulled["Observation"].deleted == 6


def test_I12_results_follow_the_surviving_patient_and_unmerging_restores_them(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    of_a = alive(ward, "a")
    ward.put({**person("survivor"), "link": [{"other": {"reference": "Patient/a"}, "type": "replaces"}]})
    ward.put(pain(person("survivor"), "2024-04-01", 1))
    ward.put(
        {
            **person("a"),
            "active": False,
            "link": [{"other": {"reference": "Patient/survivor"}, "type": "replaced-by"}],
        }
    )
    merged = done(apart(server, tmp_path, retract=True))
    assert merged.lesions == 3
    assert alive(ward, "a") == set()
    assert alive(ward, "survivor")
    assert made_of(ward, "Observation/survivor-pain-2024-04-01")
    assert done(apart(server, tmp_path)).written == NOTHING
    ward.put(person("a"))
    ward.put(person("survivor"))
    assert done(apart(server, tmp_path, retract=True)).lesions == 3
    assert alive(ward, "a") == of_a
    assert alive(ward, "survivor") == set()


def test_I2_I12_a_full_load_finds_whom_a_treated_patient_was_merged_with(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    ward.put({**person("old"), "link": [{"other": {"reference": "Patient/a"}, "type": "replaced-by"}]})
    link = [{"other": {"reference": "Patient/old"}, "type": "replaces"}]
    ward.put({**person("a"), "link": link})
    done(apart(server, tmp_path))
    assert {"Patient/old", "Patient/a"} <= stored(tmp_path, server.base_url)


def is_about(one: Json, name: str) -> bool:
    """Whether a result is about that patient, by reference or by identifier."""
    subject = one["subject"]
    named = subject.get("reference"), subject.get("identifier", {}).get("value")
    return named in {(f"Patient/{name}", None), (None, f"mrn-{name}")}


def alive(ward: Ward, name: str) -> set[str]:
    return {
        key
        for key, one in ward.results().items()
        if is_about(one, name) and one["status"] != "entered-in-error"
    }


def test_a_resource_that_moves_to_a_stranger_leaves_the_store(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    ward.put(person("stranger"))
    done(apart(server, tmp_path))
    moved = pain(person("a"), CHANGED, 1)
    ward.put({**moved, "subject": {"reference": "Patient/stranger"}})
    done(apart(server, tmp_path))
    assert f"Observation/{moved['id']}" not in stored(tmp_path, server.base_url)
    assert made_of(ward, f"Observation/{moved['id']}") == set()


def test_a_result_that_another_deleted_is_told_and_stays_deleted_until_an_operator_asks_for_it(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    name, _ = sorted(ward.results().items())[0]
    (provenance,) = [
        key for key, one in ward.all("Provenance").items() if one["target"][0]["reference"].endswith(name)
    ]
    delete(server, f"Provenance/{provenance}")
    delete(server, f"Observation/{name}")
    ward.put(pain(person("a"), CHANGED, 7))
    summary = done(run(server, tmp_path))
    assert summary.written.externally_deleted == 1
    assert name not in ward.results()
    again = done(run(server, tmp_path, recreate=True))
    assert (again.written.created, again.written.externally_deleted) == (1, 0)
    assert name in ward.results()
    assert done(run(server, tmp_path, full=True)).written == NOTHING


def test_an_operator_may_overwrite_anothers_edit(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    name, result = next((name, one) for name, one in sorted(ward.results().items()) if "valueQuantity" in one)
    ward.put({**result, "valueQuantity": {**result["valueQuantity"], "value": 99}})
    assert run(server, tmp_path).written.conflict == 1
    summary = done(run(server, tmp_path, overwrite=True))
    assert (summary.written.updated, summary.written.conflict) == (1, 0)
    assert ward.results()[name]["valueQuantity"] == result["valueQuantity"]


def test_I10_an_edited_result_that_nothing_supports_stays_until_an_operator_has_it_overwritten(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    of_c = alive(ward, "c")
    name = min(of_c)
    ward.put({**ward.results()[name], "note": [{"text": "seen"}]})
    delete(server, "Procedure/c-course")
    summary = done(apart(server, tmp_path, retract=True))
    assert (summary.written.retracted, summary.written.conflict) == (len(of_c) - 1, 1)
    assert alive(ward, "c") == {name}
    assert done(apart(server, tmp_path, overwrite=True)).written.retracted == 1
    assert alive(ward, "c") == set()


def test_I7_I10_a_lost_store_makes_no_second_result_and_finds_those_that_nothing_supports(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    of_c = alive(ward, "c")
    (tmp_path / "state").rename(tmp_path / "lost")
    delete(server, "Procedure/c-course")
    # Nobody who looks for treatments finds c any more: the results of c are found by our identifiers.
    summary = done(apart(server, tmp_path, retract=True))
    assert (summary.lesions, summary.written.retracted) == (2, len(of_c))
    assert alive(ward, "c") == set()
    ward.put(course(person("c"))[1])
    done(apart(server, tmp_path))
    assert alive(ward, "c") == of_c
    assert done(apart(server, tmp_path)).written == NOTHING


def test_I7_I3_an_old_backup_that_was_put_back_takes_our_later_results_for_nobodys_edit(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    kept = (tmp_path / "state" / "store.sqlite").read_bytes()
    ward.put(pain(person("a"), "2024-06-05", 7))
    ward.put(pain(person("a"), "2024-11-05", 8))
    delete(server, f"Observation/b-pain-{CHANGED}")
    done(apart(server, tmp_path))
    (tmp_path / "state" / "store.sqlite").write_bytes(kept)
    ward.put(pain(person("a"), "2024-11-05", 3))
    summary = done(apart(server, tmp_path))
    assert summary.written.conflict == 0
    assert f"Observation/b-pain-{CHANGED}" not in stored(tmp_path, server.base_url)
    assert done(apart(server, tmp_path)).written == NOTHING
    (tmp_path / "fresh").mkdir()
    plan = done(apart(server, tmp_path / "fresh", dry_run=True)).planned
    assert (plan.create, plan.update, plan.retract) == (0, 0, 0)


def test_I10_a_result_without_a_line_that_nothing_supports_is_withdrawn_when_an_operator_insists(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, apart)
    (name, result), *_ = sorted(
        (name, one) for name, one in ward.results().items() if is_about(one, "a") and "valueQuantity" in one
    )
    ours = "https://srs.example.org/result"
    identifiers = [{"system": ours, "value": "srs-old"}]
    reference = {"reference": "Patient/a"}
    ward.put({**result, "id": "srs-old", "identifier": identifiers, "subject": reference})
    ward.put(
        {**result, "id": "another", "identifier": [{"system": "urn:x", "value": "y"}], "subject": reference}
    )
    assert "not of this installation" in " ".join(done(apart(server, tmp_path)).notes)
    assert ward.all("Observation")["srs-old"]["status"] == result["status"]
    done(apart(server, tmp_path, retract=True))
    after = ward.all("Observation")
    assert after["srs-old"]["status"] == "entered-in-error"
    assert after["another"]["status"] != "entered-in-error"
    assert after[name] == result


def of_another_base(server: RunningServer, folder: Path, **options: Any) -> Any:
    """A run of a second installation, with a canonical_base of its own."""
    folder.mkdir(exist_ok=True)
    chosen = settings(server.base_url, folder)
    target = chosen.target.model_copy(update={"canonical_base": "https://other.example.org"})
    return run_sync(chosen.model_copy(update={"target": target}), **options)


def test_I7_I9_two_installations_with_two_bases_never_write_over_each_others_results(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    """Their ids are the same (decisions.md 2), their identifiers are not."""
    lasting.first(tmp_path, run)
    before = ward.versions()
    own = len(ward.results())
    first, second = (done(of_another_base(server, tmp_path / "second")).written for _ in range(2))
    assert (first.created, first.updated, first.retracted) == (1, 0, 0)  # a Device of its own
    assert (second.created, second.updated, second.retracted) == (0, 0, 0)
    assert second.conflict == own + 1  # and the Group of the cohort
    after = ward.versions()
    assert {name: version for name, version in after.items() if name in before} == before
    assert {name.partition("/")[0] for name in after.keys() - before.keys()} == {"Device"}
    assert done(run(server, tmp_path)).written == NOTHING
    # A base that was given another name, with a new store: an operator says whose they are.
    moved = done(of_another_base(server, tmp_path / "second", overwrite=True))
    assert moved.written.updated == second.conflict
    assert done(of_another_base(server, tmp_path / "second")).written == NOTHING


HTEST = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}


def real(server: RunningServer, folder: Path, **options: Any) -> Any:
    """A run against a server of real patients, with an opt-out list if the folder has one."""
    chosen = settings(server.base_url, folder)
    path = folder / "opt-out.txt"
    source = chosen.source.model_copy(update={"opt_out": path if path.exists() else None})
    target = chosen.target.model_copy(update={"synthetic": False})
    return run_sync(chosen.model_copy(update={"source": source, "target": target}), **options)


def consent(name: str, **more: Any) -> Json:
    act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    category = {"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}
    return {
        "resourceType": "Consent",
        "id": f"{name}-consent",
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]
        },
        "category": [category],
        "patient": {"reference": f"Patient/{name}"},
        "policyRule": {"coding": [{"system": act, "code": "OPTOUT"}]},
        **more,
    }


def test_test_patients_are_left_out_and_counted_and_come_in_when_they_are_none(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    ward.put({**person("b"), "meta": {"security": [HTEST]}})
    first = done(real(server, tmp_path))
    assert (first.lesions, first.left_out) == (2, {"test-patient": 1})
    assert not [one for one in stored(tmp_path, server.base_url) if "/b-" in one or one == "Patient/b"]
    ward.put({**person("c"), "meta": {"security": [HTEST]}})
    second = done(real(server, tmp_path, retract=True))
    assert (second.lesions, second.left_out) == (1, {"test-patient": 2})
    assert alive(ward, "c") == set()
    done(run(server, tmp_path))  # synthetic = true: such patients are the cohort
    assert run(server, tmp_path).left_out == {}
    assert run(server, tmp_path).lesions == 3


def test_an_opt_out_leaves_the_patient_out_until_it_is_withdrawn(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    ward.put(consent("b"))
    first = done(real(server, tmp_path))
    assert (first.lesions, first.left_out) == (2, {"opt-out": 1})
    ward.put(consent("c"))
    second = done(real(server, tmp_path, retract=True))
    assert (second.lesions, second.left_out) == (1, {"opt-out": 2})
    assert not [one for one in stored(tmp_path, server.base_url) if "/c-" in one or one == "Patient/c"]
    ward.put(consent("c", status="inactive"))
    third = done(real(server, tmp_path))
    assert (third.lesions, third.left_out) == (2, {"opt-out": 1})
    assert third.pulled["Observation"].new == 5
    assert alive(ward, "c")


@pytest.mark.parametrize("teller", ["a", "survivor", "both"])
def test_an_opt_out_holds_for_every_record_of_the_person(
    server: RunningServer, ward: Ward, tmp_path: Path, teller: str
) -> None:
    told = {"a": ("survivor", "replaced-by"), "survivor": ("a", "replaces")}
    for name in told:
        ward.put(person(name))
    for name, (other, kind) in told.items():
        if teller in {name, "both"}:
            link = [{"other": {"reference": f"Patient/{other}"}, "type": kind}]
            ward.put({**person(name), "link": link})
    ward.put({**course(person("survivor"))[0]})
    ward.put({**course(person("survivor"))[1]})
    done(real(server, tmp_path))
    ward.put(consent("a"))
    for _ in range(2):
        summary = done(real(server, tmp_path, retract=True))
        assert (summary.lesions, summary.left_out) == (2, {"opt-out": 2})
    ward.put(consent("a", status="inactive"))
    again = done(real(server, tmp_path, retract=True))
    assert (again.lesions, again.left_out) == (3, {})  # one course, told by both records


def merged(name: str, other: str) -> Json:
    return {**person(name), "link": [{"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}]}


@pytest.mark.parametrize("runs", [(), ("c", "a"), ("a", "c")], ids=["at-once", "outer-first", "inner-first"])
def test_I12_an_opt_out_reaches_records_that_only_a_record_left_out_names(
    server: RunningServer, ward: Ward, tmp_path: Path, runs: tuple[str, ...]
) -> None:
    """c opted out, c was merged into a, a into b: of c and a nothing is stored, and b is the same person."""
    told = {"c": merged("c", "a"), "a": merged("a", "b")}
    ward.put(consent("c"))
    done(real(server, tmp_path))
    for name in runs:
        ward.put(told[name])
        done(real(server, tmp_path, retract=True))
    for name in told.keys() - set(runs):
        ward.put(told[name])
    summary = done(real(server, tmp_path, retract=True))
    assert (summary.lesions, summary.left_out) == (0, {"opt-out": 3})
    assert stored(tmp_path, server.base_url) == set()
    ward.put(person("a"))
    parted = done(real(server, tmp_path, retract=True))
    assert parted.left_out == {"opt-out": 2}
    assert alive(ward, "b")


def test_a_list_file_leaves_patients_out_by_id_and_by_identifier(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    (tmp_path / "opt-out.txt").write_text("# asked by letter\nPatient/a\nurn:example:mrn|mrn-b # by phone\n")
    first = done(real(server, tmp_path))
    assert (first.lesions, first.left_out) == (1, {"opt-out-listed": 2})
    (tmp_path / "opt-out.txt").write_text("urn:example:mrn|mrn-c\n")
    second = done(real(server, tmp_path, retract=True))
    assert (second.lesions, second.left_out) == (2, {"opt-out-listed": 1})
    assert alive(ward, "a")
    assert alive(ward, "c") == set()


def test_a_list_that_cannot_be_understood_lets_nobody_in(server: RunningServer, tmp_path: Path) -> None:
    from fhir_srs.errors import ConfigurationError

    (tmp_path / "opt-out.txt").write_text("Jane Doe\n")
    with pytest.raises(ConfigurationError, match="line 1") as raised:
        real(server, tmp_path)
    assert "Jane" not in str(raised.value)
    assert server.requests == []


def test_I13_a_deleted_resource_leaves_the_quarantine(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    server.load([{**pain(person("a"), "2025-01-01", 3), "code": "not an object"}])
    assert done(run(server, tmp_path)).refused == {"resource-unreadable": 1}
    delete(server, "Observation/a-pain-2025-01-01")
    assert done(run(server, tmp_path)).refused == {}


@pytest.mark.parametrize("spoilt", [{"code": "not an object"}, {"subject": "not an object"}])
def test_I10_I13_what_could_not_be_read_and_was_expunged_leaves_the_quarantine_with_the_next_census(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path, spoilt: dict[str, str]
) -> None:
    lasting.first(tmp_path, run)
    server.load([{**pain(person("a"), "2025-01-01", 3), **spoilt}])
    assert done(run(server, tmp_path)).quarantined == {"resource-unreadable": 1}
    assert done(run(server, tmp_path, census=True)).quarantined == {"resource-unreadable": 1}
    expunge(server, "Observation/a-pain-2025-01-01")
    assert done(run(server, tmp_path, census=True)).quarantined == {}


def test_a_treatment_coded_as_another_one_withdraws_its_results(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    other = {"coding": [{"system": "http://snomed.info/sct", "code": "80146002"}]}  # appendectomy
    ward.put({**course(person("c"))[1], "code": other, "extension": []})
    done(run(server, tmp_path, retract=True))
    assert alive(ward, "c") == set()
    # A full load would not find c any more: so an increment keeps nothing of c either (I2).
    assert not [one for one in stored(tmp_path, server.base_url) if "/c-" in one or one == "Patient/c"]
    ward.put(course(person("c"))[1])
    assert done(run(server, tmp_path)).lesions == 3
    assert alive(ward, "c")


def test_I2_a_medication_that_no_record_names_any_more_leaves_the_store(
    server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    for name in ("m1", "m2"):
        ward.put({"resourceType": "Medication", "id": name, "code": {"text": "morphine"}})
    order = {
        "resourceType": "MedicationRequest",
        "id": "a-order",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/a"},
    }
    for name in ("m1", "m2"):
        ward.put({**order, "medicationReference": {"reference": f"Medication/{name}"}})
        done(run(server, tmp_path))
        kept = {one for one in stored(tmp_path, server.base_url) if one.startswith("Medication/")}
        assert kept == {f"Medication/{name}"}
    done(run(server, tmp_path))
    ward.put(consent("a"))
    done(real(server, tmp_path, retract=True))
    assert not [one for one in stored(tmp_path, server.base_url) if one.startswith("Medication/")]


def test_I2_I13_a_version_that_cannot_be_read_takes_the_older_one_with_it(
    lasting: Prepared, server: RunningServer, ward: Ward, tmp_path: Path
) -> None:
    lasting.first(tmp_path, run)
    source = f"Observation/a-pain-{CHANGED}"
    server.load([{**pain(person("a"), CHANGED, 3), "code": "not an object"}])
    summary = done(run(server, tmp_path))
    assert summary.refused == {"resource-unreadable": 1}
    assert source not in stored(tmp_path, server.base_url)
    assert made_of(ward, source) == set()
    server.load([pain(person("a"), CHANGED, 3)])
    done(run(server, tmp_path))
    assert made_of(ward, source)
