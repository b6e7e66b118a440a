"""The whole way from sources to lesions: through memory where they are small, else through a spill folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from heapq import merge
from pathlib import Path
from typing import NamedTuple, TypeVar

from fhir_srs.engine.parts import map_part
from fhir_srs.engine.people import list_holders, save_merged, settle_subjects
from fhir_srs.engine.runs import (
    Person,
    collisions,
    event_lines,
    lesion_lines,
    merged_issues,
    merged_persons,
    person_lines,
    person_values,
    treated,
)
from fhir_srs.engine.sorting import Sorted, Sorter
from fhir_srs.engine.spill import Spill, spill_folder
from fhir_srs.engine.versions import settle_versions
from fhir_srs.engine.worker import Job, Worker
from fhir_srs.engine.workers import Alone, Crew, Workers
from fhir_srs.files import Notice, Piece, Place, pieces, read_sources, unpacked_size
from fhir_srs.mapping.assembly import issue_order, lesions_of, namesakes
from fhir_srs.mapping.cohort import map_resources
from fhir_srs.mapping.persons import PatientMap
from fhir_srs.mapping.profile import Profile
from fhir_srs.mapping.tally import Tally, tally
from fhir_srs.model import Mapped, event_row, lesion_row, to_json
from fhir_srs.progress import Report, counted

_MEGABYTE = 1_000_000
Answer = TypeVar("Answer")


class Limits(NamedTuple):
    """
    Bytes, and what follows from them: none changes a result.

    Below *in_memory* of input one process maps without a spill folder. *chunk*: of a file for one task.
    *largest*: of lines held at once. *parts*: how many partitions, else as many as keep them below that, from
    16 to 256 (`spec/performance.md` section 3.4).
    """

    in_memory: int = 32 << 20
    chunk: int = 8 << 20
    largest: int = 4 << 20
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
    if _is_small(sources, jobs, limits):
        return nullcontext(_of_values(_through_memory(sources, profile, notice, report)))
    return _files(_Order(sources, profile, jobs, notice, report, limits))


def map_study(
    sources: Sequence[Path],
    profile: Profile,
    *,
    notice: Notice,
    report: Report,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
) -> tuple[Mapped, Tally]:
    """
    What endpoints need of *sources*, and the counts of all: lesions, those who have one, and their events.

    Studies stay small after mapping, so that this much is held in memory; no Issue is, if there are many
    resources. Otherwise as `mapped_files`, in one process.
    """
    if _is_small(sources, 1, limits):
        mapped = _through_memory(sources, profile, notice, report)
        return mapped, tally(mapped)
    with _spilled(_Order(sources, profile, 1, notice, report, limits), person_values) as (job, total, _):
        maps = list(treated(merged_persons(job.spill), profile))
        total.add_issues(collisions(merged_persons(job.spill), profile))
    groups = namesakes(maps)
    mapped = Mapped(
        lesions=[lesion for group in groups for lesion in lesions_of(group)],
        patients=[one.patient for one in maps],
        events=[event for one in maps for event in one.events],
        issues=[],
        counts=total.counts,
    )
    return mapped, total


class _Order(NamedTuple):
    """What is asked for: see `mapped_files`."""

    sources: Sequence[Path]
    profile: Profile
    jobs: int
    notice: Notice
    report: Report
    limits: Limits


def _is_small(sources: Sequence[Path], jobs: int, limits: Limits) -> bool:
    size = unpacked_size(sources)
    return jobs == 1 and (size is None or size < limits.in_memory)


def _through_memory(sources: Sequence[Path], profile: Profile, notice: Notice, report: Report) -> Mapped:
    place = Place()
    return map_resources(
        counted(read_sources(sources, notice, place), "resources read", report),
        profile=profile,
        unread=lambda path: notice(place.unread(path)),
    )


def _of_values(mapped: Mapped) -> MappedFiles:
    return MappedFiles(
        lesions=lambda: (to_json(lesion_row(one)) + b"\n" for one in mapped.lesions),
        events=lambda: (to_json(event_row(one)) + b"\n" for one in mapped.events),
        issues=lambda: (to_json(one) + b"\n" for one in mapped.issues),
        tally=tally(mapped),
        held=0,
    )


@contextmanager
def _files(order: _Order) -> Iterator[MappedFiles]:
    with _spilled(order, person_lines) as (job, total, held):
        yield _of_runs(job, total, held)


@contextmanager
def _spilled(order: _Order, store: Callable[[PatientMap], Person]) -> Iterator[tuple[Job, Tally, int]]:
    """All steps: the job, in whose folder the runs are while the context lasts; counts, and what was held."""
    jobs, limits = order.jobs, order.limits
    tasks = list(pieces(order.sources, order.notice, limits.chunk))
    size = unpacked_size(order.sources) or 0
    with spill_folder() as folder:
        job = Job(order.profile, Spill(folder, limits.partitions(size)), jobs, limits.largest, store)
        build = partial(Hand, job)
        with nullcontext(Alone(build(0))) if jobs == 1 else Workers(jobs, build) as crew:
            total, held = _steps(job, crew, tasks, order.notice, order.report)
        yield job, total, held


class Hand:
    """One process at work: in the first step a `Sorter`, whose memory ends with it, then a `Worker`."""

    def __init__(self, job: Job, number: int) -> None:
        self._job = job
        self._number = number
        self._sorter: Sorter | None = None
        self._worker: Worker | None = None

    def sort(self, task: tuple[int, Piece]) -> Sorted:
        """Sort the lines of a numbered piece of input."""
        self._sorter = self._sorter or Sorter(self._job, self._number)
        number, piece = task
        return self._sorter.sort(piece, self._job.spill.folder / f"notes-{number}")

    def do(self, step: Callable[[Worker, int], Answer], part: int) -> Answer:
        """What *step* gives for *part*."""
        self._sorter = None
        self._worker = self._worker or Worker(self._job, self._number)
        return step(self._worker, part)


def _do(step: Callable[[Worker, int], Answer], hand: Hand, part: int) -> Answer:
    return hand.do(step, part)


def _steps(
    job: Job, crew: Crew[Hand], tasks: Sequence[Piece], notice: Notice, report: Report
) -> tuple[Tally, int]:
    """All steps, each over all partitions; the counts and the bytes that a process held at most."""
    parts = range(job.spill.parts)
    total, people = _sorted(crew, tasks, notice, report)
    for one in crew.each(partial(_do, settle_versions), parts):
        total.add(one)
    if people:
        for _ in crew.each(partial(_do, list_holders), parts):
            pass
        save_merged(Worker(job, 0))
        for one in crew.each(partial(_do, settle_subjects), parts):
            total.add(one)
    held = 0
    for number, done in enumerate(crew.each(partial(_do, map_part), parts), 1):
        total.add(done.tally)
        held = max(held, done.held)
        report("partitions mapped", number, len(parts))
    return total, held


def _sorted(crew: Crew[Hand], tasks: Sequence[Piece], notice: Notice, report: Report) -> tuple[Tally, bool]:
    """The first step: its counts, and whether patients must be looked up before their lines are mapped."""
    total, people, read = Tally(), False, 0
    size = sum(one.size for one in tasks)
    for piece, one in zip(tasks, crew.each(Hand.sort, enumerate(tasks)), strict=True):
        total.add(one.tally)
        people = people or one.people
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
    profile, spill = job.profile, job.spill
    changed = list(collisions(merged_persons(spill), profile))
    total.add_issues(changed)
    more = sorted((issue_order(one), to_json(one)) for one in changed)
    return MappedFiles(
        lesions=lambda: lesion_lines(merged_persons(spill), profile),
        events=lambda: event_lines(merged_persons(spill), profile),
        issues=lambda: (line + b"\n" for _, line in merge(merged_issues(spill), more)),
        tally=total,
        held=held,
    )
