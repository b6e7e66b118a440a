"""What the looking-after commands print: state, quarantine, findings, census, rebuild, as plain lines."""

from collections.abc import Iterable, Iterator, Mapping

from fhir_srs.store import Refused, Sent
from fhir_srs.summary import RunSummary
from fhir_srs.sync.doctor import Finding
from fhir_srs.sync.keeping import State
from fhir_srs.sync.rebuild import Rebuilt


def state_text(state: State) -> str:
    """The state of the store, one topic a line, the last runs at the end."""
    lines = [
        f"patients: {state.patients:,}; left out: {_counts(state.left_out)}",
        f"resources: {_counts(state.resources)}",
        f"quarantine: {_counts(state.quarantined)}",
        f"outbox: {_counts(state.outbox)}",
        f"complete up to: {min(state.watermarks.values(), default='never')}",
        f"last census: {state.census or 'never'}",
        *(_run_line(run) for run in state.runs),
    ]
    return "\n".join(lines)


def _run_line(run: Mapping[str, object]) -> str:
    code = "" if run["exit_code"] is None else f" (exit {run['exit_code']})"
    error = f": {run['error']}" if run["error"] else ""
    return f"run {run['run']} of {run['started']}: {run['status']}{code}{error}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "none"


def refusal_lines(refusals: Iterable[Refused]) -> Iterator[str]:
    """Each resource in quarantine: reference, version, reason, path, since when, how often."""
    for one in refusals:
        place = f" at {one.path}" if one.path else ""
        name = f"{one.type}/{one.id}" + (f" version {one.version}" if one.version else "")
        yield f"{name}: {one.reason}{place}, since {one.first_seen}, tries {one.attempts}"


def outbox_lines(lines: Iterable[Sent]) -> Iterator[str]:
    """Each result that is not as it should be: reference, study and version, state, tries."""
    for line in lines:
        yield f"{line.key} ({line.group.replace('|', ' ')}): {line.state}, tries {line.attempts}"


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Each finding with its level first."""
    for one in findings:
        yield f"{one.level:<8} {one.topic}: {one.text}"


def census_text(summary: RunSummary) -> str:
    """Ids here and there by type; what was missing left the store, what was unknown was read."""
    lines = [
        f"{name}: {one.here:,} here, {one.missing:,} missing there, {one.unknown:,} to read"
        for name, one in summary.compared.items()
    ]
    return (
        "\n".join([*lines, *([f"error: {summary.error}"] if summary.error else [])]) or "nothing to compare"
    )


def rebuilt_text(rebuilt: Rebuilt) -> str:
    """Whether a full load gives what the increments gave."""
    if rebuilt.pull.status != "done":
        return f"not rebuilt, the old store is kept: {rebuilt.pull.error}"
    verdict = "agrees with the store before" if rebuilt.agrees else "differs from the store before"
    return (
        f"rebuilt: {verdict} ({rebuilt.same:,} the same, {rebuilt.different:,} different,"
        f" {rebuilt.only_before:,} only before, {rebuilt.only_now:,} only now)"
    )
