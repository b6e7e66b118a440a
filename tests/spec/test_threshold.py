"""The point drops of `ryu2008`: every arm, its borders, and which day gives the best class (section 3)."""

import pytest

from tests.spec.timelines import outcomes, response

# baseline, score on day 60 -> category, arm. The drop is 3 points; opioids are not looked at.
CLASSES = {
    "no pain left": ("7", "0", "CR", "cr"),
    "no pain left of 1": ("1", "0", "CR", "cr"),
    "a drop of 3": ("7", "4", "PR", "pr"),
    "a drop of 2": ("7", "5", "STABLE", "stable"),
    "no change": ("7", "7", "STABLE", "stable"),
    "a rise of 2": ("7", "9", "STABLE", "stable"),
    "a rise of 3": ("7", "10", "PROG", "prog"),
    "of 2 no drop of 3 is left but to 0": ("2", "1", "STABLE", "stable"),
    "a rise of 3 from 1": ("1", "4", "PROG", "prog"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_the_class_is(name: str) -> None:
    before, after, category, arm = CLASSES[name]
    drawing = f"A | -3 | pain | {before}\nA | 60 | pain | {after}"
    with_opioid = drawing + "\n- | -20..30 | opioid | 10\n- | 31..200 | opioid | 200"
    for one in (drawing, with_opioid):
        row = response(outcomes(one), "best")
        assert (row.category, row.arm) == (category, arm)


# drawing after a baseline of 5 -> best class, day on which it was reached first
BEST = {
    "the best of several days, not the last": (
        "A | 20 | pain | 5\nA | 40 | pain | 1\nA | 80 | pain | 8", "PR", "40"),
    "the first of equals": ("A | 20 | pain | 2\nA | 40 | pain | 1", "PR", "20"),
    "complete before partial, however late": ("A | 20 | pain | 1\nA | 90 | pain | 0", "CR", "90"),
    "day 91 is too late": ("A | 20 | pain | 5\nA | 91 | pain | 0", "STABLE", "20"),
    "relief in the flare days counts": ("A | 2 | pain | 1\nA | 40 | pain | 6", "PR", "2"),
    "a rise in the flare days does not": ("A | 14 | pain | 9\nA | 40 | pain | 5", "STABLE", "40"),
    "a rise on day 15 does": ("A | 15 | pain | 8", "PROG", "15"),
    "stable before progression": ("A | 20 | pain | 8\nA | 40 | pain | 6", "STABLE", "40"),
    "only the flare days seen": ("A | 10 | pain | 5", "NE flare-window-only", "-"),
}  # fmt: skip


@pytest.mark.parametrize("name", BEST)
def test_the_best_class_of_days_1_to_90_is(name: str) -> None:
    drawing, expected, day = BEST[name]
    row = response(outcomes("A | -3 | pain | 5\n" + drawing), "best")
    said = " ".join(one for one in (row.category, row.reason) if one)
    assert (said, str(row.days) if row.days is not None else "-") == (expected, day)


# treatment -> who is in, or why not; flags
TAKEN = {
    "one fraction": ("A | 0 | srs | T8", "in"),
    "two fractions": ("A | 0..2 | sbrt | T8 2", "more-than-one-fraction"),
    "fractions unknown": ("A | 0 | srs | T8 ?", "fractions-unknown"),
    "conventional radiotherapy": ("A | 0 | rt | T8", "not-radiosurgery"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_ryu2008_takes(name: str) -> None:
    drawing, expected = TAKEN[name]
    found = outcomes(drawing + "\nA | -3 | pain | 5")
    assert [one.reason for one in found.excluded] == ([] if expected == "in" else [expected])
    assert bool(found.responses) is (expected == "in")
