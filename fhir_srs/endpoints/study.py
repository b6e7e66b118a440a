"""Study definitions: every parameter of the rules by name, and where it comes from.

The shipped ones are `mappings/studies/*.toml`; spec/endpoints.md section 16 is their source. The engine
reads nothing but these values.
"""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from fhir_srs import tables
from fhir_srs.errors import ConfigurationError, LocalIOError, UsageError

Basis = Literal["published", "memory", "assumed"]


class Window(msgspec.Struct, frozen=True):
    """A visit window in days, both ends included, and the day it aims at."""

    name: str
    first: int
    last: int
    target: int


# spec/endpoints.md section 1. Follow-up windows count from t0, the baseline from the first fraction.
BASELINE = Window("baseline", -28, 0, 0)
WINDOWS = (
    Window("1-month", 15, 45, 30),
    Window("2-month", 46, 75, 61),
    Window("3-month", 76, 120, 91),
    Window("6-month", 150, 240, 183),
    Window("12-month", 300, 420, 365),
)


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A named definition of all endpoints. *basis* says of each parameter where it comes from.

    *min_baseline_pain*, *pain_delta* and *relapse_delta* are points of pain; *best_first_day* to
    *best_last_day*, *flare_days*, *death_gap* and *late_entry* days. *single_fraction* admits lesions of
    one fraction only. *relapse_first*, *duration_first* and *control_first* are shown first.
    """

    name: str
    version: str
    title: str
    rule: Literal["icpre", "threshold"]
    analgesics: Literal["aware", "blind"]
    single_fraction: bool
    min_baseline_pain: Decimal
    pain_delta: Decimal
    omed_table: str
    best_first_day: int
    best_last_day: int
    flare_days: int
    relapse_delta: Decimal
    relapse_omed: bool
    death_gap: int
    late_entry: int
    dose_low_gy: Decimal
    dose_high_gy: Decimal
    relapse_first: str
    duration_first: str
    control_first: str
    basis: dict[str, Basis] = {}
    notes: dict[str, str] = {}

    @property
    def best(self) -> Window:
        """The window of the best class."""
        return Window("best", self.best_first_day, self.best_last_day, self.best_first_day)


def shipped_studies() -> list[str]:
    """The names of the studies that come with the program."""
    return [Path(name).stem for name in tables.names("studies/*.toml")]


def load_study(name: str) -> Study:
    """
    The study called *name*, or in the file of that path (ending in .toml).

    UsageError for an unknown name, ConfigurationError listing all problems of a bad file.
    """
    if name.endswith(".toml"):
        return parse_study(_file(Path(name)), subject=f"study file {Path(name).name}")
    if name not in shipped_studies():
        raise UsageError(f"unknown study {name!r}; known: {', '.join(shipped_studies())}")
    return parse_study(tables.text(f"studies/{name}.toml"), subject=f"study {name}")


def parse_study(text: str, *, subject: str) -> Study:
    """The study in TOML *text*: each parameter is a table with `value`, `basis` and maybe `note`."""
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(subject, [f"not TOML: {error}"]) from None
    head = {key: value for key, value in content.items() if not isinstance(value, dict)}
    parameters = {key: value for key, value in content.items() if isinstance(value, dict)}
    problems = _problems(head, parameters)
    if problems:
        raise ConfigurationError(subject, problems)
    values = {key: one["value"] for key, one in parameters.items()}
    basis = {key: one["basis"] for key, one in parameters.items()}
    notes = {key: one["note"] for key, one in parameters.items() if "note" in one}
    return msgspec.convert(head | values | {"basis": basis, "notes": notes}, Study)


def _problems(head: dict[str, Any], parameters: dict[str, dict[str, Any]]) -> list[str]:
    """Everything that is wrong, parameter by parameter."""
    names = {"name": str, "version": str, "title": str}
    fields = {field.name: field for field in msgspec.structs.fields(Study)}
    wanted = [name for name in fields if name not in {*names, "basis", "notes"}]
    found = [f"{name}: missing" for name in names if not isinstance(head.get(name), str)]
    found += [f"{name}: missing" for name in wanted if name not in parameters]
    found += [f"{name}: unknown" for name in [*parameters, *head] if name not in {*wanted, *names}]
    for name, one in parameters.items():
        if name in wanted:
            found += [f"{name}: {problem}" for problem in _parameter(one, fields[name].type)]
    return found


def _parameter(one: dict[str, Any], kind: Any) -> list[str]:
    problems = [f"{key} is unknown" for key in one if key not in {"value", "basis", "note"}]
    if one.get("basis") not in {"published", "memory", "assumed"}:
        problems.append("basis must be published, memory or assumed")
    try:
        msgspec.convert(one.get("value"), kind)
    except msgspec.ValidationError as error:
        problems.append(str(error))
    return problems


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalIOError(f"study file {path.name} cannot be read") from None
