"""How a figure is taken (spec/performance.md section 5, rules of measurement).

Reference and subject alternate, each in a fresh process, after one discarded warm-up of both; the ratio is
formed within a round. Work is timed inside the process, from after its imports to its result: interpreter
and import have a row of their own (bench_import).
"""

from __future__ import annotations

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOREIGN = 0.5  # of a core; a round with more is repeated, then flagged
SPREAD = 1.3  # highest / lowest ratio; more is flagged
REPEATS = 1  # how often a disturbed round is taken again
TICK = os.sysconf("SC_CLK_TCK")

Clock = Literal["cpu", "wall"]


class Sample(NamedTuple):
    """One process: seconds of its work, its peak resident set in KiB (Linux), and what it found."""

    cpu: float
    wall: float
    rss_kib: int
    found: dict[str, Any]


class Round(NamedTuple):
    """One reference and one subject; *foreign* is what others took of the cores meanwhile."""

    reference: Sample
    subject: Sample
    ratio: float
    load_before: float
    load_after: float
    foreign: float


class Spread(NamedTuple):
    """Median, minimum and maximum."""

    median: float
    low: float
    high: float


class Differs(Exception):
    """Subject and reference did not find the same: no ratio may be printed."""


def report(
    work: Callable[[], Any], found: Callable[[Any], dict[str, Any]], *, children: bool = False
) -> None:
    """
    In the measured process: times *work*, then prints the sample; *found* is not timed.

    The peak is that of this process, or with *children* that of the largest it started, if that is more.
    """
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = max(peak_rss_kib(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if children else 0)
    print(json.dumps({"cpu": cpu, "wall": wall, "rss_kib": peak, "found": found(result)}))


def peak_rss_kib() -> int:
    """The highest resident set of this process; on Linux, getrusage would count its parent's in."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def fresh(arguments: Sequence[str], python: str = sys.executable) -> Sample:
    """The sample of a fresh `python -m` *arguments*."""
    done = subprocess.run([python, "-m", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Sample(**json.loads(done.stdout.splitlines()[-1]))


def compare(
    reference: Sequence[str],
    subject: Sequence[str],
    *,
    rounds: int,
    clock: Clock,
    same: Sequence[str],
    server: int | None = None,
    python: str = sys.executable,
) -> list[Round]:
    """
    *rounds* rounds of both. Raises Differs unless both find the same under each key of *same*.

    *server* is the process id of a server that is part of the measurement, not foreign load. *python* is the
    interpreter of the subject.
    """
    _check(fresh(reference), fresh(subject, python), same)
    taken = []
    for _ in range(rounds):
        for _ in range(1 + REPEATS):
            one = _round(reference, subject, clock, server, python)
            if one.foreign <= FOREIGN:
                break
        taken.append(one)
    return taken


def _check(reference: Sample, subject: Sample, same: Sequence[str]) -> None:
    wrong = [key for key in same if reference.found[key] != subject.found[key]]
    if wrong:
        pairs = ", ".join(f"{key} {reference.found[key]} v {subject.found[key]}" for key in wrong)
        raise Differs(pairs)


def _round(
    reference: Sequence[str], subject: Sequence[str], clock: Clock, server: int | None, python: str
) -> Round:
    before, busy, own, start = os.getloadavg()[0], _busy(), _own(server), time.perf_counter()
    first, second = fresh(reference), fresh(subject, python)
    seconds = time.perf_counter() - start
    foreign = (_busy() - busy - (_own(server) - own)) / seconds
    ratio = getattr(second, clock) / getattr(first, clock)
    return Round(first, second, ratio, before, os.getloadavg()[0], max(foreign, 0.0))


def _busy() -> float:
    """Seconds that all cores together were busy since boot."""
    user, nice, system, _idle, _wait, interrupts, soft = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
    )
    return (user + nice + system + interrupts + soft) / TICK


def _own(server: int | None) -> float:
    """Seconds of this process, its finished children, and the server."""
    mine = sum(os.times()[:4])
    if server is None:
        return mine
    fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    return mine + (int(fields[11]) + int(fields[12])) / TICK


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum of *values*."""
    return Spread(statistics.median(values), min(values), max(values))


def flags(rounds: Sequence[Round]) -> list[str]:
    """What a reader must know before trusting *rounds*."""
    ratios = spread([one.ratio for one in rounds])
    disturbed = sum(one.foreign > FOREIGN for one in rounds)
    found = []
    if ratios.high / ratios.low > SPREAD:
        found.append(f"spread {ratios.high / ratios.low:.2f}")
    if disturbed:
        found.append(f"foreign load in {disturbed} of {len(rounds)} rounds")
    return found
