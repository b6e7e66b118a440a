"""`python -m fhir_srs` is `fhir-srs`."""

from fhir_srs.cli import main

main()
