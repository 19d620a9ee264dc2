"""The ledger's theorem, by simulation: D_t ≤ U_t for all t at once, whatever the traffic does.

Each adversary sees the whole past, also which drafts were checked and what came of it, before it
decides whether the next draft is wrong and how sure the gate is of it. Seeds are fixed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from policies.promise.certificate import Terms
from policies.promise.ledger import Ledger
from policies.types import Trial

RUNS, INTERACTIONS = 1_000, 2_000
FAILING = 0.02
"""The share of checks that get no answer."""
TERMS = Terms(agreement=0.9, confidence=0.95)


@dataclass(frozen=True, kw_only=True)
class Past:
    """What an adversary knows: disagreements delivered, the bound, and how far the run is."""

    delivered: int
    bound: float
    i: int
    draw: random.Random


Adversary = Callable[[Past], tuple[float, bool]]
"""Chooses (doubt, wrong)."""


def honest(past: Past) -> tuple[float, bool]:
    doubt = past.draw.random() ** 4
    return doubt, past.draw.random() < doubt


def changing(past: Past) -> tuple[float, bool]:
    """From the middle on every other draft is wrong, and the gate doesn't notice."""
    return 0.02, past.draw.random() < (0.02 if past.i < INTERACTIONS / 2 else 0.5)


def always_wrong(past: Past) -> tuple[float, bool]:
    return 0.0, True


def recurring(past: Past) -> tuple[float, bool]:
    return 0.05, past.i // 100 % 5 == 4


def chasing(past: Past) -> tuple[float, bool]:
    """Wrong as long as it is ahead: it stops as soon as too much was seen, and tries again."""
    return 0.0, past.delivered > past.bound - 8.0 or past.draw.random() < 0.1


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What one run came to."""

    exceeded: bool
    broken: bool
    served: int


def simulate(adversary: Adversary, seed: int) -> Ended:
    draw, coin = random.Random(seed), random.Random(seed + 1_000_000)
    ledger = Ledger(TERMS)
    delivered = served = 0
    exceeded = broken = False
    for i in range(INTERACTIONS):
        doubt, wrong = adversary(Past(delivered=delivered, bound=ledger.bound(), i=i, draw=draw))
        share = ledger.choose_share(doubt)
        checked = share is None or coin.random() < share
        # Now and then the teacher doesn't answer a check, so that the draft is delivered.
        failed = share is not None and checked and draw.random() < FAILING
        by_student = not checked or failed
        served += by_student
        delivered += by_student and wrong
        ledger.observe(
            Trial(
                level=0,
                seen=checked and not failed,
                wrong=wrong,
                failed=failed,
                served=by_student,
                propensity=share or 1.0,
                floor=share or 1.0,
            )
        )
        exceeded |= delivered > ledger.bound()
        broken |= delivered > TERMS.risk * (i + 1)
    return Ended(exceeded=exceeded, broken=broken, served=served)


@pytest.mark.long
@pytest.mark.parametrize("adversary", [honest, changing, always_wrong, recurring, chasing])
def test_the_bound_holds_at_all_times_at_once(adversary: Adversary) -> None:
    runs = [simulate(adversary, seed) for seed in range(RUNS)]
    delta = 1.0 - TERMS.confidence
    error = math.sqrt(delta * (1.0 - delta) / RUNS)
    assert sum(run.exceeded for run in runs) / RUNS <= delta + 3.0 * error
    # The promise can only break where the bound does.
    assert all(run.exceeded for run in runs if run.broken)


@pytest.mark.long
def test_an_honest_student_is_put_to_use() -> None:
    runs = [simulate(honest, seed) for seed in range(20)]
    assert min(run.served for run in runs) > 0.3 * INTERACTIONS


def test_one_run_of_each_kind() -> None:
    for adversary in (honest, changing, always_wrong, recurring, chasing):
        assert not simulate(adversary, seed=3).broken
