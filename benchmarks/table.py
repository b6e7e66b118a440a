"""What a run prints and keeps: the raw rounds, and pages made of the newest run of each part alone."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench_map import FLOOR
from benchmarks.measure import ROOT, Clock, Round, Sample, Spread, flags, spread

# The parts of the runs that each page shows, in its order.
PAGES = {
    "RESULTS.md": ("map", "import", "peers", "survival", "regression"),
    "RESULTS-hapi.md": ("pull", "sync", "write"),
}
LIBRARIES = ("msgspec", "orjson", "httpx", "pydantic", "numpy", "lifelines")
HEAD = """# Benchmarks

Made by `make bench`, never typed. Quote the ratios: they move far less between machines than the times.
A ratio is formed within a round; below 1 is faster than the reference. Times are those of the work itself,
after the imports; `cpu` is user + system of that process. Each part stands as its newest run left it.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the table. *rounds* is empty if *problem* says why.

    With *share* the line says how much of the subject's wall time is CPU time of its own. *part* is the part
    of the run that took it.
    """

    subject: str
    reference: str
    clock: Clock
    rounds: list[Round] = field(default_factory=list)
    problem: str = ""
    share: bool = False
    part: str = ""


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


def save(out: Path, known: dict[str, str], digests: dict[str, str], found: list[Row]) -> None:
    """The raw rounds of a run, below *out*."""
    raw = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": known,
        "sha256": digests,
        "rows": [_raw(row) for row in found],
    }
    (out / "results").mkdir(parents=True, exist_ok=True)
    name = "-".join((known["date"], known["commit"].split()[0], *sorted({row.part for row in found})))
    (out / "results" / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n")


def _raw(row: Row) -> dict[str, Any]:
    rounds = [
        one._asdict() | {"reference": one.reference._asdict(), "subject": one.subject._asdict()}
        for one in row.rounds
    ]
    told = {
        name: getattr(row, name) for name in ("part", "subject", "reference", "clock", "problem", "share")
    }
    return {**told, "rounds": rounds}


def _row(raw: dict[str, Any]) -> Row:
    """A row as `save` kept it."""
    rounds = [
        Round(**one | {"reference": Sample(**one["reference"]), "subject": Sample(**one["subject"])})
        for one in raw["rounds"]
    ]
    return Row(**{**raw, "rounds": rounds})


def page(folder: Path, parts: tuple[str, ...]) -> str:
    """
    A page of the newest run of each of *parts* in *folder*: a section a run, its facts above its table.

    A run of some parts leaves the others as they were.
    """
    return "\n".join([HEAD, *_sections(folder, parts)])


def _sections(folder: Path, parts: tuple[str, ...]) -> Iterator[str]:
    runs = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=_written)
    newest = {row["part"]: number for number, run in enumerate(runs) for row in run["rows"] if "part" in row}
    for number in dict.fromkeys(newest[part] for part in parts if part in newest):
        mine = [part for part in parts if newest.get(part) == number]
        yield f"## {', '.join(mine)}\n"
        yield from (f"- {name}: {text}" for name, text in runs[number]["facts"].items())
        yield f"\n{table([_row(row) for row in runs[number]['rows'] if row['part'] in mine])}\n"


def _written(run: dict[str, Any]) -> str:
    return str(run.get("written", run["facts"]["date"]))
