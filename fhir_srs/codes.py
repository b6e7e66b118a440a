"""Code systems by name, and sets of codes with what each code means to us.

A set maps (system, code) to a meaning: `vertebra` maps SNOMED CT 77435000 to `T8`. Sets come from
`mappings/terminology/*.csv`, each line with its source; this module knows no file. Codes are compared
exactly, never by prefix; a system is also known by its listed misspellings
(`spec/fhir-mapping.md` section 7, `code-system-misspelt`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
TG263 = "http://hl7.org/fhir/us/mcode/CodeSystem/tg263-cs"
DICOM_UID = "urn:dicom:uid"

Pair: TypeAlias = tuple[str, str]
_NOWHERE: Mapping[str, str] = {}


class CodingLike(Protocol):
    """A FHIR Coding, whatever class holds it."""

    @property
    def system(self) -> str | None:
        """The code system's canonical address."""

    @property
    def code(self) -> str | None:
        """The code in that system."""


class ConceptLike(Protocol):
    """A FHIR CodeableConcept, whatever class holds it."""

    @property
    def coding(self) -> Sequence[CodingLike]:
        """Its codings: one meaning in several systems."""

    @property
    def text(self) -> str | None:
        """What was written or shown."""


class Found(NamedTuple):
    """A code of a set: the canonical (system, code), its meaning, and whether the system was misspelt."""

    code: Pair
    meaning: str
    misspelt: bool

    @property
    def token(self) -> str:
        """`system|code`, as events write it."""
        return "|".join(self.code)


class Codes(msgspec.Struct, frozen=True, eq=False):
    """All sets by name, and *aliases*: misspelt system -> system. Hashed by identity, as a key of caches."""

    sets: Mapping[str, Mapping[Pair, str]] = {}
    aliases: Mapping[str, str] = {}
    index: Mapping[Pair, Mapping[str, str]] = {}

    @classmethod
    def of(cls, sets: Mapping[str, Mapping[Pair, str]], aliases: Mapping[str, str]) -> "Codes":
        """The *sets*, and an index of them by code: most codes of a hospital are in none."""
        index: dict[Pair, dict[str, str]] = {}
        for name, pairs in sets.items():
            for pair, meaning in pairs.items():
                index.setdefault(pair, {})[name] = meaning
        return cls(sets, aliases, index)

    def among(self, name: str) -> Mapping[Pair, str]:
        """The set *name*; empty where no table has one."""
        return self.sets.get(name, {})

    def find(self, name: str, concept: ConceptLike | None) -> Found | None:
        """The first coding of *concept* that is in the set *name*, or None. Any of several codings counts."""
        if concept is not None:
            for coding in concept.coding:
                found = self.find_coding(name, coding)
                if found is not None:
                    return found
        return None

    def find_all(self, name: str, concepts: Collection[ConceptLike]) -> Iterator[Found]:
        """Every coding of *concepts* that is in the set *name*, in their order."""
        for concept in concepts:
            for coding in concept.coding:
                found = self.find_coding(name, coding)
                if found is not None:
                    yield found

    def find_coding(self, name: str, coding: CodingLike) -> Found | None:
        """*coding* itself, if it is in the set *name*."""
        pair, meanings, misspelt = self.meanings(coding)
        meaning = meanings.get(name)
        return None if meaning is None else Found(pair, meaning, misspelt)

    def meanings(self, coding: CodingLike) -> tuple[Pair, Mapping[str, str], bool]:
        """The canonical (system, code) of *coding*, its meaning in each set with it, and whether misspelt."""
        pair = (coding.system or "", coding.code or "")
        meanings = self.index.get(pair)
        if meanings is not None:
            return pair, meanings, False
        right = self.aliases.get(pair[0])
        if right is None:
            return pair, _NOWHERE, False
        return (right, pair[1]), self.index.get((right, pair[1]), _NOWHERE), True

    def in_any(self, names: Collection[str], concept: ConceptLike | None) -> frozenset[str]:
        """Those of the sets *names* that have a coding of *concept*."""
        codings = concept.coding if concept is not None else ()
        return frozenset(name for one in codings for name in self.meanings(one)[1] if name in names)
