"""How many examples a property draws: some in every run, ten times as many in the search of test-long."""

import os

from hypothesis import settings

SEARCHING = os.environ.get("FHIR_SRS_SEARCH") == "1"


def examples(number: int) -> settings:
    """Settings for a property of which each example takes long."""
    return settings(max_examples=number * 10 if SEARCHING else number)
