"""Raw FHIR R4 JSON read into Structs of the elements that we need; everything else is skipped.

One resource at a time: a Bundle entry or an NDJSON line that does not decode is an `Issue` with a path,
never the end of the page or the file. What is skipped is never stored: names, addresses, narrative.
Element names are FHIR's, in snake case (https://hl7.org/fhir/R4/resourcelist.html).

Decimals arrive as `msgspec.Raw`, so that 7.10 keeps its digits and a string is no number
(`decisions.md` 20); `number` reads them. Integers are `int | float`, since 25.0 occurs.
"""

import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TypeAlias

import msgspec

Raw: TypeAlias = msgspec.Raw
Number: TypeAlias = int | float
NO_RAW = msgspec.Raw()


class Element(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Base of all elements: camelCase in JSON, unknown members skipped, defaults left out."""


class Unread(Element, frozen=True):
    """Something that is there and whose content is never read, let alone stored: a note."""


class Coding(Element, frozen=True):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class ConceptExtension(Element, frozen=True):
    """An extension as it stands inside a code: what codes and references say, which have a hash."""

    url: str | None = None
    extension: tuple["ConceptExtension", ...] = ()
    value_coding: Coding | None = None
    value_codeable_concept: "CodeableConcept | None" = None
    value_reference: "Reference | None" = None


class CodeableConcept(Element, frozen=True):
    coding: tuple[Coding, ...] = ()
    text: str | None = None
    extension: tuple[ConceptExtension, ...] = ()


class Identifier(Element, frozen=True):
    use: str | None = None
    type: CodeableConcept | None = None
    system: str | None = None
    value: str | None = None


class Reference(Element, frozen=True):
    reference: str | None = None
    type: str | None = None
    identifier: Identifier | None = None
    display: str | None = None


class Quantity(Element, frozen=True):
    value: Raw = NO_RAW
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Range(Element, frozen=True):
    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Element, frozen=True):
    numerator: Quantity | None = None
    denominator: Quantity | None = None


class Period(Element, frozen=True):
    start: str | None = None
    end: str | None = None


class Bounds(Element, frozen=True):
    bounds_period: Period | None = None


class Occasions(Element, frozen=True):
    """A Timing read for its days alone: the events that it lists, or the period that bounds it."""

    event: tuple[str, ...] = ()
    repeat: Bounds | None = None


class Extension(ConceptExtension, frozen=True):
    """An extension with all that we read of one; numbers are Raw, which has no hash."""

    extension: tuple["Extension", ...] = ()
    value_boolean: bool | None = None
    value_integer: Number | None = None
    value_unsigned_int: Number | None = None
    value_positive_int: Number | None = None
    value_decimal: Raw = NO_RAW
    value_string: str | None = None
    value_code: str | None = None
    value_date_time: str | None = None
    value_date: str | None = None
    value_quantity: Quantity | None = None
    value_period: Period | None = None


class Meta(Element, frozen=True):
    version_id: str | None = None
    last_updated: str | None = None
    profile: tuple[str, ...] = ()
    security: tuple[Coding, ...] = ()


def claimed_profiles(meta: Meta | None) -> frozenset[str]:
    """The FHIR profiles that *meta* claims, without the version that a canonical may end with (`|4.0.0`)."""
    if meta is None or not meta.profile:
        return _NONE
    return frozenset([one.partition("|")[0] for one in meta.profile])


_NONE: frozenset[str] = frozenset()


class Resource(Element, tag_field="resourceType", frozen=True):
    """What every resource has. *modifier_extension* keeps its urls: an unknown one bars the resource."""

    id: str | None = None
    meta: Meta | None = None
    identifier: tuple[Identifier, ...] = ()
    extension: tuple[Extension, ...] = ()
    modifier_extension: tuple[Extension, ...] = ()


class PatientLink(Element, frozen=True):
    other: Reference | None = None
    type: str | None = None


class Patient(Resource, tag="Patient", frozen=True):
    active: bool | None = None
    gender: str | None = None
    birth_date: str | None = None
    deceased_boolean: bool | None = None
    deceased_date_time: str | None = None
    link: tuple[PatientLink, ...] = ()


class Procedure(Resource, tag="Procedure", frozen=True):
    contained: tuple[Raw, ...] = ()
    status: str | None = None
    category: CodeableConcept | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    part_of: tuple[Reference, ...] = ()
    based_on: tuple[Reference, ...] = ()
    performed_date_time: str | None = None
    performed_period: Period | None = None
    performed_string: str | None = None
    reason_code: tuple[CodeableConcept, ...] = ()
    reason_reference: tuple[Reference, ...] = ()
    body_site: tuple[CodeableConcept, ...] = ()
    outcome: CodeableConcept | None = None
    used_code: tuple[CodeableConcept, ...] = ()
    note: tuple[Unread, ...] = ()
    report: tuple[Unread, ...] = ()


class BodyStructure(Resource, tag="BodyStructure", frozen=True):
    active: bool | None = None
    morphology: CodeableConcept | None = None
    location: CodeableConcept | None = None
    location_qualifier: tuple[CodeableConcept, ...] = ()
    description: str | None = None
    patient: Reference | None = None


class ObservationComponent(Element, frozen=True):
    code: CodeableConcept | None = None
    value_quantity: Quantity | None = None
    value_codeable_concept: CodeableConcept | None = None
    value_string: str | None = None
    value_boolean: bool | None = None
    value_integer: Number | None = None
    value_range: Range | None = None
    value_ratio: Ratio | None = None
    value_date_time: str | None = None
    value_time: str | None = None
    value_period: Period | None = None
    value_sampled_data: Unread | None = None
    data_absent_reason: CodeableConcept | None = None
    extension: tuple[Extension, ...] = ()


class Observation(Resource, tag="Observation", frozen=True):
    status: str | None = None
    part_of: tuple[Reference, ...] = ()
    category: tuple[CodeableConcept, ...] = ()
    code: CodeableConcept | None = None
    subject: Reference | None = None
    focus: tuple[Reference, ...] = ()
    effective_date_time: str | None = None
    effective_period: Period | None = None
    effective_instant: str | None = None
    effective_timing: Occasions | None = None
    issued: str | None = None
    value_quantity: Quantity | None = None
    value_codeable_concept: CodeableConcept | None = None
    value_string: str | None = None
    value_boolean: bool | None = None
    value_integer: Number | None = None
    value_range: Range | None = None
    value_ratio: Ratio | None = None
    value_date_time: str | None = None
    value_time: str | None = None
    value_period: Period | None = None
    value_sampled_data: Unread | None = None
    data_absent_reason: CodeableConcept | None = None
    body_site: CodeableConcept | None = None
    method: CodeableConcept | None = None
    has_member: tuple[Reference, ...] = ()
    derived_from: tuple[Reference, ...] = ()
    component: tuple[ObservationComponent, ...] = ()


class RawObservation(Element, tag_field="resourceType", tag="Observation", frozen=True):
    """An Observation at first sight: most are about other things, and few differ in what they say.

    What tells them apart is decoded, the rest stays JSON, each element a part of the line. Half the time of
    `Observation`; what is known of the rest is looked up (`mapping.reduction`).
    """

    id: str | None = None
    meta: Meta | None = None
    identifier: tuple[Identifier, ...] = ()
    extension: Raw = NO_RAW
    modifier_extension: Raw = NO_RAW
    status: Raw = NO_RAW
    part_of: Raw = NO_RAW
    code: Raw = NO_RAW
    subject: Raw = NO_RAW
    focus: Raw = NO_RAW
    effective_date_time: str | None = None
    effective_period: Period | None = None
    effective_instant: str | None = None
    effective_timing: Occasions | None = None
    value_quantity: Raw = NO_RAW
    value_codeable_concept: Raw = NO_RAW
    value_string: Raw = NO_RAW
    value_boolean: Raw = NO_RAW
    value_integer: Raw = NO_RAW
    value_range: Raw = NO_RAW
    value_ratio: Raw = NO_RAW
    value_date_time: str | None = None
    value_time: Raw = NO_RAW
    value_period: Raw = NO_RAW
    value_sampled_data: Raw = NO_RAW
    data_absent_reason: Raw = NO_RAW
    body_site: Raw = NO_RAW
    has_member: Raw = NO_RAW
    component: Raw = NO_RAW


class ConditionStage(Element, frozen=True):
    summary: CodeableConcept | None = None


class Condition(Resource, tag="Condition", frozen=True):
    clinical_status: CodeableConcept | None = None
    verification_status: CodeableConcept | None = None
    category: tuple[CodeableConcept, ...] = ()
    code: CodeableConcept | None = None
    body_site: tuple[CodeableConcept, ...] = ()
    subject: Reference | None = None
    onset_date_time: str | None = None
    onset_period: Period | None = None
    recorded_date: str | None = None


class Repeat(Element, frozen=True):
    bounds_period: Period | None = None
    bounds_duration: Quantity | None = None
    frequency: Number | None = None
    frequency_max: Number | None = None
    period: Raw = NO_RAW
    period_max: Raw = NO_RAW
    period_unit: str | None = None
    when: tuple[str, ...] = ()
    time_of_day: tuple[str, ...] = ()
    day_of_week: tuple[str, ...] = ()
    count: Number | None = None
    count_max: Number | None = None


class Timing(Element, frozen=True):
    event: tuple[str, ...] = ()
    repeat: Repeat | None = None
    code: CodeableConcept | None = None


class DoseAndRate(Element, frozen=True):
    dose_quantity: Quantity | None = None
    dose_range: Range | None = None
    rate_quantity: Quantity | None = None
    rate_ratio: Ratio | None = None
    rate_range: Range | None = None


class Dosage(Element, frozen=True):
    sequence: Number | None = None
    text: str | None = None
    timing: Timing | None = None
    as_needed_boolean: bool | None = None
    as_needed_codeable_concept: CodeableConcept | None = None
    route: CodeableConcept | None = None
    dose_and_rate: tuple[DoseAndRate, ...] = ()
    max_dose_per_period: Ratio | None = None


class AdministrationDosage(Element, frozen=True):
    route: CodeableConcept | None = None
    dose: Quantity | None = None
    rate_ratio: Ratio | None = None
    rate_quantity: Quantity | None = None


class Ingredient(Element, frozen=True):
    item_codeable_concept: CodeableConcept | None = None
    item_reference: Reference | None = None
    is_active: bool | None = None
    strength: Ratio | None = None


class Medication(Resource, tag="Medication", frozen=True):
    code: CodeableConcept | None = None
    status: str | None = None
    form: CodeableConcept | None = None
    ingredient: tuple[Ingredient, ...] = ()


class ExpectedSupply(Element, frozen=True):
    expected_supply_duration: Quantity | None = None
    validity_period: Period | None = None
    quantity: Quantity | None = None


class MedicationResource(Resource, frozen=True):
    """What the four kinds of medication record share."""

    contained: tuple[Raw, ...] = ()
    status: str | None = None
    medication_codeable_concept: CodeableConcept | None = None
    medication_reference: Reference | None = None
    subject: Reference | None = None


class MedicationRequest(MedicationResource, tag="MedicationRequest", frozen=True):
    intent: str | None = None
    do_not_perform: bool | None = None
    authored_on: str | None = None
    dosage_instruction: tuple[Dosage, ...] = ()
    dispense_request: ExpectedSupply | None = None


class MedicationStatement(MedicationResource, tag="MedicationStatement", frozen=True):
    effective_date_time: str | None = None
    effective_period: Period | None = None
    date_asserted: str | None = None
    dosage: tuple[Dosage, ...] = ()


class MedicationDispense(MedicationResource, tag="MedicationDispense", frozen=True):
    days_supply: Quantity | None = None
    quantity: Quantity | None = None
    when_prepared: str | None = None
    when_handed_over: str | None = None
    dosage_instruction: tuple[Dosage, ...] = ()


class MedicationAdministration(MedicationResource, tag="MedicationAdministration", frozen=True):
    effective_date_time: str | None = None
    effective_period: Period | None = None
    dosage: AdministrationDosage | None = None


class SuspectEntity(Element, frozen=True):
    instance: Reference | None = None


class AdverseEvent(Resource, tag="AdverseEvent", frozen=True):
    """R4 gives AdverseEvent one identifier, not a list."""

    identifier: Identifier | None = None  # type: ignore[assignment]
    actuality: str | None = None
    event: CodeableConcept | None = None
    subject: Reference | None = None
    date: str | None = None
    detected: str | None = None
    severity: CodeableConcept | None = None
    seriousness: CodeableConcept | None = None
    outcome: CodeableConcept | None = None
    resulting_condition: tuple[Reference, ...] = ()
    suspect_entity: tuple[SuspectEntity, ...] = ()


class DiagnosticReport(Resource, tag="DiagnosticReport", frozen=True):
    status: str | None = None
    category: tuple[CodeableConcept, ...] = ()
    code: CodeableConcept | None = None
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_period: Period | None = None
    imaging_study: tuple[Reference, ...] = ()


class ImagingSeries(Element, frozen=True):
    modality: Coding | None = None
    body_site: Coding | None = None


class ImagingStudy(Resource, tag="ImagingStudy", frozen=True):
    status: str | None = None
    modality: tuple[Coding, ...] = ()
    subject: Reference | None = None
    started: str | None = None
    procedure_reference: Reference | None = None
    procedure_code: tuple[CodeableConcept, ...] = ()
    reason_reference: tuple[Reference, ...] = ()
    series: tuple[ImagingSeries, ...] = ()


Known: TypeAlias = (
    Patient
    | Procedure
    | BodyStructure
    | Observation
    | Condition
    | Medication
    | MedicationRequest
    | MedicationStatement
    | MedicationDispense
    | MedicationAdministration
    | AdverseEvent
    | DiagnosticReport
    | ImagingStudy
)


class BundleEntry(Element, frozen=True):
    """One entry; its resource is decoded singly, so that a bad one costs only itself."""

    full_url: str | None = None
    resource: Raw = NO_RAW


class Bundle(Element, tag_field="resourceType", tag="Bundle", frozen=True):
    id: str | None = None
    entry: tuple[BundleEntry, ...] = ()


# JSON's grammar of numbers (RFC 8259): no `+7`, `007`, `.5`, `NaN`, and no string.
_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_LONGEST_NUMBER = 64


def number(raw: Raw) -> Decimal | None:
    """
    The decimal that *raw* is, with its own digits, or None if it is absent or no JSON number.

    A number of more than 64 characters is no measurement and gives None as well.

    >>> number(msgspec.Raw(b"7.10"))
    Decimal('7.10')
    >>> number(msgspec.Raw(b'"7"')) is None
    True
    """
    text = bytes(raw)
    if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
        return None
    return Decimal(text.decode("ascii"))


def whole(value: Number | None) -> int | None:
    """*value* as an integer (25.0 is 25), or None if it is absent or has a fraction."""
    if value is None or not math.isfinite(value) or value != int(value):
        return None
    return int(value)


def extensions(among: Iterable[Extension], url: str) -> Iterator[Extension]:
    """Those of *among* with that *url*, in their order."""
    return (one for one in among if one.url == url)
