"""What a run takes from the machine: waiting, clocks, chance and a name for itself."""

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_run() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Machine:
    """Waiting and *clock* in seconds, *now* an aware moment, *random* uniform in [0, 1), *new_run* an id."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now
    random: Callable[[], float] = random.random
    new_run: Callable[[], str] = _new_run


def stamp(moment: datetime) -> str:
    """*moment* in UTC to the second, as `2026-01-05T12:00:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
