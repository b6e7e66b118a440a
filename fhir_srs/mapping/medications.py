"""Medication records to opioid events: the OMED of each spell, with the evidence it rests on.

One event an ingredient: the OMED in mg/day while the spell lasts, by every conversion table, or None where
it cannot be known; then no OMED of those days is. Any other drug is an event of value 0, flagged
`not-opioid` and with its class (steroid, NSAID, ...) where one is known: it shows that the list was kept.
Rules: `spec/endpoints.md` section 4; how long a spell lasts: `decisions.md` 10 and `spells`.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from fhir_srs import r4
from fhir_srs.dates import PartialDate
from fhir_srs.mapping.amounts import Amount, Dose, Portion, omed, together
from fhir_srs.mapping.dosage import Content, are_steps, daily, given, highest, is_as_needed
from fhir_srs.mapping.drugs import ingredients, read_drug
from fhir_srs.mapping.elements import MEDICATION, Said, key, refused, status_of, used
from fhir_srs.mapping.facts import Calendar, Draft, Drug, PatientFacts, Recorded, Taken
from fhir_srs.mapping.patients import relative, source
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.spells import Record, at, dosages, read_spell
from fhir_srs.mapping.standards import omed_tables
from fhir_srs.model import Converted, Event, Evidence

EVIDENCE: Mapping[type[Record], Evidence] = {
    r4.MedicationRequest: "order",
    r4.MedicationDispense: "dispense",
    r4.MedicationStatement: "statement",
    r4.MedicationAdministration: "administration",
}
_RECORDS = tuple(EVIDENCE)
# A patch lasts 72 hours: the day it is put on and two more.
_PATCH_DAYS = 3


def take_medication(resource: Record, facts: PatientFacts, profile: Profile) -> Taken:
    """What one medication record gives."""
    barred = _barred(resource, profile)
    if barred:
        return refused(resource, *barred, profile)
    status = status_of(resource.status, MEDICATION[type(resource).__name__])
    told = facts.calendar.records[key(resource)]
    said: Said = (*told.said, (status, "status")) if status else told.said
    drug = told.drug
    if drug is None or not drug.ingredients:
        unknown = _event(resource, None, told, Dose(), facts, profile)
        return used(
            resource, [Draft(event=unknown)], (*said, ("drug-not-recognised", "medication[x]")), profile
        )
    drafts: list[Draft] = []
    for place, ingredient in enumerate(drug.ingredients):
        dose = _dose(resource, drug, place, profile)
        drafts.append(Draft(event=_event(resource, ingredient, told, dose, facts, profile)))
        said = (*said, *dose.said)
    return used(resource, drafts, said, profile)


def read_calendar(facts: PatientFacts, profile: Profile) -> Calendar:
    """The drug and the spell of each record; when each drug's begin, and what was administered each day."""
    starts: dict[tuple[str, str, bool], set[PartialDate]] = {}
    doses: dict[tuple[str, PartialDate], list[Dose]] = {}
    records: dict[str, Recorded] = {}
    for name, record in facts.resources.items():
        if not isinstance(record, _RECORDS) or _barred(record, profile):
            continue
        spell, drug = read_spell(record, facts, profile), _drug(record, facts, profile)
        start = spell.start.on
        records[name] = Recorded(drug, start, spell.start.said, spell.end)
        if drug is None or start is None:
            continue
        for place, ingredient in enumerate(drug.ingredients):
            starts.setdefault(_series(record, ingredient), set()).add(start)
            if isinstance(record, r4.MedicationAdministration):
                doses.setdefault((ingredient, _on_day(start)), []).append(_dose(record, drug, place, profile))
    return Calendar(
        starts={series: tuple(sorted(days, key=_first)) for series, days in starts.items()},
        given={day: tuple(parts) for day, parts in doses.items()},
        records=records,
    )


def _first(day: PartialDate) -> tuple[object, ...]:
    return day.first, day.last


def _on_day(on: PartialDate) -> PartialDate:
    """*on* without its clock time."""
    return PartialDate(on.text, on.first, on.last)


def _series(resource: Record, ingredient: str) -> tuple[str, str, bool]:
    """
    Records of which a later one replaces an earlier: of one evidence level and ingredient.

    A drug to be taken as needed does not replace the same drug taken by the clock.
    """
    told = dosages(resource)
    return EVIDENCE[type(resource)], ingredient, bool(told) and all(map(is_as_needed, told))


def _barred(resource: Record, profile: Profile) -> tuple[str, str] | None:
    """Why *resource* is no record of a drug taken or ordered."""
    if isinstance(resource, r4.MedicationRequest):
        if resource.do_not_perform:
            return "status-not-usable", "doNotPerform"
        if resource.intent is not None and resource.intent not in profile.choices.order_intents:
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


def _dose(resource: Record, drug: Drug, place: int, profile: Profile) -> Dose:
    """How much of the ingredient at that *place* of *drug*."""
    ingredient = drug.ingredients[place]
    name = _named("opioid", ingredient, profile)
    if name is None:
        if _named("not-opioid", ingredient, profile):
            return Dose(fixed=Decimal(0), flags=("not-opioid", *_class(resource, ingredient, profile)))
        known = _named("opioid-without-factor", ingredient, profile) is not None
        reason = "drug-no-factor" if known else "drug-not-recognised"
        return Dose(said=((reason, "medication[x]"),), opioid=known)
    strength = drug.strengths[place] if place < len(drug.strengths) else None
    content = Content(strength, alone=len(drug.ingredients) == 1)
    if isinstance(resource, r4.MedicationAdministration):
        route = resource.dosage.route if resource.dosage else None
        amount = given(_administered(resource.dosage, profile), content)
        portion = Portion(_form(route, drug, amount, profile), amount)
        return _told(name, (portion,), profile)._replace(patch=portion.form == "transdermal")
    return _instructed(name, dosages(resource), drug, content, profile)


def _class(resource: Record, ingredient: str, profile: Profile) -> tuple[str, ...]:
    """What kind of drug moves pain beside opioids (section 4); none where it acts on the spot alone."""
    kind = _named("drug-class", ingredient, profile)
    return (kind,) if kind and not all(map(_is_local, _routes(resource) or (None,))) else ()


def _routes(resource: Record) -> tuple[r4.CodeableConcept | None, ...]:
    if isinstance(resource, r4.MedicationAdministration):
        return (resource.dosage.route,) if resource.dosage else ()
    return tuple(one.route for one in dosages(resource))


# A cream, drops or a spray of a steroid or an NSAID treats no spine.
_LOCAL = re.compile(r"\b(topical|cutaneous|ophthalmic|eye|otic|auricular|ear|nasal|inhal\w+|vaginal)", re.I)


def _is_local(route: r4.CodeableConcept | None) -> bool:
    said = [route.text, *(one.display for one in route.coding)] if route else []
    return any(_LOCAL.search(one) for one in said if one)


def _instructed(
    name: str, told: tuple[r4.Dosage, ...], drug: Drug, content: Content, profile: Profile
) -> Dose:
    """All instructions together; of those as needed it is unknown how much was taken."""
    regular = tuple(one for one in told if not is_as_needed(one))
    if not told or are_steps(regular):
        dose = Dose(said=(("dosage-incomplete", "dosage"),), opioid=True)
    else:
        dose = _told(name, tuple(_portion(one, drug, content, profile) for one in told), profile)
    if len(regular) == len(told):
        return dose
    return dose._replace(flags=("prn-intake-unknown",), said=(*dose.said, ("prn-intake-unknown", "dosage")))


def _portion(told: r4.Dosage, drug: Drug, content: Content, profile: Profile) -> Portion:
    """What one instruction gives a day, or at most, if it is to be taken as needed."""
    spelt, as_needed = _spelt(told, profile), is_as_needed(told)
    amount = highest(spelt, content) if as_needed else daily(spelt, content)
    return Portion(_form(told.route, drug, amount, profile), amount, as_needed)


def _spelt(dosage: r4.Dosage, profile: Profile) -> r4.Dosage:
    """*dosage* with units as the site means them."""
    if not profile.units:
        return dosage
    parts = tuple(
        msgspec.structs.replace(
            one,
            dose_quantity=one.dose_quantity and profile.unit(one.dose_quantity),
            rate_quantity=one.rate_quantity and profile.unit(one.rate_quantity),
        )
        for one in dosage.dose_and_rate
    )
    return msgspec.structs.replace(dosage, dose_and_rate=parts)


def _administered(dosage: r4.AdministrationDosage | None, profile: Profile) -> r4.AdministrationDosage | None:
    """As `_spelt`, of what was given."""
    if dosage is None or not profile.units:
        return dosage
    return msgspec.structs.replace(
        dosage,
        dose=dosage.dose and profile.unit(dosage.dose),
        rate_quantity=dosage.rate_quantity and profile.unit(dosage.rate_quantity),
    )


def _told(name: str, portions: tuple[Portion, ...], profile: Profile) -> Dose:
    """The dose of an opioid that tables know, with what its conversion by the site's own table lacks."""
    reasons = (_lacking(name, one, profile) for one in portions if not one.as_needed)
    return Dose(name, portions, said=tuple(one for one in reasons if one), opioid=True)


def _lacking(name: str, portion: Portion, profile: Profile) -> tuple[str, str] | None:
    rule = profile.omed_factors.get((name, portion.form))
    if rule is None:
        return "drug-no-factor", "medication[x]"
    if portion.amount.value is None or portion.amount.unit != rule.unit:
        return "dosage-incomplete", "dosage"
    return None if rule.omed(portion.amount.value) is not None else ("drug-no-factor", "dosage")


def _named(set_name: str, code: str, profile: Profile) -> str | None:
    """What *code*, `system|code`, means in that set."""
    system, _, value = code.rpartition("|")
    return profile.codes.among(set_name).get((profile.codes.aliases.get(system, system), value))


def _form(route: r4.CodeableConcept | None, drug: Drug, amount: Amount, profile: Profile) -> str:
    """
    By mouth unless route or dose form says otherwise; what they say and we do not know is `other`.

    Without either, an amount told by the hour is that of a patch.
    """
    if route is not None and (route.coding or route.text):
        found = profile.codes.find("route", route)
        return found.meaning if found else _SPOKEN.get((route.text or "").strip().lower(), "other")
    if drug.form:
        return _named("dose-form", drug.form, profile) or "other"
    return "transdermal" if amount.unit == "ug/h" else "oral"


# Routes as text alone.
_SPOKEN = {"oral": "oral", "po": "oral", "by mouth": "oral", "transdermal": "transdermal"}


def _event(
    resource: Record,
    ingredient: str | None,
    told: Recorded,
    dose: Dose,
    facts: PatientFacts,
    profile: Profile,
) -> Event:
    last, open_ended = _last_day(resource, ingredient, told, dose, facts, profile)
    if isinstance(resource, r4.MedicationAdministration) and ingredient and told.on:
        doses = facts.calendar.given.get((ingredient, _on_day(told.on)), (dose,))
        dose = together(doses)._replace(flags=dose.flags, said=dose.said)
    return Event(
        patient=facts.patient,
        lesion_id=None,
        link="patient",
        kind="opioid",
        on=told.on,
        until=last,
        value=omed(dose, profile.omed_factors, as_needed=False),
        unit="mg/d",
        code=ingredient,
        source=source(resource),
        evidence=EVIDENCE[type(resource)],
        flags=tuple(sorted({*dose.flags, *(("open-order",) if open_ended and dose.opioid else ())})),
        omeds=_by_every_table(dose, profile),
    )


def _by_every_table(dose: Dose, profile: Profile) -> tuple[Converted, ...]:
    """*dose* by the table of the site, then by each of ours; nothing where no table makes a difference."""
    if dose.name is None:
        return ()
    tables = {profile.omed_table: profile.omed_factors, **omed_tables()}
    return tuple(
        Converted(table, omed(dose, factors, as_needed=False), omed(dose, factors, as_needed=True))
        for table, factors in tables.items()
    )


def _last_day(
    resource: Record,
    ingredient: str | None,
    told: Recorded,
    dose: Dose,
    facts: PatientFacts,
    profile: Profile,
) -> tuple[PartialDate | None, bool]:
    """The last day of the record, and whether it is only how long an entry without an end is believed."""
    start = told.on
    if start is None:
        return None, False
    known = told.end
    if isinstance(resource, r4.MedicationAdministration) and dose.patch and known == start:
        known = at(start, _PATCH_DAYS - 1)
    following = _following(resource, ingredient, start, facts) if ingredient else None
    if following is not None and (known is None or known.last >= following.first):
        return at(following, -1), False
    return (known, False) if known else (at(start, profile.open_order_days - 1), True)


def _following(
    resource: Record, ingredient: str, start: PartialDate, facts: PatientFacts
) -> PartialDate | None:
    """The first day of the next record that replaces *resource*."""
    days = facts.calendar.starts.get(_series(resource, ingredient), ())
    place = bisect_right(days, start.first, key=lambda one: one.first)
    return days[place] if place < len(days) else None
