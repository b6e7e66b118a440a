"""Settings say everything that is wrong with them at once, and never what was written."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from fhir_srs.config import load_settings, parse_duration
from fhir_srs.errors import ConfigurationError, LocalIOError
from fhir_srs.fhir.token import load_token

WHOLE = """
[source]
base_url = "http://127.0.0.1:8080/fhir/"
auth = "none"
allow_insecure_loopback = true
[target]
canonical_base = "https://srs.example.org/"
references = "logical"
[mapping]
profile = "site.toml"
[study]
names = ["ryu2008", "studies/own.toml"]
cutoff = 2026-06-30
[store]
folder = "state"
[sync]
every = "15m"
write = true
lag = 60
overlap = "2m"
"""


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "fhir-srs.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(settings_file(folder, text))
    assert raised.value.exit_code == 78
    return raised.value.problems


def test_the_whole_file_is_read_with_paths_from_where_it_lies(tmp_path: Path) -> None:
    settings = load_settings(settings_file(tmp_path, WHOLE))
    assert settings.source.base_url == "http://127.0.0.1:8080/fhir"
    assert settings.target.base_url is None
    assert settings.target.canonical_base == "https://srs.example.org"
    assert settings.mapping.profile == str(tmp_path / "site.toml")
    assert settings.study.names == ("ryu2008", str(tmp_path / "studies/own.toml"))
    assert settings.study.cutoff == date(2026, 6, 30)
    assert settings.store.folder == tmp_path / "state"
    assert settings.sync.lag == timedelta(seconds=60)
    assert settings.sync.every == timedelta(minutes=15)
    assert settings.sync.write is True


def test_only_the_server_must_be_said_and_nothing_is_written_by_default(tmp_path: Path) -> None:
    settings = load_settings(settings_file(tmp_path, '[source]\nbase_url = "https://x/fhir"'))
    assert settings.sync.write is False
    assert settings.sync.lag == timedelta(seconds=300)
    assert settings.study.cutoff == "server"
    assert settings.mapping.profile == "mcode"


def test_all_problems_are_said_at_once_by_key_and_without_values(tmp_path: Path) -> None:
    text = """
    [source]
    base_url = "ftp://Jane-Doe/fhir"
    auth = "Jane-Doe"
    [study]
    names = []
    cutoff = "Jane-Doe"
    [sync]
    lag = "Jane-Doe"
    wirte = true
    [stroe]
    folder = "Jane-Doe"
    """
    found = problems(tmp_path, text)
    assert [one.split(":")[0] for one in found] == [
        "source.auth",
        "source.base_url",
        "study.names",
        "study.cutoff.literal['server']",
        "study.cutoff.date",
        "sync.lag",
        "sync.wirte",
        "stroe",
    ]
    assert "Jane" not in "\n".join(found)


@pytest.mark.parametrize("text", ['[source]\nbase_url = "Jane Doe', "[source", "a = 1\na = 2"])
def test_what_is_no_toml_is_said_by_line_alone(tmp_path: Path, text: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("not TOML (at ")
    assert "Jane" not in problem


def test_a_file_that_is_not_there_is_an_error_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(LocalIOError):
        load_settings(tmp_path / "none.toml")


def test_a_token_needs_its_file_and_a_file_its_token(tmp_path: Path) -> None:
    for lines, said in (
        ('auth = "token"', "auth = 'token': token_file is missing"),
        ('token_file = "t"', "auth = 'none': token_file does not belong to it"),
        ('auth = "basic"\nuser = "x"', "auth = 'basic': password_file is missing"),
        ('auth = "smart"', "auth = 'smart': client_id is missing, key_file is missing"),
        (
            'auth = "smart"\nclient_id = "x"\nkey_file = "k"\ntoken_url = "http://x/t"',
            "must begin with https://",
        ),
    ):
        (problem,) = problems(tmp_path, f'[source]\nbase_url = "https://x/fhir"\n{lines}')
        assert said in problem


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", 900), ("90s", 90), ("2h", 7200), ("1d", 86400), (5, 5), ("7", 7)]
)
def test_durations(text: object, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "-5m", "1.5h", True, None, "1y"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abc.def-123==\n")
    path.chmod(0o600)
    assert load_token(path) == "abc.def-123=="
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="0400 or 0600"):
        load_token(path)


def test_a_token_file_that_is_a_symlink_or_holds_no_token_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("two words\n")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as raised:
        load_token(path)
    assert "two" not in str(raised.value)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigurationError):
        load_token(link)
