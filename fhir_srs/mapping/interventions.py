"""Operations on the spine, which end a lesion's follow-up; radiosurgery itself is read by `procedures`."""

from fhir_srs import r4
from fhir_srs.mapping.elements import (
    IGNORED,
    PROCEDURE,
    Said,
    When,
    day,
    hints_of,
    period,
    refused,
    status_of,
    used,
)
from fhir_srs.mapping.facts import Draft, PatientFacts, Taken
from fhir_srs.mapping.patients import source
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
    event = Event(
        patient=facts.patient,
        lesion_id=None,
        link="patient",
        kind="surgery",
        on=when.on,
        code=found.token,
        source=source(resource),
    )
    said: Said = ((status, "status"),) if status else ()
    draft = Draft(event=event, hints=hints_of(resource))
    return used(resource, [draft], (*said, *when.said), profile)


def _performed(resource: r4.Procedure, facts: PatientFacts, profile: Profile) -> When:
    if resource.performed_date_time is None and resource.performed_period is not None:
        return period(resource.performed_period, "performedPeriod", facts, profile)
    return day(resource.performed_date_time, "performedDateTime", facts, profile)
