"""Local failure on imaging: which growth is progression, and which passes (spec/endpoints.md section 10).

A scan that is worse, or epidural disease of a higher grade, is a candidate. It becomes the event, dated at
the first scan that showed it, when a later scan, pathology, epidural or neurological progression confirms
it. Early growth that stops was pseudoprogression; early growth that nobody looked at again is neither.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import msgspec

from fhir_srs.endpoints.courses import Course
from fhir_srs.endpoints.function import declined
from fhir_srs.endpoints.imaging import Scan, follow_up_scans, read_scans
from fhir_srs.endpoints.relapse import Occurrence
from fhir_srs.endpoints.study import Study
from fhir_srs.endpoints.tte import Subject, left_out, time_to_event
from fhir_srs.model import TimeToEvent

# Days between a candidate and the scan that confirms it: SPINO (from memory), Bahig 2016 (OSTI 22645706).
CONFIRMED_AFTER = {"spino": timedelta(days=42), "bahig": timedelta(days=183)}
AS_EVENT = "indeterminate-as-event"
EPIDURAL = "epidural"
ENDPOINT = "local-failure"
PASSED = "pseudoprogression"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the scans come to: the *event* if there is one, *indeterminate* growth, the *last* scan that counts.

    *flags* say `pseudoprogression`, `indeterminate` or `unconfirmed`.
    """

    event: Occurrence | None = None
    indeterminate: Occurrence | None = None
    last: Scan | None = None
    flags: tuple[str, ...] = ()


def derive_local_failure(course: Course, study: Study) -> Iterator[TimeToEvent]:
    """Local failure, the same with indeterminate growth as an event, and epidural progression."""
    scans = follow_up_scans(course)
    judged = judge(course, study)
    for variant in (None, AS_EVENT, EPIDURAL):
        subject = Subject(
            study=study.name,
            patient=course.lesion.patient,
            lesion_id=course.lesion.lesion_id,
            endpoint=ENDPOINT,
            variant=variant,
        )
        reason = _not_seen(course, study, scans)
        if reason:
            yield left_out(subject, reason, course.lesion.sources)
        elif variant == EPIDURAL:
            yield _timed(subject, course, study, Judged(event=_epidural(course), last=scans[-1]))
        else:
            yield _timed(subject, course, study, judged, growth=variant == AS_EVENT)


def _not_seen(course: Course, study: Study, scans: Sequence[Scan]) -> str | None:
    """Why the lesion is not in the population: lesions with a follow-up imaging, the first not too late."""
    if course.t0 is None:
        return "date-too-coarse"
    if not scans:
        return "no-imaging"
    return "late-entry" if course.day(scans[0].on) > study.late_entry else None


def _timed(
    subject: Subject, course: Course, study: Study, judged: Judged, *, growth: bool = False
) -> TimeToEvent:
    """
    The time of *judged*; without an event censored at the last imaging, never the last visit.

    Growth that was not settled is censored at the scan before it, whatever came later: a death after it is
    no death free of local failure (section 10).
    """
    if course.t0 is None:
        raise ValueError("a lesion without t0 has no times")
    indeterminate = judged.indeterminate if growth else None
    censor = Occurrence(on=course.t0, description="treatment", sources=course.lesion.sources)
    if judged.last is not None:
        censor = Occurrence(on=judged.last.on, description="last imaging", sources=judged.last.sources)
    unsettled = judged.indeterminate is not None and not growth
    death = None if unsettled else death_within(course, study.death_gap, censor.on)
    return time_to_event(
        subject,
        course.t0,
        events=[judged.event, indeterminate, _passed(_retreated(course), judged)],
        competing=[_passed(death, judged)],
        censor=msgspec.structs.replace(censor, flags=judged.flags),
        also=course.lesion.sources,
        seen=censor.on,
    )


def _passed(end: Occurrence | None, judged: Judged) -> Occurrence | None:
    """*end* with word of growth that had passed before: pseudoprogression is counted whatever came later."""
    if end is None or PASSED not in judged.flags:
        return end
    return msgspec.structs.replace(end, flags=(*end.flags, PASSED))


def _retreated(course: Course) -> Occurrence | None:
    """Retreatment for pain or progression, or without a known reason, is a failure (section 15)."""
    again = course.retreatment
    if again is None or not again.failure:
        return None
    return Occurrence(on=again.on, description=again.description, sources=again.sources, flags=again.flags)


def death_within(course: Course, gap: int, last: date) -> Occurrence | None:
    """The death as a competing event, if it falls within *gap* days of *last*, before any retreatment."""
    death, again = course.death, course.retreatment
    if death is None or death.on is None or death.on - last > timedelta(days=gap):
        return None
    if again is not None and again.on <= death.on:
        return None
    said = f"death {(death.on - last).days} d after the last imaging on {last}, gap {gap}"
    return Occurrence(on=death.on, description="death", sources=death.sources, cause="death", working=said)


def judge(course: Course, study: Study) -> Judged:
    """The first confirmed growth of *course*, else what is to be said of growth that was not."""
    scans = follow_up_scans(course)
    flags: tuple[str, ...] = ()
    place = 0
    while (number := _candidate(course, scans, place)) is not None:
        found = _event(course, study, scans, number)
        if found:
            event = msgspec.structs.replace(found, flags=(*found.flags, *flags))
            return Judged(event=event, last=scans[-1], flags=flags)
        passed = _settled(scans, number)
        if passed is None:
            before = scans[number - 1] if number else None
            growth = _occurrence(scans[number], "growth that no later scan settles", ("indeterminate",))
            return Judged(indeterminate=growth, last=before, flags=(*flags, "indeterminate"))
        flags, place = (PASSED,), passed + 1
    return Judged(last=scans[-1] if scans else None, flags=flags)


def _candidate(course: Course, scans: Sequence[Scan], place: int) -> int | None:
    higher = {one.on for one in _higher(course)}
    worse = (n for n, one in enumerate(scans) if n >= place and (one.finding == "worse" or one.on in higher))
    return next(worse, None)


def _event(course: Course, study: Study, scans: Sequence[Scan], number: int) -> Occurrence | None:
    """The candidate as an event: confirmed, or too late to be pseudoprogression."""
    candidate = scans[number]
    confirmed = _confirmed(course, study, scans, number)
    if confirmed:
        return _occurrence(candidate, f"progression on imaging, {confirmed}", ())
    if course.day(candidate.on) > study.lc_window:
        return _occurrence(candidate, "progression on imaging, not confirmed", ("unconfirmed",))
    return None


def _confirmed(course: Course, study: Study, scans: Sequence[Scan], number: int) -> str | None:
    """What confirms the candidate: a later scan still worse, pathology, epidural or neurological decline."""
    candidate = scans[number]
    if candidate.pathology:
        return "confirmed by pathology"
    if candidate.on in {one.on for one in _higher(course)}:
        return "epidural disease of a higher grade"
    for later in scans[number + 1 :]:
        if later.finding in {"stable", "improved"}:
            break
        if later.pathology:
            return f"confirmed by pathology on {later.on}"
        if later.finding == "worse" and later.on - candidate.on >= CONFIRMED_AFTER[study.lc_confirm]:
            return f"confirmed on {later.on}"
    day = declined(course, candidate.on)
    return f"neurological decline on {day}" if day else None


def _settled(scans: Sequence[Scan], number: int) -> int | None:
    """Where a later scan is stable or improved again."""
    later = range(number + 1, len(scans))
    return next((n for n in later if scans[n].finding in {"stable", "improved"}), None)


def _higher(course: Course) -> list[Scan]:
    """The follow-up scans whose epidural grade is above the lowest before them: new or progressive tumour."""
    lowest: int | None = None
    found = []
    for one in read_scans(course):
        if one.epidural is None:
            continue
        after = course.t0 is not None and one.on > course.t0
        if after and lowest is not None and one.epidural > lowest:
            found.append(one)
        lowest = one.epidural if lowest is None or not after else min(lowest, one.epidural)
    return found


def _epidural(course: Course) -> Occurrence | None:
    first = next(iter(_higher(course)), None)
    return _occurrence(first, "epidural disease of a higher grade", ()) if first else None


def _occurrence(scan: Scan, text: str, flags: tuple[str, ...]) -> Occurrence:
    return Occurrence(on=scan.on, description=text, sources=scan.sources, flags=(*scan.flags, *flags))
