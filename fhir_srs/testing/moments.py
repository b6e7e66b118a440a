"""The span of time that a FHIR date, dateTime or instant in a query stands for."""

import re
from datetime import UTC, datetime, timedelta

from fhir_srs.testing.versions import Refusal

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)


def bounds(text: str) -> tuple[datetime, datetime]:
    """The first moment that *text* stands for, and the first after it; a missing offset is UTC.

    Refusal 400 if it is no FHIR date.
    """
    try:
        return _span(text)
    except (ValueError, OverflowError):
        raise Refusal(400, "invalid", "not a FHIR date") from None


def _span(text: str) -> tuple[datetime, datetime]:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError
    year, month, day, clock, seconds, fraction, _ = match.groups()
    if clock is None:
        start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        return start, _after(start, month, day)
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    # What the server stores is exact to the millisecond.
    return moment, moment + timedelta(milliseconds=1 if fraction else 1000 if seconds else 60_000)


def _after(start: datetime, month: str | None, day: str | None) -> datetime:
    if day:
        return start + timedelta(days=1)
    if month:
        return (start + timedelta(days=31)).replace(day=1)
    return start.replace(year=start.year + 1)
