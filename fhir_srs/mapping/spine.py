"""What imaging says of a treated vertebra: epidural disease (Bilsky), stability (SINS), and NOMS with both.

No standard code was found for either; a site codes them in our CodeSystem `scale`, or names its own codes in
its profile. Scales and points: `spec/endpoints.md` section 12 (Bilsky 2010, J Neurosurg Spine 13:324; Spine
Oncology Study Group 2010).
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from fhir_srs import r4
from fhir_srs.codes import Found
from fhir_srs.mapping.elements import Said
from fhir_srs.mapping.facts import Finding, Reading, scale
from fhir_srs.mapping.profile import Profile

_GRADE = re.compile(
    r"\s*(?:(?:bilsky|escc|epidural)\b[\s,:-]*)*(?:(?:grade|score)\b[\s:-]*)?(0|1a|1b|1c|2|3)\s*",
    re.IGNORECASE,
)
# The points that each component may have; their sum is the score.
SINS_POINTS: Mapping[str, frozenset[int]] = {
    "sins-location": frozenset({0, 1, 2, 3}),
    "sins-pain": frozenset({0, 1, 3}),
    "sins-lesion": frozenset({0, 1, 2}),
    "sins-alignment": frozenset({0, 2, 4}),
    "sins-collapse": frozenset({0, 1, 2, 3}),
    "sins-posterolateral": frozenset({0, 1, 3}),
}
_WORST = 18


class Valued(Protocol):
    """An Observation or a component with a number."""

    @property
    def value_integer(self) -> r4.Number | None:
        """A whole number."""

    @property
    def value_quantity(self) -> r4.Quantity | None:
        """A number with a unit."""


def read_epidural(resource: r4.Observation, code: Found, said: Said, _profile: Profile) -> Reading:
    """The Bilsky grade as the text that it is: 0, 1a, 1b, 1c, 2 or 3. A bare 1 is none."""
    grades = {match[1].lower() for text in _texts(resource) if (match := _GRADE.fullmatch(text))}
    if len(grades) != 1:
        told = any(_texts(resource))
        reason = (
            "value-not-usable" if told else "value-absent" if resource.data_absent_reason else "value-missing"
        )
        return Reading(use="refused", said=((reason, "value"),))
    return Reading(
        use="used", findings=(Finding("imaging", grades.pop(), scale(code), code.token),), said=said
    )


def _texts(resource: r4.Observation) -> Iterator[str]:
    """Everything that may spell the grade: a text, a coded answer, a whole number."""
    concept = resource.value_codeable_concept
    if concept is not None:
        yield from filter(None, (concept.text, *(one.display for one in concept.coding)))
        yield from filter(None, (one.code for one in concept.coding))
    if resource.value_string is not None:
        yield resource.value_string
    number = _points(resource)
    if number is not None:
        yield str(number)


def read_stability(resource: r4.Observation, code: Found, said: Said, profile: Profile) -> Reading:
    """The SINS, 0 to 18: the sum of its six components, else the total as told."""
    parts = {found.meaning: one for one in resource.component if (found := _part(one, profile))}
    points = {name: number for name, one in parts.items() if (number := _allowed(name, one)) is not None}
    total = _points(resource)
    if points.keys() == SINS_POINTS.keys():
        score = sum(points.values())
        more: Said = (("fields-contradict", "value"),) if total not in (None, score) else ()
        return _scored(score, code, (*said, *more))
    if total is None:
        wrong = any(name not in points for name in parts)
        return Reading(use="refused", said=(("value-not-usable" if wrong else "value-missing", "component"),))
    if not 0 <= total <= _WORST:
        return Reading(use="refused", said=(("value-out-of-range", "value"),))
    return _scored(total, code, said)


def read_noms(resource: r4.Observation, _code: Found, said: Said, profile: Profile) -> Reading:
    """
    The epidural grade and the stability among the components of a NOMS assessment, each on its own scale.

    NOMS is a framework for a decision, without a score (`spec/endpoints.md` section 12): of the rest nothing
    is read, and an assessment without either component says nothing.
    """
    read = [one for place, part in enumerate(resource.component) if (one := _axis(part, place, profile))]
    findings = tuple(finding for one in read for finding in one.findings)
    wrong = tuple(pair for one in read for pair in one.said)
    if findings:
        return Reading(use="used", findings=findings, said=(*said, *wrong))
    return Reading(use="refused", said=wrong or (("value-missing", "component"),))


def _axis(component: r4.ObservationComponent, place: int, profile: Profile) -> Reading | None:
    """*component* read as the Observation that it would be by itself; None if it is on another axis."""
    path = f"component[{place}]"
    alone = r4.Observation(
        value_string=component.value_string,
        value_integer=component.value_integer,
        value_quantity=component.value_quantity,
        value_codeable_concept=component.value_codeable_concept,
        data_absent_reason=component.data_absent_reason,
    )
    for name, read in (("epidural", read_epidural), ("stability", read_stability)):
        code = profile.codes.find(name, component.code)
        if code is not None:
            found = read(alone, code, (), profile)
            return msgspec.structs.replace(found, said=tuple((reason, path) for reason, _ in found.said))
    return None


def _scored(score: int, code: Found, said: Said) -> Reading:
    return Reading(
        use="used", findings=(Finding("imaging", Decimal(score), scale(code), code.token),), said=said
    )


def _part(component: r4.ObservationComponent, profile: Profile) -> Found | None:
    return profile.codes.find("sins-component", component.code)


def _allowed(name: str, component: Valued) -> int | None:
    number = _points(component)
    return number if number in SINS_POINTS.get(name, ()) else None


def _points(element: Valued) -> int | None:
    """The whole number told, or None."""
    if element.value_integer is not None:
        return r4.whole(element.value_integer)
    quantity = element.value_quantity
    number = r4.number(quantity.value) if quantity and not quantity.comparator else None
    return int(number) if number is not None and number == number.to_integral_value() else None
