"""Operations on the spine and retreatments: they end follow-up, each with its reason if it says one.

Radiosurgery itself is read by `procedures`.
"""

from collections.abc import Iterable, Iterator

import msgspec

from fhir_srs import r4
from fhir_srs.mapping.elements import (
    IGNORED,
    PROCEDURE,
    Said,
    When,
    day,
    event,
    hints_of,
    period,
    refused,
    status_of,
    used,
)
from fhir_srs.mapping.facts import Draft, LesionSite, PatientFacts, Taken
from fhir_srs.mapping.patients import relative
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event


def take_intervention(resource: r4.Procedure, facts: PatientFacts, profile: Profile) -> Taken:
    """An operation coded in the set `surgery` is an event on its day; its reason is unknown unless said."""
    found = profile.codes.find("surgery", resource.code)
    if found is None:
        return IGNORED
    status = status_of(resource.status, PROCEDURE)
    if status == "status-not-usable":
        return refused(resource, status, "status", profile)
    when = _performed(resource, facts, profile)
    reasons = _stated(resource, facts, profile)
    made = event(resource, "surgery", when.on, facts, code=found.token, flags=reasons)
    said: Said = ((status, "status"),) if status else ()
    return used(resource, [Draft(event=made, hints=hints_of(resource))], (*said, *when.said), profile)


def retreatments(sites: Iterable[LesionSite], facts: PatientFacts, profile: Profile) -> Iterator[Event]:
    """
    An event of the earlier lesion for each retreatment whose course says why: `for-pain` and so on.

    Without a reason the later lesion tells all there is (`reirradiation_of`, its start).
    """
    for site in sites:
        lesion = site.lesion
        course = facts.resources.get(lesion.course or "")
        if lesion.reirradiation_of is None or not isinstance(course, r4.Procedure):
            continue
        reasons = _stated(course, facts, profile)
        if reasons:
            made = event(course, "retreatment", lesion.start, facts, flags=reasons)
            at = {"lesion_id": lesion.reirradiation_of, "link": "body-site-level"}
            yield msgspec.structs.replace(made, **at)


def _stated(resource: r4.Procedure, facts: PatientFacts, profile: Profile) -> tuple[str, ...]:
    return tuple(sorted(set(_reasons(resource, facts, profile))))


def _reasons(resource: r4.Procedure, facts: PatientFacts, profile: Profile) -> Iterator[str]:
    """`for-pain`, `for-progression` or `other-reason`, as the reasons or the conditions named are coded."""
    named = [facts.resources.get(relative(one, "Condition") or "") for one in resource.reason_reference]
    conditions = [one.code for one in named if isinstance(one, r4.Condition)]
    for concept in (*resource.reason_code, *conditions):
        found = profile.codes.find("intervention-reason", concept)
        if found is not None:
            yield found.meaning


def _performed(resource: r4.Procedure, facts: PatientFacts, profile: Profile) -> When:
    if resource.performed_date_time is None and resource.performed_period is not None:
        return period(resource.performed_period, "performedPeriod", facts, profile)
    return day(resource.performed_date_time, "performedDateTime", facts, profile)
