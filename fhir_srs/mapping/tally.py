"""Counts of what became of everything, which add up over processes: nothing disappears uncounted."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fhir_srs.mapping.facts import Use
from fhir_srs.model import Issue, Lesion, Mapped, ResourceCounts

# What a lesion may lack, as its own issues say (mappings/issues.csv).
LACKING: Mapping[str, Callable[[Lesion], bool]] = {
    "without a dose": lambda lesion: lesion.dose_gy is None,
    "without a vertebral level": lambda lesion: not lesion.levels,
    "without a treatment date": lambda lesion: lesion.end is None,
    "in progress": lambda lesion: lesion.provisional,
}


@dataclass(slots=True)
class Tally:
    """Resources by fate, lesions and what they lack, issues by (used, reason)."""

    fates: Counter[Use] = field(default_factory=Counter)
    lesions: int = 0
    patients: int = 0
    events: int = 0
    lacking: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[bool, str]] = field(default_factory=Counter)

    @property
    def counts(self) -> ResourceCounts:
        """The resources: read = used + ignored + refused."""
        fates = self.fates
        return ResourceCounts(
            read=fates.total(), used=fates["used"], ignored=fates["ignored"], refused=fates["refused"]
        )

    def add(self, other: "Tally") -> None:
        """Count what *other* counted too."""
        self.fates.update(other.fates)
        self.lesions += other.lesions
        self.patients += other.patients
        self.events += other.events
        self.lacking.update(other.lacking)
        self.reasons.update(other.reasons)

    def add_lesions(self, lesions: Iterable[Lesion]) -> None:
        """Count *lesions* and what each lacks."""
        for lesion in lesions:
            self.lesions += 1
            self.lacking.update(text for text, lacks in LACKING.items() if lacks(lesion))

    def add_issues(self, issues: Iterable[Issue]) -> None:
        """Count *issues* by reason."""
        self.reasons.update((one.used, one.reason) for one in issues)


def tally(mapped: Mapped) -> Tally:
    """The counts of *mapped*."""
    counts = mapped.counts
    found = Tally(patients=len(mapped.patients), events=len(mapped.events))
    found.fates.update({"used": counts.used, "ignored": counts.ignored, "refused": counts.refused})
    found.add_lesions(mapped.lesions)
    found.add_issues(mapped.issues)
    return found
