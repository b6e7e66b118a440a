"""Pain response rules as tables: ICPRE's two dimensions, the point drops of `ryu2008` and `rtog0631`.

The theory is spec/endpoints.md section 3. Every (P0, M0, Pt, Mt) has exactly one category: a rule set is a
sequence of steps, the first that holds decides, and its name is the arm that is reported.

P0, Pt are pain at baseline and at the assessment, 0 to 10; M0, Mt the OMED in mg/day, or None where
unknown. All arithmetic is exact decimal.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec

Category = Literal["CR", "PR", "PP", "IR", "STABLE", "PROG", "RESPONDER", "NON-RESPONDER", "NE"]


class Band(msgspec.Struct, frozen=True):
    """
    Within which ratios the OMED is stable, and whether an increase inside it is tolerated.

    A quarter less is a fall (Nakamura 2016 table 1), a quarter more a rise (ICPRE). CR and PR allow no
    increase by any amount; with *tolerant* (`omed_increase = 25-percent`) none that is a rise.
    """

    fall: Decimal = Decimal("0.75")
    rise: Decimal = Decimal("1.25")
    tolerant: bool = False

    def rises(self, before: Decimal, after: Decimal) -> bool:
        """Whether the OMED rose to the ratio of the band, or from nothing (section 3, `rise`)."""
        return after >= self.rise * before if before > 0 else after > 0

    def falls(self, before: Decimal, after: Decimal) -> bool:
        """Whether the OMED fell to the ratio of the band (section 3, `fall`)."""
        return before > 0 and after <= self.fall * before


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Pain and OMED at baseline and at an assessment; *delta* is the study's smallest change of pain."""

    before: Decimal
    after: Decimal
    omed_before: Decimal
    omed_after: Decimal
    delta: Decimal
    band: Band = Band()

    @property
    def increased(self) -> bool:
        """More opioid than the study tolerates."""
        return self.rise if self.band.tolerant else self.omed_after > self.omed_before

    @property
    def fall(self) -> bool:
        """A quarter less, or better."""
        return self.band.falls(self.omed_before, self.omed_after)

    @property
    def rise(self) -> bool:
        """A quarter more, or an opioid started."""
        return self.band.rises(self.omed_before, self.omed_after)

    @property
    def worse(self) -> bool:
        """Pain up by the study's delta or more."""
        return self.after >= self.before + self.delta

    @property
    def better(self) -> bool:
        """Pain down by the study's delta or more."""
        return self.after <= self.before - self.delta


class Step(msgspec.Struct, frozen=True):
    """One line of a rule set: if *holds*, the category; *arm* is its name in the output, *says* its words."""

    arm: str
    category: Category
    holds: Callable[[Change], bool]
    says: str


# Chow 2012 as read in spec/endpoints.md section 3, resolution order. `pp-both` is our only deviation
# from the literal text (docs/decisions/003).
ICPRE = (
    Step("cr", "CR", lambda c: c.after == 0 and not c.increased, "pain 0 and no more opioid"),
    Step(
        "pp-both", "PP", lambda c: c.worse and c.rise, "pain up by delta or more, and opioid up by a quarter"
    ),
    Step(
        "pp-pain",
        "PP",
        lambda c: c.worse and not c.fall,
        "pain up by delta or more, and opioid not down by a quarter",
    ),
    Step(
        "pp-omed",
        "PP",
        lambda c: c.rise and c.before <= c.after < c.before + c.delta,
        "opioid up by a quarter, and pain as before or up by less than delta",
    ),
    Step(
        "pr-pain",
        "PR",
        lambda c: c.better and not c.increased,
        "pain down by delta or more, and no more opioid",
    ),
    Step(
        "pr-omed", "PR", lambda c: c.fall and c.after <= c.before, "opioid down by a quarter, and pain not up"
    ),
    Step("ir", "IR", lambda _: True, "none of the others"),
)
# `threshold` of section 3: analgesic-blind, every score in one class.
THRESHOLD = (
    Step("cr", "CR", lambda c: c.after == 0, "pain 0"),
    Step("pr", "PR", lambda c: c.better, "pain down by delta or more"),
    Step("prog", "PROG", lambda c: c.worse, "pain up by delta or more"),
    Step("stable", "STABLE", lambda _: True, "pain changed by less than delta"),
)
# RTOG 0631 (PMID 37079324): a drop of at least 3 without more opioid; the other categories from memory
# (section 3, decisions.md E10). A drop with more opioid is indeterminate, also down to 0.
RTOG = (
    Step("ir-omed", "IR", lambda c: c.better and c.increased, "pain down by delta or more, but more opioid"),
    Step("prog-pain", "PROG", lambda c: c.worse, "pain up by delta or more"),
    Step("prog-omed", "PROG", lambda c: c.increased, "more opioid without a drop of delta"),
    Step("cr", "CR", lambda c: c.after == 0, "pain 0 and no more opioid"),
    Step("pr", "PR", lambda c: c.better, "pain down by delta or more, and no more opioid"),
    Step("stable", "STABLE", lambda _: True, "pain changed by less than delta, and no more opioid"),
)
# The sensitivity reading of `ryu2008` (section 16): a drop of half instead of points.
HALF = (
    Step("cr", "CR", lambda c: c.after == 0, "pain 0"),
    Step("pr-half", "PR", lambda c: c.after * 2 <= c.before, "pain down by half or more"),
    Step("prog", "PROG", lambda c: c.worse, "pain up by delta or more"),
    Step("stable", "STABLE", lambda _: True, "pain changed by less"),
)
RULES = {"icpre": ICPRE, "threshold": THRESHOLD, "half": HALF, "rtog": RTOG}
# Rules that look at pain alone.
POINT_DROPS = frozenset({"threshold", "half"})
# Best first: what "best class" means under each rule (section 16; ICPRE by analogy).
BEST_FIRST: dict[str, tuple[Category, ...]] = {
    "icpre": ("CR", "PR", "IR", "PP"),
    "threshold": ("CR", "PR", "STABLE", "PROG"),
    "half": ("CR", "PR", "STABLE", "PROG"),
    "rtog": ("CR", "PR", "STABLE", "IR", "PROG"),
}
RESPONSE: frozenset[str] = frozenset({"CR", "PR"})


def words_of(rule: str, arm: str | None) -> str | None:
    """What the *arm* of *rule* says, in words; None without an arm."""
    return next((step.says for step in RULES[rule] if step.arm == arm), None)


def classify(rule: str, change: Change) -> tuple[Category, str]:
    """
    The category of *change* under *rule*, and the arm that fired.

    >>> n = Decimal
    >>> classify("icpre", Change(before=n(7), after=n(5), omed_before=n(60), omed_after=n(60), delta=n(2)))
    ('PR', 'pr-pain')
    """
    step = next(step for step in RULES[rule] if step.holds(change))
    return step.category, step.arm
