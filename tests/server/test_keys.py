"""`fhir-srs keys`: pairs that an authority takes, public parts without a private one, rotation."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
import os
import stat
from pathlib import Path

import pytest
from starlette.middleware import Middleware

from fhir_srs.cli import run as command
from fhir_srs.fhir.secrets import problem_of
from fhir_srs.sync import run_sync
from fhir_srs.testing.server import running_server
from fhir_srs.testing.smart import Registered, SmartAuthority, registered
from tests.server.patients import story
from tests.server.test_auth import RSA, key_file, settings


def made(path: Path, capsys: pytest.CaptureFixture[str], algorithm: str = "ES384") -> dict[str, str]:
    assert command(["keys", "new", "--out", str(path), "--alg", algorithm]) == 0
    keys: list[dict[str, str]] = json.loads(capsys.readouterr().out)["keys"]
    assert len(keys) == 1
    return keys[0]


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_A1_a_new_pair_gets_a_token_from_an_authority_that_knows_its_public_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    path = tmp_path / "key.jwk"
    public = made(path, capsys, algorithm)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not {"d", "p", "q", "dp", "dq", "qi"} & public.keys()
    guard = Middleware(SmartAuthority, client=Registered(client_id="srs", jwk=public))
    with running_server(story("a"), middleware=[guard]) as server:
        asked = settings(server.base_url, tmp_path, auth="smart", client_id="srs", key_file=str(path))
        assert run_sync(asked, dry_run=True).error is None


def test_A14_current_and_next_key_are_published_together_under_their_own_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "current.jwk", tmp_path / "next.jwk"]
    apart = [made(path, capsys) for path in files]
    assert command(["keys", "jwks", *map(str, files)]) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["keys"] == apart
    assert len({one["kid"] for one in apart}) == 2
    assert json.loads(files[0].read_text())["d"] not in said
    guard = Middleware(SmartAuthority, client=registered("srs", said))
    with running_server(story("a"), middleware=[guard]) as server:
        for path in files:
            asked = settings(server.base_url, tmp_path, auth="smart", client_id="srs", key_file=str(path))
            assert run_sync(asked, dry_run=True).error is None


def test_a_set_without_a_public_key_is_a_clear_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "jwks.json"
    for text in ("", "{}", '{"keys":[]}', '{"keys":[{"kty":"RSA"}]}', '{"keys":[{"kid":"a","d":"secret"}]}'):
        path.write_text(text)
        assert command(["testserver", "--port", "0", "--jwks", str(path)]) == 78
        assert "secret" not in capsys.readouterr().err


def test_a_key_file_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key.jwk"
    made(path, capsys)
    before = path.read_bytes()
    assert command(["keys", "new", "--out", str(path)]) == 74
    assert path.read_bytes() == before


def test_A13_public_keys_are_read_from_files_of_ours_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.jwk"
    made(path, capsys)
    path.chmod(0o644)
    assert command(["keys", "jwks", str(path)]) == 78
    assert command(["keys", "jwks", str(key_file(tmp_path, RSA))]) == 78


@pytest.mark.parametrize(
    ("owner", "mode", "from_systemd", "problem"),
    [
        (1000, 0o600, False, None),
        (1000, 0o400, True, None),
        (0, 0o440, True, None),  # as systemd gives it by an ACL
        (0, 0o444, True, "belongs to somebody else"),
        (0, 0o440, False, "belongs to somebody else"),
        (1000, 0o640, False, "must have mode 0400 or 0600"),
    ],
)
def test_A13_a_secret_is_ours_alone_or_a_credential_of_systemd(
    owner: int, mode: int, from_systemd: bool, problem: str | None
) -> None:
    found = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, owner, 1, 0, 0, 0))
    assert problem_of(found, user=1000, from_systemd=from_systemd) == problem
