"""What became of everything that was read: nothing disappears without being counted."""

from collections import Counter
from collections.abc import Iterator

from fhir_srs.model import Lesion, Mapped

# What a lesion may lack, as its own issues say (mappings/issues.csv).
LACKING = {
    "without a dose": lambda lesion: lesion.dose_gy is None,
    "without a vertebral level": lambda lesion: not lesion.levels,
    "without a treatment date": lambda lesion: lesion.end is None,
    "in progress": lambda lesion: lesion.provisional,
}


def attrition_lines(mapped: Mapped) -> Iterator[str]:
    """Resources by fate, issues by reason, lesions and what they lack; counts only."""
    counts = mapped.counts
    fates = f"{counts.used:,} used + {counts.ignored:,} ignored + {counts.refused:,} refused"
    yield f"resources: {counts.read:,} = {fates}"
    yield f"lesions: {len(mapped.lesions):,} in {len(mapped.patients):,} patients"
    yield f"events: {len(mapped.events):,}"
    yield from _lacking(mapped.lesions)
    yield from _reasons(mapped)


def _lacking(lesions: list[Lesion]) -> Iterator[str]:
    for text, lacks in LACKING.items():
        number = sum(map(lacks, lesions))
        if number:
            yield f"  {number:,} {text}"


def _reasons(mapped: Mapped) -> Iterator[str]:
    reasons = Counter((issue.used, issue.reason) for issue in mapped.issues)
    if reasons:
        yield "issues:"
    for (used, reason), number in sorted(
        reasons.items(), key=lambda item: (item[0][0], -item[1], item[0][1])
    ):
        yield f"  {number:>7,}  {reason:<28} {'used' if used else 'not used'}"
