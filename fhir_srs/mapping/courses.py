"""From Procedures to courses: parts joined, copies superseded, billed deliveries counted, status judged.

Rules: `spec/fhir-mapping.md` sections 1.3 and 1.5; `decisions.md` 8 and 18.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from fhir_srs import r4
from fhir_srs.dates import PartialDate
from fhir_srs.mapping.facts import PatientFacts, of_type
from fhir_srs.mapping.ledger import Ledger
from fhir_srs.mapping.patients import plain_token, relative, source
from fhir_srs.mapping.procedures import Course, course_kind, read_course
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.sites import Site
from fhir_srs.mapping.targets import Entry, Volume, course_site, entries

_NOT_DELIVERED = frozenset({"preparation", "not-done"})
_RUNNING = frozenset({"in-progress", "on-hold"})
_ENDED = frozenset({"completed", "stopped"})
# Whose word counts for one treatment told twice: a course, then the procedure, then the bill.
_WORD = {"summary": 0, "part": 0, "surgical": 1, "billed": 2, "delivery": 2}
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class Treatment(msgspec.Struct, frozen=True, kw_only=True):
    """One course of one patient, with all Procedures that tell of it.

    *phases* fill its gaps; *others* are the keys of phases, fractions, copies and bills, by which an
    event may name it; *sources* the versions that it rests on. *delivered* counts the distinct dates of
    billed deliveries.
    """

    course: Course
    phases: tuple[Course, ...] = ()
    entries: tuple[Entry, ...] = ()
    site: Site = Site()
    others: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    delivered: int | None = None
    billed: bool = False
    provisional: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def levels(self) -> frozenset[str]:
        """Every level that any of its entries names."""
        return frozenset(level for entry in self.entries for level in entry.site.levels)

    @property
    def start(self) -> PartialDate | None:
        """Its first fraction."""
        return self.course.start


def find_courses(
    facts: PatientFacts, volumes: Mapping[str, Volume], profile: Profile, ledger: Ledger
) -> list[Treatment]:
    """The delivered or running courses among the Procedures of *facts*, each once, in a total order.

    What was no course, or not delivered, or told better elsewhere, is entered in *ledger* with its reason.
    """
    courses = list(_read_all(facts, profile, ledger))
    whole = [one for one in courses if one.kind not in ("part", "delivery", "billed")]
    parts = [one for one in courses if one.kind == "part"]
    bills = [one for one in courses if one.kind in ("delivery", "billed")]
    told = [_treatment(one, _parts_of(one, parts, courses), volumes, profile) for one in whole]
    told += [_from_parts(group, volumes, profile) for group in _orphans(parts, whole, courses)]
    judged = [one for each in told if (one := _judged(each, ledger)) is not None]
    known = _with_bills(
        _without_copies(_sessions_joined(judged, profile), ledger), bills, volumes, profile, ledger
    )
    taking_part = {name for one in known for name in (one.course.key, *one.others)}
    for course in courses:
        if course.key not in taking_part:
            ledger.ignore(course.key)
    return known


def _read_all(facts: PatientFacts, profile: Profile, ledger: Ledger) -> Iterator[Course]:
    for key, procedure in of_type(r4.Procedure, facts.resources):
        kind = course_kind(procedure, profile)
        if kind == "intracranial":
            ledger.ignore(key)
        elif kind is not None:
            yield read_course(procedure, kind, profile)


def _parent(part: Course) -> str | None:
    return next(filter(None, (relative(one, "Procedure") for one in part.procedure.part_of)), None)


def _root(part: Course, courses: Mapping[str, Course]) -> str:
    """What *part* is part of in the end: a course, or the first thing in the chain that is not here."""
    at, seen = part, {part.key}
    while (parent := _parent(at)) is not None and parent not in seen:
        seen.add(parent)
        if parent not in courses or courses[parent].kind != "part":
            return parent
        at = courses[parent]
    return at.key


def _parts_of(course: Course, parts: Sequence[Course], courses: Sequence[Course]) -> tuple[Course, ...]:
    by_key = {one.key: one for one in courses}
    return tuple(one for one in parts if _root(one, by_key) == course.key)


def _orphans(
    parts: Sequence[Course], whole: Sequence[Course], courses: Sequence[Course]
) -> list[tuple[Course, ...]]:
    """Phases without their course, in groups of one (absent) course each."""
    by_key, keys = {one.key: one for one in courses}, {one.key for one in whole}
    groups: dict[str, list[Course]] = {}
    for part in parts:
        root = _root(part, by_key)
        if root not in keys:
            groups.setdefault(root, []).append(part)
    return [tuple(group) for _, group in sorted(groups.items()) if any(one.part == "phase" for one in group)]


def _treatment(
    course: Course, parts: Sequence[Course], volumes: Mapping[str, Volume], profile: Profile
) -> Treatment:
    phases = _running_order(parts)
    return Treatment(
        course=course,
        phases=phases,
        entries=_given(entries(course, phases, volumes, profile)),
        site=course_site(course, profile),
        others=tuple(one.key for one in parts),
        sources=tuple(source(one.procedure) for one in (course, *phases)),
        reasons=tuple(reason for reason, _ in course.reasons),
    )


def _running_order(parts: Iterable[Course]) -> tuple[Course, ...]:
    """The delivered phases among *parts*, first to last."""
    phases = [one for one in parts if one.part == "phase" and one.procedure.status not in _NOT_DELIVERED]
    return tuple(sorted(phases, key=lambda one: (_first_day(one.start), one.key)))


def _given(found: Sequence[Entry]) -> tuple[Entry, ...]:
    """*found* without volumes that got no fraction, unless none got any: then the course was not given.

    What does not say its fractions, inside a volume of a better role that got none, got none either.
    """
    none = [one for one in found if one.fractions == 0]
    given = tuple(one for one in found if one.fractions != 0 and not any(_voids(each, one) for each in none))
    return given or tuple(found)


def _voids(none: Entry, one: Entry) -> bool:
    inside = not set(none.site.levels).isdisjoint(one.site.levels)
    return one.fractions is None and inside and none.rank[0] < one.rank[0]


def _from_parts(parts: Sequence[Course], volumes: Mapping[str, Volume], profile: Profile) -> Treatment:
    """A course made from its phases alone (`course-from-phases`)."""
    phases = _running_order(parts) or tuple(one for one in parts if one.part == "phase")
    first, last = phases[0], max(phases, key=lambda one: _last_day(one.end))
    running = [one for one in phases if one.procedure.status in _RUNNING]
    shown = msgspec.structs.replace(first, end=last.end, procedure=(running or [first])[0].procedure)
    made = _treatment(shown, parts, volumes, profile)
    return msgspec.structs.replace(made, reasons=(*made.reasons, "course-from-phases"))


def _judged(told: Treatment, ledger: Ledger) -> Treatment | None:
    """*told* if its status lets it count, else None with the reason entered (section 1.5)."""
    status, key = told.course.procedure.status, told.course.key
    counts = [one.fractions for one in told.entries if one.fractions is not None]
    untreated = (bool(counts) and not any(counts)) or (not counts and told.course.sessions == 0)
    if status in _NOT_DELIVERED or untreated:
        ledger.refuse(key, "course-not-delivered", "status" if status in _NOT_DELIVERED else "extension")
        return None
    if status in _RUNNING:
        if told.course.end is not None:
            return _noted(told, "status-conflicts-with-dates")
        return msgspec.structs.replace(_noted(told, "course-in-progress"), provisional=True)
    if status not in _ENDED:
        if told.course.end is None or not _dosed(told):
            ledger.refuse(key, "status-unclear", "status")
            return None
        return _noted(told, "status-unclear")
    return told


def _noted(told: Treatment, *reasons: str) -> Treatment:
    return msgspec.structs.replace(told, reasons=(*told.reasons, *reasons))


def _sessions_joined(told: Sequence[Treatment], profile: Profile) -> list[Treatment]:
    """*told*, where procedures without a dose at the same levels, days apart, are sessions of one course.

    A site that codes each session as a procedure must not look like one that treats again every week. How
    many fractions they were stays unknown: only billed deliveries count as such (`decisions.md` 18).
    """
    sessions = [one for one in told if one.course.kind == "surgical" and one.levels and not _dosed(one)]
    others = [one for one in told if one not in sessions]
    return [*others, *(_added_up(group) for group in _in_one_course(sessions, profile))]


def _dosed(told: Treatment) -> bool:
    return any(one.dose is not None for one in told.entries)


def _without_copies(told: Sequence[Treatment], ledger: Ledger) -> list[Treatment]:
    """*told* with each course once; the worse copies are `course-superseded` but keep their names."""
    kept: list[Treatment] = []
    for one in sorted(told, key=_worth):
        better = next((place for place, other in enumerate(kept) if _is_copy(one, other)), None)
        if better is None:
            kept.append(one)
        else:
            ledger.refuse(one.course.key, "course-superseded")
            kept[better] = _joined(kept[better], one)
    return kept


def _worth(told: Treatment) -> tuple[int, bool, bool, float, str]:
    """Sorts the copy that counts to the front: completed, then told with a dose, then the latest."""
    meta = told.course.procedure.meta
    updated = _instant(meta.last_updated if meta else None)
    word = _WORD[told.course.kind]
    return (
        word,
        told.provisional,
        word > 0 and not _dosed(told),
        -(updated - _LONG_AGO).total_seconds(),
        told.course.key,
    )


def _instant(text: str | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if text else _LONG_AGO
    except ValueError:
        return _LONG_AGO
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_copy(one: Treatment, other: Treatment) -> bool:
    """Whether both tell of one course: an official identifier, or target volumes and start; or, where one
    is coded as a procedure only, a shared level on a shared day.
    """
    if not _official(one).isdisjoint(_official(other)):
        return True
    if _volumes(one) and _volumes(one) == _volumes(other):
        return one.start is not None and other.start is not None and one.start.text == other.start.text
    return one.course.kind == "surgical" and not one.levels.isdisjoint(other.levels) and _overlap(one, other)


def _official(told: Treatment) -> frozenset[str]:
    own = told.course.procedure.identifier
    return frozenset(plain_token(one) for one in own if one.use == "official" and one.value)


def _volumes(told: Treatment) -> frozenset[str]:
    return frozenset(one.volume.identity for one in told.entries if one.volume)


def _overlap(one: Treatment, other: Treatment, margin: timedelta = timedelta(0)) -> bool:
    """Whether the days of both meet, or are at most *margin* apart; without an end, a course is one day."""
    if one.start is None or other.start is None:
        return False
    one_end, other_end = one.course.end or one.start, other.course.end or other.start
    apart = max(one.start.first - other_end.last, other.start.first - one_end.last)
    return apart <= margin


def _joined(kept: Treatment, copy: Treatment) -> Treatment:
    """*kept*, known by the names of its *copy* too; a procedure code is evidence for the course."""
    return msgspec.structs.replace(
        kept,
        course=_with_evidence(kept.course, copy.course),
        others=(*kept.others, copy.course.key, *copy.others),
    )


def _with_evidence(course: Course, other: Course) -> Course:
    return msgspec.structs.replace(
        course,
        by_code=course.by_code or other.by_code,
        named=course.named or other.named,
        again=other.again if course.again is None else course.again,
    )


def _with_bills(
    known: Sequence[Treatment],
    bills: Sequence[Course],
    volumes: Mapping[str, Volume],
    profile: Profile,
    ledger: Ledger,
) -> list[Treatment]:
    """*known* with the billed procedures: evidence of a course of that time, else a course of their own."""
    told = [one for bill in bills if (one := _judged(_bill(bill, volumes, profile), ledger)) is not None]
    found = list(known)
    alone: list[Treatment] = []
    for bill in told:
        place = next((at for at, one in enumerate(found) if _covers(one, bill, profile)), None)
        if place is None:
            alone.append(bill)
        else:
            ledger.use(bill.course.key)
            found[place] = _joined(found[place], bill)
    for bill in [one for one in alone if not one.levels]:
        ledger.refuse(bill.course.key, _placeless(bill.site), "bodySite")
    found += [_added_up(group) for group in _in_one_course([one for one in alone if one.levels], profile)]
    return sorted(found, key=lambda one: (_first_day(one.start), sorted(one.levels), one.course.key))


def _bill(course: Course, volumes: Mapping[str, Volume], profile: Profile) -> Treatment:
    return _treatment(course, (), volumes, profile)


def _covers(known: Treatment, bill: Treatment, profile: Profile) -> bool:
    """Whether *bill* was for *known*: on its days or near them, and not at other levels."""
    return _overlap(known, bill, profile.choices.same_course) and (
        not bill.levels or not bill.levels.isdisjoint(known.levels)
    )


def _in_one_course(told: Sequence[Treatment], profile: Profile) -> list[list[Treatment]]:
    """*told* in groups of one course each: the same levels, each some days after the one before (1.3, 3)."""
    groups: list[list[Treatment]] = []
    for one in sorted(told, key=lambda one: (_first_day(one.start), one.course.key)):
        group = next((known for known in groups if _continues(known, one, profile)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return groups


def _placeless(site: Site) -> str:
    """Why a bill at *site* makes no lesion."""
    if site.spinal is None:
        return "site-missing"
    return "site-not-spinal" if not site.spinal else "level-unknown"


def _continues(group: Sequence[Treatment], bill: Treatment, profile: Profile) -> bool:
    last = _last_day(group[-1].course.end or group[-1].start)
    same = group[0].levels == bill.levels
    gap = profile.choices.same_course
    return same and bill.start is not None and bill.start.first - last <= gap


def _added_up(group: Sequence[Treatment]) -> Treatment:
    """The course that *group* adds up to: its fractions are the distinct dates of billed deliveries."""
    if len(group) == 1 and group[0].course.kind == "surgical":
        return group[0]
    days = {one.start.text for one in group if one.course.kind == "delivery" and one.start is not None}
    first = next((one for one in group if one.course.kind == "delivery"), group[0])
    end = max((one.course.end or one.start for one in group), key=_last_day)
    course = msgspec.structs.replace(
        first.course,
        start=min((one.start for one in group), key=_first_day),
        end=end,
        named=next((one.course.named for one in group if one.course.named), None),
    )
    return msgspec.structs.replace(
        first,
        course=course,
        others=tuple(one.course.key for one in group if one is not first),
        sources=tuple(sorted({name for one in group for name in one.sources})),
        delivered=len(days) or None,
        provisional=all(one.provisional for one in group),
        reasons=tuple(sorted({reason for one in group for reason in one.reasons})),
    )


def _first_day(when: PartialDate | None) -> date:
    return when.first if when else date.max


def _last_day(when: PartialDate | None) -> date:
    return when.last if when else date.min


__all__ = ["Treatment", "find_courses"]
