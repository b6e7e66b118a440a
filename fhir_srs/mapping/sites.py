"""Vertebral levels from codes, labels and text (`spec/fhir-mapping.md` section 3).

Levels are read only from a volume's code and label and from bodySite, never from the ids of courses,
phases or plans: `C1` and `T2` are also course numbers, stages and MRI sequences. The caller sees to that.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from fhir_srs.codes import SNOMED, TG263, Codes, CodingLike, ConceptLike
from fhir_srs.mapping.labels import ABOUT_NOTHING, Spoken, contiguous, in_order, parse_label
from fhir_srs.model import Region

_REGIONS: dict[str, Region] = {"C": "cervical", "T": "thoracic", "L": "lumbar", "S": "sacral"}
_PLACES = ("vertebra", "region", "junction", "spine", "ambiguous", "organ")
_INITIAL: dict[str, str] = {region: letter for letter, region in _REGIONS.items()}


class Site(msgspec.Struct, frozen=True):
    """What a site says: levels cranial to caudal, the region, whether it is spinal at all.

    *region* is None for levels on both sides of a junction. *spinal* is True for spine, False for
    another place or an organ at risk (then *reasons* hold `volume-organ-at-risk`), None where nothing was
    said. *reasons* are of the closed list.
    """

    levels: tuple[str, ...] = ()
    region: Region | None = None
    spinal: bool | None = None
    reasons: tuple[str, ...] = ()


class _Coded(msgspec.Struct, frozen=True):
    """What the codings of a site say together. *regions* are the initials (C, T, L, S) that codes allow."""

    levels: tuple[str, ...] = ()
    regions: frozenset[str] = frozenset()
    spine: bool = False
    organ: bool = False
    elsewhere: bool = False
    doubtful: bool = False
    misspelt: bool = False

    @property
    def spinal(self) -> bool:
        return bool(self.levels or self.regions or self.spine)


def read_site(concepts: Sequence[ConceptLike], label: str | None, codes: Codes) -> Site:
    """
    The site that *concepts* (location or bodySite) and *label* (of a volume) together stand for.

    A label or text that contains the coded level wins (`level-from-text`): one location code per volume
    cannot say a range. One that contradicts the code leaves no levels (`level-ambiguous`). Text of a
    concept counts like a label. A SNOMED code of another place outweighs a label, unless the label is a
    TG-263 vertebra name.
    """
    return _read_site(tuple(concepts), label, codes)


@lru_cache(maxsize=4096)
def _read_site(concepts: tuple[ConceptLike, ...], label: str | None, codes: Codes) -> Site:
    """The site of *concepts* and *label*: few are different, in a cohort or in a hospital."""
    coded = _coded(concepts, codes)
    texts = [text and codes.spelt(text) for text in (label, *(concept.text for concept in concepts))]
    spoken = _spoken(texts, label, spinal=coded.spinal)
    reasons = ("code-system-misspelt",) if coded.misspelt else ()
    if coded.organ or (spoken.organ and not coded.levels):
        return Site(spinal=False, reasons=(*reasons, "volume-organ-at-risk"))
    if coded.elsewhere and not coded.spinal and not spoken.exact:
        return Site(spinal=False, reasons=reasons)
    if not (coded.spinal or spoken.spinal):
        return Site(spinal=False if spoken.elsewhere else None, reasons=reasons)
    return _spinal_site(coded, spoken, reasons)


def region_of(levels: Iterable[str]) -> Region | None:
    """The one region of *levels*, or None for none and for levels on both sides of a junction."""
    initials = {level[0] for level in levels}
    return _REGIONS[initials.pop()] if len(initials) == 1 else None


def _spinal_site(coded: _Coded, spoken: Spoken, reasons: tuple[str, ...]) -> Site:
    levels, how = _levels(coded, spoken)
    if how is not None:
        reasons = (*reasons, how)
    if levels and not contiguous(levels):
        reasons = (*reasons, "levels-not-contiguous")
    if not levels and how is None:
        reasons = (*reasons, "level-unknown")
    region = region_of(levels) or _one_region(coded.regions or spoken.regions, levels)
    return Site(levels=levels, region=region, spinal=True, reasons=reasons)


def _one_region(initials: frozenset[str], levels: tuple[str, ...]) -> Region | None:
    return _REGIONS[next(iter(initials))] if len(initials) == 1 and not levels else None


def _levels(coded: _Coded, spoken: Spoken) -> tuple[tuple[str, ...], str | None]:
    """The levels, and the reason that says how they were found if codes alone did not."""
    if coded.doubtful or spoken.impossible:
        return (), "level-ambiguous"
    said = set(spoken.levels)
    if not said or said <= set(coded.levels):
        return coded.levels, None
    if coded.levels:
        return (spoken.levels, "level-from-text") if said > set(coded.levels) else ((), "level-ambiguous")
    if coded.regions and not {level[0] for level in said} <= coded.regions:
        return (), "level-ambiguous"
    return spoken.levels, "level-from-text"


def _spoken(texts: Sequence[str | None], label: str | None, *, spinal: bool) -> Spoken:
    """What the *texts*, the *label* first, say together: the one that holds the others, or `impossible`."""
    heard = [one for text in texts if text and (one := parse_label(text, spinal=spinal)) != ABOUT_NOTHING]
    if not heard:
        return ABOUT_NOTHING
    if len(heard) == 1:
        return heard[0]
    # Several bodySites, each with its text, name several levels; a label and a text name one target.
    joined = {level for one in heard[1 if label else 0 :] for level in one.levels}
    own = set(heard[0].levels) if label else joined
    clash = bool(own and joined) and not (own <= joined or joined <= own)
    return Spoken(
        levels=in_order(own | joined),
        regions=frozenset().union(*(one.regions for one in heard)),
        spinal=any(one.spinal for one in heard),
        exact=any(one.exact for one in heard),
        organ=any(one.organ for one in heard),
        elsewhere=any(one.elsewhere for one in heard),
        impossible=clash or any(one.impossible for one in heard),
    )


def _coded(concepts: Sequence[ConceptLike], codes: Codes) -> _Coded:
    """What all codings say; one code that is no place of the spine makes `elsewhere`, nothing else."""
    said = _Coded()
    for concept in concepts:
        one = _concept(concept, codes)
        said = _Coded(
            levels=in_order({*said.levels, *one.levels}),
            regions=said.regions | one.regions,
            spine=said.spine or one.spine,
            organ=said.organ or one.organ,
            elsewhere=said.elsewhere or (one.elsewhere and not one.spinal),
            doubtful=said.doubtful or one.doubtful,
            misspelt=said.misspelt or one.misspelt,
        )
    wrong = bool(said.regions) and not {level[0] for level in said.levels} <= said.regions
    return msgspec.structs.replace(said, doubtful=said.doubtful or wrong)


def _concept(concept: ConceptLike, codes: Codes) -> _Coded:
    """What one concept says. Its codings mean one place: two different levels contradict each other."""
    levels: set[str] = set()
    regions: set[str] = set()
    spine = organ = elsewhere = doubtful = misspelt = False
    for coding in concept.coding:
        if coding.system == TG263 and coding.code:
            name = parse_label(coding.code, spinal=False)
            levels.update(name.levels)
            regions.update(name.regions)
            spine, organ = spine or name.spinal, organ or name.organ
            elsewhere, doubtful = elsewhere or not name.spinal, doubtful or name.impossible
            continue
        kind, meaning, wrong = _place(coding, codes)
        misspelt = misspelt or wrong
        if kind == "vertebra":
            levels.add(meaning)
        elif kind in ("region", "junction", "ambiguous"):
            regions.update(_INITIAL[region] for region in meaning.split("-"))
            doubtful = doubtful or kind == "ambiguous"
        spine, organ = spine or kind == "spine", organ or kind == "organ"
        elsewhere = elsewhere or (kind == "" and coding.system == SNOMED)
    return _Coded(
        levels=in_order(levels),
        regions=frozenset(regions),
        spine=spine,
        organ=organ,
        elsewhere=elsewhere,
        doubtful=doubtful or len(levels) > 1,
        misspelt=misspelt,
    )


def _place(coding: CodingLike, codes: Codes) -> tuple[str, str, bool]:
    """The set of places that *coding* is in, its meaning there, and whether its system was misspelt."""
    found = codes.found(coding)
    for kind in _PLACES if found else ():
        if kind in found:
            return kind, found[kind].meaning, found[kind].misspelt
    return "", "", False
