"""Where a test may kill the process: each place by name, so that none goes without a test.

`FHIR_SRS_FAILPOINT=name:n` kills at the n-th time that the place is passed (`spec/reliability.md` section 9).
Without the variable passing one costs a look at a constant.
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
    "watermark-before-commit",
    "watermark-committed",
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
_WANTED, _, _COUNT = os.environ.get("FHIR_SRS_FAILPOINT", "").partition(":")
_passed = 0


def passing(name: str) -> None:
    """Nothing; or the end of the process, by SIGKILL, where a test asked for it."""
    if name and name == _WANTED:
        _kill_at(int(_COUNT or 1))


def _kill_at(number: int) -> None:
    global _passed
    _passed += 1
    if _passed == number:
        os.kill(os.getpid(), signal.SIGKILL)
