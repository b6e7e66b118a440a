"""What the run prints and keeps: one table under the facts of the machine, and the raw rounds."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bench_map import FLOOR
from benchmarks.measure import ROOT, Clock, Round, Spread, flags, spread

LIBRARIES = ("msgspec", "orjson", "httpx", "pydantic", "numpy", "lifelines")
HEAD = """# Benchmarks

Made by `make bench`, never typed. Quote the ratios: they move far less between machines than the times.
A ratio is formed within a round; below 1 is faster than the reference. Times are those of the work itself,
after the imports; `cpu` is user + system of that process.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the table. *rounds* is empty if *problem* says why.

    With *share* the line says how much of the subject's wall time is CPU time of its own.
    """

    subject: str
    reference: str
    clock: Clock
    rounds: list[Round] = field(default_factory=list)
    problem: str = ""
    share: bool = False


def table(found: list[Row]) -> str:
    """*found* as Markdown."""
    head = (
        "| subject | reference | ratio: median (min to max) | subject | peak RSS | |",
        "|---|---|---|---|---|---|",
    )
    return "\n".join([*head, *map(_line, found)])


def _line(row: Row) -> str:
    if row.problem:
        return f"| {row.subject} | {row.reference} | {row.problem} | | | |"
    ratios = spread([one.ratio for one in row.rounds])
    seconds = spread([getattr(one.subject, row.clock) for one in row.rounds])
    rss = max(one.subject.rss_kib for one in row.rounds) / 1024
    remarks = flags(row.rounds)
    if row.share:
        share = spread([one.subject.cpu / one.subject.wall for one in row.rounds]).median
        remarks.insert(0, f"CPU {share:.0%} of wall")
    return (
        f"| {row.subject} | {row.reference} | {_three(ratios, 1, '')} "
        f"| {_three(seconds, 1000, ' ms')} {row.clock} | {rss:.0f} MiB | {'; '.join(remarks)} |"
    )


def _three(values: Spread, factor: int, unit: str) -> str:
    digits = 0 if unit else 2 if values.low >= 0.1 else 4
    median, low, high = (f"{value * factor:.{digits}f}" for value in values)
    return f"**{median}**{unit} ({low} to {high})"


def facts(data: str, megabytes: float, rounds: int, found: list[Row]) -> dict[str, str]:
    """What a reader needs to judge the figures; *data* says what they were taken on."""
    texts = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "data": f"{data}, {megabytes:.1f} MB of NDJSON",
        "machine": f"{_processor()}, {_cores()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES),
        "rounds": f"{rounds}, alternating, each in a fresh process, after one discarded",
    }
    floor = [one.reference.cpu for row in found if row.reference == FLOOR for one in row.rounds]
    if floor:
        texts["floor"] = f"{megabytes / spread(floor).median:.0f} MB/s (median)"
    return texts


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        " with changes" if git("status", "--porcelain", "-uno") else ""
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _cores() -> int:
    return len(
        [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")]
    )


def write(
    out: Path,
    text: str,
    known: dict[str, str],
    digests: dict[str, str],
    found: list[Row],
    *,
    page: str = "RESULTS.md",
) -> None:
    """*page*, and the raw rounds beside it."""
    raw = {
        "facts": known,
        "sha256": digests,
        "rows": [
            {
                "subject": row.subject,
                "reference": row.reference,
                "clock": row.clock,
                "problem": row.problem,
                "rounds": [
                    one._asdict() | {"reference": one.reference._asdict(), "subject": one.subject._asdict()}
                    for one in row.rounds
                ],
            }
            for row in found
        ],
    }
    (out / "results").mkdir(parents=True, exist_ok=True)
    kind = page.removeprefix("RESULTS").removesuffix(".md")
    name = f"{known['date']}-{known['commit'].split()[0]}{kind}.json"
    (out / "results" / name).write_text(json.dumps(raw, indent=1) + "\n")
    (out / page).write_text(text)


def page(known: dict[str, str], found: list[Row]) -> str:
    """RESULTS.md: the facts, then the table."""
    lines = [f"- {name}: {text}" for name, text in known.items()]
    return "\n".join([HEAD, *lines, "", table(found), ""])
