"""Which Procedures are spinal radiosurgery or radiotherapy, and what each says about itself.

Rules: `spec/fhir-mapping.md` sections 1.1 to 1.4. What the volumes and lesions of a course are is decided
in `targets` and `lesions`.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from fhir_srs import r4
from fhir_srs.codes import Codes, Found
from fhir_srs.dates import PartialDate, parse_date
from fhir_srs.mapping.doses import Fractions, read_fractions
from fhir_srs.mapping.profile import Profile

MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
DOSE = MCODE + "mcode-radiotherapy-dose-delivered-to-volume"
_SESSIONS = MCODE + "mcode-radiotherapy-sessions"
_TECHNIQUES = MCODE + "mcode-radiotherapy-modality-and-technique"
_MODALITY = MCODE + "mcode-radiotherapy-modality"
_TECHNIQUE = MCODE + "mcode-radiotherapy-technique"
_PHASE_FRACTIONS = CODEX + "codexrt-radiotherapy-fractions-delivered"
_REIRRADIATION = CODEX + "codexrt-radiotherapy-course-involves-reirradiation"
_INTENTS = (MCODE + "mcode-procedure-intent", MCODE + "mcode-treatment-intent")
COURSE_PROFILES = frozenset(
    {
        MCODE + "mcode-radiotherapy-course-summary",
        MCODE + "mcode-cancer-related-radiation-procedure",
        CODEX + "codexrt-radiotherapy-course-summary",
    }
)
PART_PROFILES = frozenset(
    {CODEX + f"codexrt-radiotherapy-treated-{part}" for part in ("phase", "plan", "fraction")}
)

# The words for radiosurgery in the text or display of a procedure or technique (section 1.4).
_NAMED_SBRT = re.compile(r"\b(?:SBRT|SABR)\b|stereotactic (?:body|ablative)", re.IGNORECASE)
_NAMED_SRS = re.compile(r"\bSRS\b|radio-?surg|cyber ?knife", re.IGNORECASE)

_SETS = frozenset({"intracranial", "course-part", "course", "radiotherapy", "radiosurgery", "billing"})
CourseKind = Literal["summary", "surgical", "delivery", "billed", "part", "intracranial"]
Named = Literal["SRS", "SBRT"]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """
    One Procedure that treats: how it says so, when, how often. *reasons* are (reason, path).

    *again*: whether it says that it treats what was irradiated before; None where it says nothing.
    """

    key: str
    procedure: r4.Procedure
    kind: CourseKind
    part: str | None = None
    start: PartialDate | None = None
    end: PartialDate | None = None
    sessions: int | None = None
    by_code: bool = False
    by_text: bool = False
    named: Named | None = None
    flat: bool = False
    modality: str | None = None
    intent: str | None = None
    again: bool | None = None
    reasons: tuple[tuple[str, str], ...] = ()

    @property
    def doses(self) -> Iterator[r4.Extension]:
        """The entries of its dose list, in their order."""
        return r4.extensions(self.procedure.extension, DOSE)


def course_kind(procedure: r4.Procedure, profile: Profile) -> CourseKind | None:
    """What kind of treatment *procedure* is, or None if it is no radiotherapy that concerns us.

    Codes of the brain come first: a generic radiosurgery code beside one does not make it spinal.
    """
    sets = profile.codes.in_any(_SETS, procedure.code)
    if "intracranial" in sets or _said("intracranial", procedure.code, profile):
        return "intracranial"
    profiles = r4.claimed_profiles(procedure.meta)
    if "course-part" in sets or not PART_PROFILES.isdisjoint(profiles):
        return "part"
    if "course" in sets or not COURSE_PROFILES.isdisjoint(profiles):
        return "summary"
    if "radiotherapy" in sets and any(r4.extensions(procedure.extension, DOSE)):
        return "summary"
    if (
        "radiosurgery" in sets
        or _german(procedure, profile)
        or _said("radiosurgery", procedure.code, profile)
    ):
        return "surgical"
    billed = profile.codes.find("billing", procedure.code) if "billing" in sets else None
    if billed is not None:
        return "delivery" if billed.meaning == "delivery" else "billed"
    return None


def _said(name: str, concept: r4.CodeableConcept | None, profile: Profile) -> bool:
    """Whether a text rule of the site finds a member of the set *name* in the text of *concept*."""
    if concept is None or not profile.text_rules:
        return False
    texts = [text for text in (concept.text, *(coding.display for coding in concept.coding)) if text]
    return any(
        rule.name == name and rule.pattern.search(text) for rule in profile.text_rules for text in texts
    )


def _german(procedure: r4.Procedure, profile: Profile) -> bool:
    """Whether an extension holds a stereotactic application type (German oncology module)."""
    return any(profile.codes.find("radiosurgery", one) for one in extension_concepts(procedure.extension))


def _again(extensions: Iterable[r4.Extension]) -> bool | None:
    """What the flag says; None without it, or where it says both."""
    told = {one.value_boolean for one in r4.extensions(extensions, _REIRRADIATION)} - {None}
    return told.pop() if len(told) == 1 else None


def extension_concepts(extensions: Iterable[r4.ConceptExtension]) -> Iterator[r4.CodeableConcept]:
    """Every CodeableConcept in *extensions*, however deep."""
    for extension in extensions:
        if extension.value_codeable_concept is not None:
            yield extension.value_codeable_concept
        elif extension.value_coding is not None:
            yield r4.CodeableConcept(coding=(extension.value_coding,))
        if extension.extension:
            yield from extension_concepts(extension.extension)


class _Manner(NamedTuple):
    """How a treatment was given, as its codes and texts say."""

    part: str | None
    by_code: bool
    by_text: bool
    named: Named | None
    flat: bool
    modality: str | None
    intent: str | None
    reasons: tuple[tuple[str, str], ...]


def read_course(procedure: r4.Procedure, kind: CourseKind, profile: Profile) -> Course:
    """What *procedure*, a treatment of that *kind*, says about itself."""
    extensions = procedure.extension
    manner = _manner(
        kind,
        procedure.code,
        (procedure.category, *procedure.used_code),
        tuple(_techniques(extensions)),
        tuple(_intents(extensions)),
        tuple(extension_concepts(extensions)),
        profile.codes,
    )
    sessions = read_fractions(next(r4.extensions(extensions, _SESSIONS), None))
    start, end, reasons = performed(procedure, profile)
    return Course(
        key=f"Procedure/{procedure.id}",
        procedure=procedure,
        kind=kind,
        part=manner.part,
        start=start,
        end=end,
        sessions=sessions.number,
        by_code=manner.by_code,
        by_text=manner.by_text,
        named=manner.named,
        flat=manner.flat,
        modality=manner.modality,
        intent=manner.intent,
        again=_again(extensions),
        reasons=(*reasons, *((one, "extension") for one in sessions.reasons), *manner.reasons),
    )


@lru_cache(maxsize=4096)
def _manner(
    kind: CourseKind,
    code: r4.CodeableConcept | None,
    beside: tuple[r4.CodeableConcept | None, ...],
    techniques: tuple[r4.CodeableConcept, ...],
    intents: tuple[r4.CodeableConcept, ...],
    inside: tuple[r4.CodeableConcept, ...],
    codes: Codes,
) -> _Manner:
    """The manner of a treatment with these codes; a hospital treats in few manners, each very often."""
    concepts = [one for one in (code, *beside, *techniques, *inside) if one is not None]
    named = tuple(codes.find_all("technique-named", concepts))
    said = tuple(_texts((*((code,) if code else ()), *techniques)))
    part = codes.find("course-part", code)
    return _Manner(
        part=part.meaning if part else None,
        by_code=bool(named) or kind in ("surgical", "delivery", "billed"),
        by_text=any(_NAMED_SBRT.search(text) or _NAMED_SRS.search(text) for text in said),
        named=_name(named, said),
        flat=any(found.meaning == "2d" for found in codes.find_all("technique", techniques)),
        modality=_first(codes.find_all("modality", techniques)),
        intent=_first(codes.find_all("intent", intents)),
        reasons=tuple(_code_reasons(code, kind, inside, codes)),
    )


def phase_fractions(course: Course) -> Fractions:
    """Fractions of a phase as its own extension says: for the phase, not for one volume."""
    return read_fractions(next(r4.extensions(course.procedure.extension, _PHASE_FRACTIONS), None))


def _code_reasons(
    code: r4.CodeableConcept | None,
    kind: CourseKind,
    inside: tuple[r4.CodeableConcept, ...],
    codes: Codes,
) -> Iterator[tuple[str, str]]:
    codings = code.coding if code else ()
    found = [one for coding in codings for name, one in codes.found(coding).items() if name in _SETS]
    if any(one.misspelt for one in found):
        yield "code-system-misspelt", "code"
    if kind == "surgical" and not found and not any(codes.find_all("radiosurgery", inside)):
        yield "code-text-only", "code"


def _techniques(extensions: Iterable[r4.Extension]) -> Iterator[r4.CodeableConcept]:
    """Modality and technique, both: only the sets tell them apart where a sender mixes them up."""
    for outer in r4.extensions(extensions, _TECHNIQUES):
        for inner in outer.extension:
            if inner.url in (_MODALITY, _TECHNIQUE) and inner.value_codeable_concept is not None:
                yield inner.value_codeable_concept


def _intents(extensions: Iterable[r4.Extension]) -> Iterator[r4.CodeableConcept]:
    for extension in extensions:
        if extension.url in _INTENTS and extension.value_codeable_concept is not None:
            yield extension.value_codeable_concept


def _name(codes: tuple[Found, ...], texts: tuple[str, ...]) -> Named | None:
    """SRS or SBRT as codes say, else as text says; SRS and SBRT at once is SBRT, the wider word."""
    names = {found.meaning for found in codes}
    if not names:
        names = {"SBRT" for text in texts if _NAMED_SBRT.search(text)}
        names |= {"SRS" for text in texts if _NAMED_SRS.search(text)}
    return None if not names else "SBRT" if "SBRT" in names else "SRS"


def _texts(concepts: Iterable[r4.CodeableConcept]) -> Iterator[str]:
    for concept in concepts:
        if concept.text:
            yield concept.text
        yield from (coding.display for coding in concept.coding if coding.display)


def _first(found: Iterator[Found]) -> str | None:
    return min((one.token for one in found), default=None)


def performed(
    procedure: r4.Procedure, profile: Profile
) -> tuple[PartialDate | None, PartialDate | None, tuple[tuple[str, str], ...]]:
    """Days of the first and last fraction, and the reasons why one is missing or coarse.

    performedDateTime is one day. A period that ends before it starts gives neither.
    """
    if procedure.performed_date_time is not None:
        day, reasons = read_date(procedure.performed_date_time, "performedDateTime", profile)
        return day, day, reasons
    period = procedure.performed_period
    if period is None or (period.start is None and period.end is None):
        return None, None, (("date-missing", "performed"),)
    start, first = read_date(period.start, "performedPeriod.start", profile)
    end, last = read_date(period.end, "performedPeriod.end", profile)
    if start is not None and end is not None and start.first > end.last:
        return None, None, (("date-implausible", "performedPeriod"),)
    if period.start is None:
        first = (("date-missing", "performedPeriod.start"),)
    return start, end, (*first, *last)


def read_date(
    text: str | None, path: str, profile: Profile
) -> tuple[PartialDate | None, tuple[tuple[str, str], ...]]:
    """The date in *text* at *path*, with what is to be said of it (fhir-mapping.md section 7)."""
    if text is None:
        return None, ()
    day = parse_date(text, profile.time_zone)
    if day is None:
        return None, (("date-not-valid", path),)
    if day.day is None:
        return day, (("date-partial", path),)
    return day, () if day.has_zone else (("date-no-zone", path),)
