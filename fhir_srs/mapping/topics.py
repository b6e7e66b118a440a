"""What an Observation is about, by its code: one look-up a coding, since most are about other things."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from fhir_srs import r4
from fhir_srs.codes import LOINC, SNOMED, Codes, Found
from fhir_srs.mapping.elements import Said
from fhir_srs.mapping.profile import Profile, TextRule

# Sets of codes that make an Observation ours.
KINDS = (
    "pain",
    "disease-status",
    "performance",
    "neuro",
    "epidural",
    "stability",
    "noms",
    "tumour-size",
    "last-contact",
    "death",
    "vital-status",
    "site-question",
)
_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-"
_PROFILES = frozenset(
    f"{_MCODE}{name}"
    for name in ("cancer-disease-status", "ecog-performance-status", "karnofsky-performance-status")
)
_SYSTEMS = frozenset({LOINC, SNOMED})


class Topic(NamedTuple):
    """The set that a code is in and the code as found; *said* is how; *doubtful* if codes contradict."""

    kind: str
    found: Found
    said: Said = ()
    doubtful: bool = False


def topic(concept: r4.CodeableConcept | None, profile: Profile) -> Topic | None:
    """What the codings of *concept* say it is; the site's text rules speak where no coding does."""
    return None if concept is None else _topic(concept, profile.codes, profile.text_rules)


@lru_cache(maxsize=4096)
def _topic(concept: r4.CodeableConcept, codes: Codes, rules: tuple[TextRule, ...]) -> Topic | None:
    """As `topic`; a hospital says few different things, each very often."""
    found = [topic for one in concept.coding for topic in _topics(one, codes)]
    if found:
        return _together(found) if len(found) > 1 or found[0].found.misspelt else found[0]
    return next(_by_text(concept, rules), None)


def _topics(coding: r4.Coding, codes: Codes) -> Iterator[Topic]:
    found = codes.found(coding)
    return (Topic(kind, found[kind]) for kind in KINDS if kind in found)


def _by_text(concept: r4.CodeableConcept, rules: Iterable[TextRule]) -> Iterator[Topic]:
    for rule in rules:
        if rule.name in KINDS and concept.text and rule.pattern.search(concept.text):
            yield Topic(rule.name, Found(rule.code, rule.meaning, False), (("code-text-only", "code.text"),))


def _together(found: Sequence[Topic]) -> Topic:
    """One topic of several codings, whatever their order: a stated scale before one that is not."""
    best = min(found, key=lambda one: (one.found.meaning == "unstated", one.found.misspelt, one.found.code))
    said: Said = (("code-system-misspelt", "code"),) if best.found.misspelt else ()
    meanings = {(one.kind, _scale(one.found.meaning)) for one in found} - {("pain", "unstated")}
    return best._replace(said=said, doubtful=len(meanings) > 1)


def _scale(meaning: str) -> str:
    return "nrs" if meaning == "nrs-if-text-says-pain" else meaning


def claimed(meta: r4.Meta | None) -> bool:
    """Whether an Observation with *meta* claims a FHIR profile that is about a topic of ours."""
    return meta is not None and not _PROFILES.isdisjoint(r4.claimed_profiles(meta))


def unrecognised(code: r4.CodeableConcept | None, meta: r4.Meta | None, profile: Profile) -> str | None:
    """
    Why an Observation of *code*, which has no topic, should have had one; None for another kind of data.

    Relevant by its FHIR profile, or by a code of ours under a system that is none: unknown, or with the
    code glued to it (section 7: not that code).
    """
    if code is None or not (code.coding or code.text):
        return "code-missing"
    return "code-not-recognised" if claimed(meta) or is_astray(code, profile.codes) else None


@lru_cache(maxsize=4096)
def is_astray(concept: r4.CodeableConcept, codes: Codes) -> bool:
    """Whether *concept* has a code of ours under a system that is none."""
    return any(
        kind in KINDS
        for one in concept.coding
        if one.system not in _SYSTEMS and one.code
        for system in _SYSTEMS
        for kind in codes.index.get((system, one.code), ())
    )
