"""Counts of what became of everything, which add up over processes: nothing disappears uncounted."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from fhir_srs.mapping.facts import Use
from fhir_srs.model import Event, Issue, Lesion, Mapped, ResourceCounts

# What a lesion may lack, as its own issues say (mappings/issues.csv).
LACKING: Mapping[str, Callable[[Lesion], bool]] = {
    "without a dose": lambda lesion: lesion.dose_gy is None,
    "without a vertebral level": lambda lesion: not lesion.levels,
    "without a treatment date": lambda lesion: lesion.end is None,
    "in progress": lambda lesion: lesion.provisional,
}
# What a lesion may lack beside it: pain scores that can be its own. The days before the first fraction are
# those of the baseline in all studies that we ship.
NO_BASELINE, NO_FOLLOW_UP = (
    "without a pain score in the 28 days up to treatment",
    "without a pain score after treatment",
)
LACKS = (*LACKING, NO_BASELINE, NO_FOLLOW_UP)
_BASELINE = timedelta(28)


def kind_of(key: str) -> str:
    """The type in `Type/id`."""
    return key.partition("/")[0]


def ignored_kinds(uses: Mapping[str, Use]) -> Iterator[str]:
    """The types of the resources that *uses* has as ignored."""
    return (kind_of(key) for key, use in uses.items() if use == "ignored")


@dataclass(slots=True)
class Tally:
    """Resources by fate, those ignored by type, lesions and what they lack, issues by (used, reason)."""

    fates: Counter[Use] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    lesions: int = 0
    patients: int = 0
    events: int = 0
    lacking: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[bool, str]] = field(default_factory=Counter)

    @property
    def counts(self) -> ResourceCounts:
        """The resources: read = used + ignored + refused."""
        used, ignored, refused = self.fates["used"], self.ignored.total(), self.fates["refused"]
        return ResourceCounts(
            read=used + ignored + refused,
            used=used,
            ignored=ignored,
            refused=refused,
            kinds=dict(sorted(self.ignored.items())),
        )

    @property
    def refusals(self) -> dict[str, int]:
        """The issues that kept a resource, or a part of it, from being used, by reason."""
        return {reason: number for (used, reason), number in sorted(self.reasons.items()) if not used}

    def add(self, other: "Tally") -> None:
        """Count what *other* counted too."""
        self.fates.update(other.fates)
        self.ignored.update(other.ignored)
        self.lesions += other.lesions
        self.patients += other.patients
        self.events += other.events
        self.lacking.update(other.lacking)
        self.reasons.update(other.reasons)

    def add_uses(self, uses: Mapping[str, Use]) -> None:
        """Count the resources of one patient by what became of them."""
        self.fates.update(use for use in uses.values() if use != "ignored")
        self.ignored.update(ignored_kinds(uses))

    def add_lesions(self, lesions: Iterable[Lesion], events: Iterable[Event]) -> None:
        """Count *lesions* and what each lacks; *events* are those of their patients."""
        scores: dict[str, list[Event]] = {}
        for event in events:
            if event.kind == "pain" and event.on is not None:
                scores.setdefault(event.patient, []).append(event)
        for lesion in lesions:
            self.lesions += 1
            self.lacking.update(text for text, lacks in LACKING.items() if lacks(lesion))
            self.lacking.update(_unscored(lesion, scores.get(lesion.patient, ())))

    def add_issues(self, issues: Iterable[Issue]) -> None:
        """Count *issues* by reason."""
        self.reasons.update((one.used, one.reason) for one in issues)


def _unscored(lesion: Lesion, scores: Iterable[Event]) -> Iterator[str]:
    """What *lesion* lacks of the *scores* that are its own, its predecessor's or the patient's."""
    start, end = lesion.start, lesion.end or lesion.start
    owners = {None, lesion.lesion_id, lesion.reirradiation_of}
    days = [
        one.on
        for one in scores
        if one.on is not None and one.lesion_id in owners and "site-other-than-lesion" not in one.flags
    ]
    if start is None or not any(_before(start.first) <= on.last and on.first <= start.last for on in days):
        yield NO_BASELINE
    if end is None or not any(on.last > end.first for on in days):
        yield NO_FOLLOW_UP


def _before(day: date) -> date:
    """The first day of the baseline of a treatment that began on *day*."""
    return day - _BASELINE if day > date.min + _BASELINE else date.min


def tally(mapped: Mapped) -> Tally:
    """The counts of *mapped*."""
    counts = mapped.counts
    found = Tally(patients=len(mapped.patients), events=len(mapped.events))
    found.fates.update({"used": counts.used, "refused": counts.refused})
    found.ignored.update(counts.kinds)
    found.add_lesions(mapped.lesions, mapped.events)
    found.add_issues(mapped.issues)
    return found
