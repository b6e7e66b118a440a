"""SMART Backend Services (rows A1 to A13 of reliability.md) against an authority that verifies everything."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.middleware import Middleware

from fhir_srs.config import Settings, parse_settings
from fhir_srs.errors import AccessRefused, ConfigurationError, ProtocolViolation, SecurityViolation
from fhir_srs.fhir.auth import BackendServices, Basic, Client, lacking
from fhir_srs.fhir.client import FhirClient, Server
from fhir_srs.fhir.keys import SigningKey, load_key
from fhir_srs.fhir.sansio import Search, read_request, search_request
from fhir_srs.sync import Machine, run_sync
from fhir_srs.sync.doctor import examine
from fhir_srs.testing.faults import parse_fault
from fhir_srs.testing.server import RunningServer, running_server
from fhir_srs.testing.smart import Registered, SmartAuthority
from tests.server.patients import person, story
from tests.server.rawserver import http, raw_server

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP384R1())
NAMES = {"RS384": RSA, "ES384": EC}


def public(algorithm: str) -> dict[str, Any]:
    maker = jwt.algorithms.RSAAlgorithm if algorithm == "RS384" else jwt.algorithms.ECAlgorithm
    found: dict[str, Any] = json.loads(maker.to_jwk(NAMES[algorithm].public_key()))
    return found | {"kid": "k1", "alg": algorithm}


def key_file(folder: Path, key: Any = RSA, mode: int = 0o600) -> Path:
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(mode)
    return path


class Clock:
    """A server's and a client's time, moved by the test."""

    def __init__(self) -> None:
        self.seconds = 1_780_000_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@contextmanager
def authority(registered: Registered, clock: Clock | None = None) -> Iterator[RunningServer]:
    more: dict[str, Any] = {} if clock is None else {"clock": clock.now}
    guard = Middleware(SmartAuthority, client=registered, **more)
    with running_server([person("a")], middleware=[guard], **more) as server:
        yield server


def client(base: str, key: SigningKey, clock: Clock | None = None, **more: Any) -> FhirClient:
    numbers = iter(range(10_000))
    registration = Client(client_id="srs", key=key, base=base, **{"reads": ("Patient",), **more})
    now = time.time if clock is None else lambda: clock.seconds
    services = BackendServices(registration, now=now, jti=lambda: f"jti-{next(numbers)}")
    server = Server(base=base, credentials=services, allow_insecure_loopback=True)
    return FhirClient(server, sleep=lambda _: None, clock=time.monotonic, random=lambda: 0.0)


def read(one: FhirClient) -> int:
    return one.ask(read_request("Patient", "a"), lambda answer, _route: answer.status)


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return load_key(key_file(tmp_path), "k1")


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_A1_A2_a_token_is_had_with_either_algorithm(algorithm: str, tmp_path: Path) -> None:
    registered = Registered(client_id="srs", jwk=public(algorithm))
    signing = load_key(key_file(tmp_path, NAMES[algorithm]), "k1")
    assert signing.algorithm == algorithm
    with authority(registered) as server, client(server.base_url, signing) as one:
        assert read(one) == 200
    head = jwt.get_unverified_header(registered.asked[0]["client_assertion"])
    assert head == {"alg": algorithm, "kid": "k1", "typ": "JWT"}


def test_A1_the_signature_holds_without_the_library_that_made_it(tmp_path: Path) -> None:
    """Checked with RFC 7515 and the primitives of `cryptography` alone."""
    for algorithm, private in NAMES.items():
        token = load_key(key_file(tmp_path, private), "k1").signed({"iss": "srs"})
        signed, _, signature = token.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        if algorithm == "RS384":
            RSA.public_key().verify(raw, signed.encode(), PKCS1v15(), SHA384())
        else:
            halves = (int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
            EC.public_key().verify(encode_dss_signature(*halves), signed.encode(), ec.ECDSA(SHA384()))


def test_A3_A4_the_claims_and_the_form_are_those_of_smart_and_no_assertion_is_sent_twice(
    key: SigningKey,
) -> None:
    clock, registered = Clock(), Registered(client_id="srs", jwk=public("RS384"))
    with authority(registered, clock) as server, client(server.base_url, key, clock) as one:
        read(one)
        registered.expire()
        read(one)
        url = f"{server.base_url.removesuffix('/fhir')}/token"
    first, second = registered.asked
    assert set(first) == {"grant_type", "scope", "client_assertion_type", "client_assertion"}
    claims = [
        jwt.decode(form["client_assertion"], options={"verify_signature": False}) for form in (first, second)
    ]
    now = int(clock.seconds)
    wanted = {"iss": "srs", "sub": "srs", "aud": url, "iat": now, "exp": now + 240, "jti": "jti-0"}
    assert claims == [wanted, wanted | {"jti": "jti-1"}]


def test_A6_a_token_is_used_until_a_fifth_of_its_life_is_left_and_then_renewed(key: SigningKey) -> None:
    clock, registered = Clock(), Registered(client_id="srs", jwk=public("RS384"), seconds=600)
    with authority(registered, clock) as server, client(server.base_url, key, clock) as one:
        for seconds, asked in ((0, 1), (400, 1), (479, 1), (480, 2), (700, 2)):
            clock.seconds = 1_780_000_000.0 + seconds
            assert (read(one), len(registered.asked)) == (200, asked)


def test_A7_a_scope_that_was_not_granted_is_one_clear_error_before_anything_is_read(key: SigningKey) -> None:
    registered = Registered(client_id="srs", jwk=public("RS384"), scopes="system/Patient.rs")
    types = ("Patient", "Procedure")
    with authority(registered) as server, client(server.base_url, key, reads=types) as one:
        with pytest.raises(AccessRefused, match=r"the token lacks system/Procedure\.rs"):
            read(one)
        assert [path for _, path in server.requests if path.startswith("/fhir/Patient")] == []


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ("system/*.rs", []),
        ("system/*.read", []),
        ("system/*.*", []),
        ("system/Patient.cruds system/Procedure.rs", []),
        ("system/Patient.r system/Patient.s system/Procedure.rs", []),
        ("system/Patient.rs", ["system/Procedure.rs"]),
        ("system/Patient.rs system/Procedure.s", ["system/Procedure.rs"]),
        ("system/Patient.rs system/Procedure.rs?code=1", ["system/Procedure.rs"]),
        ("user/*.rs patient/*.rs", ["system/Patient.rs", "system/Procedure.rs"]),
        ("", ["system/Patient.rs", "system/Procedure.rs"]),
    ],
)
def test_A7_scopes_of_both_versions_and_wildcards_are_understood(granted: str, missing: list[str]) -> None:
    assert list(lacking(granted.split(), ["Patient", "Procedure"], "rs")) == missing


def test_A10_F24_a_token_refused_in_mid_pull_is_renewed_once(key: SigningKey) -> None:
    registered = Registered(client_id="srs", jwk=public("RS384"))
    with authority(registered) as server, client(server.base_url, key) as one:
        read(one)
        registered.expire()
        assert read(one) == 200
        assert len(registered.asked) == 2
        refused = search_request(Search(type="Procedure", filters=(), count=1))
        answers = [one.ask(refused, lambda answer, _route: answer.status) for _ in range(2)]
        assert answers == [403, 403], "a scope that is not there is no reason to renew"
        assert len(registered.asked) == 2


def test_A10_a_second_401_ends_it(key: SigningKey) -> None:
    registered = Registered(client_id="srs", jwk=public("RS384"), seconds=-1000)
    lying = Registered(client_id="srs", jwk=public("RS384"), seconds=1)
    with authority(lying, Clock()) as server, client(server.base_url, key, Clock()) as one:
        lying.tokens = Forgetful()
        assert read(one) == 401
        assert len(lying.asked) == 2
    with (
        authority(registered) as server,
        client(server.base_url, key) as one,
        pytest.raises(ProtocolViolation, match="expires_in"),
    ):
        read(one)


class Forgetful(dict[str, tuple[float, str]]):
    """Tokens that are given out and never known again."""

    def get(self, key: str, default: Any = None) -> Any:
        return default


def test_A11_a_bare_400_is_tried_again_on_reauthorisation_only(key: SigningKey) -> None:
    clock, registered = Clock(), Registered(client_id="srs", jwk=public("RS384"), flakes=1)
    with authority(registered, clock) as server, client(server.base_url, key, clock) as one:
        with pytest.raises(AccessRefused, match="POST token: refused"):
            read(one)
        assert read(one) == 200
        clock.seconds += 1000
        registered.flakes = 1
        assert read(one) == 200
        registered.flakes = 2
        clock.seconds += 1000
        with pytest.raises(AccessRefused):
            read(one)


def test_A12_only_the_types_needed_are_asked_for(key: SigningKey) -> None:
    registered = Registered(client_id="srs", jwk=public("RS384"))
    types = {"reads": ("Patient", "Observation"), "writes": ("Observation",)}
    with authority(registered) as server, client(server.base_url, key, **types) as one:
        read(one)
    assert registered.asked[0]["scope"] == "system/Patient.rs system/Observation.rs system/Observation.cu"


def test_A5_a_token_endpoint_elsewhere_is_asked_nothing_unless_its_origin_is_allowed(
    key: SigningKey,
) -> None:
    body = json.dumps({"token_endpoint": "http://127.0.0.2:9/token"}).encode()
    answer = http(200, body, media="application/json")
    with raw_server(answer) as server, client(server.base, key) as one, pytest.raises(SecurityViolation):
        read(one)


def test_F25_an_answer_that_is_no_token_is_refused_without_repeating_it(key: SigningKey) -> None:
    answer = http(200, b"<html>secret-canary</html>", media="text/html")
    with (
        raw_server(answer) as server,
        client(server.base, key) as one,
        pytest.raises(ProtocolViolation) as caught,
    ):
        read(one)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o700])
def test_A13_a_key_file_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must have mode 0400 or 0600"):
        load_key(key_file(tmp_path, mode=mode), "k1")


def test_A1_weak_keys_and_other_files_are_refused(tmp_path: Path) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
    other = ec.generate_private_key(ec.SECP256R1())
    for weak in (small, other):
        with pytest.raises(ConfigurationError, match="2048 bits or more, or an EC key on P-384"):
            load_key(key_file(tmp_path, weak), "k1")
    for text in ("", "no key", "{}", json.dumps(public("RS384")), "{]"):
        path = tmp_path / "text"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigurationError):
            load_key(path, "k1")


def test_A2_a_set_of_keys_gives_the_one_that_is_named(tmp_path: Path) -> None:
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA))
    other = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC))
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [private | {"kid": "old"}, other | {"kid": "new"}]}))
    path.chmod(0o400)
    assert (load_key(path, "new").algorithm, load_key(path, "old").algorithm) == ("ES384", "RS384")
    for name in (None, "none"):
        with pytest.raises(ConfigurationError, match="key_id must name one private key"):
            load_key(path, name)


def test_basic_is_what_rfc_7617_says() -> None:
    shown = Basic("Aladdin", "open sesame").authorization(lambda *_: pytest.fail("nothing is asked"))
    assert shown == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    with pytest.raises(ConfigurationError):
        Basic("a:b", "c")


def test_no_secret_shows_in_a_repr(key: SigningKey) -> None:
    registration = Client(client_id="client-canary", key=key, base="https://x/fhir", reads=())
    for one in (key, registration, BackendServices(registration, now=time.time, jti=str)):
        assert "canary" not in repr(one)
        assert "PRIVATE" not in repr(one)


def settings(base: str, folder: Path, **source: Any) -> Settings:
    content = {
        "source": {"base_url": base, "allow_insecure_loopback": True, **source},
        "target": {"canonical_base": "https://srs.example.org", "synthetic": True},
        "study": {"names": ["ryu2008"], "cutoff": "2025-12-31"},
        "store": {"folder": "state"},
        "sync": {"write": True},
    }
    return parse_settings(content, folder=folder)


def test_a_whole_sync_with_backend_services_leaves_no_secret_in_the_state_folder(tmp_path: Path) -> None:
    registered = Registered(client_id="srs", jwk=public("RS384"))
    path = key_file(tmp_path)
    guard = Middleware(SmartAuthority, client=registered)
    with running_server([*story("a"), *story("b")], middleware=[guard]) as server:
        asked = settings(
            server.base_url, tmp_path, auth="smart", client_id="srs", key_file=str(path), key_id="k1"
        )
        first, second = run_sync(asked), run_sync(asked)
    assert (first.status, first.error, second.status) == ("done", None, "done")
    assert first.written.created > 0
    assert second.written.created == second.written.updated == 0
    held = b"".join(one.read_bytes() for one in (tmp_path / "state").rglob("*") if one.is_file())
    assert not any(token.encode() in held for token in registered.tokens)
    assert path.read_bytes().split(b"\n")[1] not in held


READS = "system/*.rs"


def smart(server: RunningServer, folder: Path) -> Settings:
    path = str(key_file(folder))
    return settings(server.base_url, folder, auth="smart", client_id="srs", key_file=path, key_id="k1")


def test_A7_without_the_scope_to_write_a_run_pulls_says_so_and_writes_nothing(tmp_path: Path) -> None:
    registered = Registered(client_id="srs", jwk=public("RS384"), scopes=READS)
    guard = Middleware(SmartAuthority, client=registered)
    with running_server(story("a"), middleware=[guard]) as server:
        asked = smart(server, tmp_path)
        summary = run_sync(asked)
        assert (summary.status, summary.exit_code, summary.complete) == ("done", 0, True)
        assert summary.planned.create > 0
        assert summary.written.created == 0
        assert "the token lacks system/Device.cu, system/Group.cu" in summary.notes[-1]
        assert "PUT" not in {method for method, _ in server.requests}
        found = [one for one in examine(asked, Machine()) if one.topic == "target: scopes"]
        assert [one.level for one in found] == ["error"]
        registered.scopes = "system/*.cruds"
        later = run_sync(asked)
        assert (later.written.created, later.notes) == (summary.planned.create, ())


def test_F24_F25_a_run_outlives_tokens_and_a_token_endpoint_that_fails_for_a_while(tmp_path: Path) -> None:
    registered = Registered(client_id="srs", jwk=public("RS384"), seconds=31)
    guard = Middleware(SmartAuthority, client=registered)
    plan = [parse_fault(one) for one in ("token-down", "token-down,from=3", "401,on=page+search,from=3")]
    with running_server(story("a"), middleware=[guard], faults=plan) as server:
        asked = smart(server, tmp_path)
        summary = run_sync(asked, machine=Machine(sleep=lambda _: None))
        assert (summary.status, summary.error) == ("done", None)
        assert len({one["client_assertion"] for one in registered.asked}) == len(registered.asked) > 1
        plan[:] = [parse_fault("token-html,times=0")]
        after = run_sync(asked, machine=Machine(sleep=lambda _: None))
        assert (after.status, after.exit_code) == ("incomplete", 65)


def test_F5_a_client_that_is_not_known_ends_with_77(tmp_path: Path) -> None:
    registered = Registered(client_id="somebody-else", jwk=public("RS384"))
    path = key_file(tmp_path)
    with authority(registered) as server:
        asked = settings(
            server.base_url, tmp_path, auth="smart", client_id="srs", key_file=str(path), key_id="k1"
        )
        summary = run_sync(asked)
    assert (summary.status, summary.exit_code) == ("failed", 77)
    assert "invalid_client" in (summary.error or "")
