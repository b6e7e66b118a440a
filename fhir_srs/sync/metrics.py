"""What a run says to a monitor: Prometheus text for a textfile collector (`spec/reliability.md` section 8).

https://prometheus.io/docs/instrumenting/exposition_formats/. Counts and times only; no label names a patient.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import get_args

from fhir_srs.errors import LocalIOError
from fhir_srs.store import OutboxState
from fhir_srs.summary import RunSummary
from fhir_srs.sync.taking import moment_of

# For a collector that runs under another account; nothing here is about a patient.
_READABLE, _ENTERABLE = 0o644, 0o755

# A count of nothing is told too: an alert on what grows sees nothing of a series that is new.
_NO_RESULTS: Mapping[str, int] = dict.fromkeys(get_args(OutboxState), 0)
_NONE_REFUSED = {"resource-unreadable": 0}


def write_metrics(path: Path, summary: RunSummary) -> None:
    """Write the metrics of *summary* to *path* in one step: a collector reads old ones or new ones."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _open_folder(path.parent)
        beside.write_text(metrics_text(summary), encoding="utf-8")
        beside.chmod(_READABLE)
        beside.replace(path)
    except OSError as error:
        raise LocalIOError(f"the metrics file ({error.strerror})") from None


def _open_folder(folder: Path) -> None:
    """Make *folder* where it is missing, so that a collector may enter it whatever our umask."""
    if not folder.exists():
        _open_folder(folder.parent)
        folder.mkdir()
        folder.chmod(_ENTERABLE)


Samples = Mapping[tuple[tuple[str, str], ...], float]


def metrics_text(summary: RunSummary) -> str:
    """The metrics of *summary*, each with its help; what is not known is absent."""
    return "".join(
        f"# HELP fhir_srs_{name} {text}\n# TYPE fhir_srs_{name} gauge\n{''.join(_lines(name, samples))}"
        for name, text, samples in _metrics(summary)
        if samples
    )


def _lines(name: str, samples: Samples) -> Iterator[str]:
    for labels, value in sorted(samples.items()):
        inside = ",".join(f'{key}="{text}"' for key, text in labels)
        yield f"fhir_srs_{name}{{{inside}}} {value:g}\n" if labels else f"fhir_srs_{name} {value:.15g}\n"


def _metrics(one: RunSummary) -> Iterator[tuple[str, str, Samples]]:
    started, finished = moment_of(one.started), moment_of(one.finished)
    took: Samples = {(): (finished - started).total_seconds()} if started and finished else {}
    yield "last_success_timestamp_seconds", "End of the last run that was done.", _at(one.last_success)
    yield "last_run_timestamp_seconds", "End of the last run.", _at(one.finished)
    yield "last_run_exit_code", "Exit code of the last run.", {(): float(one.exit_code)}
    yield "run_duration_seconds", "How long the last run took.", took
    yield "watermark_lag_seconds", "Age of what is complete, by type.", dict(_lags(one, finished))
    yield "resources_total", "Resources of the last pull.", dict(_resources(one))
    yield "quarantined", "Resources that cannot be read.", _by("reason", {**_NONE_REFUSED, **one.quarantined})
    yield "patients_left_out", "Patients left out.", _by("reason", one.left_out)
    yield "outbox", "Results by state.", _by("state", {**_NO_RESULTS, **one.outbox})
    yield "http_requests_total", "Requests of the last run, by route and class of status.", dict(_routes(one))
    yield "retries_total", "Requests of the last run that were sent again.", _by("reason", one.retries)
    skew: Samples = {} if one.clock_skew is None else {(): one.clock_skew}
    yield "clock_skew_seconds", "Between the server's clock and ours.", skew
    missing = {name: compared.missing for name, compared in one.compared.items()}
    yield "census_missing", "Ids that the last census missed on the server.", _by("type", missing)


def _at(text: str | None) -> Samples:
    moment = moment_of(text)
    return {} if moment is None else {(): moment.timestamp()}


def _by(label: str, counts: Mapping[str, int]) -> Samples:
    return {((label, name),): float(number) for name, number in counts.items()}


def _routes(one: RunSummary) -> Iterator[tuple[tuple[tuple[str, str], ...], float]]:
    for route, kinds in one.routes.items():
        for kind, number in kinds.items():
            yield (("route", route), ("code_class", kind)), float(number)


def _lags(one: RunSummary, finished: datetime | None) -> Iterator[tuple[tuple[tuple[str, str], ...], float]]:
    for name, text in one.watermarks.items():
        moment = moment_of(text)
        if moment is not None and finished is not None:
            yield (("type", name),), (finished - moment).total_seconds()


def _resources(one: RunSummary) -> Iterator[tuple[tuple[tuple[str, str], ...], float]]:
    for name, found in one.pulled.items():
        for outcome in ("new", "changed", "deleted"):
            yield (("type", name), ("outcome", outcome)), float(getattr(found, outcome))
