"""A promise over a ladder with a further model, by simulation with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.frontier.rung_world import MIXES, Mix, run

pytestmark = pytest.mark.long

DELTA = 0.05
ERRS_OFTEN = Mix(hard=0.5, student=3.0, model=3.5)
"""The model agrees seven times in ten."""


def test_the_promise_holds_whatever_the_confidence_in_a_further_model_is_worth() -> None:
    """Its drafts count as sure at .99 throughout, so they are the surest wherever they are made."""
    runs = [
        run(ERRS_OFTEN, "always", price=0.1, count=1_200, seed=seed, believe=0.99)
        for seed in range(40)
    ]
    assert np.mean([one.drafted for one in runs]) > 0.1
    broken = sum(one.agreement < 0.95 for one in runs)
    assert broken <= DELTA * len(runs) + 3.0 * (DELTA * (1.0 - DELTA) * len(runs)) ** 0.5


def test_a_further_model_saves_and_the_promise_holds() -> None:
    seeds = range(12)
    mix = MIXES["half and half"]
    with_it, without = (
        [run(mix, arm, price=0.1, count=2_000, seed=seed) for seed in seeds]
        for arm in ("ladder", "student")
    )
    assert sum(one.agreement < 0.95 for one in with_it) == 0
    saved = np.array([b.cost - a.cost for a, b in zip(with_it, without, strict=True)])
    assert saved.mean() > 2.0 * saved.std(ddof=1) / len(saved) ** 0.5


def test_a_further_model_that_adds_nothing_is_seldom_asked_and_costs_little() -> None:
    seeds = range(8)
    mix = MIXES["no better than the student"]
    by_data, always = (
        [run(mix, arm, price=0.5, count=2_000, seed=seed) for seed in seeds]
        for arm in ("ladder", "always")
    )
    assert np.mean([one.drafted for one in by_data]) < 0.3
    assert np.mean([one.cost for one in by_data]) < np.mean([one.cost for one in always])
