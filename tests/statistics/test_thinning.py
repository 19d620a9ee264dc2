"""The bound's theorem, by simulation: D_t ≤ U_t for all t at once, whatever the traffic does.

Each adversary sees the whole past, also which drafts were checked and what came of it, before it
decides whether the next draft is wrong; shares of checks change as they like. Seeds are fixed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from policies.promise.thinning import Thinning
from policies.types import Trial

RUNS, INTERACTIONS = 200, 800
CONFIDENCE, EXPECTED_SHARE = 0.9, 0.1
FAILING = 0.02


@dataclass(frozen=True, kw_only=True)
class Past:
    """What an adversary knows: disagreements delivered, those seen, and how far the run is."""

    delivered: int
    seen: int
    i: int
    draw: random.Random


Adversary = Callable[[Past], tuple[float, bool]]
"""Chooses (share of checks, wrong)."""


def honest(past: Past) -> tuple[float, bool]:
    return 0.1, past.draw.random() < 0.1


def always_wrong(past: Past) -> tuple[float, bool]:
    return 0.1, True


def changing(past: Past) -> tuple[float, bool]:
    return 0.05 + 0.3 * past.draw.random(), past.draw.random() < (0.02 if past.i < 400 else 0.4)


def chasing(past: Past) -> tuple[float, bool]:
    """Wrong until the first is seen, then for as long as it is ahead."""
    return 0.1, past.seen == 0 or past.delivered > 11 * past.seen


def hardly_checked(past: Past) -> tuple[float, bool]:
    """Shares below what was expected, at which most growths aren't fit."""
    return 0.004, past.draw.random() < 0.5


def _run(adversary: Adversary, seed: int) -> tuple[bool, float]:
    """Whether the bound was ever below the truth, and its slack at the end as a share."""
    draw = random.Random(f"{adversary.__name__} {seed}")
    bound, delivered, seen, broken = Thinning(CONFIDENCE, EXPECTED_SHARE), 0, 0, False
    for i in range(INTERACTIONS):
        share, wrong = adversary(Past(delivered=delivered, seen=seen, i=i, draw=draw))
        checked = draw.random() < share
        failed = checked and draw.random() < FAILING
        served = failed or not checked
        delivered += served and wrong
        seen += checked and wrong and not failed
        trial = Trial(
            level=0,
            seen=checked and not failed,
            wrong=wrong,
            propensity=share,
            floor=share,
            failed=failed,
            served=served,
        )
        bound.observe(trial)
        # The bound moves only where something was seen or served; delivered grows with the latter.
        if served and wrong:
            broken = broken or delivered > bound.bound() + 1e-6
    return broken, (bound.bound() - delivered) / INTERACTIONS


@pytest.mark.parametrize(
    "adversary", [honest, always_wrong, changing, chasing, hardly_checked], ids=lambda a: a.__name__
)
def test_no_adversary_breaks_the_bound_more_often_than_allowed(adversary: Adversary) -> None:
    broken = sum(_run(adversary, seed)[0] for seed in range(RUNS))
    allowed = 1.0 - CONFIDENCE
    assert broken / RUNS <= allowed + 3.0 * math.sqrt(allowed * (1.0 - allowed) / RUNS)


def test_the_bound_says_something() -> None:
    slack = [_run(honest, seed)[1] for seed in range(50)]
    assert sum(slack) / len(slack) < 0.2


def test_without_its_charges_the_bound_would_break() -> None:
    """The test above can fail: a bound that forgets what was seen is broken."""
    broken = 0
    for seed in range(50):
        draw = random.Random(f"forgetful {seed}")
        bound, delivered = Thinning(CONFIDENCE, EXPECTED_SHARE), 0
        for _ in range(INTERACTIONS):
            checked = draw.random() < 0.1
            delivered += not checked
            trial = Trial(
                level=0,
                seen=checked,
                wrong=False,
                propensity=0.1,
                floor=0.1,
                served=not checked,
            )
            bound.observe(trial)
        broken += delivered > bound.bound()
    assert broken == 50
