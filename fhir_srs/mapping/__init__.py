"""FHIR R4 resources to lesions and events: deterministic, free of I/O, blind to the order of its input.

`map_resources` is the door; `map_patient` does one patient and may run anywhere. Rules:
`spec/fhir-mapping.md`.
"""

from fhir_srs.mapping.cohort import map_resources
from fhir_srs.mapping.persons import PatientMap, map_patient
from fhir_srs.mapping.profile import Profile, load_profile

__all__ = ["PatientMap", "Profile", "load_profile", "map_patient", "map_resources"]
