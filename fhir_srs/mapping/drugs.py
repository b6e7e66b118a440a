"""Medications across patients: the ingredients of each, gathered in a first pass (`decisions.md` 19)."""

from decimal import Decimal

from fhir_srs import r4
from fhir_srs.codes import RXNORM
from fhir_srs.mapping.facts import Drug
from fhir_srs.mapping.profile import Profile

_DRUGS = ("opioid", "opioid-without-factor", "not-opioid")
Strength = tuple[Decimal, str, Decimal, str]


def read_drug(medication: r4.Medication, profile: Profile) -> Drug:
    """
    What *medication* is made of: its ingredients where it lists them, else its own code.

    A product code becomes its ingredients by the site's table. Ingredients are `system|code`, RxNorm
    preferred where an ingredient has several codings; inactive ones are left out.
    """
    form = _token(medication.form)
    listed = [
        one for one in medication.ingredient if one.is_active is not False and one.item_codeable_concept
    ]
    if listed:
        return Drug(
            ingredients=tuple(_token(one.item_codeable_concept) or "" for one in listed),
            strengths=tuple(_strength(one.strength) for one in listed),
            form=form,
        )
    return Drug(ingredients=ingredients(medication.code, profile), form=form)


def ingredients(concept: r4.CodeableConcept | None, profile: Profile) -> tuple[str, ...]:
    """
    The ingredients that *concept* means: by the site's table of products, else those that it names itself.

    Servers send the ingredient beside many product codes: any that we know counts. Several of them are the
    parts of a combination. One that we do not know stands for itself.
    """
    if concept is None:
        return ()
    for coding in concept.coding:
        product = profile.products.get((coding.system or "", coding.code or ""))
        if product is not None:
            return product
    known = {one.token for name in _DRUGS for one in profile.codes.find_all(name, (concept,))}
    own = _token(concept)
    return tuple(sorted(known)) or ((own,) if own else ())


def _token(concept: r4.CodeableConcept | None) -> str | None:
    """One coding of *concept* as `system|code`: RxNorm first, then the first by system and code."""
    if concept is None:
        return None
    codings = [one for one in concept.coding if one.system and one.code]
    best = min(codings, key=lambda one: (one.system != RXNORM, one.system, one.code), default=None)
    return f"{best.system}|{best.code}" if best else None


def _strength(ratio: r4.Ratio | None) -> Strength | None:
    """How much of the ingredient is in how much of the drug, or None where it is not said in full."""
    if ratio is None or ratio.numerator is None or ratio.denominator is None:
        return None
    above, below = r4.number(ratio.numerator.value), r4.number(ratio.denominator.value)
    if above is None or below is None:
        return None
    return above, _unit(ratio.numerator), below, _unit(ratio.denominator)


def _unit(quantity: r4.Quantity) -> str:
    return quantity.code or quantity.unit or ""
