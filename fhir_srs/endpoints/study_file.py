"""Study files: TOML read into a Study, all that is wrong at once; a file of one's own may extend another."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeGuard, cast, get_args, get_origin

import msgspec

from fhir_srs import tables
from fhir_srs.endpoints.comedication import FLAGS
from fhir_srs.endpoints.criteria import POINT_DROPS
from fhir_srs.endpoints.definitions import DEFINITIONS
from fhir_srs.endpoints.study import VISITS, Basis, Sensitivity, Study
from fhir_srs.errors import ConfigurationError, LocalIOError, UsageError

HEAD = ("name", "version", "title")
_FIELDS = {field.name: field for field in msgspec.structs.fields(Study)}
PARAMETERS = tuple(name for name in _FIELDS if name not in {*HEAD, "basis", "notes"})
BASES = ("published", "memory", "assumed")

Parameters = dict[str, dict[str, Any]]


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
    return _shipped(name)


@cache
def _shipped(name: str) -> Study:
    return parse_study(tables.text(f"studies/{name}.toml"), subject=f"study {name}")


def parse_study(text: str, *, subject: str) -> Study:
    """
    The study in TOML *text*: each parameter is a table with `value`, `basis` and maybe `note`.

    ConfigurationError lists everything that is wrong; what contradicts itself, once every part is right.
    """
    head, own = _parts(text.removeprefix("\ufeff"), subject)
    base = head.pop("extends", None)
    known = base is None or base in shipped_studies()
    problems = [] if known else [f"extends: no such study; known: {', '.join(shipped_studies())}"]
    inherited = _parts(tables.text(f"studies/{base}.toml"), base)[1] if base and known else {}
    problems += [*_head(head, text), *_parameters(own)]
    parameters = inherited | own
    problems += [f"{name}: missing" for name in PARAMETERS if known and name not in parameters]
    if problems:
        raise ConfigurationError(subject, problems)
    study = _study(head, parameters)
    contradictions = [*_contradictions(study), *_bad_sensitivity(study)]
    if contradictions:
        raise ConfigurationError(subject, contradictions)
    return study


def changed(study: Study, change: Mapping[str, Any]) -> Study:
    """*study* with some parameters of other value, as a study file writes them; ValueError for a bad one."""
    values = {name: msgspec.convert(value, _FIELDS[name].type) for name, value in change.items()}
    return msgspec.structs.replace(study, **values)


def _parts(text: str, subject: str) -> tuple[dict[str, Any], Parameters]:
    """What stands at the top of the file, and the rest: its parameters, each a table."""
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(subject, [f"not TOML: {error}"]) from None
    top = {key for key, value in content.items() if not isinstance(value, dict) and key not in PARAMETERS}
    head = {key: content[key] for key in content if key in top}
    return head, {key: value for key, value in content.items() if key not in top}


def _study(head: Mapping[str, Any], parameters: Parameters) -> Study:
    values = {name: parameters[name]["value"] for name in PARAMETERS}
    basis = {name: cast(Basis, parameters[name]["basis"]) for name in PARAMETERS}
    notes = {name: one["note"] for name, one in parameters.items() if "note" in one}
    return msgspec.convert({**head, **values, "basis": basis, "notes": notes}, Study)


# Names and versions stand in ids of results, in file names and at the head of columns.
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _head(head: Mapping[str, Any], text: str) -> Iterator[str]:
    for name in HEAD:
        if not isinstance(head.get(name), str):
            yield f"{name}: {'must be text' if name in head else 'missing'}"
        elif name != "title" and not WORD.fullmatch(head[name]):
            yield f"{name}: must be of letters, digits, dots, hyphens and underscores"
    yield from (f"{name}: unknown" for name in head if name not in HEAD)
    own = head.get("name")
    if own in shipped_studies() and text != tables.text(f"studies/{own}.toml"):
        yield f"name: {own} is a study of ours; results of yours would be taken for its"


def _parameters(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Everything that is wrong, parameter by parameter."""
    for name, one in parameters.items():
        if name not in PARAMETERS:
            yield f"{name}: unknown"
        elif not isinstance(one, dict):
            yield f"{name}: must be a table with value and basis"
        else:
            yield from _parameter(name, one)


def _parameter(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name}: {key} is unknown" for key in one if key not in {"value", "basis", "note"})
    if one.get("basis") not in BASES:
        yield f"{name}: basis must be published, memory or assumed"
    if not isinstance(one.get("note", ""), str):
        yield f"{name}: note must be text"
    if "value" not in one:
        yield f"{name}: value is missing"
        return
    yield from _misfits(one["value"], _FIELDS[name].type, name)


def _misfits(value: Any, kind: Any, path: str) -> Iterator[str]:
    """Where *value* is not of *kind*: every field and every item by itself, so that one hides no other."""
    item = next(iter(get_args(kind)), None)
    if _is_struct(kind) and isinstance(value, dict):
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        yield from (f"{path}.{key}: unknown" for key in value if key not in fields)
        yield from (f"{path}.{key}: missing" for key in fields if fields[key].required and key not in value)
        for key in fields.keys() & value.keys():
            yield from _misfits(value[key], fields[key].type, f"{path}.{key}")
    elif _is_struct(item) and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _misfits(one, item, f"{path}[{number}]")
    elif get_origin(kind) is Literal and value not in get_args(kind):
        yield f"{path}: must be one of {', '.join(map(str, get_args(kind)))}"
    elif isinstance(value, Decimal) and not value.is_finite():
        yield f"{path}: must be a number"
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            yield f"{path}: {error}"


def _is_struct(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


_DAYS, _LATER, _SCORE = (0, 36_500), (1, 36_500), (Decimal("0.1"), 10)
# Least and most of a number, of each number of a list, or of each window.
RANGES: Mapping[str, tuple[Decimal | int, Decimal | int]] = MappingProxyType(
    {
        "dose_low_gy": (0, 1000),
        "dose_high_gy": (0, 1000),
        "baseline_first_day": (-3650, 0),
        "windows": _LATER,
        "min_baseline_pain": (0, 10),
        "severity_cuts": (1, 9),
        "pain_delta": _SCORE,
        "omed_fall": (Decimal("0.01"), Decimal("0.99")),
        "omed_rise": (Decimal("1.01"), 100),
        "best_first_day": _LATER,
        "best_last_day": _LATER,
        "flare_days": _DAYS,
        "relapse_delta": _SCORE,
        "death_gap": _DAYS,
        "late_entry": _DAYS,
        "landmark_days": _LATER,
        "lc_window": _DAYS,
        "fracture_pain_days": _DAYS,
        "fracture_pain_points": _SCORE,
        "acute_days": _DAYS,
    }
)


def _out_of_range(study: Study) -> Iterator[str]:
    """Numbers that no study can mean."""
    for name, (low, high) in RANGES.items():
        if not all(low <= one <= high for one in _numbers(getattr(study, name))):
            yield f"{name}: must lie between {low} and {high}"


def _numbers(value: Any) -> list[Decimal]:
    if isinstance(value, dict):
        return [one for window in value.values() for one in window]
    return list(value) if isinstance(value, tuple) else [value]


def _contradictions(study: Study) -> Iterator[str]:
    """Values that are no study's, or right by themselves and wrong together."""
    yield from _out_of_range(study)
    if study.rule in POINT_DROPS and study.analgesics == "aware":
        yield "analgesics: the threshold rule is blind to them (rule = icpre or rtog is aware)"
    if study.rule == "rtog" and study.analgesics == "blind":
        yield "analgesics: the rtog rule is aware of them"
    if study.secondary_sites == "no-worsening" and study.unit != "index-lesion":
        yield "secondary_sites: no-worsening asks for unit = index-lesion"
    if study.best_first_day > study.best_last_day:
        yield "best_last_day: before best_first_day"
    if study.severity_cuts[0] >= study.severity_cuts[1]:
        yield "severity_cuts: moderate must end above mild"
    if study.dose_low_gy > study.dose_high_gy:
        yield "dose_high_gy: below dose_low_gy"
    yield from _bad_windows(study)
    yield from _bad_flares(study)
    yield from _bad_primaries(study)


def _bad_flares(study: Study) -> Iterator[str]:
    names = [one.name for one in study.flare]
    if not names or len(set(names)) < len(names):
        yield "flare: needs one definition or more, each of another name"
    for one in study.flare:
        if one.days < 1 or not 0 < one.points <= 10:
            yield f"flare {one.name!r}: needs days from 1 on, and points above 0 up to 10"


POPULATIONS = (
    "itt",
    "assessable",
    "per-visit",
    "responders",
    "ever-controlled",
    "with-follow-up",
    "all",
)


def _bad_primaries(study: Study) -> Iterator[str]:
    """A primary figure that no study can have is left blank in every table, so it is said here."""
    if not study.primary:
        yield "primary: needs one figure or more"
    windows = {"best", "flare", "acute", "late", *study.windows, None}
    for number, one in enumerate(study.primary):
        if one.endpoint != "toxicity" and (one.endpoint, one.variant) not in DEFINITIONS:
            yield f"primary[{number}]: no endpoint {one.endpoint!r} of variant {one.variant or 'none'!r}"
        if one.window not in windows:
            yield f"primary[{number}]: no window {one.window!r}"
        if one.population is not None and one.population not in POPULATIONS:
            yield f"primary[{number}]: no population {one.population!r}; known: {', '.join(POPULATIONS)}"


def _bad_windows(study: Study) -> Iterator[str]:
    for name, (first, last, target) in study.windows.items():
        if name not in VISITS:
            yield f"windows.{name}: unknown; known: {', '.join(VISITS)}"
        if not 0 < first <= target <= last:
            yield f"windows.{name}: needs 0 < first <= target <= last"
    ordered = [(one.name, one.first, one.last) for one in study.visits]
    for (_, _, last), (name, first, _) in pairwise(ordered):
        if first <= last:
            yield f"windows.{name}: overlaps the one before, so that a score would feed two"
    known = {"best", *study.windows}
    yield from (f"response_at: no window {name!r}" for name in study.response_at if name not in known)


def _bad_sensitivity(study: Study) -> Iterator[str]:
    labels = [one.label for one in study.sensitivity]
    yield from (f"sensitivity {one!r}: twice" for one in dict.fromkeys(labels) if labels.count(one) > 1)
    for one in study.sensitivity:
        yield from (f"sensitivity {one.label!r}: {problem}" for problem in _bad_run(study, one))


def _bad_run(study: Study, run: Sensitivity) -> Iterator[str]:
    if (bool(run.change), bool(run.missing), bool(run.without)).count(True) != 1:
        yield "needs one of change, missing and without"
    yield from (f"no flag {flag!r}; known: {', '.join(FLAGS)}" for flag in run.without if flag not in FLAGS)
    strange = [name for name in run.change if name not in PARAMETERS or name == "sensitivity"]
    yield from (f"{name} is unknown" for name in strange)
    known = {name: value for name, value in run.change.items() if name not in strange}
    wrong = [one for name, value in known.items() for one in _misfits(value, _FIELDS[name].type, name)]
    yield from wrong
    if not strange and not wrong:
        own = set(_contradictions(study))
        yield from (one for one in _contradictions(changed(study, run.change)) if one not in own)


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalIOError(f"study file {path.name} cannot be read") from None
