"""Settings: `fhir-srs.toml`, the keys of design.md section 4.4 and decisions.md 34.

Everything wrong is said at once, by key, never by value. Paths are relative to the file. What a key may
hold is checked here; whether the server can be reached is not.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fhir_srs.errors import ConfigurationError, LocalIOError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> timedelta:
    """`90s`, `15m`, `2h`, `1d`, or whole seconds; ValueError, without the value, for anything else."""
    match = re.fullmatch(r"(\d{1,6})([smhd]?)", str(value).strip()) if isinstance(value, str | int) else None
    if match is None or isinstance(value, bool):
        raise ValueError("must be a duration such as 15m, 300s or 2h")
    return timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2) or "s"])


def _base_url(value: object) -> str:
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f\x7f\\]", value):
        raise ValueError("must be the address of a FHIR server")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("must be the address of a FHIR server") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must carry no user information")
    if "?" in value or "#" in value:
        raise ValueError("must have neither query nor fragment")
    return value.rstrip("/")


def _token_url(value: object) -> str:
    """As sent in the assertion, to the letter; https, or http on this machine."""
    _base_url(value)
    parts = urlsplit(str(value))
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("must begin with https://")
    return str(value)


def _canonical_base(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s\x00-\x1f|]+", value):
        raise ValueError("must be an absolute http(s) URL")
    return value.rstrip("/")


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
BaseUrl = Annotated[str, BeforeValidator(_base_url)]
TokenUrl = Annotated[str, BeforeValidator(_token_url)]
CanonicalBase = Annotated[str, BeforeValidator(_canonical_base)]


class _Section(BaseModel):
    """Unknown keys are errors; no message repeats an input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# Which keys each way of access needs, and which it may have.
_ACCESS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "token": (("token_file",), ()),
    "basic": (("user", "password_file"), ()),
    "smart": (("client_id", "key_file"), ("key_id", "token_url")),
}
_CREDENTIALS = tuple(key for needed, optional in _ACCESS.values() for key in (*needed, *optional))


class Access(_Section):
    """How to reach one server. `smart` is SMART Backend Services: *client_id* registered with our public key.

    *key_file* holds the private key (PEM, JWK or JWKS), *key_id* its name there; *token_url* is discovered
    unless given. *internal_bases* are addresses that the server writes into links instead of its own, behind
    a proxy that does not tell it (H8): such links are asked for at *base_url*.
    """

    auth: Literal["none", "token", "basic", "smart"] = "none"
    token_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    client_id: str | None = None
    key_file: Path | None = None
    key_id: str | None = None
    token_url: TokenUrl | None = None
    allow_insecure_loopback: bool = False
    allowed_origins: tuple[BaseUrl, ...] = ()
    internal_bases: tuple[BaseUrl, ...] = ()
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Access":
        needed, optional = _ACCESS[self.auth]
        given = [key for key in _CREDENTIALS if getattr(self, key) is not None]
        problems = [f"{key} is missing" for key in needed if key not in given]
        problems += [f"{key} does not belong to it" for key in given if key not in (*needed, *optional)]
        if problems:
            raise ValueError(f"auth = '{self.auth}': {', '.join(problems)}")
        return self


class Source(Access):
    """
    The server that is read. *opt_out* lists patients who are left out: `Patient/<id>`, `system|value`.

    With *consent* opt-outs in Consent resources are heeded; without, none is asked for.
    """

    base_url: BaseUrl
    opt_out: Path | None = None
    consent: bool = True


class Target(Access):
    """The server that gets the results; without *base_url* the source, reached as the source is.

    *canonical_base* is the root of our identifiers and codes; *references* and *synthetic* are explained in
    decisions.md 5 and fhir-mapping.md section 9.
    """

    base_url: BaseUrl | None = None
    canonical_base: CanonicalBase = "https://fhir-srs.example.org"
    organization: str | None = None
    references: Literal["literal", "logical"] = "literal"
    synthetic: bool = False


class SiteMapping(_Section):
    """How this site spells things."""

    profile: str = "mcode"


class Study(_Section):
    """Which definitions, and up to when data count; `server` is the server's date at the start of the run."""

    names: tuple[str, ...] = Field(default=("ryu2008",), min_length=1)
    cutoff: Literal["server"] | date = "server"


class StoreFolder(_Section):
    """Where the local store lives: patient data, mode 0700."""

    folder: Path = Path("state")


class Brake(_Section):
    """More disappearances than both figures allow stop a run (I11): a number, and a share of all."""

    number: int = Field(default=5, ge=0)
    share: float = Field(default=0.02, ge=0, le=1)


class Sync(_Section):
    """
    How a run behaves. *lag* covers the server's longest transaction, *overlap* is read again each time.

    *reread* is read again once a day, *census* is how often all ids are compared with the server's, for what
    leaves no trace in a history.
    """

    every: Duration | None = None
    write: bool = False
    lag: Duration = timedelta(seconds=300)
    overlap: Duration = timedelta(seconds=120)
    reread: Duration = timedelta(days=7)
    count: int = Field(default=1000, ge=1, le=10_000)
    connections: int = Field(default=2, ge=1, le=16)
    census: Duration = timedelta(days=7)
    brake: Brake = Brake()


class Settings(_Section):
    """All sections, paths made absolute."""

    source: Source
    target: Target = Target()
    mapping: SiteMapping = SiteMapping()
    study: Study = Study()
    store: StoreFolder = StoreFolder()
    sync: Sync = Sync()


# Keys that name a file or folder; profile and studies only where they look like one, else a shipped name.
_PATHS = (
    ("source", "token_file"),
    ("source", "password_file"),
    ("source", "key_file"),
    ("source", "ca_file"),
    ("source", "opt_out"),
    ("target", "token_file"),
    ("target", "password_file"),
    ("target", "key_file"),
    ("target", "ca_file"),
    ("store", "folder"),
)


def load_settings(path: Path) -> Settings:
    """The settings in *path*; ConfigurationError lists every problem by key, LocalIOError if unreadable."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LocalIOError(f"settings file cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError("settings", ["the file is not UTF-8"]) from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("settings", [f"not TOML{_place(error)}"]) from None
    return parse_settings(content, folder=path.resolve().parent)


def parse_settings(content: Mapping[str, Any], *, folder: Path) -> Settings:
    """The settings in *content*, their paths relative to *folder*."""
    try:
        settings = Settings.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigurationError("settings", _problems(error)) from None
    return _absolute(settings, folder)


def _problems(error: ValidationError) -> list[str]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{'.'.join(map(str, one['loc'])) or 'file'}: {_message(one['msg'])}" for one in found]


def _message(text: str) -> str:
    return text.removeprefix("Value error, ")


def _place(error: tomllib.TOMLDecodeError) -> str:
    match = re.search(r"\(at [^()]*\)", str(error))
    return f" {match.group()}" if match else ""


def _absolute(settings: Settings, folder: Path) -> Settings:
    for section, key in _PATHS:
        part = getattr(settings, section)
        value = getattr(part, key)
        if value is not None:
            settings = _with(settings, section, key, folder / value)
    profile = _file_or_name(settings.mapping.profile, folder)
    names = tuple(_file_or_name(name, folder) for name in settings.study.names)
    return _with(_with(settings, "mapping", "profile", profile), "study", "names", names)


def _with(settings: Settings, section: str, key: str, value: object) -> Settings:
    part = getattr(settings, section).model_copy(update={key: value})
    return settings.model_copy(update={section: part})


def _file_or_name(text: str, folder: Path) -> str:
    return str(folder / text) if text.endswith(".toml") or "/" in text else text
