"""Servers for the tests, and the rule that nothing is skipped where all must run."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import settings

from fhir_srs.testing.server import running_server
from tests.examples import SEARCHING

pytest_plugins = ["tests.hapi.launcher", "tests.canaries"]

# The same examples in every run, so that a verdict can be repeated; `make test-long` searches at random. No
# deadline: a busy machine is no fault.
settings.register_profile("repeatable", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("search", print_blob=True, deadline=None)
settings.load_profile("search" if SEARCHING else "repeatable")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
Wrapped = Generator[None, pytest.TestReport, pytest.TestReport]
Collected = Generator[None, pytest.CollectReport, pytest.CollectReport]


@pytest.fixture(scope="session")
def embedded_base() -> Iterator[str]:
    """The base address of the embedded server, shared by the session as HAPI is."""
    with running_server() as server:
        yield server.base_url


@pytest.fixture(scope="session", params=["embedded", pytest.param("hapi", marks=pytest.mark.hapi)])
def fhir_base(request: pytest.FixtureRequest) -> str:
    """The embedded server in a plain run, the real HAPI with `-m hapi`: the same tests for both."""
    base: str = request.getfixturevalue(f"{request.param}_base")
    return base


@pytest.fixture(autouse=True)
def _no_signal_stays_blocked() -> Iterator[None]:
    """A test that leaves a signal blocked fails itself, not those after it that wait for one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays to the end: the collector of garbage looks for none in it, then or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Wrapped:
    """With FHIR_SRS_NO_SKIP=1 a skipped test has failed."""
    return _run_or_failed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Collected:
    """With FHIR_SRS_NO_SKIP=1 a skipped module has failed."""
    return _run_or_failed((yield))


def _run_or_failed(report: Report) -> Report:
    expected = hasattr(report, "wasxfail")
    if os.environ.get("FHIR_SRS_NO_SKIP") == "1" and report.skipped and not expected:
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped here (FHIR_SRS_NO_SKIP=1): {reason}"
    return report
