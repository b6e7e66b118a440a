"""What is written, read back and believed when a server refuses, races or loses answers."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from fhir_srs.errors import AccessRefused
from fhir_srs.fhir.client import FhirClient, Server
from fhir_srs.progress import silent
from fhir_srs.results.canonical import canonical_hash
from fhir_srs.results.plan import Plan, plan_writes
from fhir_srs.results.target import ResultTarget, Unit
from fhir_srs.store import Sent, Store, open_store, secure_folder
from fhir_srs.sync.outgoing import items, look, standing
from fhir_srs.sync.write import Item, Outcome, Writer, core_hash
from tests.server.rawserver import http, raw_server
from tests.server.shelf import Json, Shelf, shelf

GROUP = "s|1"
RECORDED = datetime(2026, 1, 5, tzinfo=UTC)
TARGET = ResultTarget(canonical_base="https://b")


def unit(name: str, value: int = 1, *, part: int = 0) -> Unit:
    resource = {
        "resourceType": "Observation",
        "id": f"srs-{name}",
        "identifier": [{"system": "https://b/result", "value": f"srs-{name}"}],
        "status": "final",
        "code": {"coding": [{"system": "urn:x", "code": "y"}]},
        "subject": {"reference": "Patient/1"},
        "valueInteger": value,
        "component": [{"code": {"text": "part"}, "valueInteger": part}],
    }
    source = {"resourceType": "Provenance", "id": f"prov-{name}", "recorded": "2026-01-05T00:00:00Z"}
    return Unit(
        id=f"srs-{name}",
        group=GROUP,
        resource=msgspec.json.encode(resource),
        provenance_id=f"prov-{name}",
        provenance=msgspec.json.encode(source),
    )


@contextmanager
def reached(base: str, folder: Path) -> Iterator[tuple[FhirClient, Store]]:
    secure_folder(folder / "state")
    server = Server(base=base, allow_insecure_loopback=True)
    with (
        FhirClient(server, sleep=lambda s: None, clock=time.monotonic, random=lambda: 0.0) as client,
        open_store(folder / "state", "target") as store,
    ):
        yield client, store


def plan_and_write(
    server: Shelf, folder: Path, wanted: Sequence[Unit]
) -> tuple[Plan, list[Outcome], dict[str, Sent]]:
    """One round of look, plan and write; the plan, what became of it, and the outbox."""
    with reached(server.base, folder) as (client, store):
        known = look(client, store.outbox(), wanted, groups={GROUP}, one_by_one=False)
        store.post(known.settled)
        plan = plan_writes(wanted, known.present, known.written)
        store.post(standing(plan, known))
        writer = Writer(client, store, report=silent, stop=lambda: False)
        sent = list(items(plan, known, target=TARGET, recorded=RECORDED, keep=False))
        return plan, list(writer.write(sent)), store.outbox()


def states(outcomes: Sequence[Outcome]) -> list[str]:
    return [one.state for one in outcomes]


def plan_of(server: Shelf, folder: Path, wanted: Sequence[Unit]) -> Json:
    """The plan's counts, nothing written."""
    with reached(server.base, folder) as (client, store):
        known = look(client, store.outbox(), wanted, groups={GROUP}, one_by_one=True)
        return dict(plan_writes(wanted, known.present, known.written).counts())


@pytest.fixture
def server() -> Iterator[Shelf]:
    with shelf() as one:
        yield one


def test_units_go_whole_in_transactions_of_at_most_50_entries(server: Shelf, tmp_path: Path) -> None:
    wanted = [unit(f"{n:03}") for n in range(60)]
    plan, outcomes, outbox = plan_and_write(server, tmp_path, wanted)
    assert states(outcomes) == ["CONFIRMED"] * 60
    assert sorted(len(one) for one in server.transactions) == [20, 50, 50]
    for names in server.transactions:
        results = {one.removeprefix("Observation/srs-") for one in names if one.startswith("Obs")}
        assert results == {one.removeprefix("Provenance/prov-") for one in names if one.startswith("Prov")}
    assert {line.state for line in outbox.values()} == {"CONFIRMED"}
    assert {line.base_version for line in outbox.values()} == {"1"}
    assert plan.counts() == {"create": 60}
    assert plan_of(server, tmp_path, wanted) == {"unchanged": 60}


def test_pending_is_on_disk_before_the_first_request(server: Shelf, tmp_path: Path) -> None:
    found: list[str] = []

    def look_at_disk(one: Shelf) -> None:
        with open_store(tmp_path / "state", "target") as store:
            found.extend(line.state for line in store.outbox().values())

    server.race = look_at_disk
    plan_and_write(server, tmp_path, [unit("a"), unit("b")])
    assert found == ["PENDING", "PENDING"]


def test_a_server_that_takes_fewer_entries_gets_halves(server: Shelf, tmp_path: Path) -> None:
    server.most = 7
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit(f"{n:02}") for n in range(20)])
    assert states(outcomes) == ["CONFIRMED"] * 20
    assert max(len(one) for one in server.transactions[1:] if len(one) <= 7) <= 7


def test_one_refused_unit_fails_alone(server: Shelf, tmp_path: Path) -> None:
    server.deny = lambda reference: reference == "Provenance/prov-03"
    _, outcomes, outbox = plan_and_write(server, tmp_path, [unit(f"{n:02}") for n in range(8)])
    assert states(outcomes) == ["CONFIRMED"] * 3 + ["FAILED"] + ["CONFIRMED"] * 4
    assert "Observation/srs-03" not in server.kept
    assert outbox["Observation/srs-03"].attempts == 1
    server.deny = lambda reference: False
    plan, outcomes, _ = plan_and_write(server, tmp_path, [unit(f"{n:02}") for n in range(8)])
    assert plan.counts() == {"unchanged": 7, "create": 1}
    assert states(outcomes) == ["CONFIRMED"]


def test_a_server_that_refuses_everything_is_not_asked_for_each(server: Shelf, tmp_path: Path) -> None:
    server.deny = lambda reference: True
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit(f"{n:03}") for n in range(200)])
    assert set(states(outcomes)) == {"FAILED"}
    assert len(outcomes) == 25


@pytest.mark.parametrize("lost", ["before", "after", "accepted"])
def test_I9_a_lost_answer_is_settled_by_reading_back(server: Shelf, tmp_path: Path, lost: str) -> None:
    server.lose = [lost]
    _, outcomes, outbox = plan_and_write(server, tmp_path, [unit("a"), unit("b"), unit("c")])
    assert states(outcomes) == ["CONFIRMED"] * 3
    assert {line.state for line in outbox.values()} == {"CONFIRMED"}
    assert {one["meta"]["versionId"] for one in server.kept.values()} == {"1"}
    assert len(server.transactions) == (3 if lost == "before" else 1)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_I9_an_update_of_a_component_alone_is_not_taken_for_done(
    server: Shelf, tmp_path: Path, lost: str
) -> None:
    plan_and_write(server, tmp_path, [unit("a")])
    server.lose = [lost]
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit("a", part=2)])
    assert states(outcomes) == ["CONFIRMED"]
    stored = server.kept["Observation/srs-a"]
    assert stored["component"][0]["valueInteger"] == 2
    assert stored["meta"]["versionId"] == "2"


def test_answers_lost_for_ever_end_as_not_known(server: Shelf, tmp_path: Path) -> None:
    server.lose = ["before"] * 100
    _, outcomes, outbox = plan_and_write(server, tmp_path, [unit("a")])
    assert states(outcomes) == ["UNKNOWN"]
    assert len(server.transactions) == 5
    assert outbox["Observation/srs-a"].state == "UNKNOWN"


def test_a_server_that_normalises_is_left_in_peace(server: Shelf, tmp_path: Path) -> None:
    server.keep = lambda resource: {**resource, "extension": [{"url": "urn:theirs"}]}
    plan_and_write(server, tmp_path, [unit("a")])
    assert plan_of(server, tmp_path, [unit("a")]) == {"unchanged": 1}
    assert plan_of(server, tmp_path, [unit("a", 2)]) == {"update": 1}


@pytest.mark.parametrize("lost", ["PENDING", "UNKNOWN"])
@pytest.mark.parametrize("done", [True, False])
def test_I8_a_crash_between_send_and_confirm_is_settled_by_the_next_run(
    server: Shelf, tmp_path: Path, lost: str, done: bool
) -> None:
    server.keep = lambda resource: {**resource, "extension": [{"url": "urn:theirs"}]}
    plan_and_write(server, tmp_path, [unit("a")])
    with open_store(tmp_path / "state", "target") as store:
        (line,) = store.outbox().values()
        sent = unit("a", 2).resource
        sha, core = canonical_hash(sent), core_hash(sent)
        store.post([msgspec.structs.replace(line, state=lost, desired_sha=sha, desired_core=core)])
    if done:
        server.put(msgspec.json.decode(unit("a", 2).resource))
    plan, outcomes, _ = plan_and_write(server, tmp_path, [unit("a", 2)])
    assert plan.counts() == ({"unchanged": 1} if done else {"update": 1})
    assert states(outcomes) == ([] if done else ["CONFIRMED"])
    assert server.kept["Observation/srs-a"]["valueInteger"] == 2
    assert plan_of(server, tmp_path, [unit("a", 2)]) == {"unchanged": 1}


def test_F39_a_race_with_another_writer_is_their_edit_kept(server: Shelf, tmp_path: Path) -> None:
    plan_and_write(server, tmp_path, [unit("a"), unit("b")])

    def edit(one: Shelf) -> None:
        one.put({**one.kept["Observation/srs-a"], "valueInteger": 99})

    server.race = edit
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit("a", 2), unit("b", 2)])
    assert states(outcomes) == ["CONFLICT", "CONFIRMED"]
    assert server.kept["Observation/srs-a"]["valueInteger"] == 99
    assert server.kept["Observation/srs-b"]["valueInteger"] == 2
    assert plan_of(server, tmp_path, [unit("a", 2), unit("b", 2)]) == {"conflict": 1, "unchanged": 1}


def test_F39_a_version_that_moved_without_a_change_is_written_over(server: Shelf, tmp_path: Path) -> None:
    plan_and_write(server, tmp_path, [unit("a")])

    def touch(one: Shelf) -> None:
        one.kept["Observation/srs-a"]["meta"]["versionId"] = "7"

    server.race = touch
    _, outcomes, outbox = plan_and_write(server, tmp_path, [unit("a", 2)])
    assert states(outcomes) == ["CONFIRMED"]
    assert outbox["Observation/srs-a"].base_version == "8"


def test_F40_a_server_that_keeps_something_else_is_found_out(server: Shelf, tmp_path: Path) -> None:
    server.keep = lambda resource: {**resource, "valueInteger": 0} if "valueInteger" in resource else resource
    _, outcomes, outbox = plan_and_write(server, tmp_path, [unit("a")])
    assert states(outcomes) == ["FAILED"]
    assert outbox["Observation/srs-a"].confirmed_sha is None


def test_F40_a_server_that_says_stored_and_kept_the_version_before_is_found_out(
    server: Shelf, tmp_path: Path
) -> None:
    plan_and_write(server, tmp_path, [unit("a")])
    before = dict(server.kept["Observation/srs-a"])
    server.keep = lambda resource: before if resource["resourceType"] == "Observation" else resource
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit("a", part=2)])  # a component alone
    assert states(outcomes) == ["FAILED"]
    server.keep = lambda resource: resource
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit("a", part=2)])
    assert states(outcomes) == ["CONFIRMED"]
    assert server.kept["Observation/srs-a"]["component"][0]["valueInteger"] == 2


def test_a_new_provenance_alone_is_confirmed_by_a_server_that_normalises(
    server: Shelf, tmp_path: Path
) -> None:
    server.keep = lambda resource: {**resource, "extension": [{"url": "urn:theirs"}]}
    plan_and_write(server, tmp_path, [unit("a")])
    one = unit("a")
    other = msgspec.json.decode(one.provenance or b"") | {"reason": [{"text": "again"}]}
    one = msgspec.structs.replace(one, provenance=msgspec.json.encode(other))
    plan, outcomes, _ = plan_and_write(server, tmp_path, [one])
    assert (plan.counts(), states(outcomes)) == ({"update": 1}, ["CONFIRMED"])
    assert plan_of(server, tmp_path, [one]) == {"unchanged": 1}


def test_what_is_no_longer_wanted_is_withdrawn_and_can_come_back(server: Shelf, tmp_path: Path) -> None:
    wanted = [unit("a"), unit("b")]
    plan_and_write(server, tmp_path, wanted)
    plan, outcomes, outbox = plan_and_write(server, tmp_path, wanted[:1])
    assert plan.counts() == {"unchanged": 1, "retract": 1}
    assert states(outcomes) == ["CONFIRMED"]
    assert outbox["Observation/srs-b"].retracted
    gone = server.kept["Observation/srs-b"]
    assert gone["status"] == "entered-in-error"
    assert "valueInteger" not in gone
    assert plan_of(server, tmp_path, wanted[:1]) == {"unchanged": 1}
    plan, _, outbox = plan_and_write(server, tmp_path, wanted)
    assert plan.counts() == {"unchanged": 1, "update": 1}
    assert not outbox["Observation/srs-b"].retracted
    assert server.kept["Observation/srs-b"]["status"] == "final"


def test_a_withdrawal_whose_answer_is_lost_is_still_one(server: Shelf, tmp_path: Path) -> None:
    plan_and_write(server, tmp_path, [unit("a"), unit("b")])
    server.lose = ["after"]
    _, outcomes, outbox = plan_and_write(server, tmp_path, [unit("a")])
    assert states(outcomes) == ["CONFIRMED"]
    assert outbox["Observation/srs-b"].retracted


def test_a_refused_withdrawal_is_tried_again(server: Shelf, tmp_path: Path) -> None:
    plan_and_write(server, tmp_path, [unit("a"), unit("b")])
    server.deny = lambda reference: True
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit("a")])
    assert states(outcomes) == ["FAILED"]
    server.deny = lambda reference: False
    assert plan_of(server, tmp_path, [unit("a")]) == {"unchanged": 1, "retract": 1}


def test_another_studys_results_are_left_alone(server: Shelf, tmp_path: Path) -> None:
    other = msgspec.structs.replace(unit("b"), group="other|1")
    plan_and_write(server, tmp_path, [unit("a"), other])
    assert plan_of(server, tmp_path, [unit("a")]) == {"unchanged": 1}


def test_what_an_operator_deleted_is_not_raised_from_the_dead(server: Shelf, tmp_path: Path) -> None:
    plan_and_write(server, tmp_path, [unit("a")])
    server.gone.add("Observation/srs-a")
    plan, outcomes, _ = plan_and_write(server, tmp_path, [unit("a", 2)])
    assert plan.counts() == {"externally-deleted": 1}
    assert outcomes == []


def test_what_another_deleted_or_edited_is_told_in_the_outbox_until_it_is_as_wanted(
    server: Shelf, tmp_path: Path
) -> None:
    wanted = [unit("a"), unit("b")]
    plan_and_write(server, tmp_path, wanted)
    before = dict(server.kept["Observation/srs-b"])
    server.gone.add("Observation/srs-a")
    server.put({**before, "valueInteger": 9})
    _, _, outbox = plan_and_write(server, tmp_path, wanted)
    assert {line.id: line.state for line in outbox.values()} == {
        "srs-a": "EXTERNALLY_DELETED",
        "srs-b": "CONFLICT",
    }
    server.put(before)
    _, _, outbox = plan_and_write(server, tmp_path, wanted)
    assert outbox["Observation/srs-b"].state == "CONFIRMED"


def test_an_edit_between_a_crash_and_the_next_run_is_not_taken_for_ours(
    server: Shelf, tmp_path: Path
) -> None:
    plan_and_write(server, tmp_path, [unit("a")])
    with open_store(tmp_path / "state", "target") as store:
        (line,) = store.outbox().values()
        sent = unit("a", 2).resource
        store.post(
            [
                msgspec.structs.replace(
                    line, state="PENDING", desired_sha=canonical_hash(sent), desired_core=core_hash(sent)
                )
            ]
        )
    server.put({**server.kept["Observation/srs-a"], "valueInteger": 9})
    plan, _, _ = plan_and_write(server, tmp_path, [unit("a", 3)])
    assert plan.counts() == {"conflict": 1}
    assert server.kept["Observation/srs-a"]["valueInteger"] == 9


def test_I9_I10_what_was_sent_and_never_heard_of_is_withdrawn_when_it_is_there_and_not_wanted(
    server: Shelf, tmp_path: Path
) -> None:
    server.lose = ["before"] * 20
    _, outcomes, _ = plan_and_write(server, tmp_path, [unit("a"), unit("b")])
    assert states(outcomes) == ["UNKNOWN", "UNKNOWN"]
    # One of the requests was still on its way; the server that took it normalises.
    server.lose = []
    server.put(msgspec.json.decode(unit("a").resource) | {"extra": 1})
    plan, _, _ = plan_and_write(server, tmp_path, [unit("b")])
    assert plan.counts() == {"create": 1, "retract": 1}
    assert server.kept["Observation/srs-a"]["status"] == "entered-in-error"


def test_a_lost_store_finds_its_results_again(server: Shelf, tmp_path: Path) -> None:
    plan_and_write(server, tmp_path / "old", [unit("a"), unit("b")])
    assert plan_of(server, tmp_path / "new", [unit("a"), unit("b", 2)]) == {"unchanged": 1, "update": 1}


def test_what_a_lost_store_found_again_can_be_withdrawn(server: Shelf, tmp_path: Path) -> None:
    plan_and_write(server, tmp_path / "old", [unit("a"), unit("b")])
    plan_and_write(server, tmp_path / "new", [unit("a"), unit("b")])
    plan, _, _ = plan_and_write(server, tmp_path / "new", [unit("a")])
    assert plan.counts() == {"unchanged": 1, "retract": 1}
    assert server.kept["Observation/srs-b"]["status"] == "entered-in-error"


def test_what_another_installation_wrote_just_as_we_would_is_ours_to_change_later(
    server: Shelf, tmp_path: Path
) -> None:
    for folder in ("one", "other"):
        plan_and_write(server, tmp_path / folder, [unit("a")])
    plan_and_write(server, tmp_path / "other", [unit("a", 2)])
    plan, outcomes, _ = plan_and_write(server, tmp_path / "one", [unit("a", 2)])
    assert (plan.counts(), outcomes) == ({"unchanged": 1}, [])
    plan, outcomes, _ = plan_and_write(server, tmp_path / "one", [unit("a", 3)])
    assert (plan.counts(), states(outcomes)) == ({"update": 1}, ["CONFIRMED"])
    assert server.kept["Observation/srs-a"]["valueInteger"] == 3


def test_a_dry_look_sends_only_gets(server: Shelf, tmp_path: Path) -> None:
    plan_of(server, tmp_path, [unit("a"), unit("b")])
    assert server.requests
    assert {one.split(" ")[0] for one in server.requests} == {"GET"}


def test_no_access_ends_the_writing_at_once(tmp_path: Path) -> None:
    sent = unit("a").resource
    item = Item(
        kind="create",
        reference="Observation/srs-a",
        group=GROUP,
        resource=sent,
        desired_sha="any",
        desired_core="any",
    )
    with raw_server(http(403)) as refusing, reached(refusing.base, tmp_path) as (client, store):
        writer = Writer(client, store, report=silent, stop=lambda: False)
        with pytest.raises(AccessRefused) as raised:
            list(writer.write([item]))
        assert len(refusing.requests) == 1
    assert raised.value.exit_code == 77
