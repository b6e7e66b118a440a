"""The whole way from sources to lesions: through memory where they are small, else through a spill folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from heapq import merge
from pathlib import Path
from typing import NamedTuple

from fhir_srs.engine.parts import RUN, map_part
from fhir_srs.engine.people import list_holders, save_merged, settle_subjects
from fhir_srs.engine.runs import (
    Person,
    collisions,
    event_lines,
    lesion_lines,
    merged_issues,
    merged_persons,
)
from fhir_srs.engine.sorting import Sorted, sort_piece
from fhir_srs.engine.spill import Spill, spill_folder
from fhir_srs.engine.versions import settle_versions
from fhir_srs.engine.worker import Job, Worker
from fhir_srs.engine.workers import Alone, Crew, Workers
from fhir_srs.files import Notice, Piece, Place, pieces, read_sources, unpacked_size
from fhir_srs.mapping.assembly import issue_order
from fhir_srs.mapping.cohort import map_resources
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally, tally
from fhir_srs.model import Mapped, event_row, lesion_row, to_json
from fhir_srs.progress import Report, counted

_MEGABYTE = 1_000_000


class Limits(NamedTuple):
    """
    Bytes, and what follows from them: none changes a result.

    Below *in_memory* of input one process maps without a spill folder. *chunk*: of a file for one task.
    *largest*: of lines held at once. *parts*: how many partitions, else as many as keep them below that, from
    16 to 256 (`spec/performance.md` section 3.4).
    """

    in_memory: int = 32 << 20
    chunk: int = 8 << 20
    largest: int = 8 << 20
    parts: int | None = None

    def partitions(self, size: int) -> int:
        """How many partitions for *size* bytes of input."""
        return self.parts or min(256, max(16, size // self.largest))


class MappedFiles(NamedTuple):
    """
    What sources gave, valid within the context.

    Each call of *lesions*, *events* or *issues* gives all lines anew, one or several at a time, with ends.
    *held* is the number of bytes of lines that a process held at once, at most; 0 if nothing was spilled.
    """

    lesions: Callable[[], Iterator[bytes]]
    events: Callable[[], Iterator[bytes]]
    issues: Callable[[], Iterator[bytes]]
    tally: Tally
    held: int


def mapped_files(
    sources: Sequence[Path],
    profile: Profile,
    *,
    jobs: int,
    notice: Notice,
    report: Report,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
) -> AbstractContextManager[MappedFiles]:
    """
    The lesions, events and issues of *sources*, as lines, and their counts.

    Neither order nor packing of the input, nor *jobs* and *limits*, change a byte. *notice* is told, with
    file and offset, what could not be read. LocalIOError for a source that cannot be read or a full disk.
    """
    size = unpacked_size(sources)
    if jobs == 1 and (size is None or size < limits.in_memory):
        place = Place()
        found = map_resources(
            counted(read_sources(sources, notice, place), "resources read", report),
            profile=profile,
            unread=lambda path: notice(place.unread(path)),
        )
        return nullcontext(_of_values(found))
    return _through_spill(sources, profile, jobs, notice, report, limits)


def _of_values(mapped: Mapped) -> MappedFiles:
    return MappedFiles(
        lesions=lambda: (to_json(lesion_row(one)) + b"\n" for one in mapped.lesions),
        events=lambda: (to_json(event_row(one)) + b"\n" for one in mapped.events),
        issues=lambda: (to_json(one) + b"\n" for one in mapped.issues),
        tally=tally(mapped),
        held=0,
    )


@contextmanager
def _through_spill(
    sources: Sequence[Path], profile: Profile, jobs: int, notice: Notice, report: Report, limits: Limits
) -> Iterator[MappedFiles]:
    tasks = list(pieces(sources, notice, limits.chunk))
    size = unpacked_size(sources) or 0
    with spill_folder() as folder:
        job = Job(profile, Spill(folder, limits.partitions(size)), jobs, limits.largest)
        with _crew(job) as crew:
            total, held = _steps(job, crew, tasks, notice, report)
        yield _of_runs(job, total, held)


def _crew(job: Job) -> AbstractContextManager[Crew[Worker]]:
    return nullcontext(Alone(job.worker(0))) if job.jobs == 1 else Workers(job.jobs, job.worker)


def _steps(
    job: Job, crew: Crew[Worker], tasks: Sequence[Piece], notice: Notice, report: Report
) -> tuple[Tally, int]:
    """All steps, each over all partitions; the counts and the bytes that a process held at most."""
    parts = range(job.spill.parts)
    total, people = _sorted(crew, tasks, notice, report)
    for one in crew.each(settle_versions, parts):
        total.add(one)
    if people:
        for _ in crew.each(list_holders, parts):
            pass
        save_merged(Worker(job, 0))
        for one in crew.each(settle_subjects, parts):
            total.add(one)
    held = 0
    for number, done in enumerate(crew.each(map_part, parts), 1):
        total.add(done.tally)
        held = max(held, done.held)
        report("partitions mapped", number, len(parts))
    return total, held


def _sorted(crew: Crew[Worker], tasks: Sequence[Piece], notice: Notice, report: Report) -> tuple[Tally, bool]:
    """The first step: its counts, and whether patients must be looked up before their lines are mapped."""
    total, people, read = Tally(), False, 0
    size = sum(one.size for one in tasks)
    for piece, one in zip(tasks, crew.each(sort_piece, enumerate(tasks)), strict=True):
        total.add(one.tally)
        people = people or one.linked or one.named
        _tell(one, notice)
        read += piece.size
        report("MB read", read // _MEGABYTE, size // _MEGABYTE)
    return total, people


def _tell(one: Sorted, notice: Notice) -> None:
    with one.notes.open(encoding="utf-8") as notes:
        for note in notes:
            notice(note.rstrip("\n"))
    one.notes.unlink()


def _of_runs(job: Job, total: Tally, held: int) -> MappedFiles:
    parts = range(job.spill.parts)

    def persons() -> Iterator[Person]:
        return merged_persons(job.spill, parts, [RUN])

    changed = list(collisions(persons(), job.profile))
    total.add_issues(changed)
    more = sorted((issue_order(one), to_json(one)) for one in changed)

    def issues() -> Iterator[bytes]:
        found = merge(merged_issues(job.spill, parts, [RUN]), more)
        return (line + b"\n" for _, line in found)

    return MappedFiles(
        lesions=lambda: lesion_lines(persons(), job.profile),
        events=lambda: event_lines(persons(), job.profile),
        issues=issues,
        tally=total,
        held=held,
    )
