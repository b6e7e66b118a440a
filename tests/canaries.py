"""Canaries through the whole suite: a marker name, a record number and a token in all test data (I16, I17).

A pytest plugin. After each test everything is searched that was printed or logged, by processes that the
test started too; at the end every file that was written. The name and the token must be nowhere but in what
the tests themselves give as input. The number may stand in the store, and in results that are asked for: on
stdout and in files of lesions; never in a log or on stderr.
"""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

NAME = re.compile(rb"Zzmarkername|Canary-Marker")
NUMBER = re.compile(rb"\bmrn-[a-z]")
TOKEN = re.compile(rb"canary-(?:token-)?4711")
_SECRET = (NAME, NUMBER, TOKEN)
_STORE = ("store.sqlite", "store.sqlite-wal", "store.sqlite-shm")
# What no program of ours wrote: FHIR as input, the token that a test gives, another server's own files.
_INPUT = b'"resourceType"'
_GIVEN = re.compile(r"token|.*\.mv\.db|hapi\.log")

_results: list[bytes] = []  # stdout
_remarks: list[bytes] = []  # stderr and logs


def _hear(where: list[bytes], text: str | bytes | None) -> None:
    if text:
        where.append(text.encode("utf-8", "replace") if isinstance(text, str) else text)


class _Logs(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _hear(_remarks, self.format(record))


def pytest_configure() -> None:
    """From now on what tests read of their own output, and of processes that they start, is heard too."""
    read, communicate = pytest.CaptureFixture.readouterr, subprocess.Popen.communicate

    def readouterr(self: pytest.CaptureFixture[Any]) -> Any:
        found = read(self)
        for where, text in zip((_results, _remarks), found, strict=True):
            _hear(where, text)
        return found

    def heard(self: subprocess.Popen[Any], *given: Any, **more: Any) -> Any:
        found = communicate(self, *given, **more)
        for where, text in zip((_results, _remarks), found, strict=True):
            _hear(where, text)
        return found

    pytest.CaptureFixture.readouterr = readouterr  # type: ignore[method-assign]
    subprocess.Popen.communicate = heard  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed and nobody read."""
    report = yield
    _hear(_results, report.capstdout)
    for text in (report.capstderr, report.caplog):
        _hear(_remarks, text)
    return report


@pytest.fixture(autouse=True)
def _nobody_is_named() -> Iterator[None]:
    _results.clear()
    _remarks.clear()
    handler, logger = _Logs(), logging.getLogger("fhir_srs")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    assert told(b"\n".join(_results), (NAME, TOKEN)) == []
    assert told(b"\n".join(_remarks)) == []


@pytest.fixture(autouse=True, scope="session")
def _nobody_is_named_in_a_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    assert found_in(tmp_path_factory.getbasetemp()) == []


def told(text: bytes, secret: Sequence[re.Pattern[bytes]] = _SECRET) -> list[bytes]:
    """Which canaries of *secret* stand in *text*, each with a few bytes around it."""
    places = (place for one in secret for place in one.finditer(text))
    return [text[max(0, one.start() - 40) : one.end() + 20] for one in places]


def found_in(folder: Path) -> list[str]:
    """The files below *folder*, and their names, in which a canary stands where none may."""
    files = (one for one in sorted(folder.rglob("*")) if one.is_file() and not one.is_symlink())
    return [str(one.relative_to(folder)) for one in files if _is_bad(one)]


def _is_bad(path: Path) -> bool:
    if told(path.name.encode()):
        return True
    content = path.read_bytes()
    of_the_store = (path.parent / "state.lock").exists()
    if of_the_store:
        barred = (NAME, TOKEN) if path.name in _STORE else _SECRET
    else:
        barred = () if _INPUT in content or _GIVEN.fullmatch(path.name) else (NAME, TOKEN)
    return any(one.search(content) for one in barred)
