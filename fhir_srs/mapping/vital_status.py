"""The death that a Patient record tells (`spec/fhir-mapping.md` section 5)."""

from fhir_srs import r4
from fhir_srs.dates import parse_date
from fhir_srs.mapping.facts import PatientFacts
from fhir_srs.mapping.ledger import Ledger
from fhir_srs.mapping.patients import source
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event


def death_of(record: r4.Patient, facts: PatientFacts, profile: Profile, ledger: Ledger) -> Event | None:
    """
    The death in *record*: dated by deceasedDateTime, undated by deceasedBoolean true, else None.

    deceasedBoolean false says nothing about a date and makes no event.
    """
    name = f"Patient/{record.id}"
    on = None
    if record.deceased_date_time is not None:
        on = parse_date(record.deceased_date_time, profile.time_zone)
        if on is None:
            ledger.note(name, "date-not-valid", "deceasedDateTime")
    elif not record.deceased_boolean:
        return None
    if on is None:
        ledger.note(name, "death-date-missing", "deceased[x]")
    return Event(
        patient=facts.patient,
        lesion_id=None,
        link="patient",
        kind="death",
        on=on,
        source=source(record),
    )
