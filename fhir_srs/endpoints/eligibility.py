"""Which lesions a study takes: its default rule, and by choice the criteria of its publication.

A criterion whose answer is not known keeps the lesion, which then carries `eligibility-unknown`
(spec/endpoints.md section 16).
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType

from fhir_srs.endpoints.history import History
from fhir_srs.endpoints.study import Criteria
from fhir_srs.model import LEVELS, Event, Lesion

RADIOSURGERY = frozenset({"SRS", "SBRT"})
# Lesions treated so close to each other count as one occasion (decisions.md E10, second sites).
ONE_OCCASION = timedelta(days=28)
UNKNOWN = "eligibility-unknown"


def ineligible(lesion: Lesion, history: History) -> str | None:
    """Why the study does not take *lesion*; None if it does."""
    return _by_default(lesion, history) or _as_published(lesion, history)


def unknown_criteria(lesion: Lesion, history: History) -> tuple[str, ...]:
    """`eligibility-unknown` where a criterion in force cannot be judged, else nothing."""
    if history.study.eligibility == "default":
        return ()
    return (UNKNOWN,) if None in _answers(lesion, history).values() else ()


def _by_default(lesion: Lesion, history: History) -> str | None:
    study = history.study
    if lesion.provisional:
        return "course-in-progress"
    if lesion.end is not None and lesion.end.last > history.cutoff:
        return "after-cutoff"
    if lesion.technique not in RADIOSURGERY:
        return "not-radiosurgery"
    if study.single_fraction and lesion.fractions is None:
        return "fractions-unknown"
    if study.single_fraction and lesion.fractions != 1:
        return "more-than-one-fraction"
    return None


def _as_published(lesion: Lesion, history: History) -> str | None:
    """The first criterion of the publication that *lesion* is known not to meet."""
    if history.study.eligibility == "default":
        return None
    answers = _answers(lesion, history)
    return next((f"criterion-{name}" for name, met in answers.items() if met is False), None)


def _answers(lesion: Lesion, history: History) -> dict[str, bool | None]:
    """Of each criterion that the publication names whether *lesion* meets it; None is not known."""
    criteria = history.study.published_criteria
    named = ((name, rule) for name, rule in CRITERIA.items() if getattr(criteria, name) != _NONE[name])
    return {name: rule(criteria, lesion, history) for name, rule in named}


def _schedules(criteria: Criteria, lesion: Lesion, _: History) -> bool | None:
    if lesion.dose_gy is None or lesion.fractions is None:
        return None
    return (lesion.dose_gy, lesion.fractions) in criteria.schedules


def _solitary(_: Criteria, lesion: Lesion, history: History) -> bool | None:
    """No other spinal target within 28 days; metastases that were not treated are not seen."""
    return len(together(lesion, history)) == 1 if lesion.start else None


def _targets(criteria: Criteria, lesion: Lesion, history: History) -> bool | None:
    if criteria.targets is None or lesion.start is None:
        return None
    return len(together(lesion, history)) <= criteria.targets


def together(lesion: Lesion, history: History) -> list[Lesion]:
    """*lesion* and the other spinal radiosurgery begun within 28 days of it, by lesion id."""
    if lesion.start is None:
        return [lesion]
    first = lesion.start.first
    return [
        one
        for one in history.treated
        if one.lesion_id == lesion.lesion_id
        or (one.technique in RADIOSURGERY and one.start and abs(one.start.first - first) <= ONE_OCCASION)
    ]


def _levels(criteria: Criteria, lesion: Lesion, _: History) -> bool | None:
    if criteria.levels is None or not lesion.levels:
        return None
    return len(lesion.levels) <= criteria.levels


def _consecutive(_: Criteria, lesion: Lesion, __: History) -> bool | None:
    """No vertebra is left out between the first and the last."""
    places = [LEVELS.index(level) for level in lesion.levels]
    return places[-1] - places[0] == len(places) - 1 if places else None


def _pain(criteria: Criteria, lesion: Lesion, history: History) -> bool | None:
    """Worst score of 0 to 10 linked to the lesion in the 28 days up to treatment."""
    values = [one.value for one in _recent("pain", lesion, history) if isinstance(one.value, Decimal)]
    return None if not values or criteria.pain is None else max(values) >= criteria.pain


def _ecog(criteria: Criteria, lesion: Lesion, history: History) -> bool | None:
    found = [one for one in _recent("performance", lesion, history) if one.unit == "{ecog}"]
    return _at_most(criteria.ecog, found)


def _sins(criteria: Criteria, lesion: Lesion, history: History) -> bool | None:
    found = [one for one in _recent("imaging", lesion, history) if one.unit == "{sins}"]
    return _at_most(criteria.sins, [one for one in found if one.lesion_id == lesion.lesion_id])


def _at_most(limit: int | None, events: list[Event]) -> bool | None:
    """Whether the latest of *events* is at most *limit*."""
    values = [one.value for one in events if isinstance(one.value, Decimal)]
    return None if not values or limit is None else values[-1] <= limit


def _recent(kind: str, lesion: Lesion, history: History) -> list[Event]:
    """Events of *kind* of the lesion or the patient in the 28 days up to the first fraction, by day."""
    start = lesion.start.day if lesion.start else None
    if start is None:
        return []
    known = [one for one in history.events if one.kind == kind and one.on is not None and one.on.day]
    mine = [one for one in known if one.lesion_id in {None, lesion.lesion_id}]
    near = [one for one in mine if one.on and start - ONE_OCCASION <= (one.on.day or date.min) <= start]
    return sorted(near, key=lambda one: (one.on.first if one.on else date.min, one.source))


def _intent(criteria: Criteria, lesion: Lesion, _: History) -> bool | None:
    return None if lesion.intent is None else lesion.intent == criteria.intent


def _compression(_: Criteria, lesion: Lesion, __: History) -> bool | None:
    """A record of cord compression counts as a symptomatic one; none at all is not known."""
    return None if lesion.cord_compression is None else not lesion.cord_compression


Criterion = Callable[[Criteria, Lesion, History], bool | None]
CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "schedules": _schedules,
        "solitary": _solitary,
        "targets": _targets,
        "levels": _levels,
        "consecutive": _consecutive,
        "pain": _pain,
        "ecog": _ecog,
        "sins": _sins,
        "intent": _intent,
        "symptomatic_compression": _compression,
    }
)
_NONE = {name: getattr(Criteria(), name) for name in CRITERIA}
