"""What people write for a vertebral target: TG-263 names, `T8-T10`, `D8`, `PTV_T08_T10`, `thoracic spine`.

Rules: `spec/fhir-mapping.md` section 3. A text is believed only if nothing in it speaks of something
else (a stage, an MRI sequence, another organ), unless a code has already said that the place is spinal.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import msgspec

from fhir_srs.model import LEVELS

# Cranial to caudal: the order of every list of levels.
_PLACE = {level: place for place, level in enumerate(LEVELS)}


class Spoken(msgspec.Struct, frozen=True):
    """What a label or text says. *regions* are initials (C, T, L, S); *exact* is a TG-263 vertebra name.

    *impossible*: it names a level that does not exist, or a range that cannot be read. *elsewhere*: it
    names something that looks like a vertebra and is not.
    """

    levels: tuple[str, ...] = ()
    regions: frozenset[str] = frozenset()
    spinal: bool = False
    exact: bool = False
    organ: bool = False
    elsewhere: bool = False
    impossible: bool = False


ABOUT_NOTHING = Spoken()
_ELSEWHERE = Spoken(elsewhere=True)
_IMPOSSIBLE = Spoken(spinal=True, impossible=True)

# The role of a volume, its number and its dose before its name: PTV_, GTV1_, zPTV_, PTV_2400_ (TG-263).
_PREFIX = re.compile(r"^[zx]?(?:I?GTV|[PIC]TV)(?:[np]?\d*|_?\d{3,4}(?:cgy)?)*[_\s^-]+", re.IGNORECASE)
_TG263 = re.compile(r"VB(?:_([CTLS])(\d{1,2})?)?")
_ORGAN = re.compile(r"(?:spinalcord|spinalcanal|caudaequina|thecalsac|sacralplex)(?:_\w+)?", re.IGNORECASE)
_LYMPH_NODE = re.compile(r"(?<![a-z])lns?_", re.IGNORECASE)

# The pieces of a list of levels. A number that is a dose or a count of fractions is no level:
# `T8 - 24 Gy`, `T8 - 3 fx`. `_` joins two levels (`T08_T10`) but never a bare number (`T8_2400`).
_LEVEL = r"(?<![a-z0-9.])(?:VB_)?(?P<letter>TH|[CTDLS])\s?(?P<number>\d{1,2})(?![a-z0-9]|\.\d)"
_TOKEN = re.compile(
    rf"{_LEVEL}"
    r"|(?<!\d)(?P<bare>\d{1,2})(?![a-z0-9]|\.\d|\s*(?:c?gy|fx|fractions?)\b|\s*x\s*\d)"
    r"|(?P<to>[-\u2010-\u2015]|\b(?:to|through|thru)\b)|(?P<list>[,;/&+]|\band\b)|(?P<join>_)|(?P<other>\S)",
    re.IGNORECASE,
)
# Levels in one word: `L4L5`, `T12L1`, read as `L4_L5`. Further apart they are something else: `C1T2`.
_GLUED = re.compile(r"(?<![a-z0-9])(?:[CTDLS]\d{1,2}){2,}(?![a-z0-9])", re.IGNORECASE)
_IN_GLUED = re.compile(r"(?<=\d)(?=[a-z])", re.IGNORECASE)
_NEAR = 4
_ONE_LEVEL = re.compile(_LEVEL, re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+", re.IGNORECASE)
# Words that may stand beside a level in the name of a spinal target, without a code that says spine.
_PLAIN = frozenset(
    re.findall(
        r"\w+",
        """
        ptv ctv gtv itv igtv z x vb vertebra vertebrae vertebral body bodies corpus spine spinal level
        levels segment segments bone bony osseous column cervical thoracic lumbar sacral sacrum dorsal
        thoracolumbar lumbosacral cervicothoracic met mets metastasis metastases metastatic lesion
        lesions tumor tumour target volume boost posterior anterior element elements pedicle pedicles
        lamina dens odontoid epidural paraspinal left right bilateral l r lt rt sbrt sabr srs radiosurgery
        stereotactic of the at in and to through thru gy cgy fx x postop eval final
        """,
    )
)
_REGION_WORDS = (
    (re.compile(r"\bcervical (?:spine|vertebra|vertebral)|\bc[ -]?spine\b", re.IGNORECASE), "C"),
    (re.compile(r"\b(?:thoracic|dorsal) (?:spine|vertebra|vertebral)|\bt[ -]?spine\b", re.IGNORECASE), "T"),
    (re.compile(r"\blumbar (?:spine|vertebra|vertebral)|\bl[ -]?spine\b", re.IGNORECASE), "L"),
    (re.compile(r"\bsacr(?:um|al (?:spine|vertebra|bone))\b", re.IGNORECASE), "S"),
)
# Places that are not the spine, as people write them where no code does. Words that may mean a treated
# segment as well (back, neck, flank) are not among them: they say nothing.
_OTHER_PLACES = re.compile(
    r"\b(?:knees?|hips?|shoulders?|elbows?|wrists?|hands?|fingers?|foot|feet|toes?|ankles?|arms?|legs?|thighs?"
    r"|femurs?|humerus|tibia|fibula|pelvis|ilium|acetabulum|ribs?|sternum|clavicle|scapula|skull|head|brain"
    r"|jaw|teeth|tooth|face|eyes?|ears?|throat|chest|breasts?|lungs?|abdomen|abdominal|stomach|liver|kidneys?"
    r"|bladder|prostate|rectum|groin|skin|wound)\b",
    re.IGNORECASE,
)
_SPINE_WORDS = re.compile(r"\b(?:spine|vertebra|vertebrae|vertebral (?:body|column))\b", re.IGNORECASE)


@lru_cache(maxsize=4096)
def parse_label(text: str, *, spinal: bool) -> Spoken:
    """
    What *text* says about a place in the spine; *spinal*: a code has already said that it is there.

    >>> parse_label("PTV_T08_T10", spinal=False).levels
    ('T8', 'T9', 'T10')
    >>> parse_label("LN_Neck_VB_L", spinal=False).elsewhere
    True
    """
    name = _PREFIX.sub("", text.strip())
    if _ORGAN.fullmatch(name):
        return Spoken(organ=True)
    if _LYMPH_NODE.search(name):
        return _ELSEWHERE
    exact = _TG263.fullmatch(name)
    if exact:
        return _tg263(*exact.groups())
    name = _GLUED.sub(_unglued, name)
    words = _region_words(name)
    if not (spinal or words.spinal or _is_plain(name)):
        return _ELSEWHERE if _is_elsewhere(name) else ABOUT_NOTHING
    levels = _levels(name)
    if levels is None:
        return msgspec.structs.replace(_IMPOSSIBLE, regions=words.regions)
    return msgspec.structs.replace(words, levels=in_order(levels), spinal=words.spinal or bool(levels))


def _unglued(word: re.Match[str]) -> str:
    """The levels of *word* apart, if they are near each other; else the word as it is."""
    parts = [part.upper().replace("D", "T") for part in _IN_GLUED.split(word[0])]
    at = [_PLACE.get(f"{part[0]}{int(part[1:])}") for part in parts]
    near = all(
        one is not None and other is not None and abs(one - other) <= _NEAR for one, other in pairwise(at)
    )
    return "_".join(parts) if near else word[0]


def in_order(levels: Collection[str]) -> tuple[str, ...]:
    """*levels* once each, cranial to caudal."""
    return tuple(sorted(set(levels), key=_PLACE.__getitem__))


def places(levels: Iterable[str]) -> tuple[int, ...]:
    """The places of *levels* from the skull down: sorts lists of levels anatomically."""
    return tuple(_PLACE[level] for level in levels)


def contiguous(levels: Sequence[str]) -> bool:
    """Whether *levels*, in order, follow one another without a gap."""
    return not levels or _PLACE[levels[-1]] - _PLACE[levels[0]] == len(levels) - 1


def _tg263(letter: str | None, number: str | None) -> Spoken:
    """A whole TG-263 name. Thoracic levels have two digits there; one digit is read as well."""
    if letter is None or number is None:
        return Spoken(regions=frozenset(letter or ""), spinal=True, exact=True)
    level = f"{letter}{int(number)}"
    if level not in _PLACE:
        return msgspec.structs.replace(_IMPOSSIBLE, regions=frozenset(letter), exact=True)
    return Spoken(levels=(level,), regions=frozenset(letter), spinal=True, exact=True)


def _region_words(name: str) -> Spoken:
    plain = name.replace("_", " ")
    regions = frozenset(letter for pattern, letter in _REGION_WORDS if pattern.search(plain))
    return Spoken(regions=regions, spinal=bool(regions) or bool(_SPINE_WORDS.search(plain)))


def _is_elsewhere(name: str) -> bool:
    """Whether *name* is of another part of the body, and of no vertebra beside it."""
    return _OTHER_PLACES.search(name.replace("_", " ")) is not None and not _ONE_LEVEL.search(name)


def _is_plain(name: str) -> bool:
    """Whether *name* without its levels is made of words of the spine and of targets only."""
    rest = _ONE_LEVEL.sub(" ", name)
    return all(word.lower() in _PLAIN for word in _WORDS.findall(rest))


def _levels(name: str) -> set[str] | None:
    """All levels that *name* lists, ranges filled in; None where one of them cannot be."""
    levels: set[str] = set()
    previous, joint = None, ""
    for token in _TOKEN.finditer(name):
        kind = token.lastgroup or ""
        if kind in ("to", "list", "join"):
            joint = kind if previous and not joint else "other"
            continue
        level = _level(token, previous, joint)
        if level is None:
            return None
        if level:
            levels.update(_between(previous, level) if previous and joint in ("to", "join") else [level])
        previous, joint = level or None, ""
    return levels


def _level(token: re.Match[str], previous: str | None, joint: str) -> str | None:
    """The level that *token* stands for, "" if it stands for none, None if it cannot be one.

    A bare number goes on with the letter before it, upwards only: `T8-10`, `T8, 10`, not `T8-6`.
    """
    if token["letter"]:
        letter = token["letter"].upper()[0].replace("D", "T")
        level = f"{letter}{int(token['number'])}"
        return level if level in _PLACE else None
    if token["bare"] is None or previous is None or joint not in ("to", "list"):
        return ""
    level = f"{previous[0]}{int(token['bare'])}"
    return level if level in _PLACE and _PLACE[level] > _PLACE[previous] else None


def _between(one: str, other: str) -> tuple[str, ...]:
    """All levels from *one* to *other*, whichever way they were written (`T10-T8`)."""
    low, high = sorted((_PLACE[one], _PLACE[other]))
    return LEVELS[low : high + 1]
