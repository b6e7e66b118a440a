"""FHIR dates with the precision that they really have. No clock lives here.

FHIR R4 allows `2024`, `2024-03`, `2024-03-05` and a dateTime with seconds and a zone
(https://hl7.org/fhir/R4/datatypes.html#dateTime). A partial date stays partial: it stands for a range
of days, and the endpoint decides what that is worth (`shared/spec/endpoints.md` section 1).
"""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache

import msgspec

# The R4 grammar of dateTime, loosened where real servers leave seconds or the zone out
# (`shared/spec/fhir-mapping.md` section 7, `date-no-zone`).
_GRAMMAR = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?)?)?"
)


class PartialDate(msgspec.Struct, frozen=True, gc=False):
    """A day, or the range of days that a partial date or a period stands for, both ends included.

    *text* is the ISO date cut to its precision (`2024`, `2024-03`, `2024-03-05`). *instant* is the
    moment in UTC where clock time and zone are both known; *has_zone* is false when a clock time came
    without a zone.
    """

    text: str
    first: date
    last: date
    instant: datetime | None = None
    has_zone: bool = True

    @property
    def day(self) -> date | None:
        """The calendar day, or None while more than one day is possible."""
        return self.first if self.first == self.last else None


@lru_cache(maxsize=1 << 11)
def parse_date(text: str, time_zone: tzinfo | None = None) -> PartialDate | None:
    """
    The date that *text* stands for, or None if it is no FHIR date (or no day of the calendar).

    The calendar day of a dateTime is its date part in the offset written; *time_zone*, from the site
    profile, converts first. The machine's own zone never plays a part (`decisions.md` 7).

    >>> parse_date("2024-02").last
    datetime.date(2024, 2, 29)
    >>> parse_date("2024-02-30") is None
    True
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        return None
    year, month, day, clock, zone = match.groups()
    try:
        if day is None:
            return _partial(int(year), int(month) if month else None)
        if clock is None:
            whole = date(int(year), int(month), int(day))
            return PartialDate(text, whole, whole)
        return _moment(text, zone, time_zone)
    except (ValueError, OverflowError):
        return None


def _partial(year: int, month: int | None) -> PartialDate:
    if month is None:
        return PartialDate(f"{year:04}", date(year, 1, 1), date(year, 12, 31))
    last = date(year, month, monthrange(year, month)[1])
    return PartialDate(f"{year:04}-{month:02}", date(year, month, 1), last)


def _moment(text: str, zone: str | None, time_zone: tzinfo | None) -> PartialDate:
    moment = datetime.fromisoformat(_trim_fraction(text) if "." in text else text)
    if zone is None:
        day = moment.date()
        return PartialDate(day.isoformat(), day, day, None, has_zone=False)
    day = (moment.astimezone(time_zone) if time_zone else moment).date()
    return PartialDate(day.isoformat(), day, day, moment.astimezone(UTC))


def _trim_fraction(text: str) -> str:
    """*text* with at most six digits of a second: what datetime keeps."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def span(start: PartialDate, end: PartialDate) -> PartialDate:
    """
    The range from the first day of *start* to the last day of *end*: what an effectivePeriod stands for.

    A period within one day is that day. The caller has checked that *end* is not before *start*.
    """
    if start.first == end.last:
        return start
    return PartialDate(start.text, start.first, end.last)
