"""The death that a Patient record tells (`spec/fhir-mapping.md` section 5)."""

from fhir_srs import r4
from fhir_srs.mapping.elements import When, day, event
from fhir_srs.mapping.facts import PatientFacts
from fhir_srs.mapping.ledger import Ledger
from fhir_srs.mapping.profile import Profile
from fhir_srs.model import Event


def death_of(record: r4.Patient, facts: PatientFacts, profile: Profile, ledger: Ledger) -> Event | None:
    """
    The death in *record*: dated by deceasedDateTime, undated by deceasedBoolean true, else None.

    deceasedBoolean false says nothing about a date and makes no event. A date before birth is none.
    """
    if record.deceased_date_time is None and not record.deceased_boolean:
        return None
    path = "deceasedDateTime"
    when = day(record.deceased_date_time, path, facts, profile) if record.deceased_date_time else When(None)
    said = when.said if when.on else (*when.said, ("death-date-missing", "deceased[x]"))
    ledger.note_all(f"Patient/{record.id}", [(reason, path or "") for reason, path in said])
    return event(record, "death", when.on, facts)
