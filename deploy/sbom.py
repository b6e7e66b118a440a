"""The packages of requirements-run.lock as a CycloneDX bill of materials, on stdout: `make sbom`.

https://cyclonedx.org/docs/1.5/json/. Made from the lock alone: no network, no clock, so that the same lock
gives the same bytes. A scanner of your own (`pip-audit -r requirements-run.lock`, osv-scanner) tells which
of them have known holes.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LOCK = Path(__file__).resolve().parents[1] / "requirements-run.lock"
_PACKAGE = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)(?: ; ([^\\]+?))? \\$")
_HASH = re.compile(r"    --hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> Iterator[dict[str, Any]]:
    """One component for each package of *lock*, with the hashes of the files that may be installed."""
    found: dict[str, Any] = {}
    for line in lock.splitlines():
        if package := _PACKAGE.fullmatch(line):
            yield from [found] if found else []
            name, version, marker = package.groups()
            purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
            found = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
            if marker:
                found["properties"] = [{"name": "python:marker", "value": marker}]
        elif digest := _HASH.match(line):
            found.setdefault("hashes", []).append({"alg": "SHA-256", "content": digest[1]})
    yield from [found] if found else []


def bill(lock: str) -> dict[str, Any]:
    """The whole bill of materials of *lock*."""
    about = {"component": {"type": "application", "bom-ref": "fhir-srs", "name": "fhir-srs"}}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": about,
        "components": list(components(lock)),
    }


if __name__ == "__main__":
    json.dump(bill(_LOCK.read_text(encoding="utf-8")), sys.stdout, indent=1)
    sys.stdout.write("\n")
