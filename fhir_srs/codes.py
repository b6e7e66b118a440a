"""Code systems by name, and sets of codes with what each code means to us.

A set maps (system, code) to a meaning: `vertebra` maps SNOMED CT 77435000 to `T8`. Sets come from
`mappings/terminology/*.csv`, each line with its source; this module knows no file. Codes are compared
exactly, never by prefix; a system is also known by its listed misspellings
(`spec/fhir-mapping.md` section 7, `code-system-misspelt`).
"""

import re
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


class LabelRule(NamedTuple):
    r"""*pattern* in the name of a place is read as *means*, filled in as by re.sub: `BWK(\d+)`, `T\1`."""

    pattern: re.Pattern[str]
    means: str


_NOWHERE: Mapping[str, Found] = {}


class Codes(msgspec.Struct, frozen=True, eq=False):
    """All sets by name, and *aliases*: misspelt system -> system. Hashed by identity, as a key of caches.

    *index* has each code with what it is found as in every set that has it. *labels* are how a site writes
    the names of places, which have no codes of their own.
    """

    sets: Mapping[str, Mapping[Pair, str]] = {}
    aliases: Mapping[str, str] = {}
    index: Mapping[tuple[str | None, str | None], Mapping[str, Found]] = {}
    labels: tuple[LabelRule, ...] = ()

    @classmethod
    def of(
        cls,
        sets: Mapping[str, Mapping[Pair, str]],
        aliases: Mapping[str, str],
        labels: tuple[LabelRule, ...] = (),
    ) -> "Codes":
        """The *sets*, and an index of them by code: most codes of a hospital are in none."""
        index: dict[tuple[str | None, str | None], dict[str, Found]] = {}
        for name, pairs in sets.items():
            for pair, meaning in pairs.items():
                index.setdefault(pair, {})[name] = Found(pair, meaning, misspelt=False)
        return cls(sets, aliases, index, labels)

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

    def meanings(self, name: str, concept: ConceptLike | None) -> frozenset[str]:
        """All that the codings of *concept* mean in the set *name*: more than one contradict each other."""
        return frozenset(
            one.meaning for one in self.find_all(name, (concept,) if concept is not None else ())
        )

    def find_all(self, name: str, concepts: Collection[ConceptLike]) -> Iterator[Found]:
        """Every coding of *concepts* that is in the set *name*, in their order."""
        for concept in concepts:
            for coding in concept.coding:
                found = self.find_coding(name, coding)
                if found is not None:
                    yield found

    def find_coding(self, name: str, coding: CodingLike) -> Found | None:
        """*coding* itself, if it is in the set *name*."""
        found = self.index.get((coding.system, coding.code))
        return found.get(name) if found is not None else self._respelt(coding).get(name)

    def spelt(self, label: str) -> str:
        """*label* with what the site writes its own way written as TG-263 or clinicians do."""
        for pattern, means in self.labels:
            label = pattern.sub(means, label)
        return label

    def found(self, coding: CodingLike) -> Mapping[str, Found]:
        """*coding* as it is found in each set that has it."""
        return self.index.get((coding.system, coding.code)) or self._respelt(coding)

    def _respelt(self, coding: CodingLike) -> Mapping[str, Found]:
        """As `found`, the system spelt as it should be."""
        right = self.aliases.get(coding.system or "")
        if right is None:
            return _NOWHERE
        return {
            name: found._replace(misspelt=True)
            for name, found in self.index.get((right, coding.code), _NOWHERE).items()
        }

    def in_any(self, names: Collection[str], concept: ConceptLike | None) -> frozenset[str]:
        """Those of the sets *names* that have a coding of *concept*."""
        codings = concept.coding if concept is not None else ()
        return frozenset(name for one in codings for name in self.found(one) if name in names)
