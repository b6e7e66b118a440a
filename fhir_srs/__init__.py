"""Pain control after radiosurgery of spinal metastases, from FHIR R4 resources.

>>> from fhir_srs import load_profile, map_resources
>>> map_resources([], profile=load_profile("mcode")).lesions
[]
"""

from fhir_srs.mapping import load_profile, map_resources

__all__ = ["load_profile", "map_resources"]
