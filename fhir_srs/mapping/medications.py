"""Medication records to opioid events: the OMED of each spell, with the evidence it rests on.

One event an ingredient: the OMED in mg/day while the spell lasts, or None where it cannot be known; then
no OMED of those days is. Any other drug is an event of value 0, flagged `not-opioid`: it shows that the
list was kept. Rules: `spec/endpoints.md` section 4; how long a spell lasts: `decisions.md` 10.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeAlias

import msgspec

from fhir_srs import r4
from fhir_srs.dates import PartialDate, parse_date
from fhir_srs.mapping.dosage import INCOMPLETE, Amount, daily, given, is_prn, total
from fhir_srs.mapping.drugs import ingredients, read_drug
from fhir_srs.mapping.elements import MEDICATION, Said, When, day, period, refused, status_of, used
from fhir_srs.mapping.facts import Draft, Drug, PatientFacts, Taken
from fhir_srs.mapping.patients import relative, source
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event, Evidence

Record: TypeAlias = (
    r4.MedicationRequest | r4.MedicationStatement | r4.MedicationDispense | r4.MedicationAdministration
)
EVIDENCE: Mapping[str, Evidence] = {
    "MedicationRequest": "order",
    "MedicationDispense": "dispense",
    "MedicationStatement": "statement",
    "MedicationAdministration": "administration",
}
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7, "mo": 30}


class Spell(NamedTuple):
    """From when to when a record says that its drug was taken; *end* None where it does not say."""

    start: When
    end: date | None


def take_medication(resource: Record, facts: PatientFacts, profile: Profile) -> Taken:
    """What one medication record gives."""
    barred = _barred(resource)
    if barred:
        return refused(resource, barred[0], barred[1], profile)
    drug = _drug(resource, facts, profile)
    if drug is None or not drug.ingredients:
        return _unknown_drug(resource, facts, profile)
    status = status_of(resource.status, MEDICATION[type(resource).__name__])
    said: Said = ((status, "status"),) if status else ()
    spell = _spell(resource, facts, profile)
    drafts: list[Draft] = []
    for place, ingredient in enumerate(drug.ingredients):
        made, more = _events(resource, drug, place, ingredient, spell, facts, profile)
        drafts += made
        said = (*said, *more)
    return used(resource, drafts, (*said, *spell.start.said), profile)


def _barred(resource: Record) -> tuple[str, str] | None:
    """Why *resource* is no record of a drug taken or ordered."""
    if isinstance(resource, r4.MedicationRequest) and resource.do_not_perform:
        return "status-not-usable", "doNotPerform"
    if isinstance(resource, r4.MedicationRequest) and resource.intent not in {None, "order"}:
        return "status-not-usable", "intent"
    if status_of(resource.status, MEDICATION[type(resource).__name__]) == "status-not-usable":
        return "status-not-usable", "status"
    return None


def _drug(resource: Record, facts: PatientFacts, profile: Profile) -> Drug | None:
    """The ingredients: by concept, by reference, or of a contained Medication."""
    if resource.medication_codeable_concept is not None:
        return Drug(ingredients=ingredients(resource.medication_codeable_concept, profile))
    reference = resource.medication_reference
    if reference is None:
        return None
    if reference.reference and reference.reference.startswith("#"):
        return _contained(resource, reference.reference[1:], profile)
    return facts.drugs.get(relative(reference, "Medication") or "")


def _contained(resource: Record, name: str, profile: Profile) -> Drug | None:
    for raw in resource.contained:
        try:
            medication = msgspec.json.decode(raw, type=r4.Medication)
        except msgspec.MsgspecError:
            continue
        if medication.id == name:
            return read_drug(medication, profile)
    return None


def _unknown_drug(resource: Record, facts: PatientFacts, profile: Profile) -> Taken:
    """A drug that nobody can name: the OMED of its days is unknown."""
    spell = _spell(resource, facts, profile)
    event = _event(resource, None, spell.start.on, _last_day(spell, None), None, (), facts)
    said = (("drug-not-recognised", "medication[x]"), *spell.start.said)
    return used(resource, [Draft(event=event)], said, profile)


def _events(
    resource: Record,
    drug: Drug,
    place: int,
    ingredient: str,
    spell: Spell,
    facts: PatientFacts,
    profile: Profile,
) -> tuple[list[Draft], Said]:
    """The events of one ingredient; an order without an end is known for `open_order_days` only."""
    omed, flags, said = _omed(resource, drug, place, ingredient, profile)
    start = spell.start.on
    following = _next_start(resource, ingredient, start, facts, profile)
    last = _last_day(spell, following)
    if last is not None or start is None or "not-opioid" in flags or _is_moment(resource):
        return [Draft(event=_event(resource, ingredient, start, last, omed, flags, facts))], said
    known = start.first + timedelta(days=profile.open_order_days - 1)
    open_flags = (*flags, "open-order")
    then = _at(known + timedelta(days=1))
    return [
        Draft(event=_event(resource, ingredient, start, known, omed, open_flags, facts)),
        Draft(event=_event(resource, ingredient, then, None, None, open_flags, facts)),
    ], said


def _is_moment(resource: Record) -> bool:
    return isinstance(resource, r4.MedicationAdministration)


def _omed(
    resource: Record, drug: Drug, place: int, ingredient: str, profile: Profile
) -> tuple[Decimal | None, tuple[str, ...], Said]:
    """The OMED of one ingredient, its flags, and what is to be said."""
    name = _named("opioid", ingredient, profile)
    if name is None:
        if _named("not-opioid", ingredient, profile):
            return Decimal(0), ("not-opioid",), ()
        known = _named("opioid-without-factor", ingredient, profile)
        return None, (), (("drug-no-factor" if known else "drug-not-recognised", "medication[x]"),)
    if not isinstance(resource, r4.MedicationAdministration) and is_prn(_dosages(resource)):
        return Decimal(0), ("prn-intake-unknown",), (("prn-intake-unknown", "dosage"),)
    amount = _amount(resource, drug, place)
    form = _form(resource, drug, amount, profile)
    rule = profile.omed_factors.get((name, form))
    if rule is None:
        return None, (), (("drug-no-factor", "medication[x]"),)
    if amount.value is None or amount.unit != rule.unit:
        return None, (), (("dosage-incomplete", "dosage"),)
    return amount.value * rule.factor, (), ()


def _named(set_name: str, ingredient: str, profile: Profile) -> str | None:
    system, _, code = ingredient.rpartition("|")
    return profile.codes.among(set_name).get((profile.codes.aliases.get(system, system), code))


def _dosages(resource: Record) -> Sequence[r4.Dosage]:
    if isinstance(resource, (r4.MedicationRequest, r4.MedicationDispense)):
        return resource.dosage_instruction
    return resource.dosage if isinstance(resource, r4.MedicationStatement) else ()


def _amount(resource: Record, drug: Drug, place: int) -> Amount:
    """A combination's dose in milligrams does not say of which ingredient: incomplete."""
    strength = drug.strengths[place] if place < len(drug.strengths) else None
    if len(drug.ingredients) > 1 and strength is None:
        return INCOMPLETE
    if isinstance(resource, r4.MedicationAdministration):
        return given(resource.dosage, strength)
    return total(daily(one, strength) for one in _dosages(resource))


def _form(resource: Record, drug: Drug, amount: Amount, profile: Profile) -> str:
    """Oral unless route, dose form or a rate in mcg/h says otherwise."""
    if isinstance(resource, r4.MedicationAdministration):
        routes = [resource.dosage.route] if resource.dosage else []
    else:
        routes = [one.route for one in _dosages(resource)]
    for route in routes:
        found = profile.codes.find("route", route)
        if found:
            return found.meaning
    form = _named("dose-form", drug.form, profile) if drug.form else None
    return form or ("transdermal" if amount.unit == "ug/h" else "oral")


def _spell(resource: Record, facts: PatientFacts, profile: Profile) -> Spell:
    return _SPELLS[type(resource)](resource, facts, profile)


def _of_request(resource: r4.MedicationRequest, facts: PatientFacts, profile: Profile) -> Spell:
    supply = resource.dispense_request.expected_supply_duration if resource.dispense_request else None
    return _instructed(
        resource.dosage_instruction, resource.authored_on, "authoredOn", supply, facts, profile
    )


def _of_dispense(resource: r4.MedicationDispense, facts: PatientFacts, profile: Profile) -> Spell:
    when = resource.when_handed_over or resource.when_prepared
    return _instructed(
        resource.dosage_instruction, when, "whenHandedOver", resource.days_supply, facts, profile
    )


def _instructed(
    dosages: Sequence[r4.Dosage],
    fallback: str | None,
    path: str,
    supply: r4.Quantity | None,
    facts: PatientFacts,
    profile: Profile,
) -> Spell:
    """From the bounds of the instruction, else *fallback*; to the bounds, their length, or the supply."""
    bounds = next((one.timing.repeat for one in dosages if one.timing and one.timing.repeat), None)
    within = bounds.bounds_period if bounds else None
    start = day(within.start, "boundsPeriod.start", facts, profile) if within and within.start else None
    if start is None or start.on is None:
        start = day(fallback, path, facts, profile)
    lengths = (bounds.bounds_duration if bounds else None, supply)
    ends = [_day_of(within.end if within else None, profile), *(_after(start.on, one) for one in lengths)]
    return Spell(start, next((end for end in ends if end is not None), None))


def _day_of(text: str | None, profile: Profile) -> date | None:
    on = parse_date(text, profile.time_zone) if text else None
    return on.last if on else None


def _after(start: PartialDate | None, length: r4.Quantity | None) -> date | None:
    """The last day of a supply that begins on *start*."""
    value = r4.number(length.value) if length else None
    factor = _DAYS.get((length.code or length.unit or "d").lower()) if length else None
    if start is None or value is None or factor is None or not 0 < value * factor < 10_000:
        return None
    return start.first + timedelta(days=max(int(value * factor) - 1, 0))


def _of_statement(resource: r4.MedicationStatement, facts: PatientFacts, profile: Profile) -> Spell:
    during = resource.effective_period
    if during is not None and resource.effective_date_time is None:
        start = day(during.start, "effectivePeriod.start", facts, profile)
        return Spell(start, _day_of(during.end, profile))
    if resource.effective_date_time is not None:
        return Spell(day(resource.effective_date_time, "effectiveDateTime", facts, profile), None)
    return Spell(day(resource.date_asserted, "dateAsserted", facts, profile), None)


def _of_administration(resource: r4.MedicationAdministration, facts: PatientFacts, profile: Profile) -> Spell:
    if resource.effective_period is not None and resource.effective_date_time is None:
        start = period(resource.effective_period, "effectivePeriod", facts, profile)
        return Spell(start, start.on.last if start.on else None)
    start = day(resource.effective_date_time, "effectiveDateTime", facts, profile)
    return Spell(start, start.on.last if start.on else None)


_SPELLS: Mapping[type, Callable[..., Spell]] = {
    r4.MedicationRequest: _of_request,
    r4.MedicationDispense: _of_dispense,
    r4.MedicationStatement: _of_statement,
    r4.MedicationAdministration: _of_administration,
}


def _next_start(
    resource: Record, ingredient: str, start: PartialDate | None, facts: PatientFacts, profile: Profile
) -> date | None:
    """When the next record of the same ingredient and evidence level begins: a renewal replaces."""
    if start is None or _is_moment(resource):
        return None
    later = [day_ for day_ in _starts(resource, ingredient, facts, profile) if day_ > start.first]
    return min(later, default=None)


def _starts(resource: Record, ingredient: str, facts: PatientFacts, profile: Profile) -> Iterator[date]:
    for other in facts.resources.values():
        if type(other) is not type(resource) or other is resource:
            continue
        record: Record = other
        drug = None if _barred(record) else _drug(record, facts, profile)
        if drug and ingredient in drug.ingredients:
            began = _spell(record, facts, profile).start.on
            if began is not None:
                yield began.first


def _last_day(spell: Spell, following: date | None) -> date | None:
    ends = [end for end in (spell.end, following - timedelta(days=1) if following else None) if end]
    return min(ends, default=None)


def _at(on: date) -> PartialDate:
    return PartialDate(on.isoformat(), on, on)


def _event(
    resource: Record,
    ingredient: str | None,
    start: PartialDate | None,
    last: date | None,
    omed: Decimal | None,
    flags: Sequence[str],
    facts: PatientFacts,
) -> Event:
    return Event(
        patient=facts.patient,
        lesion_id=None,
        link="patient",
        kind="opioid",
        on=start,
        until=_at(last) if last else None,
        value=omed,
        unit="mg/d",
        code=ingredient,
        source=source(resource),
        evidence=EVIDENCE[type(resource).__name__],
        flags=tuple(sorted(set(flags))),
    )
