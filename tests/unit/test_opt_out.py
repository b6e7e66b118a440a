"""Which Consents are opt-outs, and what an opt-out list may say."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_srs.errors import ConfigurationError, LocalIOError
from fhir_srs.sync.opt_out import listed, opted_out, read_list

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
TODAY = "2026-01-05"


def consent(**more: Any) -> bytes:
    """An active research opt-out of patient 1, in force, changed by *more*; None takes an element away."""
    whole: dict[str, Any] = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"code": "research"}]},
        "patient": {"reference": "https://x/fhir/Patient/1"},
        "policyRule": {"coding": [{"system": ACT, "code": "OPTOUT"}]},
    }
    return msgspec.json.encode(
        {name: value for name, value in {**whole, **more}.items() if value is not None}
    )


def out(body: bytes) -> list[str]:
    return list(opted_out([body], base="https://x/fhir", today=TODAY))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scope": None},
        {"scope": {"coding": [{"code": "patient-privacy"}]}},
        {"policyRule": {"coding": [{"system": ACT, "code": "OPTOUTE"}]}},
        {"policyRule": None, "provision": {"type": "deny"}},
        {"provision": {"period": {"end": TODAY}}},
        {"provision": {"period": {"end": "2026"}}},
        {"status": 7},  # cannot be read: nobody is let in by a broken record
    ],
)
def test_these_are_opt_outs(more: dict[str, Any]) -> None:
    assert out(consent(**more)) == ["Patient/1"]


@pytest.mark.parametrize(
    "more",
    [
        {"status": "draft"},
        {"status": "inactive"},
        {"status": "entered-in-error"},
        {"scope": {"coding": [{"code": "treatment"}]}},
        {"policyRule": {"coding": [{"system": ACT, "code": "OPTIN"}]}},
        {"policyRule": {"coding": [{"system": "urn:other", "code": "OPTOUT"}]}},
        {"provision": {"period": {"end": "2026-01-04"}}},
        {"patient": {"reference": "https://elsewhere/fhir/Patient/1"}},
    ],
)
def test_these_are_none(more: dict[str, Any]) -> None:
    assert out(consent(**more)) == []


def test_a_list_names_patients_by_reference_and_by_identifier(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("# by letter\n\nPatient/7\nurn:mrn|12 # by phone\n")
    entries = read_list(path)
    assert entries == {"Patient/7", "urn:mrn|12"}
    patient = {"resourceType": "Patient", "id": "x", "identifier": [{"system": "urn:mrn", "value": "12"}]}
    assert listed(entries, lambda: [msgspec.json.encode(patient), b"{}"]) == {"Patient/7", "Patient/x"}


def test_a_list_that_is_missing_or_misspelt_stops_everything(tmp_path: Path) -> None:
    assert read_list(None) == frozenset()
    with pytest.raises(LocalIOError):
        read_list(tmp_path / "missing")
    (tmp_path / "list").write_text("Patient/1\nJane Doe\nurn:mrn|\n")
    with pytest.raises(ConfigurationError) as raised:
        read_list(tmp_path / "list")
    assert [one.split(":")[0] for one in raised.value.problems] == ["line 2", "line 3"]
    assert "Jane" not in str(raised.value)
