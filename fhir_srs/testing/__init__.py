"""For tests, ours and others': a small FHIR R4 server, and synthetic cohorts with their truth."""
