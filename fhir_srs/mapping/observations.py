"""Observations read: disease status, performance, neurology, death, contact; `scores` and `spine` read more.

What an Observation is about is decided by one look-up of its codes (`topics`); everything else is another
kind of data and is ignored (`spec/fhir-mapping.md` sections 4, 5 and 7).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from fhir_srs import r4
from fhir_srs.codes import Found
from fhir_srs.mapping.elements import OBSERVATION, Said, barred, status_of
from fhir_srs.mapping.facts import Finding, PatientFacts, Reading, scale
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.scores import is_panel, read_components, read_pain, read_panel
from fhir_srs.mapping.sizes import read_size
from fhir_srs.mapping.spine import read_epidural, read_noms, read_stability
from fhir_srs.mapping.topics import topic, unrecognised
from fhir_srs.model import EventKind

_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
_CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/"
_QUALIFIERS = (
    f"{_CODEX}codexrt-radiotherapy-progression-qualifier",
    f"{_CODEX}codexrt-radiotherapy-disease-progression-qualifier",
)
_EVIDENCE = f"{_MCODE}mcode-cancer-disease-status-evidence-type"
_IGNORED = Reading(use="ignored")


def read_observation(resource: r4.Observation, profile: Profile) -> Reading:
    """What *resource* says by itself; the same for every Observation that says the same of its subject."""
    reason = barred(resource, profile)
    if reason:
        return _refused(*reason)
    about = topic(resource.code, profile)
    if about is None:
        return _without_topic(resource, profile)
    status = status_of(resource.status, OBSERVATION)
    if status == "status-not-usable":
        return _refused(status, "status")
    if about.doubtful:
        return _refused("code-meaning-doubtful", "code")
    said: Said = (*about.said, (status, "status")) if status else about.said
    return _READERS[about.kind](resource, about.found, said, profile)


def read_whole(resource: r4.Observation, facts: PatientFacts, profile: Profile) -> Reading:
    """As `read_observation`, a panel with what is known of its members."""
    if not is_panel(resource, profile) or barred(resource, profile):
        return read_observation(resource, profile)
    status = status_of(resource.status, OBSERVATION)
    about = topic(resource.code, profile)
    if about is None or about.doubtful:
        return _refused("code-meaning-doubtful", "code")
    return read_panel(resource, (*about.said, (status, "status")) if status else about.said, facts, profile)


def _refused(reason: str, path: str | None) -> Reading:
    return Reading(use="refused", said=((reason, path),))


def _without_topic(resource: r4.Observation, profile: Profile) -> Reading:
    """Perhaps a panel with pain in it; else another kind of data, unless it should have had a topic."""
    inside = read_components(resource, profile) if resource.component else _IGNORED
    if inside.use != "ignored":
        return inside
    reason = unrecognised(resource.code, resource.meta, profile)
    return _refused(reason, "code") if reason else _IGNORED


def _disease_status(resource: r4.Observation, code: Found, said: Said, profile: Profile) -> Reading:
    """
    Improved, stable, worsened or undetermined, with its place and evidence as flags.

    A response by criteria (CR, PR, SD, PD, NE: NCIt, DICOM) is an imaging event: the two are not one scale.
    """
    flags = tuple(sorted(set(_status_flags(resource, profile))))
    for kind, name in _ANSWERS:
        values = profile.codes.meanings(name, resource.value_codeable_concept)
        if len(values) > 1:
            return _refused("code-meaning-doubtful", "valueCodeableConcept")
        if values:
            return _told(Finding(kind, next(iter(values)), code=code.token, flags=flags), said)
    return _refused(_no_answer(resource), "valueCodeableConcept")


# Which event an answer makes, and the set that it must be in.
_ANSWERS: tuple[tuple[EventKind, str], ...] = (
    ("disease-status", "disease-status-value"),
    ("imaging", "imaging-response"),
)


def _no_answer(resource: r4.Observation) -> str:
    if resource.value_codeable_concept is not None:
        return "answer-code-not-recognised"
    return "value-absent" if resource.data_absent_reason else "value-missing"


def _status_flags(resource: r4.Observation, profile: Profile) -> Iterator[str]:
    concept = resource.value_codeable_concept or r4.CodeableConcept()
    for extension in (*concept.extension, *resource.extension):
        if extension.url in _QUALIFIERS:
            site = profile.codes.find("progression-site", extension.value_codeable_concept)
            if site:
                yield site.meaning
        elif extension.url == _EVIDENCE:
            evidence = profile.codes.find("evidence-type", extension.value_codeable_concept)
            if evidence:
                yield evidence.meaning


def _told(finding: Finding, said: Said) -> Reading:
    return Reading(use="used", findings=(finding,), said=said)


# Lowest and highest number of each numeric scale.
_ENDS = {"ecog": (0, 5), "kps": (0, 100), "muscle-grade": (0, 5), "scorad": (1, 4)}


# A grade as text: `1`, `90 %`, `4/5`; `4+` is none of the scale.
_GRADE = re.compile(r"\s*(\d{1,3})(?:\s*/\s*5|\s*%)?\s*")


def _performance(resource: r4.Observation, code: Found, said: Said, profile: Profile) -> Reading:
    """ECOG 0 to 5, Karnofsky 0 to 100: kept apart, never converted."""
    return _graded(resource, "performance", code, said, profile)


def _graded(resource: r4.Observation, kind: EventKind, code: Found, said: Said, profile: Profile) -> Reading:
    number = _number(resource, code, profile)
    if number is None:
        present = resource.value_quantity or resource.value_integer is not None or resource.value_string
        return _refused("value-not-usable" if present else _no_answer(resource), "value")
    lowest, highest = _ENDS[code.meaning]
    if not lowest <= number <= highest:
        return _refused("value-out-of-range", "value")
    return _told(Finding(kind, number, scale(code), code.token), said)


def _number(resource: r4.Observation, code: Found, profile: Profile) -> Decimal | None:
    """The grade in whatever shape; a grade with a fraction is none."""
    whole = r4.whole(resource.value_integer)
    if whole is not None:
        return Decimal(whole)
    quantity = resource.value_quantity
    if quantity is not None:
        value = r4.number(quantity.value) if not quantity.comparator else None
        return value.to_integral_value() if value is not None and value == value.to_integral_value() else None
    if resource.value_string is not None:
        match = _GRADE.fullmatch(resource.value_string)
        return Decimal(match[1]) if match else None
    answers = profile.codes.meanings("ecog-answer", resource.value_codeable_concept)
    return Decimal(next(iter(answers))) if code.meaning == "ecog" and len(answers) == 1 else None


_LETTER = re.compile(r"(?<![A-Za-z])([A-E])(?![A-Za-z])")
# The grades of Henry Ford are small letters, which stand in texts as words too: the whole text must be one.
_SMALL = re.compile(r"^\s*(?:grade\s+)?\(?([a-e])\)?\s*$", re.IGNORECASE)
_LETTERS = {"asia": _LETTER, "frankel": _LETTER, "henry-ford": _SMALL}


def _neuro(resource: r4.Observation, code: Found, said: Said, profile: Profile) -> Reading:
    """The grade on its own scale: a letter, a number, yes or no, or the answer as coded; never free text."""
    if code.meaning in _ENDS:
        return _graded(resource, "neuro", code, said, profile)
    letters = _LETTERS.get(code.meaning)
    answer = _letter(resource, letters) if letters else _answer(resource, code, profile)
    if answer is None:
        told = resource.value_string is not None
        return _refused("value-not-usable" if told else _no_answer(resource), "value")
    return _told(Finding("neuro", answer, scale(code), code.token), said)


def _letter(resource: r4.Observation, letters: re.Pattern[str]) -> str | None:
    """A to E; the answer codes of LOINC 97843-7 are not known to us, so its text is matched."""
    concept = resource.value_codeable_concept or r4.CodeableConcept()
    texts = [concept.text, resource.value_string]
    texts += [text for one in concept.coding for text in (one.display, one.code)]
    found = {letter for text in texts if text for letter in letters.findall(text)}
    told = {one.lower() for one in found} if letters is _SMALL else found
    return told.pop() if len(told) == 1 else None


# Whether somebody walks, in words.
_YES_NO = {"yes": "true", "y": "true", "true": "true", "no": "false", "n": "false", "false": "false"}


def _answer(resource: r4.Observation, code: Found, profile: Profile) -> str | None:
    """`true` or `false`; of scales that are no yes or no, the answer as coded."""
    if resource.value_boolean is not None:
        return "true" if resource.value_boolean else "false"
    concept = resource.value_codeable_concept
    if code.meaning == "ambulatory":
        answers = profile.codes.meanings("yes-no", concept)
        text = concept.text if concept is not None else resource.value_string
        return next(iter(answers)) if len(answers) == 1 else _YES_NO.get((text or "").strip().lower())
    codings = concept.coding if concept is not None else ()
    return min((f"{one.system or ''}|{one.code}" for one in codings if one.code), default=None)


def _last_contact(resource: r4.Observation, code: Found, said: Said, _profile: Profile) -> Reading:
    """The date is the value (LOINC 21975-8, valueDateTime)."""
    if resource.value_date_time is None:
        return _refused("value-missing", "valueDateTime")
    return Reading(use="used", findings=(Finding("contact", code=code.token),), said=said, dated_by="value")


def _death(resource: r4.Observation, code: Found, said: Said, _profile: Profile) -> Reading:
    """A death, unless the value denies it."""
    if resource.value_boolean is False:
        return _IGNORED
    finding = Finding("death", code=code.token)
    return Reading(use="used", findings=(finding,), said=said, undated="death-date-missing")


def _vital_status(resource: r4.Observation, code: Found, said: Said, profile: Profile) -> Reading:
    """Dead by its value; any other vital status is no evidence that we count."""
    del code
    dead = profile.codes.find("death", resource.value_codeable_concept)
    return _death(resource, dead, said, profile) if dead else _IGNORED


def _site_question(_resource: r4.Observation, _code: Found, _said: Said, _profile: Profile) -> Reading:
    """Where a panel's score was felt: read with its panel, nothing by itself."""
    return _IGNORED


Reader = Callable[[r4.Observation, Found, Said, Profile], Reading]
_READERS: Mapping[str, Reader] = {
    "pain": read_pain,
    "disease-status": _disease_status,
    "performance": _performance,
    "neuro": _neuro,
    "epidural": read_epidural,
    "stability": read_stability,
    "noms": read_noms,
    "tumour-size": read_size,
    "last-contact": _last_contact,
    "death": _death,
    "vital-status": _vital_status,
    "site-question": _site_question,
}
