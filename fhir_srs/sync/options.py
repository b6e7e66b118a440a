"""What an operator asks of one run, beside the settings."""

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    What an operator asks of one run.

    *full* pulls everything again. *dry_run* sends only reads and works on a copy of the store. *retract*
    releases the brake and lets an edited site profile withdraw results; *recreate* writes results again that
    another deleted, *overwrite* those that another edited. *census* compares all ids; *quarantined* reads
    again what could not be read; *pull_only* ends the run with the pull.
    """

    full: bool = False
    dry_run: bool = False
    retract: bool = False
    recreate: bool = False
    overwrite: bool = False
    census: bool = False
    quarantined: bool = False
    pull_only: bool = False

    @property
    def beside_the_usual(self) -> tuple[str, ...]:
        """The names of those that let a run write, or believe, what it would not by itself."""
        return tuple(name for name in ("retract", "recreate", "overwrite") if getattr(self, name))

    @property
    def insists(self) -> bool:
        """Whether more is asked for than to take up what changed."""
        return self.full or self.census or bool(self.beside_the_usual)


class Flags(TypedDict, total=False):
    """The fields of `Options` as keywords."""

    full: bool
    dry_run: bool
    retract: bool
    recreate: bool
    overwrite: bool
    census: bool
    quarantined: bool
    pull_only: bool
