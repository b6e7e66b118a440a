"""Searches side by side: what is asked, cut up and taken, and that no thread outlives them."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from fhir_srs.fhir.answers import Page
from fhir_srs.sync.crew import Crew

THREADS = 3


def page(number: int) -> Page:
    return Page(resources=(), total=number, next=None, self_link=None, last_updated=None)


def pages_of(number: int) -> Iterator[Page | Sequence[int]]:
    """As many pages as *number* says; above 9 two halves instead."""
    if number > 9:
        yield [number // 2, number - number // 2]
    else:
        yield from map(page, range(number))


def others() -> int:
    return sum(one.name == "crew" for one in threading.enumerate())


def test_each_piece_gives_its_pages_in_order_then_none() -> None:
    told: dict[int, list[int | None]] = {}
    with Crew(pages_of, [5, 1, 0, 7], threads=THREADS).walking() as all_told:
        for piece, what in all_told:
            told.setdefault(piece, []).append(what.total if isinstance(what, Page) else None)
    assert told == {piece: [*range(piece), None] for piece in (5, 1, 0, 7)}
    assert others() == 0


def test_what_is_cut_up_is_done_in_pieces_and_each_cut_is_told_before_them() -> None:
    left, seen = 1, 0
    with Crew(pages_of, [40], threads=THREADS).walking() as all_told:
        for _, what in all_told:
            seen += isinstance(what, Page)
            left += 0 if isinstance(what, Page) else -1 if what is None else len(what)
            assert left >= 0
    assert (left, seen) == (0, 40)


def test_an_exception_of_a_step_is_raised_here_and_nothing_more_is_begun() -> None:
    begun = []

    def step(number: int) -> Iterator[Page | Sequence[int]]:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        yield page(number)

    with pytest.raises(ValueError, match="two"), Crew(step, range(1000), threads=1).walking() as told:
        list(told)
    assert begun == [0, 1, 2]
    assert others() == 0


def test_leaving_early_ends_all_threads_though_pages_wait() -> None:
    with Crew(pages_of, [9] * 1000, threads=THREADS).walking() as told:
        next(told)
    assert others() == 0


def test_no_more_pages_wait_than_there_are_threads() -> None:
    asked = []

    def step(number: int) -> Iterator[Page | Sequence[int]]:
        asked.append(number)
        yield page(number)

    with Crew(step, range(1000), threads=THREADS).walking() as told:
        next(told)
        time.sleep(0.2)
        # One taken, as many waiting as there are threads, and one in the hand of each.
        assert len(asked) <= 1 + 2 * THREADS
        list(told)
    assert sorted(asked) == list(range(1000))
