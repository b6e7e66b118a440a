"""One sync run as a program and as a person read it (design.md section 4.4, `sync --json`)."""

from typing import Any

from fhir_srs.summary import Found, RunSummary

KEYS = (
    "run",
    "status",
    "started",
    "finished",
    "pulled",
    "refused",
    "left_out",
    "lesions",
    "outcomes",
    "planned",
    "written",
    "complete",
    "watermarks",
)


def run_row(summary: RunSummary) -> dict[str, Any]:
    """Return what `sync --json` prints of *summary*."""
    return {key: getattr(summary, key) for key in KEYS}


def run_text(summary: RunSummary) -> str:
    """Return *summary* in a few lines: pulled, mapped, planned, written, and what is wrong if anything is."""
    pulled = [(kind, one) for kind, one in summary.pulled.items() if one.new or one.changed or one.deleted]
    planned, written = summary.planned, summary.written
    mode = " (dry run: only reads were sent)" if summary.dry_run else ""
    nothing = "nothing new" if summary.complete else "nothing"
    found = ", ".join(f"{kind} {_found(one)}" for kind, one in pulled) or nothing
    lines = [
        f"run {summary.run}: {summary.status}{mode}",
        f"pulled: {found}",
    ]
    if summary.cutoff is None:
        lines.append("the run ended before anything was mapped, planned or written")
    else:
        lines += [
            f"mapped: {summary.lesions:,} lesions",
            f"derived: {summary.outcomes:,} outcomes at the data cutoff {summary.cutoff}",
            f"planned: {planned.create:,} to create, {planned.update:,} to update, "
            f"{planned.retract:,} to retract, {planned.unchanged:,} unchanged",
            f"wrote: {written.created:,} created, {written.updated:,} updated, "
            f"{written.retracted:,} retracted",
        ]
    if written.failed or written.conflict:
        lines.append(f"not written: {written.failed:,} failed, {written.conflict:,} in conflict")
    if written.externally_deleted:
        lines.append(f"deleted by another, and left so: {written.externally_deleted:,} results")
    if summary.left_out:
        told = ", ".join(f"{reason} {n:,}" for reason, n in summary.left_out.items())
        lines.append(f"patients left out: {told}")
    if summary.refused:
        lines.append("refused: " + ", ".join(f"{reason} {n:,}" for reason, n in summary.refused.items()))
    lines += [f"note: {note}" for note in summary.notes]
    if summary.error:
        lines.append(f"error: {summary.error}")
    return "\n".join(lines)


def _found(one: Found) -> str:
    gone = f" (and {one.deleted:,} deleted)" if one.deleted else ""
    return f"{one.new + one.changed:,}{gone}"
