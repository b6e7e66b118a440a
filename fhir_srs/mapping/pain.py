"""Pain scores in every shape that servers send, as 0 to 10, or why not (`spec/fhir-mapping.md` section 4)."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, Protocol

from fhir_srs import r4
from fhir_srs.codes import Found
from fhir_srs.mapping.profile import Profile

WORST = Decimal(10)
_UNITS = frozenset({None, "", "1", "{score}", "/10", "score", "points", "{points}"})
_TEXT = re.compile(r"\s*(\d{1,2}(?:\.\d+)?)\s*(?:/\s*10)?\s*")
# Codes of section 4 that are about pain but say nothing of its intensity on our scale.
_REFUSED = {"interference": "code-not-pain-intensity", "promis": "scale-not-convertible"}
# 72514-3 also turns up on wounds, skin and devices: what its text must not name.
_OTHER_THINGS = re.compile(r"wound|skin|device|catheter|ulcer|incision|drain|interfer|nausea|anxiety", re.I)
# The values that R4 allows and a score cannot be.
_OTHER_VALUES = tuple(
    f"value_{name}" for name in ("boolean", "range", "ratio", "date_time", "time", "period", "sampled_data")
)
_ANSWERED = ("http://loinc.org", "72514-3")


class Valued(Protocol):
    """An Observation or a component: whatever has a value[x]."""

    @property
    def value_quantity(self) -> r4.Quantity | None:
        """A number with a unit."""

    @property
    def value_codeable_concept(self) -> r4.CodeableConcept | None:
        """A coded answer."""

    @property
    def value_string(self) -> str | None:
        """Text."""

    @property
    def value_integer(self) -> r4.Number | None:
        """A whole number."""

    @property
    def data_absent_reason(self) -> r4.CodeableConcept | None:
        """Why there is no value."""


class Score(NamedTuple):
    """A score from 0 to 10, or the *reason* for there being none; *said* are assumptions made."""

    value: Decimal | None
    reason: str | None = None
    path: str | None = None
    said: tuple[str, ...] = ()


def read_score(element: Valued, code: Found, profile: Profile) -> Score:
    """The pain that *element*, found under *code*, tells."""
    if code.meaning in _REFUSED:
        return Score(None, _REFUSED[code.meaning], "code")
    raw = _value(element, code, profile)
    if raw.value is None:
        return raw
    return _scaled(raw.value, code, profile, raw.path)


def names_another_thing(text: str | None) -> bool:
    """Whether *text* names what a pain code may be found on by mistake: a wound, the skin, a device, ..."""
    return text is not None and _OTHER_THINGS.search(text) is not None


@lru_cache(maxsize=1024)
def is_doubtful(concept: r4.CodeableConcept, code: Found) -> bool:
    """Whether the text names another thing than pain, or a code that needs the word does not have it."""
    texts = [concept.text or "", *(one.display or "" for one in concept.coding)]
    if any(map(names_another_thing, texts)) and code.meaning not in _REFUSED:
        return True
    return code.meaning == "nrs-if-text-says-pain" and not any("pain" in text.lower() for text in texts)


def _value(element: Valued, code: Found, profile: Profile) -> Score:
    """The number told, in whatever shape; its scale is not looked at yet."""
    if element.value_integer is not None:
        number = r4.whole(element.value_integer)
        return _told(None if number is None else Decimal(number), "valueInteger")
    if element.value_quantity is not None:
        return _quantity(profile.unit(element.value_quantity))
    if element.value_codeable_concept is not None:
        return _answer(element.value_codeable_concept, code, profile)
    if element.value_string is not None:
        match = _TEXT.fullmatch(element.value_string)
        return _told(Decimal(match[1]) if match else None, "valueString")
    if element.data_absent_reason is not None:
        return Score(None, "value-absent", "dataAbsentReason")
    return Score(
        None, *(("value-not-usable", "value") if _has_other(element) else ("value-missing", "value"))
    )


def _has_other(element: Valued) -> bool:
    return any(getattr(element, name, None) is not None for name in _OTHER_VALUES)


def _told(value: Decimal | None, path: str) -> Score:
    return Score(value, None if value is not None else "value-not-usable", path)


def _quantity(quantity: r4.Quantity) -> Score:
    """A bare number or a score unit; a comparator or another unit is no score."""
    number = r4.number(quantity.value)
    if number is None:
        return Score(
            None, "value-missing" if quantity.value == r4.NO_RAW else "value-not-usable", "valueQuantity"
        )
    if quantity.comparator or (quantity.code or quantity.unit) not in _UNITS:
        return Score(None, "value-not-usable", "valueQuantity")
    return Score(number, None, "valueQuantity")


def _answer(concept: r4.CodeableConcept, code: Found, profile: Profile) -> Score:
    """A coded answer, by code, never by display, and only under 72514-3."""
    answers = profile.codes.meanings("pain-answer", concept) if code.code == _ANSWERED else ()
    if len(answers) != 1:
        reason = "code-meaning-doubtful" if answers else "answer-code-not-recognised"
        return Score(None, reason, "valueCodeableConcept")
    return Score(Decimal(next(iter(answers))), None, "valueCodeableConcept")


def _scaled(value: Decimal, code: Found, profile: Profile, path: str | None) -> Score:
    span = profile.pain_ranges.get(code.token)
    if span is not None:
        return _converted(value, span, path)
    refused = code.meaning == "unstated" and profile.choices.unstated_pain_scale == "refuse"
    if code.meaning == "vas" or refused:
        return Score(None, "scale-unknown", path)
    if not 0 <= value <= WORST:
        return Score(None, "scale-unknown" if code.meaning == "unstated" else "value-out-of-range", path)
    return Score(value, None, path, ("scale-assumed",) if code.meaning == "unstated" else ())


def _converted(value: Decimal, span: tuple[Decimal, Decimal], path: str | None) -> Score:
    """A scale of the site's own, from low to high, as 0 to 10."""
    low, high = span
    if not low <= value <= high:
        return Score(None, "value-out-of-range", path)
    return Score((value - low) * WORST / (high - low), None, path)
