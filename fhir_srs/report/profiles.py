"""What a site profile makes of a source: for each resource the rule that took it, or why none did.

All of it is what mapping told; nothing is judged again. References, codes and reasons only, no values.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from fhir_srs import r4
from fhir_srs.mapping import map_resources
from fhir_srs.mapping.cohort import Unread
from fhir_srs.mapping.facts import Use
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.reading import Mended, read
from fhir_srs.model import Mapped

# How many codes of other data are listed.
_MOST_CODES = 20
# What stands for a code where there is none: the text itself is not shown.
TEXT_ONLY = "a text without a code"


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One resource. *rule* is `lesion`, an event kind, `used`, `not used` or `other data`; *how* is why.

    Of other data *how* are its codes.
    """

    resource: str
    rule: str
    how: tuple[str, ...] = ()


def explained(bodies: Iterable[bytes], profile: Profile, unread: Unread) -> list[Taken]:
    """What becomes of each resource in *bodies*, sorted by reference.

    What could not be read has no reference and is not listed: *unread* is told, as `map_resources` says.
    """
    uses: dict[str, Use] = {}
    codes: dict[str, tuple[str, ...]] = {}
    mapped = map_resources(
        _noting_codes(bodies, codes), profile=profile, unread=unread, fate=uses.__setitem__
    )
    lesions, events = _lesions(mapped), _events(mapped)
    refused, remarks = _issues(mapped, used=False), _issues(mapped, used=True)
    found: list[Taken] = []
    for key in sorted(uses.keys() | refused.keys()):
        more = tuple(remarks.get(key, ()))
        if key in events:
            found += [Taken(resource=key, rule=rule, how=(*how, *more)) for rule, how in events[key]]
        elif key in lesions:
            found.append(Taken(resource=key, rule="lesion", how=(*lesions[key], *more)))
        elif key in refused:
            found.append(Taken(resource=key, rule="not used", how=tuple(refused[key])))
        else:
            how = codes.get(key, ()) if uses[key] == "ignored" else ()
            found.append(Taken(resource=key, rule=_RULES[uses[key]], how=(*how, *more)))
    return found


def _noting_codes(bodies: Iterable[bytes], codes: dict[str, tuple[str, ...]]) -> Iterator[bytes]:
    """*bodies*, the codes of each resource in them noted in *codes*: what a site may want to name."""
    for body in bodies:
        for one in read(body):
            resource = one.resource if isinstance(one, Mended) else one
            concept = getattr(resource, "code", None)
            if isinstance(concept, r4.CodeableConcept):
                name = f"{resource.__class__.__name__}/{resource.id}"
                own = tuple(f"{each.system or ''}|{each.code or ''}" for each in concept.coding)
                codes[name] = own or ((TEXT_ONLY,) if concept.text else ())
        yield body


_RULES: Mapping[Use, str] = {"used": "used", "ignored": "other data", "refused": "not used"}


def _lesions(mapped: Mapped) -> Mapping[str, list[str]]:
    """Sources of lesions -> what the lesion is."""
    told: dict[str, list[str]] = {}
    for lesion in mapped.lesions:
        place = " ".join(lesion.levels) or lesion.region or "level unknown"
        for source in lesion.sources:
            by = f" by {' and '.join(lesion.evidence)}" if lesion.evidence else ""
            told.setdefault(_key(source), []).append(f"{place} {lesion.technique or 'technique unknown'}{by}")
    return told


def _events(mapped: Mapped) -> Mapping[str, list[tuple[str, tuple[str, ...]]]]:
    """Sources of events -> kind, and code, link, evidence and flags."""
    told: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for event in mapped.events:
        how = filter(None, (event.code, f"linked by {event.link}", event.evidence, *event.flags))
        told.setdefault(_key(event.source), []).append((event.kind, tuple(how)))
    return told


def _issues(mapped: Mapped, *, used: bool) -> Mapping[str, list[str]]:
    told: dict[str, list[str]] = {}
    for issue in mapped.issues:
        if issue.used is used and issue.resource is not None:
            told.setdefault(issue.resource, []).append(
                f"{issue.reason} ({issue.path})" if issue.path else issue.reason
            )
    return told


def _key(source: str) -> str:
    return source.partition("/_history/")[0]


def taken_lines(rows: Sequence[Taken]) -> Iterator[str]:
    """*rows* as text, one line a resource; how many each rule took; the codes that none took."""
    wide = max((len(one.resource) for one in rows), default=0)
    for one in rows:
        yield f"{one.resource.ljust(wide)}  {one.rule.ljust(14)}  {', '.join(one.how)}".rstrip()
    yield ""
    for rule, number in sorted(Counter(one.rule for one in rows).items()):
        yield f"{number:9,}  {rule}"
    passed_by = Counter(code for one in rows if one.rule == "other data" for code in one.how)
    if passed_by:
        yield ""
        yield "codes of other data, the most frequent first:"
    for code, number in sorted(passed_by.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_CODES]:
        yield f"{number:9,}  {code}"
