"""What is printed: results on stdout, everything else on stderr, nothing that a terminal would obey."""

import re
import sys
from collections.abc import Iterable

# What a terminal would obey, or show in another order than it stands: texts of a hospital may hold them.
_OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def say(text: str) -> None:
    """*text* on stdout, with one line end, at once."""
    text = _OBEYED.sub("\ufffd", text)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def say_all(lines: Iterable[str], *, none: str) -> None:
    """Each of *lines* on stdout; where there is none, *none* on stderr."""
    told = list(lines)
    for line in told:
        say(line)
    if not told:
        note(none)


def note(text: str) -> None:
    """*text* as a line on stderr."""
    text = _OBEYED.sub("\ufffd", text)
    sys.stderr.write(f"{text}\n")


def note_lines(lines: Iterable[str]) -> None:
    """Each of *lines* on stderr."""
    for line in lines:
        note(line)
