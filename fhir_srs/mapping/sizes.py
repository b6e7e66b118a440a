"""Tumour size: the longest dimension in millimetres (mCODE Tumor Size, `spec/fhir-mapping.md` section 5)."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from fhir_srs import r4
from fhir_srs.codes import UCUM, Found
from fhir_srs.mapping.elements import Said
from fhir_srs.mapping.facts import Finding, Reading
from fhir_srs.mapping.profile import Profile

_MILLIMETRES: Mapping[str, Decimal] = {"mm": Decimal(1), "cm": Decimal(10)}
_LARGEST = Decimal(500)  # half a metre: no vertebral tumour, but a unit mistaken


def read_size(resource: r4.Observation, code: Found, said: Said, profile: Profile) -> Reading:
    """The value, else the longest of the dimensions in its components; a length without a unit is none."""
    told = list(_lengths(resource, profile))
    known = [one for one in told if one is not None]
    if not known:
        reason = (
            "value-not-usable" if told else "value-absent" if resource.data_absent_reason else "value-missing"
        )
        return Reading(use="refused", said=((reason, "value"),))
    longest = max(known)
    if not 0 < longest <= _LARGEST:
        return Reading(use="refused", said=(("value-out-of-range", "value"),))
    finding = Finding("imaging", longest.normalize() + 0, "mm", code.token)
    return Reading(use="used", findings=(finding,), said=said)


def _lengths(resource: r4.Observation, profile: Profile) -> Iterator[Decimal | None]:
    """Each length told, in millimetres; None for one that cannot be read."""
    if resource.value_quantity is not None:
        yield _millimetres(resource.value_quantity)
    for component in resource.component:
        if profile.codes.find("tumour-dimension", component.code) and component.value_quantity:
            yield _millimetres(component.value_quantity)


def _millimetres(quantity: r4.Quantity) -> Decimal | None:
    value, factor = r4.number(quantity.value), _MILLIMETRES.get(quantity.code or quantity.unit or "")
    if value is None or factor is None or quantity.comparator or quantity.system not in (None, UCUM):
        return None
    return value * factor
