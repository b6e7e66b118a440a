"""What the client does with answers that no FHIR server should give (`spec/reliability.md` section 6)."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import gzip
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from fhir_srs.errors import (
    AccessRefused,
    ConfigurationError,
    ProtocolViolation,
    SecurityViolation,
    ServerRefused,
    TransportTransient,
)
from fhir_srs.fhir.answers import PageExpired, Unreadable, decipher_copy, decipher_page
from fhir_srs.fhir.auth import Bearer
from fhir_srs.fhir.client import FhirClient, Limits, Server
from fhir_srs.fhir.sansio import Request, Search, bundle_request, next_request, read_request, search_request
from tests.server.rawserver import RawServer, Script, dripping, http, raw_server, unended

SEARCH = Search(type="Observation", filters=(("code", "a|b"),), count=10)
TOKEN = "canary-token-4711"
PAGE = msgspec.json.encode({"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": []})


class Waits:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@contextmanager
def client(server: RawServer, waits: Waits | None = None, **limits: Any) -> Iterator[FhirClient]:
    reached = Server(base=server.base, credentials=Bearer(TOKEN), allow_insecure_loopback=True)
    with FhirClient(
        reached,
        sleep=waits or Waits(),
        clock=time.monotonic,
        random=lambda: 1.0,
        limits=Limits(**limits),
    ) as one:
        yield one


def ask(one: FhirClient, request: Request | None = None) -> Any:
    return one.ask(request or search_request(SEARCH), decipher_page)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425, 429])
def test_F1_F3_a_passing_fault_is_tried_again(status: int) -> None:
    waits = Waits()
    with raw_server(http(status), http(200, PAGE)) as server, client(server, waits) as one:
        assert ask(one).total == 0
    assert waits.seconds == [1.0]


def test_F1_six_tries_then_server_unavailable() -> None:
    waits = Waits()
    with raw_server(http(503)) as server, client(server, waits) as one:
        with pytest.raises(TransportTransient) as raised:
            ask(one)
        assert len(server.requests) == 6
    assert waits.seconds == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert raised.value.exit_code == 69


def test_F1_the_waiting_of_a_run_has_a_budget() -> None:
    with (
        raw_server(http(503, b"", "Retry-After: 400")) as server,
        client(server, waits := Waits()) as one,
        pytest.raises(TransportTransient),
    ):
        ask(one)
    assert waits.seconds == [400.0]


def test_F2_retry_after_is_honoured_by_the_servers_own_clock() -> None:
    waits = Waits()
    date = "Date: Mon, 05 Jan 2026 10:00:00 GMT"
    scripts = [
        http(429, b"", "Retry-After: 7"),
        http(429, b"", "Retry-After: Mon, 05 Jan 2026 10:00:30 GMT", date),
        http(429, b"", "Retry-After: soon"),
        http(200, PAGE),
    ]
    with raw_server(*scripts) as server, client(server, waits) as one:
        ask(one)
    assert waits.seconds == [7.0, 30.0, 4.0]


def test_F4_a_refusal_is_not_repeated_and_keeps_code_and_expression_only() -> None:
    issue = {
        "severity": "error",
        "code": "invalid",
        "diagnostics": "MRN 4711 Doe",
        "expression": ["Observation.value"],
    }
    body = msgspec.json.encode({"resourceType": "OperationOutcome", "issue": [issue]})
    with raw_server(http(422, body)) as server, client(server) as one:
        with pytest.raises(ServerRefused) as raised:
            ask(one)
        assert len(server.requests) == 1
    assert str(raised.value) == "GET Observation: status 422 (invalid at Observation.value)"
    assert raised.value.exit_code == 65


@pytest.mark.parametrize("status", [401, 403])
def test_F5_no_access_is_not_repeated(status: int) -> None:
    with raw_server(http(status, b"no", media="text/plain")) as server, client(server) as one:
        with pytest.raises(AccessRefused) as raised:
            ask(one)
        assert len(server.requests) == 1
    assert raised.value.exit_code == 77


def _reset(write: Any) -> None:
    raise OSError


def test_F6_a_read_is_repeated_after_a_reset_and_a_write_is_not() -> None:
    with raw_server(_reset, http(200, PAGE)) as server, client(server) as one:
        assert ask(one).total == 0
    with raw_server(_reset, http(200, PAGE)) as server, client(server) as one:
        with pytest.raises(TransportTransient):
            one.send_once(bundle_request("transaction", []), decipher_page)
        assert len(server.requests) == 1


def test_F7_a_body_shorter_than_its_length_is_asked_for_again() -> None:
    short = http(200, PAGE)[:-10]
    with raw_server(short, http(200, PAGE)) as server, client(server) as one:
        assert ask(one).total == 0


def test_F8_a_body_that_ends_in_the_middle_without_a_length_is_no_page() -> None:
    with raw_server(unended(200, PAGE[:-10])) as server, client(server) as one:
        with pytest.raises(Unreadable) as raised:
            ask(one)
        assert len(server.requests) == 3
    assert raised.value.exit_code == 65


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}"])
def test_F9_what_is_no_json_object_is_tried_three_times(body: bytes) -> None:
    with raw_server(http(200, body)) as server, client(server) as one:
        with pytest.raises(Unreadable):
            ask(one)
        assert len(server.requests) == 3


def test_F10_html_with_200_is_a_login_page_and_its_title_is_not_told() -> None:
    html = b"<html><title>Jane Doe</title></html>"
    with (
        raw_server(http(200, html, media="text/html; charset=utf-8")) as server,
        client(server) as one,
        pytest.raises(ProtocolViolation, match="login page") as raised,
    ):
        ask(one)
    assert "Jane" not in str(raised.value)
    assert raised.value.exit_code == 65


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle", "type": "history"},
        {"resourceType": "OperationOutcome", "issue": []},
        {"resourceType": "Patient"},
    ],
)
def test_F11_another_resource_with_200_is_no_page(body: dict[str, Any]) -> None:
    with (
        raw_server(http(200, msgspec.json.encode(body))) as server,
        client(server) as one,
        pytest.raises(ProtocolViolation),
    ):
        ask(one)


def test_F12_an_expired_page_is_said_so() -> None:
    with raw_server(http(410)) as server, client(server) as one, pytest.raises(PageExpired):
        ask(one)


@pytest.mark.parametrize(
    "link",
    [
        "http://attacker.example/fhir?page=2",
        "https://127.0.0.1/fhir?page=2",
        "//attacker.example/fhir",
        "file:///etc/passwd",
        "http://127.0.0.1:1/fhir",
        "http://user@127.0.0.1/fhir",
        "http://127.0.0.1\\@attacker.example/",
        "http://[::1",
        "http://127.0.0.1/a b",
    ],
)
def test_F14_a_link_to_another_origin_is_blocked_before_connecting(link: str) -> None:
    with pytest.raises(SecurityViolation) as raised:
        next_request(SEARCH, link, base="http://127.0.0.1:8080/fhir")
    assert raised.value.exit_code == 76
    assert "attacker" not in str(raised.value)


def test_F14_a_link_at_the_same_origin_is_followed_whatever_its_path() -> None:
    request = next_request(SEARCH, "http://127.0.0.1:80/else?x=1", base="http://127.0.0.1/fhir")
    assert request.address == "http://127.0.0.1:80/else?x=1"
    assert request.route == "GET Observation page"


def test_F15_a_redirect_to_another_origin_never_sees_the_token() -> None:
    with raw_server(http(200, PAGE)) as attacker:
        answer = http(302, b"", f"Location: {attacker.base}/Observation")
        with raw_server(answer) as server, client(server) as one, pytest.raises(SecurityViolation):
            ask(one)
        assert attacker.requests == []


def test_F15_three_redirects_within_the_origin_are_followed_and_a_fourth_is_not() -> None:
    hop = http(307, b"", "Location: /fhir/Observation?x=1")
    with raw_server(hop, hop, hop, http(200, PAGE)) as server, client(server) as one:
        assert ask(one).total == 0
    with raw_server(hop) as server, client(server) as one, pytest.raises(ProtocolViolation):
        ask(one)
    post = bundle_request("batch", [])
    with raw_server(hop) as server, client(server) as one, pytest.raises(ProtocolViolation):
        ask(one, post)


def test_F20_a_gzip_bomb_stops_at_the_ratio() -> None:
    bomb = gzip.compress(b" " * 40_000_000)
    with (
        raw_server(http(200, bomb, "Content-Encoding: gzip")) as server,
        client(server) as one,
        pytest.raises(ProtocolViolation, match="larger than allowed"),
    ):
        ask(one)


def test_F20_gzip_is_asked_for_and_read() -> None:
    with (
        raw_server(http(200, gzip.compress(PAGE), "Content-Encoding: gzip")) as server,
        client(server) as one,
    ):
        assert ask(one).total == 0
        assert b"gzip" in server.requests[0].lower()


def test_F7_a_gzip_body_cut_off_is_asked_for_again() -> None:
    cut = unended(200, gzip.compress(PAGE)[:-9], "Content-Encoding: gzip")
    with raw_server(cut, http(200, PAGE)) as server, client(server) as one:
        assert ask(one).total == 0


def test_F21_an_endless_body_stops_at_the_cap() -> None:
    endless = dripping(unended(200, b"{"), b" " * 65536, pause=0.0, times=10_000)
    with (
        raw_server(endless) as server,
        client(server, body_bytes=1_000_000) as one,
        pytest.raises(ProtocolViolation, match="larger than allowed"),
    ):
        ask(one)


@pytest.mark.parametrize("head", [unended(200, b"{"), b"HTTP/1.1 200 X\r\nX-Slow: "])
def test_F22_a_drip_in_body_or_headers_ends_at_the_deadline_of_the_request(head: bytes) -> None:
    began = time.monotonic()
    with (
        raw_server(dripping(head, b" ", pause=0.05, times=60)) as server,
        client(server, total=0.3, tries=1) as one,
        pytest.raises(TransportTransient),
    ):
        ask(one)
    assert time.monotonic() - began < 5  # the drip alone lasts 3 s, plus closing


def test_F23_nobody_listening_is_a_passing_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = Server(base=f"http://127.0.0.1:{port}/fhir", allow_insecure_loopback=True)
    waits = Waits()
    with (
        FhirClient(server, sleep=waits, clock=time.monotonic, random=lambda: 0.5) as one,
        pytest.raises(TransportTransient),
    ):
        ask(one)
    assert waits.seconds == [0.5, 1.0, 2.0, 4.0, 8.0]


def _answer_in_clear(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 this is no TLS\r\n\r\n")


def test_F27_tls_that_does_not_verify_is_never_repeated() -> None:
    waits = Waits()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_answer_in_clear, args=(listening,))
        thread.start()
        reached = Server(base=f"https://127.0.0.1:{listening.getsockname()[1]}/fhir")
        with (
            FhirClient(reached, sleep=waits, clock=time.monotonic, random=lambda: 1.0) as one,
            pytest.raises(SecurityViolation) as raised,
        ):
            ask(one)
        thread.join()
    assert raised.value.exit_code == 76
    assert waits.seconds == []


@pytest.mark.parametrize(
    "server",
    [
        Server(base="http://fhir.example/fhir"),
        Server(base="http://127.0.0.1/fhir"),
        Server(
            base="http://hapi:8080/fhir",
            credentials=Bearer(TOKEN),
            allowed=frozenset({("http", "hapi", 8080)}),
        ),
    ],
)
def test_A8_plain_http_needs_loopback_or_a_listed_origin_without_credentials(server: Server) -> None:
    with pytest.raises(ConfigurationError):
        FhirClient(server, sleep=Waits(), clock=time.monotonic, random=lambda: 1.0)


def test_A8_a_listed_origin_without_credentials_is_allowed() -> None:
    server = Server(base="http://hapi:8080/fhir", allowed=frozenset({("http", "hapi", 8080)}))
    FhirClient(server, sleep=Waits(), clock=time.monotonic, random=lambda: 1.0).close()


def test_F42_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with raw_server(http(200, PAGE)) as server, client(server) as one:
        assert ask(one).total == 0


def test_I16_I17_the_token_and_the_address_are_in_no_log_and_no_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    request = read_request("Patient", "secret-4711")
    with raw_server(http(503)) as server, client(server) as one:
        with pytest.raises(TransportTransient) as raised:
            one.ask(request, decipher_copy)
        assert f"Bearer {TOKEN}".encode() in server.requests[0]
        told = caplog.text + repr(raised.value) + repr(raised.value.__cause__) + repr(one)
        assert raised.value.__cause__ is None
    assert TOKEN not in told
    assert "secret-4711" not in told
    assert "127.0.0.1" not in told


def test_requests_run_side_by_side_each_with_its_own_deadline() -> None:
    slow = dripping(unended(200, PAGE[:-1]), b" ", pause=0.02, times=5)

    def slow_page(write: Any) -> None:
        slow(write)
        write(PAGE[-1:])

    scripts: list[Script] = [slow_page]
    totals: list[int | None] = []
    with raw_server(*scripts) as server, client(server, total=5.0) as one:
        threads = [threading.Thread(target=lambda: totals.append(ask(one).total)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert totals == [0, 0, 0, 0]
