"""Study files: TOML read into a Study, all that is wrong at once; a file of one's own may extend another."""

import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import msgspec

from fhir_srs import tables
from fhir_srs.endpoints.comedication import FLAGS
from fhir_srs.endpoints.criteria import POINT_DROPS
from fhir_srs.endpoints.study import VISITS, Basis, Study
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
    return parse_study(tables.text(f"studies/{name}.toml"), subject=f"study {name}")


def parse_study(text: str, *, subject: str) -> Study:
    """The study in TOML *text*: each parameter is a table with `value`, `basis` and maybe `note`."""
    head, own = _parts(text, subject)
    base = head.pop("extends", None)
    problems = [*_head(head), *_parameters(own)]
    if base is not None and base not in shipped_studies():
        problems.append(f"extends: no such study; known: {', '.join(shipped_studies())}")
        base = None
    inherited = _parts(tables.text(f"studies/{base}.toml"), base)[1] if base else {}
    parameters = inherited | own
    problems += [f"{name}: missing" for name in PARAMETERS if name not in parameters]
    if problems:
        raise ConfigurationError(subject, problems)
    study = _study(head, parameters)
    contradictions = list(_contradictions(study))
    if contradictions:
        raise ConfigurationError(subject, contradictions)
    return study


def changed(study: Study, change: Mapping[str, Any]) -> Study:
    """*study* with some parameters of other value, as a study file writes them; ValueError for a bad one."""
    values = {name: msgspec.convert(value, _FIELDS[name].type) for name, value in change.items()}
    return msgspec.structs.replace(study, **values)


def _parts(text: str, subject: str) -> tuple[dict[str, Any], Parameters]:
    """What stands alone at the top of the file, and its tables."""
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(subject, [f"not TOML: {error}"]) from None
    head = {key: value for key, value in content.items() if not isinstance(value, dict)}
    return head, {key: value for key, value in content.items() if isinstance(value, dict)}


def _study(head: Mapping[str, Any], parameters: Parameters) -> Study:
    values = {name: parameters[name]["value"] for name in PARAMETERS}
    basis = {name: cast(Basis, parameters[name]["basis"]) for name in PARAMETERS}
    notes = {name: one["note"] for name, one in parameters.items() if "note" in one}
    return msgspec.convert({**head, **values, "basis": basis, "notes": notes}, Study)


def _head(head: Mapping[str, Any]) -> Iterator[str]:
    for name in HEAD:
        if not isinstance(head.get(name), str):
            yield f"{name}: {'must be text' if name in head else 'missing'}"
    yield from (f"{name}: unknown" for name in head if name not in HEAD)


def _parameters(parameters: Parameters) -> Iterator[str]:
    """Everything that is wrong, parameter by parameter."""
    for name, one in parameters.items():
        if name not in PARAMETERS:
            yield f"{name}: unknown"
            continue
        yield from (f"{name}: {key} is unknown" for key in one if key not in {"value", "basis", "note"})
        if one.get("basis") not in BASES:
            yield f"{name}: basis must be published, memory or assumed"
        if not isinstance(one.get("note", ""), str):
            yield f"{name}: note must be text"
        yield from (f"{name}: {problem}" for problem in _value(name, one))


def _value(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    if "value" not in one:
        yield "value is missing"
        return
    try:
        msgspec.convert(one["value"], _FIELDS[name].type)
    except msgspec.ValidationError as error:
        yield str(error)


def _contradictions(study: Study) -> Iterator[str]:
    """Values that are right by themselves and wrong together."""
    if study.rule in POINT_DROPS and study.analgesics == "aware":
        yield "analgesics: the threshold rule is blind to them (rule = icpre or rtog is aware)"
    if study.rule == "rtog" and study.analgesics == "blind":
        yield "analgesics: the rtog rule is aware of them"
    if study.secondary_sites == "no-worsening" and study.unit != "index-lesion":
        yield "secondary_sites: no-worsening asks for unit = index-lesion"
    if study.baseline_first_day > 0:
        yield "baseline_first_day: must not be after the first fraction"
    if study.best_first_day > study.best_last_day:
        yield "best_last_day: before best_first_day"
    if study.dose_low_gy > study.dose_high_gy:
        yield "dose_high_gy: below dose_low_gy"
    if not study.omed_fall < 1 < study.omed_rise:
        yield "omed_fall, omed_rise: must lie below and above 1"
    for name in ("pain_delta", "relapse_delta"):
        if getattr(study, name) <= 0:
            yield f"{name}: must be above 0"
    yield from _bad_windows(study)
    yield from _bad_sensitivity(study)


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
    for one in study.sensitivity:
        if (bool(one.change), bool(one.missing), bool(one.without)).count(True) != 1:
            yield f"sensitivity {one.label!r}: needs one of change, missing and without"
        strange = [flag for flag in one.without if flag not in FLAGS]
        yield from (
            f"sensitivity {one.label!r}: no flag {flag!r}; known: {', '.join(FLAGS)}" for flag in strange
        )
        unknown = [name for name in one.change if name not in PARAMETERS or name == "sensitivity"]
        yield from (f"sensitivity {one.label!r}: {name} is unknown" for name in unknown)
        if not unknown:
            try:
                changed(study, one.change)
            except msgspec.ValidationError as error:
                yield f"sensitivity {one.label!r}: {error}"


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise LocalIOError(f"study file {path.name} cannot be read") from None
