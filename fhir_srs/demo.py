"""The main job on an embedded server: load a synthetic cohort, sync twice, print the table of Ryu 2008.

Nothing here is a shortcut: the cohort goes in by FHIR transactions over HTTP, and `sync` finds, maps,
derives and writes as it would on a hospital's server.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fhir_srs.config import Settings, load_settings
from fhir_srs.errors import DataError
from fhir_srs.model import to_json
from fhir_srs.progress import Report
from fhir_srs.report.export import estimates_csv, estimates_json, run_counts
from fhir_srs.report.run import run_text
from fhir_srs.report.ryu import ryu_lines
from fhir_srs.report.save import save
from fhir_srs.summary import RunSummary
from fhir_srs.sync import run_sync
from fhir_srs.testing.cohort import Cohort, ryu2008_cohort
from fhir_srs.testing.server import running_server

STUDIES = ("ryu2008", "icpre2012")
Say = Callable[[str], None]


def run_demo(out: Path, *, keep: bool, say: Say, report: Report) -> None:
    """
    Run the demo; estimates.json and estimates.csv land in *out*, with *keep* the settings and store too.

    Raises DataError if the second run wrote anything: then the demo has shown a fault.
    """
    cohort = ryu2008_cohort()
    with running_server() as server, _work_folder(out, keep=keep) as folder:
        say(f"A synthetic cohort with the margins of Ryu 2008 goes to {server.base_url}")
        _load(server.base_url, cohort, report)
        settings = _settings(folder, server.base_url, cohort)
        first = run_sync(settings, report=report)
        say(f"\nFirst {run_text(first)}")
        # In full: planned from all data again, not left as the first run settled it.
        second = run_sync(settings, report=report, full=True)
        say(f"\nSecond {run_text(second)}")
    _check(first, second)
    say("\nRyu 2008, published and recomputed from FHIR resources:\n")
    say("\n".join(ryu_lines(second.tables)))
    _save(out, second)
    say(f"\nAll estimates: {out / 'estimates.json'}, {out / 'estimates.csv'}")


@contextmanager
def _work_folder(out: Path, *, keep: bool) -> Iterator[Path]:
    if keep:
        out.mkdir(parents=True, exist_ok=True)
        yield out
    else:
        with tempfile.TemporaryDirectory(prefix="fhir-srs-demo-") as folder:
            yield Path(folder)


def _load(base_url: str, cohort: Cohort, report: Report) -> None:
    """Post the cohort as one transaction a patient."""
    bundles = list(cohort.transactions())
    with httpx.Client(trust_env=False, timeout=60) as client:
        for number, bundle in enumerate(bundles, 1):
            answer = client.post(
                base_url, content=to_json(bundle), headers={"Content-Type": "application/fhir+json"}
            )
            if answer.status_code != httpx.codes.OK:
                raise DataError(f"the test server refused a transaction with {answer.status_code}")
            report("patients loaded", number, len(bundles))


def _settings(folder: Path, base_url: str, cohort: Cohort) -> Settings:
    path = folder / "fhir-srs.toml"
    text = f"""
[source]
base_url = "{base_url}"
allow_insecure_loopback = true

[target]
synthetic = true

[study]
names = [{", ".join(f'"{name}"' for name in STUDIES)}]
cutoff = {cohort.cutoff}

[store]
folder = "state"

[sync]
write = true
"""
    save(path, [text.lstrip().encode()])
    return load_settings(path)


def _check(first: RunSummary, second: RunSummary) -> None:
    again = second.written
    if first.exit_code or second.exit_code:
        raise DataError("a run of the demo did not end well")
    if again.created or again.updated or again.retracted:
        raise DataError("the second run wrote again: the first was not complete")


def _save(out: Path, summary: RunSummary) -> None:
    counts = run_counts(summary)
    save(out / "estimates.json", [estimates_json(summary.tables, cutoff=summary.cutoff, counts=counts)])
    save(out / "estimates.csv", [estimates_csv(summary.tables).encode()])
