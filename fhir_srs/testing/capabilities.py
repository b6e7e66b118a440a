"""The CapabilityStatement of the test server: what its routes and search parameters really are."""

from datetime import datetime

from fhir_srs.testing.parameters import parameters
from fhir_srs.testing.versions import TYPES, Json, stamp

_INSTANCE = ("read", "vread", "update", "delete", "history-instance", "history-type", "create", "search-type")


def capabilities(base: str, now: datetime) -> Json:
    """The statement of the server at *base*."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": stamp(now),
        "kind": "instance",
        "software": {"name": "fhir-srs test server"},
        "implementation": {"description": "in memory, for tests", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "resource": [_resource(name) for name in sorted(TYPES)],
                "interaction": [{"code": code} for code in ("transaction", "batch", "history-system")],
            }
        ],
    }


def _resource(name: str) -> Json:
    kinds = {"_id": "token", "_lastUpdated": "date"}
    kinds |= {parameter: found.kind for parameter, found in parameters(name).items()}
    return {
        "type": name,
        "interaction": [{"code": code} for code in _INSTANCE],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalUpdate": True,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical", "enforced"],
        "searchParam": [{"name": parameter, "type": kind} for parameter, kind in kinds.items()],
    }
