"""`fhir-srs keys`: pairs that an authority takes, public parts without a private one, rotation."""

# ruff: noqa: N802  (the ids of reliability.md are written in capitals)

import json
from pathlib import Path

import pytest
from starlette.middleware import Middleware

from fhir_srs.cli import run as command
from fhir_srs.sync import run_sync
from fhir_srs.testing.server import running_server
from fhir_srs.testing.smart import Registered, SmartAuthority
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
