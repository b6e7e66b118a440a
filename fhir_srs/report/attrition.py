"""What became of everything that was read: nothing disappears without being counted."""

from collections.abc import Iterator

from fhir_srs.mapping.tally import LACKING, Tally


def attrition_lines(found: Tally) -> Iterator[str]:
    """Resources by fate, issues by reason, lesions and what they lack; counts only."""
    counts = found.counts
    fates = f"{counts.used:,} used + {counts.ignored:,} ignored + {counts.refused:,} refused"
    yield f"resources: {counts.read:,} = {fates}"
    yield f"lesions: {found.lesions:,} in {found.patients:,} patients"
    yield f"events: {found.events:,}"
    yield from (f"  {found.lacking[text]:,} {text}" for text in LACKING if found.lacking[text])
    yield from _reasons(found)


def _reasons(found: Tally) -> Iterator[str]:
    reasons = found.reasons
    if reasons:
        yield "issues:"
    for (used, reason), number in sorted(
        reasons.items(), key=lambda item: (item[0][0], -item[1], item[0][1])
    ):
        yield f"  {number:>7,}  {reason:<28} {'used' if used else 'not used'}"
