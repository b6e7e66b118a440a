"""Starts the real HAPI server of docker/hapi once per test session: a pytest plugin.

`FHIR_SRS_HAPI_URL` names a server that already runs; nothing is built or started then.
Nothing here skips: a test marked `hapi` runs only when asked for, and then fails if it cannot.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).resolve().parents[2] / "docker" / "hapi"
TARGET = PROJECT / "target"
START_SECONDS = 180  # 12 on two idle cores; a loaded CI machine takes a multiple
BUILD_SECONDS = 1500  # the first build fetches 210 MB
# The flags halve the start: no time for the optimising compiler or a concurrent collector to pay back.
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
LISTENING = re.compile(rb"^listening on (\S+)$", re.MULTILINE)
LOG_KEY = pytest.StashKey[Path]()


class CannotStart(Exception):
    """The server was not built or did not come up; the message says why, with the end of the log."""


@dataclass(frozen=True, slots=True)
class Hapi:
    """A running server: its base address (no slash at the end), where it logs, and its process."""

    base: str
    log: Path
    pid: int


def tail(log: Path, lines: int = 60) -> str:
    """The last *lines* of *log*."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def build() -> None:
    """Builds the launcher unless it is newer than its sources. Two sessions at once wait for each other."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        raise CannotStart(
            f"needs {' and '.join(missing)} on the PATH (Java 17 and Maven); see docker/hapi/README.md"
        )
    TARGET.mkdir(exist_ok=True)
    with (TARGET / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _stale():
            _maven(TARGET / "build.log")
            (TARGET / "built").touch()


def _stale() -> bool:
    built = TARGET / "built"
    sources = [PROJECT / "pom.xml", *PROJECT.glob("src/**/*.java")]
    return not built.exists() or any(s.stat().st_mtime > built.stat().st_mtime for s in sources)


def _maven(log: Path) -> None:
    # No `clean`: target/ holds the lock and this very log.
    command = ["mvn", "--quiet", "--batch-mode", "--no-transfer-progress", "compile"]
    with log.open("wb") as out:
        done = subprocess.run(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=BUILD_SECONDS
        )
    if done.returncode:
        raise CannotStart(f"mvn ended with {done.returncode}; the end of {log}:\n{tail(log)}")


@contextmanager
def running_hapi(folder: Path, *, heap: str = "1g", **settings: str | int | bool) -> Iterator[Hapi]:
    """
    A server with an empty database on a free port of the loopback address, ended on leaving.

    *heap* bounds what it may hold: with the database in memory, some ten thousand resources a gigabyte.

    *settings* are those of docker/hapi/README.md with `_` for `.`: `running_hapi(tmp, page_cap=50)`.
    """
    build()
    log = folder / "hapi.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            _command(folder, heap, {"port": 0, "parent": os.getpid(), **settings}),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Hapi(_ready(process, log), log, process.pid)
    finally:
        _end(process)


def _command(temporary: Path, heap: str, settings: dict[str, str | int | bool]) -> list[str]:
    defines = [f"-Dhapi.{name.replace('_', '.')}={_text(value)}" for name, value in settings.items()]
    classes = ("-cp", "target/classes:target/lib/*", "fhirsrs.hapi.Main")
    return ["java", *JVM, f"-Xmx{heap}", f"-Djava.io.tmpdir={temporary}", *defines, *classes]


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """The base address, once /metadata answers: the port is open before the server can serve."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CannotStart(f"HAPI ended with {process.returncode}; the end of {log}:\n{tail(log)}")
        found = LISTENING.search(log.read_bytes())
        if found and _answers(found[1].decode()):
            return found[1].decode()
        time.sleep(0.1)
    raise CannotStart(f"HAPI was not up after {START_SECONDS} s; the end of {log}:\n{tail(log)}")


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/metadata", timeout=START_SECONDS).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def hapi_base(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    """The base address of a HAPI server, shared by the session: tests bring their own ids and patients."""
    given = os.environ.get("FHIR_SRS_HAPI_URL")
    if given:
        yield given.rstrip("/")
        return
    folder = tmp_path_factory.mktemp("hapi")
    request.config.stash[LOG_KEY] = folder / "hapi.log"
    try:
        with running_hapi(folder) as hapi:
            yield hapi.base
    except CannotStart as reason:
        failure = f"the real HAPI server: {reason}"
    else:
        return
    pytest.fail(failure, pytrace=False)  # out here, so that no chain of exceptions stands above it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test that used the server shows what the server said."""
    report = yield
    log = item.config.stash.get(LOG_KEY, None)
    uses_it = item.get_closest_marker("hapi") is not None
    if report.failed and uses_it and log is not None and log.exists():
        report.sections.append((f"HAPI's log, {log}", tail(log)))
    return report
