"""Does another cycle pay, and what do targeted answers take? Pure: no store, no clock.

What a cycle brings is read from the releases: by which part the share of interactions that the
teacher still answered shrank from an earlier release to the last one, per cycle that it took, those
that were rejected included. The next one is expected to take the same part of what is left: less
each time, as learning curves go, and never more than there is. Each interaction that is spared
saves one answer of the teacher as a whole, since the draft is made in either case. What isn't known
stays unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

LEAST_INTERACTIONS = 100
"""Of a release; from fewer its share isn't told."""

_Z95 = 1.959964

Verdict = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Spared:
    """Of a release's ``interactions``, ``spared`` were answered by the student, the teacher not
    asked even for a check."""

    interactions: int
    spared: int

    @property
    def share(self) -> float:
        return self.spared / self.interactions

    @property
    def known(self) -> bool:
        """They are enough to tell a share."""
        return self.interactions >= LEAST_INTERACTIONS

    @property
    def adjusted(self) -> tuple[float, float]:
        """Share and its variance with one success and one failure added, which keeps 0 of n from
        being certain (Agresti and Caffo 2000)."""
        share = (self.spared + 1) / (self.interactions + 2)
        return share, share * (1 - share) / (self.interactions + 2)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """By how much the next cycle raises the share that is spared, with a 95 % interval."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a cycle is weighed by; None is unknown. ``per_day``: interactions; ``teacher_usd``: of
    one answer; ``now``: the share that is spared now; ``gain``: of a cycle."""

    per_day: float | None
    teacher_usd: float | None
    cycle_usd: float
    shelf_days: float
    now: float | None
    gain: Gain | None


@dataclass(frozen=True, kw_only=True)
class Payback:
    """Whether the next cycle pays. USD over the shelf life; None is unknown. ``needed``: the rise
    of the spared share at which saving and cost are equal."""

    pays: Verdict
    sentence: str
    saving_usd: float | None = None
    saving_low_usd: float | None = None
    saving_high_usd: float | None = None
    needed: float | None = None


def find_gain(first: Spared, last: Spared, cycles: int) -> Gain:
    """What the next cycle brings, after ``cycles`` (at least 1) from one release to a later one.

    The interval is that of the logarithm of the ratio of what was left (delta method).
    """
    (before, before_var), (after, after_var) = first.adjusted, last.adjusted
    left, was = 1 - after, 1 - before
    half = _Z95 * math.sqrt(before_var / was**2 + after_var / left**2)
    ratio = math.log(left / was)
    expected, low, high = (
        left * (1 - math.exp(exponent / cycles)) for exponent in (ratio, ratio + half, ratio - half)
    )
    return Gain(expected=expected, low=low, high=high)


def weigh(terms: Terms) -> Payback:
    """A cycle's saving over its shelf life against its cost."""
    if terms.per_day is None:
        return _unknown("how many interactions a day: they span less than one; give --per-day")
    if terms.teacher_usd is None:
        return _unknown("what an answer of the teacher costs: give its model a price")
    whole = terms.per_day * terms.shelf_days * terms.teacher_usd
    cost = f"${terms.cycle_usd:,.2f} that a cycle costs"
    left = 1.0 if terms.now is None else 1.0 - terms.now
    needed = terms.cycle_usd / whole if whole else None
    if whole * left < terms.cycle_usd:
        sentence = (
            f"Even a student that spared every answer would save ${whole * left:,.2f} more in "
            f"{terms.shelf_days:g} days, less than the {cost}."
        )
        return Payback(pays="no", sentence=sentence, saving_high_usd=whole * left, needed=needed)
    if terms.gain is None:
        why = f"what a cycle brings: two releases must each have had {LEAST_INTERACTIONS}"
        return _unknown(f"{why} interactions", needed)
    gain = terms.gain
    saving, low, high = whole * gain.expected, whole * gain.low, whole * gain.high
    pays: Verdict = "unknown"
    verdict = f"too close to tell from the {cost}"
    if low >= terms.cycle_usd:
        pays, verdict = "yes", f"more than the {cost}"
    elif high < terms.cycle_usd:
        pays, verdict = "no", f"less than the {cost}"
    sentence = (
        f"By what the last cycles brought, the next one saves {_show(saving)} in "
        f"{terms.shelf_days:g} days ({_show(low)} to {_show(high)}): {verdict}."
    )
    return Payback(
        pays=pays,
        sentence=sentence,
        saving_usd=saving,
        saving_low_usd=low,
        saving_high_usd=high,
        needed=needed,
    )


def count_calls(answers: int, have: int, precision: float) -> int:
    """Calls of the teacher until ``answers`` are there, of which one in 1/``precision`` counts."""
    return math.ceil(round(max(0, answers - have) / precision, 9))


def _unknown(what: str, needed: float | None = None) -> Payback:
    return Payback(pays="unknown", sentence=f"Unknown is {what}.", needed=needed)


def _show(amount: float) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"
