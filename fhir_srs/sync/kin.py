"""Who is the same person, by the merges that Patient records tell (I12, `decisions.md` 22). Pure."""

from collections.abc import Iterable, Mapping

from fhir_srs.sync.opt_out import TEST_PATIENT


def same_persons(patients: Iterable[str], links: Mapping[str, frozenset[str]]) -> set[str]:
    """*patients* and all records merged with theirs, whichever of two says so, however far (I12)."""
    beside: dict[str, set[str]] = {}
    for patient, linked in links.items():
        for other in linked:
            beside.setdefault(patient, set()).add(other)
            beside.setdefault(other, set()).add(patient)
    found: set[str] = set()
    waiting = set(patients)
    while waiting:
        found |= waiting
        waiting = {other for name in waiting for other in beside.get(name, ())} - found
    return found


def kin(out: Mapping[str, str], links: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """
    *out* (who is left out, and why) and all who are the same person by the merges in *links*.

    Test data (HTEST) says nothing of the records that it was merged with.
    """
    found = dict(out)
    for why in sorted({*out.values()} - {TEST_PATIENT}):
        for name in same_persons((one for one, reason in out.items() if reason == why), links):
            found.setdefault(name, why)
    return found
