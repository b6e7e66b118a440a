"""Which reader takes which type of resource.

Courses and volumes have been taken before (`lesions`), Observations by a way of their own (`placing`).
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fhir_srs import r4
from fhir_srs.mapping.adverse_events import take_adverse_event
from fhir_srs.mapping.conditions import take_condition
from fhir_srs.mapping.facts import PatientFacts, Taken
from fhir_srs.mapping.imaging import take_imaging_study, take_report
from fhir_srs.mapping.interventions import take_intervention
from fhir_srs.mapping.medications import take_medication
from fhir_srs.mapping.profile import Profile

Reader: TypeAlias = Callable[[Any, PatientFacts, Profile], Taken]
READERS: Mapping[type, Reader] = {
    r4.AdverseEvent: take_adverse_event,
    r4.Condition: take_condition,
    r4.DiagnosticReport: take_report,
    r4.ImagingStudy: take_imaging_study,
    r4.MedicationAdministration: take_medication,
    r4.MedicationDispense: take_medication,
    r4.MedicationRequest: take_medication,
    r4.MedicationStatement: take_medication,
    r4.Procedure: take_intervention,
}
