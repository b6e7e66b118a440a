"""The alert rules that we ship, and those that the documentation tells, ask for metrics that a run writes."""

import os
import re
import stat
from pathlib import Path
from typing import get_args

from fhir_srs.store import OutboxState
from fhir_srs.summary import Compared, Found, RunSummary
from fhir_srs.sync.metrics import metrics_text, write_metrics

ROOT = Path(__file__).resolve().parents[2]
RULES = (ROOT / "deploy" / "alerts.yaml").read_text()
GUIDE = (ROOT / "docs" / "operations.md").read_text()
NOW = "2026-01-05T12:00:00Z"
RAN = RunSummary(
    run="r",
    status="done",
    started=NOW,
    finished=NOW,
    last_success=NOW,
    clock_skew=1.5,
    watermarks={"Observation": NOW},
    pulled={"Observation": Found(new=1)},
    compared={"Observation": Compared(here=1)},
    left_out={"opt-out": 1},
    routes={"GET metadata": {"2xx": 1}},
    retries={"status 503": 1},
)


def names(text: str) -> set[str]:
    return set(re.findall(r"\bfhir_srs_[a-z_]+(?<!_)\b(?!\.)", text)) - {"fhir_srs_"}


def test_every_metric_of_the_rules_and_of_the_guide_is_written() -> None:
    written = names(metrics_text(RAN))
    assert names(RULES)
    assert names(RULES) <= written
    assert names(GUIDE) <= written


def test_every_state_of_the_outbox_that_a_rule_names_exists() -> None:
    named = {
        state for told in re.findall(r'state=~?"([A-Z_|]+)"', RULES + GUIDE) for state in told.split("|")
    }
    assert named
    assert named <= set(get_args(OutboxState))


def test_what_an_alert_waits_to_grow_is_told_while_it_is_nothing() -> None:
    text = metrics_text(RAN)
    assert 'fhir_srs_quarantined{reason="resource-unreadable"} 0\n' in text
    for state in get_args(OutboxState):
        assert f'fhir_srs_outbox{{state="{state}"}} 0\n' in text


def test_the_clock_skew_is_told_in_seconds() -> None:
    assert "fhir_srs_clock_skew_seconds 1.5\n" in metrics_text(RAN)
    assert "clock_skew" not in metrics_text(RunSummary(run="r", status="done", started=NOW, finished=NOW))


def test_a_collector_under_another_account_may_read_the_file_in_a_folder_that_we_made(tmp_path: Path) -> None:
    before = os.umask(0o077)  # as the program and its unit have it
    try:
        write_metrics(tmp_path / "new" / "folder" / "fhir_srs.prom", RAN)
    finally:
        os.umask(before)
    folder = tmp_path / "new" / "folder"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / "fhir_srs.prom")]
    assert modes == [0o755, 0o755, 0o644]
    folder.chmod(0o2770)
    write_metrics(folder / "fhir_srs.prom", RAN)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770  # an operator's own is left as it is
