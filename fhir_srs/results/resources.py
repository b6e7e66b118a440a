"""What stands beside the Observations: our Device, the cohort's Group, the Provenance of each result."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fhir_srs.model import content_id, to_json
from fhir_srs.results.references import organization, versions
from fhir_srs.results.target import ResultTarget, StudyName
from fhir_srs.results.terms import ACT_REASON, LIFECYCLE, OBSERVATION_VALUE, PARTICIPANT_TYPE, coding


@lru_cache(64, typed=True)  # our Device and the Group of the cohort stand in every result
def result_id(*parts: object) -> str:
    """Our id for *parts*: `srs-` and 40 base32 characters (`decisions.md` 2)."""
    return f"srs-{content_id(*parts)}"


def group_key(study: StudyName) -> str:
    """The study and its definition version: the scope of retraction."""
    return f"{study.name}|{study.version}"


def security(target: ResultTarget) -> list[dict[str, Any]]:
    """Derived by machine (DEVAST); test health data (HTEST) where the target holds synthetic patients."""
    derived = coding(OBSERVATION_VALUE, "DEVAST", None)
    return [derived, coding(ACT_REASON, "HTEST", None)] if target.synthetic else [derived]


def device_id(target: ResultTarget) -> str:
    """The constant id of our Device on *target*: an upgrade rewrites the Device and no result."""
    return result_id("device", target.canonical_base)


def device(target: ResultTarget, version: str) -> bytes:
    """Our software as a Device, *version* inside it (`decisions.md` 3)."""
    return to_json(
        {
            "resourceType": "Device",
            "id": device_id(target),
            **_test_data(target),
            "identifier": [{"system": f"{target.canonical_base}/device", "value": "fhir-srs"}],
            "status": "active",
            "deviceName": [{"name": "fhir-srs", "type": "other"}],
            "version": [{"value": version}],
        }
    )


def cohort_id(study: StudyName, group: str | None) -> str:
    """The id of the Group that stands for the cohort of *study*, or for the part *group* of it."""
    return result_id(study.name, study.version, "group", group)


def cohort(target: ResultTarget, study: StudyName, group: str | None) -> bytes:
    """The cohort as a Group of actual persons, without members (`spec/fhir-mapping.md` section 9)."""
    name = f"{study.name} {study.version}" if group is None else f"{study.name} {study.version}: {group}"
    identifier = {"system": f"{target.canonical_base}/cohort", "value": cohort_id(study, group)}
    return to_json(
        {
            "resourceType": "Group",
            "id": cohort_id(study, group),
            **_test_data(target),
            "identifier": [identifier],
            "active": True,
            "type": "person",
            "actual": True,
            "name": name,
        }
    )


def provenance_id(observation_id: str) -> str:
    """The constant id of the Provenance of one result."""
    return result_id("provenance", observation_id)


def provenance(
    target: ResultTarget, observation_id: str, sources: Sequence[str], *, recorded: datetime
) -> bytes:
    """What the result was made of, by whom, at *recorded* (an aware moment)."""
    entity = versions(target, sources, literal=not target.logical)
    return _provenance(target, observation_id, entity, activity("transform"), recorded)


def withdrawal_provenance(
    target: ResultTarget, observation_id: str, sources: Sequence[str], *, reason: str, recorded: datetime
) -> bytes:
    """Why the result was withdrawn; its inputs by identifier alone, since they may be gone."""
    entity = versions(target, sources, literal=False)
    why = {**activity("deprecate"), "reason": [{"text": reason}]}
    return _provenance(target, observation_id, entity, why, recorded)


def activity(code: str) -> dict[str, Any]:
    """A Provenance.activity of the ISO 21089 life cycle."""
    return {"activity": {"coding": [coding(LIFECYCLE, code, None)]}}


def _provenance(
    target: ResultTarget,
    observation_id: str,
    entity: Sequence[dict[str, Any]],
    activity: dict[str, Any],
    recorded: datetime,
) -> bytes:
    agent: dict[str, Any] = {
        "type": {"coding": [coding(PARTICIPANT_TYPE, "assembler", "Assembler")]},
        "who": {"reference": f"Device/{device_id(target)}"},
    }
    responsible = organization(target)
    if responsible is not None:
        agent["onBehalfOf"] = responsible
    return to_json(
        {
            "resourceType": "Provenance",
            "id": provenance_id(observation_id),
            **_test_data(target),
            "target": [{"reference": f"Observation/{observation_id}"}],
            "recorded": recorded.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            **activity,
            "agent": [agent],
            **({"entity": list(entity)} if entity else {}),
        }
    )


def _test_data(target: ResultTarget) -> dict[str, Any]:
    return {"meta": {"security": [coding(ACT_REASON, "HTEST", None)]}} if target.synthetic else {}
