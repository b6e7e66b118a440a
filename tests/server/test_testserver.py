"""The embedded server beyond the contract: settings, clock, and what it refuses where HAPI guesses."""

import secrets
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_srs.testing.server import Limits, RunningServer, running_server
from tests.server.contract.fhir import JSON, Fhir, Resource, link, put_entry, refused

MOSCOW = timezone(timedelta(hours=3))
LIMITS = Limits(page_cap=2, page_seconds=60)


class Clock:
    """A clock that stands still, in a zone that is not UTC, until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2024, 3, 5, 2, 30, 0, 123_000, tzinfo=MOSCOW)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server whose clock stands still; the tests bring their own ids."""
    with running_server(limits=LIMITS, clock=Clock()) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.base_url}/", trust_env=False) as client:
        yield client


@pytest.fixture
def fhir(server: RunningServer, http: httpx.Client) -> Fhir:
    return Fhir(server.base_url, http, f"t{secrets.token_hex(6)}-")


def three_patients(fhir: Fhir) -> None:
    for name in ("a", "b", "c"):
        fhir.stored(fhir.patient(name))


class TestClock:
    def test_every_time_is_that_of_the_given_clock_in_utc(self, fhir: Fhir) -> None:
        answer = fhir.put(fhir.patient())
        assert answer.json()["meta"]["lastUpdated"] == "2024-03-04T23:30:00.123Z"
        assert answer.headers["Date"] == "Mon, 04 Mar 2024 23:30:00 GMT"
        assert answer.headers["Last-Modified"] == "Mon, 04 Mar 2024 23:30:00 GMT"
        assert fhir.bundle("Patient")["meta"]["lastUpdated"] == "2024-03-04T23:30:00.123Z"

    def test_a_refusal_has_its_date_too(self, fhir: Fhir) -> None:
        assert fhir.get("Patient/none").headers["Date"] == "Mon, 04 Mar 2024 23:30:00 GMT"

    def test_a_page_link_lives_until_it_was_not_read_for_its_time(self) -> None:
        clock = Clock()
        patients = [{"resourceType": "Patient", "id": f"p{n}"} for n in range(5)]
        with running_server(patients, limits=LIMITS, clock=clock) as server, httpx.Client() as client:
            following = link(client.get(f"{server.base_url}/Patient").json(), "next") or ""
            for _ in range(2):
                clock.now += timedelta(seconds=60)
                assert client.get(following).status_code == 200
            clock.now += timedelta(seconds=61)
            refused(client.get(following), 410)

    def test_the_machines_clock_is_the_default(self) -> None:
        with running_server([{"resourceType": "Patient", "id": "a"}]) as server:
            stamp = httpx.get(f"{server.base_url}/Patient/a").json()["meta"]["lastUpdated"]
        assert abs(datetime.fromisoformat(stamp) - datetime.now(UTC)) < timedelta(minutes=1)


class TestLimits:
    def test_the_page_cap_lowers_count_without_a_word(self, fhir: Fhir) -> None:
        three_patients(fhir)
        page = fhir.bundle("Patient", ("_count", "100"))
        assert (len(page["entry"]), "total" in page) == (2, False)
        assert len(fhir.bundle("Patient/_history", ("_count", "100"))["entry"]) == 2

    def test_a_page_link_that_was_not_made_here_is_refused(self, fhir: Fhir) -> None:
        three_patients(fhir)
        following = link(fhir.bundle("Patient"), "next") or ""
        refused(fhir.get(following.replace("offset=2", "offset=x")), 400)
        refused(fhir.get(f"{following}&more=1"), 400)

    def test_without_the_token_only_metadata_answers(self) -> None:
        with running_server(limits=Limits(bearer_token="right")) as server:
            base = server.base_url
            assert httpx.get(f"{base}/metadata").status_code == 200
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Bearer wröng".encode()},
            ):
                answer = httpx.get(f"{base}/Patient", headers=headers)
                refused(answer, 401)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert httpx.get(f"{base}/Patient", headers={"Authorization": "Bearer right"}).status_code == 200


# What HAPI guesses, ignores or does by a feature that is not here (hapi.md 24 and 30).
REFUSED_SEARCHES = [
    "code:text=pain",
    "code:not=x",
    "subject:Patient=a",
    "patient.active=true",
    "_has:Provenance:target:agent=x",
    "_include=Observation:subject",
    "_revinclude=Provenance:target",
    "_tag=a",
    "_filter=x",
    "_offset=1",
    "_pretty=true",
    "date=2024",
    "code=",
    "code=a%7Cb%7Cc",
    "code=%7C",
    "subject=a",
    "patient=https://other.example/Patient/a",
    "patient=Patient/a/_history/1",
    "status=http://hl7.org/fhir/observation-status%7Cfinal",
    "_lastUpdated=ne2024",
    "_lastUpdated=2024&_lastUpdated=ge2024",
    "_lastUpdated=ge0000",
    "_count=-1",
    "_count=1&_count=2",
    "_summary=text",
    "_total=perhaps",
    "_elements=code.text",
    "_sort=date",
]


@pytest.mark.parametrize("query", REFUSED_SEARCHES)
def test_a_search_that_it_cannot_do_is_refused(fhir: Fhir, query: str) -> None:
    refused(fhir.get(f"Observation?{query}"), 400)


class TestRefusals:
    @pytest.mark.parametrize("wanted", ["application/fhir+xml", "image/png"])
    def test_other_formats_are(self, fhir: Fhir, wanted: str) -> None:
        refused(fhir.get("Patient", Accept=wanted), 406)
        refused(fhir.get("Patient?_format=xml"), 406)

    @pytest.mark.parametrize(
        "change", [{"nonsense": 1}, {"status": None}, {"valueString": "two values"}, {"code": "a string"}]
    )
    def test_invalid_resources_are(self, fhir: Fhir, change: Resource) -> None:
        fhir.stored(fhir.patient())
        whole = fhir.score(valueInteger=5) | change
        score = {name: value for name, value in whole.items() if value is not None}
        refused(fhir.put(score), 400)
        refused(fhir.send("transaction", put_entry(score)), 400)

    def test_conditions_that_hapi_ignores_are(self, fhir: Fhir) -> None:
        fhir.stored(fhir.patient())
        refused(fhir.put(fhir.patient(), If_None_Match="*"), 400)
        refused(fhir.put(fhir.patient(), If_Match="*"), 400)
        refused(fhir.http.delete(f"Patient/{fhir.own}p", headers={"If-Match": 'W/"1"'}), 400)

    def test_an_id_that_a_condition_does_not_find_is(self, fhir: Fhir) -> None:
        """HAPI forgets the id of the body."""
        known = fhir.identified()
        fhir.stored(fhir.patient(identifier=known))
        query = f"Patient?identifier={known[0]['value']}"
        refused(fhir.http.put(query, json=fhir.patient("other", identifier=known), headers=JSON), 400)

    @pytest.mark.parametrize(
        ("method", "path"), [("PATCH", "Patient/a"), ("DELETE", "Patient"), ("POST", "Patient/$validate")]
    )
    def test_interactions_that_it_does_not_have_are(self, fhir: Fhir, method: str, path: str) -> None:
        refused(fhir.http.request(method, path), 400)

    def test_addresses_that_lead_nowhere_are(self, fhir: Fhir) -> None:
        refused(fhir.get("Patient/a/b/c/d"), 400)
        refused(fhir.get("Patient/a/$everything"), 400)
        refused(httpx.get(fhir.base.removesuffix("fhir")), 400)

    def test_reads_in_a_transaction_are(self, fhir: Fhir) -> None:
        refused(fhir.send("transaction", {"request": {"method": "GET", "url": "Patient/a"}}), 400)

    @pytest.mark.parametrize("entry", [{"a": 1}, [{}], ["x"], [{"request": "x"}], [{"request": {"url": 1}}]])
    def test_bundles_that_are_none_are(self, fhir: Fhir, entry: object) -> None:
        body = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
        refused(fhir.http.post("", json=body, headers=JSON), 400)

    def test_no_refusal_repeats_a_value(self, fhir: Fhir) -> None:
        fhir.stored(fhir.patient())
        canary = "Canary-Marker"
        answers = [
            fhir.put(fhir.score(status=canary)),
            fhir.put(fhir.score(subject={"reference": f"Patient/{canary}"})),
            fhir.put(fhir.score(valueInteger=canary)),
            fhir.get(f"Patient?identifier={canary}&_sort={canary}"),
            fhir.get(f"Patient/{canary}"),
        ]
        assert {answer.status_code for answer in answers} == {400, 404}
        assert canary not in "".join(answer.text for answer in answers)


class TestRunning:
    def test_it_listens_on_the_loopback_address_alone(self, server: RunningServer) -> None:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert server.base_url.endswith("/fhir")

    def test_it_notes_what_it_was_asked(self, server: RunningServer, fhir: Fhir) -> None:
        fhir.get("Patient?_id=a")
        fhir.put(fhir.patient())
        asked = [("GET", "/fhir/Patient?_id=a"), ("PUT", f"/fhir/Patient/{fhir.own}p")]
        assert server.requests[-2:] == asked

    def test_what_is_loaded_is_there_together_and_unvalidated(
        self, server: RunningServer, fhir: Fhir
    ) -> None:
        bad = fhir.score(status=7, code=8, category=["x", {"coding": 9}])
        server.load([bad, fhir.patient()])
        assert fhir.get(f"Observation/{fhir.own}o").json()["status"] == 7
        with pytest.raises(Exception, match="leads nowhere"):
            server.load([fhir.patient("q"), fhir.score("r", "nobody")])
        assert fhir.get(f"Patient/{fhir.own}q").status_code == 404

    def test_a_taken_port_is_an_error(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(OSError, match="in use"), running_server(port=port):
                pass

    def test_it_ends_without_a_trace_though_a_client_still_holds_on(self) -> None:
        before = set(threading.enumerate())
        with warnings.catch_warnings(), httpx.Client() as client:
            warnings.simplefilter("error")
            with running_server() as server:
                client.get(f"{server.base_url}/Patient")
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.base_url}/Patient")
        assert set(threading.enumerate()) == before

    def test_it_answers_without_delay(self, fhir: Fhir) -> None:
        """Without TCP_NODELAY each answer waits 40 ms for the client's acknowledgement."""
        fhir.stored(fhir.patient())
        times = [fhir.get(f"Patient/{fhir.own}p").elapsed for _ in range(9)]
        assert min(times) < timedelta(milliseconds=30)

    def test_what_is_put_around_it_sees_every_request(self) -> None:
        middleware = Middleware(Broken, when=lambda path: path.endswith("/Patient/a"))
        with running_server([{"resourceType": "Patient", "id": "a"}], middleware=[middleware]) as server:
            assert httpx.get(f"{server.base_url}/Patient/a").status_code == 503
            assert httpx.get(f"{server.base_url}/Patient").status_code == 200


class Broken:
    """A fault: 503 where *when* says so."""

    def __init__(self, app: ASGIApp, when: Callable[[str], bool]) -> None:
        self._app, self._when = app, when

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._when(scope["path"]):
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, send)
