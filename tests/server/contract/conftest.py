from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.server.contract.fhir import Fhir


@pytest.fixture(scope="module")
def connection(fhir_base: str) -> Iterator[httpx.Client]:
    headers = {"Cache-Control": "no-cache", "Accept": "application/fhir+json"}
    with httpx.Client(base_url=f"{fhir_base}/", timeout=60, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
def fhir(fhir_base: str, connection: httpx.Client) -> Fhir:
    """The server, with a prefix of ids that no other test has."""
    return Fhir(fhir_base, connection, f"c{secrets.token_hex(6)}-")
