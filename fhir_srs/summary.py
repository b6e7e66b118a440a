"""What one run says of itself: the object that `sync --json` prints (design.md section 4.4)."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from fhir_srs.model import Estimate, ResourceCounts

NOTHING_READ = ResourceCounts(read=0, used=0, ignored=0, refused=0)
RunStatus = Literal["done", "incomplete", "stopped", "failed"]


class Found(msgspec.Struct, frozen=True):
    """Resources of one type that the pull found since the last run."""

    new: int = 0
    changed: int = 0
    deleted: int = 0


class Compared(msgspec.Struct, frozen=True):
    """Ids of one type, compared by the census: *here* in the store, *missing* there, *unknown* here."""

    here: int = 0
    missing: int = 0
    unknown: int = 0


class Planned(msgspec.Struct, frozen=True):
    """What the plan wants, in units: an Observation with its Provenance."""

    create: int = 0
    update: int = 0
    unchanged: int = 0
    retract: int = 0


class Written(msgspec.Struct, frozen=True):
    """What became of it; *externally_deleted* are results that another deleted and we leave so."""

    created: int = 0
    updated: int = 0
    retracted: int = 0
    failed: int = 0
    conflict: int = 0
    externally_deleted: int = 0


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """
    One run. *error* is a message without values, *exit_code* as in `spec/reliability.md` section 8.

    *complete* says whether the pull proved that it saw everything. *left_out* counts patients by reason:
    opt-out, opt-out-listed, test-patient, purged. *notes* say what the server cannot do. *tables* holds the
    estimates by (study, version), *resources* the fates of what was mapped, *patients* how many have a
    lesion, *routes* how often each was answered, by class of status, *retries* why requests were sent again;
    these, *requests*, *cutoff* and the two of the error are more than `--json` prints. *outbox*
    counts what we mean to have on the target by state, *quarantined* unreadable resources by reason;
    *last_success* is the end of the last run that was done, *clock_skew* the seconds between the server's
    clock and ours.
    """

    run: str
    status: RunStatus
    started: str
    finished: str
    pulled: Mapping[str, Found] = {}
    refused: Mapping[str, int] = {}
    left_out: Mapping[str, int] = {}
    notes: tuple[str, ...] = ()
    outbox: Mapping[str, int] = {}
    quarantined: Mapping[str, int] = {}
    last_success: str | None = None
    clock_skew: float | None = None
    compared: Mapping[str, Compared] = {}
    lesions: int = 0
    outcomes: int = 0
    planned: Planned = Planned()
    written: Written = Written()
    complete: bool = False
    watermarks: Mapping[str, str] = {}
    exit_code: int = 0
    error: str | None = None
    cutoff: str | None = None
    requests: int = 0
    routes: Mapping[str, Mapping[str, int]] = {}
    retries: Mapping[str, int] = {}
    dry_run: bool = False
    tables: Mapping[tuple[str, str], list[Estimate]] = {}
    resources: ResourceCounts = NOTHING_READ
    patients: int = 0
