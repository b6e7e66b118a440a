"""Which of two versions of one resource is the newer: by time, then number, then content."""

from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.facts import Noted

Kept: TypeAlias = r4.Known | Noted
Age: TypeAlias = tuple[datetime, int, str]
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def age(updated: str | None, version: str | None) -> Age:
    """Sorts versions of one resource by `meta.lastUpdated`, then `meta.versionId`; none of them is oldest."""
    number = version or ""
    return _instant(updated), int(number) if number.isdecimal() else 0, number


def rank(of: Age, kept: Kept | None) -> tuple[Age, bool, bytes]:
    """
    A total order of the versions of one resource: the last is the one to use.

    *kept* is what we need of it, None if it is of another kind of data. Of one age, what we read comes
    after what we do not, then content decides (`spec/performance.md` section 3.3).
    """
    return of, kept is not None, msgspec.json.encode(kept)


def _instant(text: str | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if text else _LONG_AGO
    except ValueError:
        return _LONG_AGO
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
