"""Where a test may kill the process: each place by name, so that none goes without a test.

`FHIR_SRS_FAILPOINT=name:n` kills at the n-th time that the place is passed (`spec/reliability.md` section 9).
Without the variable passing one costs a comparison.
"""

import os
import signal

# The places, in the order of a run.
NAMES = (
    "before-migration",
    "in-migration",
    "run-begun",
    "page-before-commit",
    "page-committed",
    "patients-loaded",
    "deleted-before-commit",
    "deleted-committed",
    "dismissed-before-commit",
    "watermark-before-commit",
    "watermark-committed",
    "wanted-spooled",
    "slice-planned",
    "outbox-before-commit",
    "outbox-committed",
    "before-send",
    "after-send",
    "before-confirm",
    "left-out-before-commit",
    "definitions-before-commit",
    "adopted-before-commit",
    "run-ended",
)
_wanted, _number, _passed = "", 1, 0


def arm(text: str) -> None:
    """From now on the process ends at the place, and the time, that *text* (`name:n`) names."""
    global _wanted, _number, _passed
    _wanted, _, number = text.partition(":")
    _number, _passed = int(number or 1), 0


def passing(name: str) -> None:
    """Nothing; or the end of the process, by SIGKILL, where a test asked for it."""
    global _passed
    if name and name == _wanted:
        _passed += 1
        if _passed == _number:
            os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("FHIR_SRS_FAILPOINT", ""))
