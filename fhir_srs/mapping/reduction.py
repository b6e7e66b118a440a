"""An Observation at first sight: another kind of data, or reduced to what the map of its patient needs.

A hospital's Observations say few different things, each very often: what one says, apart from its patient,
day and place, is read once and looked up afterwards by its JSON. What is not the same bytes is read again,
so that the look-up never changes a result.
"""

from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.elements import NOWHERE, hints_of
from fhir_srs.mapping.facts import LinkHints, Noted, Reading, noted
from fhir_srs.mapping.observations import read_observation
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.topics import Topic, claimed, topic, unrecognised

# Entries of one memory; when it is full it begins again. Few enough for flat memory over any input (P3).
_MOST = 1 << 10
# Elsewhere an extension only says where the Observation belongs.
_EXTENDED = frozenset({"disease-status"})

_Read = TypeVar("_Read")


class _Other(Enum):
    """Codes without a topic: of another kind of data, or gone astray on the way."""

    OTHER = "other"
    ASTRAY = "astray"


_OTHER, _ASTRAY = _Other.OTHER, _Other.ASTRAY


class _Part(msgspec.Struct, frozen=True):
    code: r4.Raw = r4.NO_RAW


_WHOLE = msgspec.json.Decoder(r4.Observation)
_CODE = msgspec.json.Decoder(r4.CodeableConcept)
_SUBJECT = msgspec.json.Decoder(r4.Reference)
_REFERENCES = msgspec.json.Decoder(tuple[r4.Reference, ...])
_EXTENSIONS = msgspec.json.Decoder(tuple[r4.Extension, ...])
_PARTS = msgspec.json.Decoder(tuple[_Part, ...])


class _Memory(dict[Any, _Read], Generic[_Read]):
    """What was read, by its JSON; a full memory begins again."""

    def keep(self, key: object, found: _Read) -> _Read:
        """*found*, which is from now on what *key* stands for."""
        if len(self) >= _MOST:
            self.clear()
        self[key] = found
        return found


class Reducer:
    """Reduces Observations by the rules of one profile. What it remembers changes no result."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._codes: _Memory[Topic | _Other] = _Memory()
        self._readings: _Memory[Reading] = _Memory()
        self._subjects: _Memory[r4.Reference | None] = _Memory()
        self._hints: _Memory[LinkHints] = _Memory()
        self._claims: _Memory[bool] = _Memory()

    def reduce(self, found: r4.RawObservation, line: bytes) -> Noted | r4.Observation | None:
        """
        *found* reduced; whole, if it is a panel or answers for one; None, if it is another kind of data.

        *line* is what *found* was decoded from. MsgspecError if what matters is not what FHIR says.
        """
        code = bytes(found.code)
        known = self._codes.get(code) or self._about(code)
        if known is _OTHER and found.component is r4.NO_RAW and not self._claimed(found.meta):
            return None
        about = known if isinstance(known, Topic) else None
        if about is None and not self._concerns(found, known):
            return None
        if found.has_member is not r4.NO_RAW or _is_of_panel(about):
            return _WHOLE.decode(line)
        return Noted(
            found.id or "",
            found.meta,
            self._subject(found.subject),
            self._reading(found, code, about, line),
            self._where(found),
            found.effective_date_time,
            found.effective_instant,
            found.effective_period,
            found.effective_timing,
            found.value_date_time,
        )

    def reduce_whole(self, found: r4.Observation) -> Noted | r4.Observation | None:
        """As `reduce`, of an Observation that is decoded already."""
        about = topic(found.code, self._profile)
        if about is None and not _concerns(found, self._profile):
            return None
        if found.has_member or _is_of_panel(about):
            return found
        return noted(found, read_observation(found, self._profile), hints_of(found))

    def _about(self, code: bytes) -> Topic | _Other:
        """What the JSON *code* says: its topic, or whether it should have had one."""
        concept = _CODE.decode(code) if code else None
        about = topic(concept, self._profile)
        if about is None:
            reason = unrecognised(concept, None, self._profile)
            return self._codes.keep(code, _OTHER if reason is None else _ASTRAY)
        return self._codes.keep(code, about)

    def _claimed(self, meta: r4.Meta | None) -> bool:
        profiles = meta.profile if meta else ()
        if profiles in self._claims:
            return self._claims[profiles]
        return self._claims.keep(profiles, claimed(meta))

    def _concerns(self, found: r4.RawObservation, known: Topic | _Other) -> bool:
        """Whether *found*, whose code is no topic, should have had one, or has a component with one."""
        if known is _ASTRAY or self._claimed(found.meta):
            return True
        return found.component is not r4.NO_RAW and any(
            isinstance(self._codes.get(bytes(one.code)) or self._about(bytes(one.code)), Topic)
            for one in _PARTS.decode(found.component)
        )

    def _reading(self, found: r4.RawObservation, code: bytes, about: Topic | None, line: bytes) -> Reading:
        if about is None:
            return read_observation(_WHOLE.decode(line), self._profile)
        said = _said(found, code, about)
        reading = self._readings.get(said)
        if reading is None:
            reading = self._readings.keep(said, read_observation(_WHOLE.decode(line), self._profile))
        return reading

    def _subject(self, raw: r4.Raw) -> r4.Reference | None:
        text = bytes(raw)
        if text in self._subjects:
            return self._subjects[text]
        return self._subjects.keep(text, _SUBJECT.decode(text) if text else None)

    def _where(self, found: r4.RawObservation) -> LinkHints:
        if (
            found.focus is r4.NO_RAW
            and found.body_site is r4.NO_RAW
            and found.part_of is r4.NO_RAW
            and found.extension is r4.NO_RAW
        ):
            return NOWHERE
        parts = (bytes(found.focus), bytes(found.body_site), bytes(found.part_of), bytes(found.extension))
        return self._hints.get(parts) or self._hints.keep(parts, _hints(*parts))


def _said(found: r4.RawObservation, code: bytes, about: Topic) -> tuple[object, ...]:
    """All of *found* that its reading may depend on: not its patient, day and place."""
    return (
        code,
        bytes(found.status),
        bytes(found.value_integer),
        bytes(found.value_quantity),
        bytes(found.value_codeable_concept),
        _rest(found),
        bytes(found.extension) if about.kind in _EXTENDED else b"",
        _said_by_focus(bytes(found.focus)) if found.focus is not r4.NO_RAW else b"",
    )


def _said_by_focus(focus: bytes) -> bytes:
    """What a focus may say of the meaning of its Observation, beside where that belongs."""
    return focus if b"Device" in focus or b'"display"' in focus else b""


def _rest(found: r4.RawObservation) -> tuple[object, ...]:
    """As `_said`, the elements that are mostly absent."""
    dated = found.value_date_time is not None
    if (
        found.value_string is found.component is found.data_absent_reason is found.value_boolean is r4.NO_RAW
        and found.value_range is found.value_ratio is found.value_period is r4.NO_RAW
        and found.value_time is found.value_sampled_data is found.modifier_extension is r4.NO_RAW
    ):
        return _DATED if dated else ()
    return (
        dated,
        bytes(found.value_string),
        bytes(found.component),
        bytes(found.data_absent_reason),
        bytes(found.value_boolean),
        bytes(found.value_range),
        bytes(found.value_ratio),
        bytes(found.value_period),
        bytes(found.value_time),
        found.value_sampled_data is not r4.NO_RAW,
        bytes(found.modifier_extension),
    )


_DATED = (True,)


def _is_of_panel(about: Topic | None) -> bool:
    return about is not None and (about.kind == "site-question" or about.found.meaning == "panel")


def _concerns(found: r4.Observation, profile: Profile) -> bool:
    if unrecognised(found.code, found.meta, profile) is not None:
        return True
    return any(topic(one.code, profile) for one in found.component)


def _hints(focus: bytes, site: bytes, part_of: bytes, extension: bytes) -> LinkHints:
    return hints_of(
        r4.Observation(
            focus=_REFERENCES.decode(focus) if focus else (),
            body_site=_CODE.decode(site) if site else None,
            part_of=_REFERENCES.decode(part_of) if part_of else (),
            extension=_EXTENSIONS.decode(extension) if extension else (),
        )
    )
