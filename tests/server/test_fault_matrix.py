"""The fault matrix of reliability.md at HTTP and above, row by row: whole runs against a server with faults.

Pulls alone where the fault is one of reading; the oracle is I1: afterwards the store has what the server has.
"""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.server.bench import WHOLE, Pulls, bench, pulling
from tests.server.patients import story
from tests.server.rawserver import http, raw_server
from tests.server.test_sync import NOTHING, Ward, done


@pytest.fixture(scope="module")
def pulls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulls]:
    """Runs that read alone share one server; each has a state folder of its own."""
    with pulling(lambda: tmp_path_factory.mktemp("pull")) as one:
        yield one


def test_F1_server_errors_are_waited_out_and_those_that_stay_end_the_run_with_69(pulls: Pulls) -> None:
    passing = ["500", "502,from=3", "503,from=9,times=3", "504,from=20"]
    with pulls(*passing, connections=1) as one:
        done(one.run())
        assert one.waits == [1.0, 1.0, 1.0, 2.0, 4.0, 1.0]
        assert one.names() == WHOLE
    with pulls("503,from=10,times=0", connections=1) as one:
        one.ends("failed", 69)
        assert one.waits[:5] == [1.0, 2.0, 4.0, 8.0, 16.0]
        assert one.watermarks() == {}
        one.reads_whole()


@pytest.mark.parametrize(
    ("said", "waited"),
    [("7", 7.0), ("soon", 1.0), ("-5", 1.0), ("Mon, 05 Jan 2015 10:00:30 GMT", 0.0), ("9" * 30, 600.0)],
)
def test_F2_retry_after_of_any_shape_is_honoured_within_bounds(
    pulls: Pulls, said: str, waited: float
) -> None:
    with pulls(f"503-wait,value={said}") as one:
        done(one.run())
        assert one.waits == [waited]


@pytest.mark.parametrize("status", [408, 425])
def test_F3_a_request_that_came_too_late_or_early_is_sent_again(pulls: Pulls, status: int) -> None:
    with pulls(f"{status},from=2") as one:
        done(one.run())
        assert one.waits == [1.0]


def test_F4_a_refused_search_ends_the_run_and_a_refused_write_fails_alone(tmp_path: Path) -> None:
    with bench(tmp_path, "400,on=search", "422,on=write,times=1") as one:
        one.ends("failed", 65)
        assert one.waits == []
        one.faults.pop(0)
        assert done(one.run()).written.failed == 0  # refused together, taken in halves


@pytest.mark.parametrize("status", [401, 403])
def test_F5_no_access_ends_the_run_with_77_and_names_the_type(pulls: Pulls, status: int) -> None:
    with pulls(f"{status},type=Condition,times=0") as one:
        assert "Condition" in (one.ends("failed", 77).error or "")
        assert one.waits == []
        assert one.watermarks() == {}
        one.reads_whole()


def test_F6_F7_a_connection_that_breaks_before_or_in_the_answer_is_asked_again(pulls: Pulls) -> None:
    passing = ["reset,on=search,from=3", "garbage,on=search,from=5", "cut,on=search,from=7", "cut,on=page"]
    with pulls(*passing) as one:
        done(one.run())
        assert len(one.waits) == 4
        assert one.names() == WHOLE


def test_F6_F7_F39_I9_a_write_whose_answer_is_lost_or_says_nothing_is_settled_by_reading(
    tmp_path: Path,
) -> None:
    lost = ["reset", "reset-after", "garbage", "cut", "500", "202", "204", "409", "412"]
    plans = [f"{name},on=write,from={2 * number + 1}" for number, name in enumerate(lost)]
    with bench(tmp_path, *plans, study="ryu2008") as one:  # has results enough for so many writes
        assert done(one.run()).written.created > 0
        assert all(plan.seen >= plan.first for plan in one.faults)
        one.recovers()


def test_F8_half_a_body_that_passes_as_whole_is_no_page(pulls: Pulls) -> None:
    with pulls("truncated,from=3") as one:
        done(one.run())
        assert one.names() == WHOLE


@pytest.mark.parametrize("name", ["empty", "not-json", "null", "list", "bom", "bad-utf8"])
def test_F9_what_is_no_page_is_tried_three_times_and_then_the_run_is_incomplete(
    pulls: Pulls, name: str
) -> None:
    with pulls(f"{name},from=2,times=3") as one:
        one.ends("incomplete", 65)
        assert one.waits == [1.0, 2.0]
        assert one.watermarks() == {}
        done(one.run())
        assert one.names() == WHOLE


@pytest.mark.parametrize("name", ["html", "wrong-type"])
def test_F10_a_login_page_is_no_data(pulls: Pulls, name: str) -> None:
    with pulls(name) as one:
        assert "Sign in" not in (one.ends("incomplete", 65).error or "")
        one.reads_whole()


def test_F10_html_with_429_is_waited_out(pulls: Pulls) -> None:
    with pulls("html-429") as one:
        done(one.run())
        assert one.waits == [1.0]


@pytest.mark.parametrize("name", ["other-bundle", "outcome", "outcome-entry"])
def test_F11_a_bundle_of_another_kind_or_an_error_makes_the_run_incomplete(pulls: Pulls, name: str) -> None:
    with pulls(f"{name},type=Observation") as one:
        one.ends("incomplete", 65)
        assert one.watermarks() == {}
        one.reads_whole()


def test_F12_an_expired_page_starts_its_search_again_and_the_third_ends_the_run(
    pulls: Pulls, tmp_path: Path
) -> None:
    with pulls("expired-page") as one:
        done(one.run())
        assert one.names() == WHOLE
    # A page of ten is the smallest that a search is cut to, so there must be more than ten scores.
    days = [(f"2024-05-{day:02}", 3) for day in range(1, 25)]
    resources = story("a", scores=days)
    with bench(tmp_path / "stays", "expired-page,times=0", resources=resources, write=False) as one:
        one.ends("incomplete", 65)
        one.reads_whole()


@pytest.mark.parametrize("name", ["same-next", "loop-next", "endless-next"])
def test_F13_pages_without_end_make_the_run_incomplete(tmp_path: Path, name: str) -> None:
    resources = story("a", scores=[(f"2024-05-{day:02}", 3) for day in range(1, 11)])
    with bench(tmp_path, name, resources=resources, write=False) as one:
        assert "do not end" in (one.ends("incomplete", 65).error or "")
        assert len(one.server.requests) < 40
        one.reads_whole()


def test_F14_I16_a_next_link_elsewhere_is_never_followed_and_no_token_seen(pulls: Pulls) -> None:
    with raw_server(http(200)) as attacker:
        link = f"foreign-next,value={attacker.base}/Observation?page=2"
        with pulls(link, token="canary-4711") as one:
            one.ends("failed", 76)
            assert "canary-4711" not in one.stored()
            one.reads_whole()
        assert attacker.requests == []


def test_F15_I16_a_redirect_is_followed_within_the_origin_alone(pulls: Pulls) -> None:
    with pulls("redirect") as one:
        done(one.run())
    with raw_server(http(200)) as attacker:
        where = f"foreign-redirect,on=metadata+page,value={attacker.base}/metadata"
        with pulls(where, token="canary-4711") as one:
            one.ends("failed", 76)
            one.reads_whole()
        assert attacker.requests == []


@pytest.mark.parametrize("name", ["twice", "older-after", "backwards"])
def test_F17_I6_repeated_older_and_disordered_entries_change_nothing(pulls: Pulls, name: str) -> None:
    with pulls(name) as one:
        done(one.run())
        one.reads_whole()
        assert {(each.new, each.changed) for each in done(one.run(full=True)).pulled.values()} <= {(0, 0)}


@pytest.mark.parametrize("name", ["silent-cap,value=1", "no-total,type=Observation", "missing-next,times=99"])
def test_F18_a_search_that_ends_early_is_found_out_by_the_count(tmp_path: Path, name: str) -> None:
    resources = story("a", scores=[(f"2024-05-{day:02}", 3) for day in range(1, 25)])
    with bench(tmp_path, name, resources=resources, write=False) as one:
        one.ends("incomplete", 65)
        assert one.watermarks() == {}
        one.reads_whole()


@pytest.mark.parametrize("parameter", ["code", "_lastUpdated"])
def test_F19_an_ignored_filter_lets_no_stranger_in(pulls: Pulls, parameter: str) -> None:
    with pulls() as one:
        if parameter == "_lastUpdated":  # asked for from the second run on
            done(one.run())
        one.plan(f"ignored-filter,value={parameter}")
        one.ends("incomplete", 65)
        assert one.names() <= WHOLE
        one.reads_whole()


def test_F19_I11_a_server_that_finds_nothing_withdraws_nothing(tmp_path: Path) -> None:
    with (
        bench(tmp_path, brake={"number": 1, "share": 0.02}) as one,
        closing(Ward(one.server.base_url)) as ward,
    ):
        done(one.run())
        before = ward.versions()
        for plan in (["nothing"], ["nothing", "404,times=0"]):
            one.plan(*plan)
            one.run(census=True)
            one.faults.clear()
            assert ward.versions() == before
            assert one.names() == WHOLE


@pytest.mark.parametrize("name", ["gzip-bomb", "flood"])
def test_F20_F21_I18_a_body_without_measure_is_dropped_at_the_cap(pulls: Pulls, name: str) -> None:
    with pulls(name) as one:
        assert "larger than allowed" in (one.ends("incomplete", 65).error or "")
        one.reads_whole()


def test_F22_a_drip_within_the_deadline_is_only_slow(pulls: Pulls) -> None:
    with pulls("drip,value=0.0005") as one:
        done(one.run())
        assert one.names() == WHOLE


def test_F38_versions_come_from_the_body_whatever_the_etag(tmp_path: Path) -> None:
    with bench(tmp_path, "no-etag") as one:
        done(one.run())
        one.plan("strong-etag")
        assert done(one.run(full=True)).written == NOTHING


@pytest.mark.long
def test_F39_conflicts_without_end_are_told_and_the_next_run_writes(tmp_path: Path) -> None:
    with bench(tmp_path, "409,times=0", resources=story("a", scores=[])) as one:
        summary = done(one.run())
        assert summary.written.conflict == summary.planned.create
        assert one.faults[0].seen <= 10 * summary.planned.create
        one.recovers()


def test_F40_what_was_said_to_be_stored_is_read_back(tmp_path: Path) -> None:
    with bench(tmp_path, "not-stored", resources=story("a", scores=[])) as one:
        one.ends("failed", 65)
        one.recovers()


def test_F41_a_rate_limit_for_minutes_ends_with_75_and_the_next_run_goes_on(pulls: Pulls) -> None:
    with pulls("429,from=8,times=0,value=120") as one:
        one.ends("failed", 75)
        assert sum(one.waits) <= 600
        assert one.watermarks() == {}
        one.reads_whole()
