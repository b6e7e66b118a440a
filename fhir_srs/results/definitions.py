"""Our CodeSystems, ValueSets and FHIR profiles (`mappings/fhir/`), moved to the base of a target."""

# The base that the files are written with.
WRITTEN_BASE = "https://fhir-srs.example.org"


def rebased(definition: str, canonical_base: str) -> bytes:
    """The text of a file of `mappings/fhir/` with *canonical_base* in all its urls of ours."""
    return definition.replace(f'"{WRITTEN_BASE}/', f'"{canonical_base}/').encode()
