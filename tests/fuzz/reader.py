"""Coverage-guided fuzzing of the reader by atheris: any bytes are counted, and nothing raises.

    python -m tests.fuzz.reader [-max_total_time=600] [libFuzzer's options]

Begins with the lines of a small cohort. `make test-long` runs it where atheris installs (CPython on Linux);
an input that fails is written to `crash-*` in the current folder.
"""

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fhir_srs"]):
    from fhir_srs import load_profile, map_resources
    from fhir_srs.testing.cohort import random_cohort

PROFILE = load_profile("mcode")
COHORT = [json.dumps(one).encode() for one in random_cohort(4, 1).resources]
# A patient with a lesion, so that what is read has something to belong to.
AROUND = COHORT[:12]


def one_input(data: bytes) -> None:
    """Map *data*, one item a line, beside a whole patient."""
    lines = data.split(b"\n")
    found = map_resources([*AROUND, *lines], profile=PROFILE)
    counts = found.counts
    assert counts.read == counts.used + counts.ignored + counts.refused
    assert all(one.reason in PROFILE.reasons for one in found.issues)
    assert all(one.dose_gy is None or 1 <= one.dose_gy <= 100 for one in found.lesions)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(COHORT):
            (Path(folder) / str(number)).write_bytes(line)
        atheris.Setup([sys.argv[0], "-max_len=6000", "-rss_limit_mb=2048", *sys.argv[1:], folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
