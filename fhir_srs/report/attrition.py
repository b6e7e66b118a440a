"""What became of everything that was read: nothing disappears without being counted."""

from collections.abc import Iterator, Mapping

from fhir_srs.mapping.tally import LACKS, Tally


def attrition_lines(found: Tally) -> Iterator[str]:
    """Resources by fate, ignored by type, refused by reason; lesions and what they lack; counts only.

    Each list under a number adds up to it: a refused resource has one reason.
    """
    counts = found.counts
    fates = f"{counts.used:,} used + {counts.ignored:,} ignored + {counts.refused:,} refused"
    yield f"resources: {counts.read:,} = {fates}"
    yield from _listed("ignored, by type:", counts.kinds)
    yield from _listed("refused, by reason:", _reasons(found, used=False))
    yield f"lesions: {found.lesions:,} in {found.patients:,} patients"
    yield from (f"  {found.lacking[text]:>9,}  {text}" for text in LACKS if found.lacking[text])
    yield f"events: {found.events:,}"
    yield from _listed("remarks on what was used:", _reasons(found, used=True))


def _reasons(found: Tally, *, used: bool) -> Mapping[str, int]:
    return {reason: number for (counted, reason), number in found.reasons.items() if counted is used}


def _listed(head: str, numbers: Mapping[str, int]) -> Iterator[str]:
    if numbers:
        yield head
    for name, number in sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"  {number:>9,}  {name}"
