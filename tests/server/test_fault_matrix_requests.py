"""The fault matrix of reliability.md times what is asked: every passing fault at every kind of request.

Rows F1 to F3, F6 to F9 and F41; a fault that passes costs a run waiting, and nothing else.
"""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import httpx
import pytest
from starlette.middleware import Middleware

from fhir_srs.config import Settings
from fhir_srs.sync import Machine, run_sync
from fhir_srs.testing.faults import FAULTS, Planned, parse_fault
from fhir_srs.testing.server import RunningServer, running_server
from fhir_srs.testing.smart import Registered, SmartAuthority
from tests.server.bench import WHOLE, Pulls, bench, pulling
from tests.server.patients import story
from tests.server.test_auth import public, smart
from tests.server.test_sync import done

STATUS = ("500", "502", "503", "504", "503-wait", "408", "425", "429", "html-429")
WIRE = ("reset", "garbage", "cut")
BODY = ("truncated", "empty", "not-json", "null", "list", "bom", "bad-utf8")
KINDS = ("metadata", "count", "search", "page", "history", "batch")
# In a row: six tries (F1), three where the body cannot be read (F9). The first group of each in `make test`.
ROWS = [
    ("503-wait", "reset", "425", "cut"),
    ("500", "502", "429", "garbage"),
    ("503", "504", "408", "html-429"),
]
PAIRS = [("truncated", "not-json"), ("empty", "null"), ("list", "bom"), ("bad-utf8",)]
GROUPS = [
    ROWS[0],
    PAIRS[0],
    *(pytest.param(names, marks=pytest.mark.long) for names in (*ROWS[1:], *PAIRS[1:])),
]


def planned(kind: str, names: tuple[str, ...]) -> list[str]:
    """Each of *names* to happen to one request of *kind* after the other."""
    return [f"{name},on={kind},from={number},times=1" for number, name in enumerate(names, 1)]


@pytest.fixture(scope="module")
def pulls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulls]:
    with pulling(lambda: tmp_path_factory.mktemp("pull")) as one:
        yield one


@pytest.mark.parametrize("names", GROUPS)
def test_F1_F2_F3_F6_F7_F8_F9_F41_a_fault_that_passes_at_any_read_loses_nothing(
    pulls: Pulls, names: tuple[str, ...]
) -> None:
    for kind in KINDS:
        with pulls(connections=1) as one:
            whole = WHOLE
            if kind in {"history", "batch"}:  # asked from the second run on; reads, where something is gone
                done(one.run())
                one.waits.clear()
            if kind == "batch":
                gone = "Observation/a-pain-2024-06-05"
                httpx.delete(f"{one.server.base_url}/{gone}", trust_env=False).raise_for_status()
                whole = WHOLE - {gone}
            one.plan(*planned(kind, names))
            summary = one.run()
            assert (summary.status, summary.error) == ("done", None), (kind, names)
            assert one.names() == whole
            one.server.load(story("a"))
            met = [plan for plan in one.faults if plan.seen >= plan.first]
            assert len(met) >= len(names), (kind, names)
            assert len(one.waits) == len(names), (kind, names)


@pytest.mark.parametrize("names", GROUPS)
def test_F1_F2_F3_F6_F7_F8_F9_F41_I9_a_fault_that_passes_at_a_write_loses_nothing(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    with bench(tmp_path, *planned("write", names)) as one:
        assert done(one.run()).written.created > 0
        assert all(plan.seen >= plan.first for plan in one.faults)
        one.recovers()


@pytest.mark.parametrize("name", ["html", "outcome", "foreign-redirect", "403"])
def test_F4_F5_F10_F11_F15_I9_a_write_that_is_answered_by_nonsense_is_settled_by_the_next_run(
    tmp_path: Path, name: str
) -> None:
    with bench(tmp_path, f"{name},on=write,times=0") as one:
        summary = one.run()
        assert summary.status == "failed"
        assert summary.exit_code in {65, 76, 77}
        one.recovers()


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[RunningServer, Registered, list[Planned]]]:
    registered, faults = Registered(client_id="srs", jwk=public("RS384")), list[Planned]()
    guard = Middleware(SmartAuthority, client=registered)
    with running_server(story("a"), middleware=[guard], faults=faults) as server:
        yield server, registered, faults


@pytest.mark.parametrize("names", GROUPS)
def test_F1_F2_F3_F6_F7_F8_F9_F24_F41_A3_a_fault_that_passes_at_the_token_endpoint_is_waited_out(
    guarded: tuple[RunningServer, Registered, list[Planned]], tmp_path: Path, names: tuple[str, ...]
) -> None:
    server, registered, faults = guarded
    faults[:] = [parse_fault(one) for one in planned("token", names)]
    registered.asked.clear()
    asked: Settings = smart(server, tmp_path)
    waits: list[float] = []
    summary = run_sync(asked, machine=Machine(sleep=waits.append))
    assert (summary.status, summary.error) == ("done", None), names
    assert len(waits) == len(names)
    sent = [one["client_assertion"] for one in registered.asked]
    assert len(set(sent)) == len(sent)  # no assertion goes out twice


def test_every_passing_fault_of_the_test_server_is_tried() -> None:
    assert set(chain.from_iterable((*ROWS, *PAIRS))) == {*STATUS, *WIRE, *BODY}
    rows = {"F1", "F2", "F3", "F6", "F7", "F8", "F9", "F41"}
    passing = {name for name, one in FAULTS.items() if one.row in rows and one.times == 1}
    assert passing <= {*STATUS, *WIRE, *BODY}
