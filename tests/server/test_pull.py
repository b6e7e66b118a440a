"""What a pull brings into the store, and what it makes of a server whose paging is bent."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count as counting
from pathlib import Path
from typing import Any

import pytest

from fhir_srs.errors import AccessRefused, FhirSrsError, ProtocolViolation, SecurityViolation
from fhir_srs.fhir.client import FhirClient, Server
from fhir_srs.progress import silent
from fhir_srs.store import Store, open_store, secure_folder
from fhir_srs.sync.intake import Intake
from fhir_srs.sync.pull import Care, Pull
from fhir_srs.sync.taking import LIST
from fhir_srs.sync.walk import Incomplete
from tests.server.hospital import Hospital, Json, hospital, stamped
from tests.server.patients import SCT, course, pain, person, story, surgery_coded

INTAKE_CODES = frozenset({(SCT, "1217123003"), (SCT, "447704003")})
CARE = Care()
INSIDE = "http://inside.invalid:8080"
WATERMARK = "2026-01-05T11:55:00.000Z"  # the earlier of Date and Bundle.meta.lastUpdated, less 300 s


@pytest.fixture
def ehr() -> Iterator[Hospital]:
    others = [person("stranger"), pain(person("stranger"), "2024-03-04", 7)]
    with hospital([*story("a"), *story("b", coded=True), *others]) as one:
        yield one


@contextmanager
def opened(ehr: Hospital, folder: Path) -> Iterator[tuple[Store, FhirClient]]:
    state = folder / "state"
    secure_folder(state)
    server = Server(base=ehr.base, allow_insecure_loopback=True, internal=(f"{INSIDE}/fhir",))
    with (
        open_store(state, "x") as store,
        FhirClient(server, sleep=lambda s: None, clock=time.monotonic, random=lambda: 0.0) as client,
    ):
        yield store, client


def pull(
    ehr: Hospital, folder: Path, *, run: str = "1", count: int = 100, full: bool = False, care: Care = CARE
) -> Any:
    """One pull; what is in the store after it."""
    with opened(ehr, folder) as (store, client):
        intake = Intake(base=ehr.base, codes=INTAKE_CODES, echoes=frozenset({"urn:ours"}))
        one = Pull(
            client,
            store,
            run=run,
            intake=intake,
            count=count,
            overlap=timedelta(seconds=120),
            lag=timedelta(seconds=300),
            report=silent,
            stop=lambda: False,
            now="2026-01-05T12:00:00Z",
            care=care,
        )
        one.capabilities()
        store.begin_run(run, started="2026-01-05T12:00:00Z", capabilities="{}")
        one.pull(full=full)
        return one.found


def names(folder: Path) -> list[str]:
    with open_store(folder / "state", "x") as store:
        kinds = ("Patient", "Procedure", "Observation", "BodyStructure", "Medication", "MedicationRequest")
        return sorted(f"{kind}/{one}" for kind in kinds for one in store.present(kind))


def cursors(folder: Path) -> set[str]:
    with open_store(folder / "state", "x") as store:
        return {one.watermark for one in store.cursors().values()}


WHOLE = sorted(f"{one['resourceType']}/{one['id']}" for one in [*story("a"), *story("b", coded=True)])


def test_the_cohort_comes_whole_and_nobody_else(ehr: Hospital, tmp_path: Path) -> None:
    found = pull(ehr, tmp_path)
    assert names(tmp_path) == WHOLE
    assert {name: counts.new for name, counts in found.items()} == {
        "Procedure": 2,
        "Patient": 2,
        "Observation": 10,
        "BodyStructure": 1,
    }
    assert cursors(tmp_path) == {WATERMARK}


def test_no_query_about_a_patient_is_in_an_address(ehr: Hospital, tmp_path: Path) -> None:
    pull(ehr, tmp_path)
    assert not [one for one in ehr.queries if one.startswith("GET") and "Patient%2Fa" in one]
    assert [one for one in ehr.queries if one.startswith("POST") and "patient=Patient%2Fa" in one]


def test_small_pages_bring_the_same(ehr: Hospital, tmp_path: Path) -> None:
    pull(ehr, tmp_path, count=3)
    assert names(tmp_path) == WHOLE


def test_later_only_what_is_stamped_since_is_asked_for(ehr: Hospital, tmp_path: Path) -> None:
    pull(ehr, tmp_path)
    ehr.queries.clear()
    later = "2026-01-05T13:00:00.000Z"
    ehr.resources.append(stamped(pain(person("a"), "2025-01-01", 3), at=later))
    ehr.resources.append(stamped(pain(person("stranger"), "2025-01-01", 3), at=later))
    found = pull(ehr, tmp_path, run="2")
    assert {name: counts.new for name, counts in found.items()} == {"Observation": 1}
    searches = [one for one in ehr.queries[1:] if "_history" not in one]
    assert all("_lastUpdated=ge2026-01-05T11%3A53%3A00.000Z" in one for one in searches)


def test_a_new_treatment_brings_the_full_history_of_its_patient(ehr: Hospital, tmp_path: Path) -> None:
    pull(ehr, tmp_path)
    later = "2026-01-05T13:00:00.000Z"
    ehr.resources.append(stamped(surgery_coded(person("stranger")), at=later))
    pull(ehr, tmp_path, run="2")
    assert [one for one in names(tmp_path) if "stranger" in one] == [
        "Observation/stranger-pain-2024-03-04",
        "Patient/stranger",
        "Procedure/stranger-srs",
    ]


def test_medications_are_resolved_by_lists_of_ids(ehr: Hospital, tmp_path: Path) -> None:
    order = {
        "resourceType": "MedicationRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/a", "display": "Canary-Marker"},
        "medicationReference": {"reference": "Medication/m1"},
    }
    drugs = [{"resourceType": "Medication", "id": name} for name in ("m1", "m2")]
    ehr.resources += [stamped(one) for one in (order, *drugs)]
    pull(ehr, tmp_path)
    assert [one for one in names(tmp_path) if one.startswith("Medication")] == [
        "Medication/m1",
        "MedicationRequest/order",
    ]
    stored = b"".join(one.read_bytes() for one in (tmp_path / "state").iterdir())
    assert b"Canary-Marker" not in stored


def test_our_own_results_are_not_stored(ehr: Hospital, tmp_path: Path) -> None:
    ours = {**pain(person("a"), "2025-01-01", 3), "identifier": [{"system": "urn:ours", "value": "x"}]}
    ehr.resources.append(stamped(ours))
    pull(ehr, tmp_path)
    assert names(tmp_path) == WHOLE


def test_I13_one_unreadable_resource_harms_itself_alone(ehr: Hospital, tmp_path: Path) -> None:
    bad = {**pain(person("a"), "2025-01-01", 3), "code": "not an object"}
    ehr.resources.append(stamped(bad))
    pull(ehr, tmp_path)
    assert names(tmp_path) == WHOLE
    with open_store(tmp_path / "state", "x") as store:
        assert store.refusals() == {"resource-unreadable": 1}


def test_an_unreadable_resource_of_a_stranger_is_none_of_our_business(ehr: Hospital, tmp_path: Path) -> None:
    pull(ehr, tmp_path)
    bad = {**pain(person("stranger"), "2025-01-01", 3), "code": "not an object"}
    ehr.resources.append(stamped(bad, at="2026-01-05T13:00:00.000Z"))
    pull(ehr, tmp_path, run="2")
    with open_store(tmp_path / "state", "x") as store:
        assert store.refusals() == {}


def incomplete(ehr: Hospital, folder: Path, error: type[FhirSrsError], **options: Any) -> None:
    with pytest.raises(error) as raised:
        pull(ehr, folder, **options)
    assert raised.value.exit_code in {65, 76}
    assert "Jane" not in str(raised.value)
    assert cursors(folder) == set()


def test_F12_an_expired_page_starts_the_search_again(ehr: Hospital, tmp_path: Path) -> None:
    ehr.expire = 1
    pull(ehr, tmp_path, count=3)
    assert names(tmp_path) == WHOLE


def test_F12_pages_that_keep_expiring_make_the_run_incomplete(ehr: Hospital, tmp_path: Path) -> None:
    ehr.expire = 1000
    ehr.cap = 3
    incomplete(ehr, tmp_path, Incomplete)


@pytest.mark.parametrize("fault", ["loop", "endless"])
def test_F13_pages_that_do_not_end_make_the_run_incomplete(ehr: Hospital, tmp_path: Path, fault: str) -> None:
    setattr(ehr, fault, True)
    ehr.cap = 3
    incomplete(ehr, tmp_path, Incomplete)
    assert len(ehr.queries) < 100


def test_F14_a_next_link_to_another_origin_is_never_followed(ehr: Hospital, tmp_path: Path) -> None:
    with hospital([]) as attacker:
        ehr.cap = 3
        ehr.next_origin = attacker.origin
        incomplete(ehr, tmp_path, SecurityViolation)
        assert attacker.queries == []


def test_H8_links_to_a_base_that_the_server_has_behind_its_proxy_are_asked_at_the_proxy(
    ehr: Hospital, tmp_path: Path
) -> None:
    ehr.cap = 3
    ehr.next_origin = INSIDE
    pull(ehr, tmp_path)
    assert names(tmp_path) == WHOLE
    ehr.next_origin = "http://inside.invalid:8081"
    incomplete(ehr, tmp_path / "other", SecurityViolation)


def test_H4_an_empty_last_page_is_no_fault(ehr: Hospital, tmp_path: Path) -> None:
    ehr.empty_tail = True
    ehr.cap = 5
    pull(ehr, tmp_path)
    assert names(tmp_path) == WHOLE


def test_H5_a_missing_next_is_found_by_the_count_and_the_search_repeated(
    ehr: Hospital, tmp_path: Path
) -> None:
    ehr.hide_next, ehr.cap = 1, 3
    pull(ehr, tmp_path)
    assert names(tmp_path) == WHOLE


def test_H5_a_next_that_stays_missing_makes_the_run_incomplete(ehr: Hospital, tmp_path: Path) -> None:
    ehr.hide_next, ehr.cap = 1000, 3
    incomplete(ehr, tmp_path, Incomplete)


def test_H6_repeated_rows_are_taken_once(ehr: Hospital, tmp_path: Path) -> None:
    ehr.overlapping, ehr.cap = True, 3
    found = pull(ehr, tmp_path)
    assert names(tmp_path) == WHOLE
    assert found["Observation"].new == 10


@pytest.mark.parametrize("name", ["code", "patient"])
def test_F19_an_ignored_filter_is_noticed_and_nothing_of_strangers_stored(
    ehr: Hospital, tmp_path: Path, name: str
) -> None:
    ehr.ignored = frozenset({name})
    incomplete(ehr, tmp_path, ProtocolViolation)
    assert not [one for one in names(tmp_path) if "stranger" in one]


def test_H11_an_ignored_lower_bound_is_noticed(ehr: Hospital, tmp_path: Path) -> None:
    pull(ehr, tmp_path)
    ehr.ignored = frozenset({"_lastUpdated"})
    with pytest.raises(ProtocolViolation):
        pull(ehr, tmp_path, run="2")
    assert cursors(tmp_path) == {WATERMARK}


def test_F11_an_error_among_the_rows_makes_the_run_incomplete(ehr: Hospital, tmp_path: Path) -> None:
    ehr.outcome = True
    incomplete(ehr, tmp_path, Incomplete)


def test_a_server_that_does_not_count_proves_nothing(ehr: Hospital, tmp_path: Path) -> None:
    ehr.uncounted = True
    incomplete(ehr, tmp_path, Incomplete)


def test_a_server_without_the_types_that_we_need_fails_before_anything_is_read(tmp_path: Path) -> None:
    with hospital([person("a")]) as ehr:
        with pytest.raises(ProtocolViolation, match="Observation, Procedure"):
            pull(ehr, tmp_path)
        assert len(ehr.queries) == 1


def test_an_interrupted_first_load_is_finished_without_losing_what_changed_meanwhile(
    tmp_path: Path,
) -> None:
    people = [one for n in range(LIST + 5) for one in story(f"p{n:03}")]
    with hospital(people) as ehr:
        real = ehr.answer

        def fail_late(method: str, target: str, body: str) -> tuple[int, Json]:
            if f"p{LIST:03}" in body and "BodyStructure" in target:
                return 422, {"resourceType": "OperationOutcome"}
            return real(method, target, body)

        ehr.answer = fail_late  # type: ignore[method-assign]
        with pytest.raises(FhirSrsError):
            pull(ehr, tmp_path)
        assert cursors(tmp_path) == set()
        # p000 was loaded; now a score of theirs changes, and the rest of the cohort becomes readable.
        late = stamped(pain(person("p000"), "2024-03-04", 3), version="2", at="2026-01-05T12:30:00.000Z")
        ehr.resources = [late if one["id"] == late["id"] else one for one in ehr.resources]
        ehr.answer = real  # type: ignore[method-assign]
        ehr.queries.clear()
        pull(ehr, tmp_path, run="2")
        loads = [one for one in ehr.queries if "Observation/_search" in one]
        assert loads
        assert not [one for one in loads if "p000" in one]
    with open_store(tmp_path / "state", "x") as store:
        payloads = [one for one in store.payloads() if b'"p000-pain-2024-03-04"' in one]
        assert len(payloads) == 1
        assert b'"value":3' in payloads[0]
        assert len(store.present("Patient")) == LIST + 5


OF_MANY = [one for n in range(40) for one in story(f"p{n:02}")]
SCORES = {one["id"] for one in OF_MANY if one["resourceType"] == "Observation"}


def asked_for_scores(ehr: Hospital, what: str) -> list[str]:
    return [one for one in ehr.queries if one.startswith("POST /fhir/Observation/_search") and what in one]


def scores_here(folder: Path) -> set[str]:
    with open_store(folder / "state", "x") as store:
        return set(store.present("Observation"))


def test_patients_with_more_rows_than_a_page_are_asked_for_in_smaller_lists_that_one_count_proves(
    tmp_path: Path,
) -> None:
    with hospital(OF_MANY) as ehr:
        pull(ehr, tmp_path, count=40)
        assert len(asked_for_scores(ehr, "_count=")) > 4
        assert len(asked_for_scores(ehr, "_summary=count")) == 1
        assert not [one for one in ehr.queries if one.startswith("GET /fhir/Observation") and "page" in one]
    assert scores_here(tmp_path) == SCORES


@contextmanager
def bent(ehr: Hospital, bend: Callable[[int, Json], tuple[int, Json]]) -> Iterator[None]:
    """What *ehr* answers to each search for scores (not to counts) goes through *bend*, with its number."""
    real, number = ehr.answer, counting(1)

    def answer(method: str, target: str, body: str) -> tuple[int, Json]:
        status, content = real(method, target, body)
        of_scores = "/Observation" in target and "_summary" not in body
        return bend(next(number), content) if of_scores else (status, content)

    ehr.answer = answer  # type: ignore[method-assign]
    yield


def short(content: Json) -> Json:
    return {**content, "entry": content["entry"][:-1]}


@pytest.mark.parametrize("which", [1, 3, 7])
def test_H5_a_list_that_lacks_a_row_once_shows_in_the_count_of_all_and_is_asked_for_again(
    tmp_path: Path, which: int
) -> None:
    with (
        hospital(OF_MANY) as ehr,
        bent(ehr, lambda number, page: (200, short(page) if number == which else page)),
    ):
        pull(ehr, tmp_path, count=40)
        assert len(asked_for_scores(ehr, "_summary=count")) == 1 + 7  # the whole, then each of seven lists
    assert scores_here(tmp_path) == SCORES


def test_H5_lists_that_stay_short_make_the_run_incomplete(tmp_path: Path) -> None:
    with hospital(OF_MANY) as ehr, bent(ehr, lambda _, page: (200, short(page))):
        incomplete(ehr, tmp_path, Incomplete, count=40)
        assert len(asked_for_scores(ehr, "_count=")) < 30


def test_F12_what_an_expired_page_lost_is_not_made_up_for_by_new_rows_of_another_list(tmp_path: Path) -> None:
    """After the count p00 gets as many scores as the lost page of p39 has: their number is as counted."""
    days = [f"2025-0{month}-{day:02}" for month in (7, 8) for day in range(1, 29)]
    more = [pain(person("p39"), day, 3) for day in days]
    late = [stamped(pain(person("p00"), day, 3), at="2026-01-05T11:59:00.000Z") for day in days]
    with hospital([*OF_MANY, *more]) as ehr:
        ehr.expire, real = 1, ehr.answer

        def answer(method: str, target: str, body: str) -> tuple[int, Json]:
            found = real(method, target, body)
            if "/Observation" in target and "_summary" in body:
                ehr.resources += late
                late.clear()
            return found

        ehr.answer = answer  # type: ignore[method-assign]
        pull(ehr, tmp_path, count=40)
        assert ehr.expire == 0
        expected = {one["id"] for one in ehr.resources if one["resourceType"] == "Observation"}
    assert scores_here(tmp_path) == expected
    assert len(expected) == len(SCORES) + 2 * len(days)


def test_other_codes_find_another_cohort(ehr: Hospital, tmp_path: Path) -> None:
    pull(ehr, tmp_path)
    extra = {**surgery_coded(person("stranger")), "code": {"coding": [{"system": "urn:x", "code": "y"}]}}
    ehr.resources.append(stamped(extra, at="2020-01-01T00:00:00.000Z"))
    with opened(ehr, tmp_path) as (store, client):
        intake = Intake(base=ehr.base, codes=INTAKE_CODES | {("urn:x", "y")})
        one = Pull(
            client,
            store,
            run="2",
            intake=intake,
            count=100,
            overlap=timedelta(0),
            lag=timedelta(0),
            report=silent,
            stop=lambda: False,
            now="",
        )
        one.capabilities()
        store.begin_run("2", started="", capabilities="{}")
        one.pull(full=False)
    assert "Patient/stranger" in names(tmp_path)


def test_a_generic_code_counts_only_with_a_delivered_dose(ehr: Hospital, tmp_path: Path) -> None:
    generic = {"coding": [{"system": SCT, "code": "53438000"}]}
    with_dose = {**course(person("dosed"))[1], "code": generic}
    ehr.resources += [stamped(one) for one in (with_dose, person("dosed"))]
    ehr.resources.append(stamped({**surgery_coded(person("stranger")), "code": generic}))
    with opened(ehr, tmp_path) as (store, client):
        intake = Intake(base=ehr.base, codes=INTAKE_CODES, generic=frozenset({(SCT, "53438000")}))
        one = Pull(
            client,
            store,
            run="1",
            intake=intake,
            count=100,
            overlap=timedelta(0),
            lag=timedelta(0),
            report=silent,
            stop=lambda: False,
            now="",
        )
        one.capabilities()
        store.begin_run("1", started="", capabilities="{}")
        one.pull(full=False)
    found = names(tmp_path)
    assert "Patient/dosed" in found
    assert not [one for one in found if "stranger" in one]


def test_without_access_to_consents_nobody_is_let_in_unless_the_settings_say_so(
    ehr: Hospital, tmp_path: Path
) -> None:
    ehr.resources.append(
        stamped({"resourceType": "Consent", "id": "c", "patient": {"reference": "Patient/z"}})
    )
    ehr.denied = frozenset({"Consent"})
    with pytest.raises(AccessRefused, match="consent = false") as raised:
        pull(ehr, tmp_path)
    assert raised.value.exit_code == 77
    assert "Patient/a" not in names(tmp_path)
    pull(ehr, tmp_path, run="2", care=Care(consent=False))
    assert names(tmp_path) == WHOLE
