"""The figures of Ryu et al. 2008 beside the same figures recomputed.

Published values: abstract of J Pain Symptom Manage 2008;35:292 (doi 10.1016/j.jpainsymman.2007.04.020),
as collected in spec/endpoints.md section 18. Which reading of the data answers which published figure is
our assumption (docs/decisions/002).
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from fhir_srs.model import Estimate
from fhir_srs.report.figures import aligned, count_text, interval_text, value_text

STUDY = "ryu2008"
HEAD = ("figure", "published", "recomputed", "95 % interval", "n")
YEAR = 365


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimate is known by; *name* is how its name begins."""

    endpoint: str
    name: str
    population: str
    variant: str | None = None
    window: str | None = None
    time_days: int | None = None

    def fits(self, one: Estimate) -> bool:
        """Whether *one* is the estimate meant."""
        return one.name.startswith(self.name) and all(
            getattr(self, field) == getattr(one, field)
            for field in ("endpoint", "population", "variant", "window", "time_days")
        )


def _best(name: str) -> Key:
    return Key(endpoint="pain-response", name=name, population="assessable", window="best")


def _relapse(population: str) -> Key:
    return Key(endpoint="time-to-relapse", name="relapse", population=population, variant="descriptive")


PUBLISHED: tuple[tuple[str, str, Key], ...] = (
    ("complete relief", "46 %", _best("CR")),
    ("partial relief", "18.9 %", _best("PR")),
    ("stable", "16.2 %", _best("STABLE")),
    ("the remaining lesions", "(18.9 %)", _best("PROG")),
    (
        "median time to relief",
        "14 days",
        Key(endpoint="time-to-relief", name="median", population="responders", variant="visit-date"),
    ),
    (
        "earliest relief",
        "within 24 h",
        Key(endpoint="time-to-relief", name="minimum", population="responders", variant="visit-date"),
    ),
    ("relapse, of lesions with follow-up", "6.9 %", _relapse("with-follow-up")),
    ("relapse, of responders", "6.9 %", _relapse("responders")),
    (
        "median duration of relief, observed",
        "13.3 months",
        Key(endpoint="relief-duration", name="median", population="responders", variant="descriptive"),
    ),
    (
        "pain control at one year (A)",
        "84 %",
        Key(
            endpoint="pain-control",
            name="pain control",
            population="ever-controlled",
            variant="A",
            time_days=YEAR,
        ),
    ),
)


def ryu_lines(tables: Mapping[tuple[str, str], Sequence[Estimate]]) -> Iterator[str]:
    """The published figures beside those of the study `ryu2008` in *tables*; one that is absent says so."""
    table = next((rows for (name, _), rows in tables.items() if name == STUDY), [])
    yield from aligned([HEAD, *(_row(label, text, key, table) for label, text, key in PUBLISHED)])


def _row(label: str, text: str, key: Key, table: Sequence[Estimate]) -> tuple[str, ...]:
    exact = [one for one in table if key.fits(one) and one.name == key.name]
    found = next(iter(exact or [one for one in table if key.fits(one)]), None)
    if found is None:
        return label, text, "not computed", "", ""
    return label, text, value_text(found), interval_text(found), count_text(found)
