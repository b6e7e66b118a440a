"""A tree of TOML held against frozen Structs: every problem at once, by path, never by value.

msgspec stops at the first problem; whoever writes a file by hand wants to hear of all of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

_Row = TypeVar("_Row", bound=msgspec.Struct)
_BAD: Final = object()
_STAND_IN = "?"


class Checked(msgspec.Struct, frozen=True):
    """A row of a file that knows more than its types: *problems* of one that is well formed."""

    def problems(self, known: Any) -> Iterator[tuple[str, str]]:
        """Each problem as (key, what is wrong); *known* is what the rest of the file and the tables say."""
        del known
        yield from ()


def held_against(kind: type[_Row], tree: Mapping[str, Any], known: Any) -> tuple[_Row, list[str]]:
    """*tree* as *kind*, all of whose fields have a default, without what is wrong; and what is wrong."""
    problems: list[str] = []
    return kind(**_fields(tree, kind, "", known, problems)), problems


def closest(word: str, words: Iterable[str]) -> str:
    """` (did you mean "..."?)` where one of *words* is nearly *word*; else nothing."""
    near = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def _read(value: object, kind: Any, path: str, known: Any, problems: list[str]) -> Any:
    """*value* as *kind*, or `_BAD`, with what is wrong added to *problems*."""
    inner = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(value, kind, path, known, problems)
    if get_origin(kind) is tuple and inner[-1] is Ellipsis:
        return _list(value, inner[0], path, known, problems)
    if get_origin(kind) is dict:
        return _table(value, inner[1], path, known, problems)
    wrong = _wrong(value, kind)
    if wrong:
        problems.append(f"{path}: {wrong}")
        return _BAD
    return msgspec.convert(value, kind)


def _wrong(value: object, kind: Any) -> str | None:
    """What is wrong with a plain *value*; msgspec would repeat the value of a choice, which we do not."""
    choices = _choices(kind)
    if choices and value not in choices:
        return (
            f"must be one of {', '.join(choices)}{closest(value, choices) if isinstance(value, str) else ''}"
        )
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = str(error).split(" - at ")[0]
        return text[0].lower() + text[1:].replace("`", "")
    return None


def _choices(kind: Any) -> tuple[str, ...]:
    """The texts among which *kind* lets choose; empty for any other kind."""
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return (
        tuple(one for part in get_args(kind) for one in _choices(part))
        if type(None) in get_args(kind)
        else ()
    )


def _list(value: object, kind: Any, path: str, known: Any, problems: list[str]) -> Any:
    if not isinstance(value, list):
        problems.append(f"{path}: must be a list")
        return _BAD
    read = [_read(one, kind, f"{path}[{place}]", known, problems) for place, one in enumerate(value)]
    return tuple(one for one in read if one is not _BAD)


def _table(value: object, kind: Any, path: str, known: Any, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{path}: must be a table")
        return _BAD
    read = {key: _read(one, kind, f'{path}."{_shown(key)}"', known, problems) for key, one in value.items()}
    return {key: one for key, one in read.items() if one is not _BAD}


def _shown(key: str) -> str:
    """*key* in a message: one line, not longer than it needs to be found."""
    return "".join(one if one.isprintable() else "?" for one in key[:80])


def _struct(value: object, kind: type[Any], path: str, known: Any, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{path}: must be a table")
        return _BAD
    before = len(problems)
    fields = _fields(value, kind, f"{path}.", known, problems)
    whole = len(problems) == before
    made = kind(**fields) if whole else _stood_in(kind, fields)
    if isinstance(made, Checked):
        good = {one.encode_name for one in msgspec.structs.fields(kind) if one.name in fields}
        problems += [
            f"{path}.{key}: {what}"
            for key, what in made.problems(known)
            if whole or key.partition("[")[0] in good
        ]
    return made if len(problems) == before else _BAD


def _stood_in(kind: type[_Row], fields: Mapping[str, Any]) -> _Row | None:
    """*kind* with *fields* and a text for what is wrong or missing, so that the rest is looked at too."""
    left = [one for one in msgspec.structs.fields(kind) if one.required and one.name not in fields]
    if any(_wrong(_STAND_IN, one.type) for one in left):
        return None
    return kind(**fields, **{one.name: _STAND_IN for one in left})


def _fields(
    tree: Mapping[str, Any], kind: type[msgspec.Struct], path: str, known: Any, problems: list[str]
) -> dict[str, Any]:
    """The good fields of *tree*; unknown and missing keys are problems."""
    wanted = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    problems += [
        f"{path}{_shown(key)}: unknown key{closest(key, wanted)}" for key in tree if key not in wanted
    ]
    problems += [
        f"{path}{key}: missing" for key, field in wanted.items() if field.required and key not in tree
    ]
    read = {
        field.name: _read(tree[key], field.type, f"{path}{key}", known, problems)
        for key, field in wanted.items()
        if key in tree
    }
    return {name: one for name, one in read.items() if one is not _BAD}
