"""Do a frontier's intervals hold the truth? By simulation with known truth; seeds are stated.

Scores and errors are drawn from a known law; the log sees what a gateway sees: everything below
the threshold in force, and of the rest the share that a coin chose. Each limit of a 95 % interval
may err in 2.5 % of the runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from policies.estimate import Logged, Outlook, estimate_outlooks
from policies.promise.certificate import Certificate, Terms
from policies.promise.policy import choose_proof_share
from policies.scoring.gate import risk_curve
from policies.types import Trial

Floats = NDArray[np.float64]

SURE = 6.0
"""Scores are Beta(SURE, hard) distributed."""

THRESHOLDS = (0.3, 0.8, 0.9)
AUDIT_SHARE = 0.05
USD, SPREAD = 0.01, 0.5
"""The teacher's answers cost USD·exp(SPREAD·z − SPREAD²/2): a mean of USD, and a long tail."""


def doubt(score: Floats) -> Floats:
    """The true chance that a draft is wrong: the gate is too pessimistic."""
    chance: Floats = (1.0 - score) ** 1.3
    return chance


@cache
def truth(hard: float, threshold: float) -> tuple[float, float, float]:
    """Agreement over all, over what is served, and the cost, by integration."""
    law = stats.beta(SURE, hard)
    score = law.ppf((np.arange(20_000) + 0.5) / 20_000)
    served = score >= threshold
    risk = float((doubt(score) * served).mean())
    share = float(served.mean())
    return 1.0 - risk, 1.0 - risk / share, USD * (1.0 - share * (1.0 - AUDIT_SHARE))


def log_of(
    rng: np.random.Generator,
    score: Floats,
    wrong: NDArray[np.bool_],
    chance: Floats,
    seen: NDArray[np.bool_],
) -> Logged:
    usd = USD * np.exp(SPREAD * rng.standard_normal(len(score)) - SPREAD**2 / 2.0)
    return Logged(
        score=score,
        propensity=chance,
        seen=seen,
        failed=np.zeros(len(score), dtype=np.bool_),
        wrong=wrong,
        teacher_usd=np.where(seen, usd, math.nan),
        draft_usd=np.zeros(len(score)),
    )


def fixed(n: int, hard: float, share: float, observed: float) -> Callable[..., Logged]:
    """A log under the threshold 0.7, after a part in which everything was seen."""

    def draw(rng: np.random.Generator) -> Logged:
        score = rng.beta(SURE, hard, n)
        certain = (score < 0.7) | (np.arange(n) < observed * n)
        wrong = rng.random(n) < doubt(score)
        chance = np.where(certain, 1.0, share)
        return log_of(rng, score, wrong, chance, rng.random(n) < chance)

    return draw


def certified(n: int, hard: float, agreement: float) -> Callable[..., Logged]:
    """A log under the real certificate, whose threshold and share follow what was seen."""

    def draw(rng: np.random.Generator) -> Logged:
        score = rng.beta(SURE, hard, n)
        wrong, coins = rng.random(n) < doubt(score), rng.random(n)
        certificate = Certificate(Terms(agreement=agreement))
        curve, risk, _ = risk_curve(rng.beta(SURE, hard, 500), np.ones(500))
        within = np.searchsorted(np.maximum.accumulate(risk), certificate.levels, side="right")
        thresholds = np.concatenate([[np.inf], curve])[within]
        chance = np.ones(n)
        for i in range(n):
            level, allowed = int((thresholds > score[i]).sum()), certificate.level()
            floor = 1.0 if allowed is None else choose_proof_share(allowed)
            chance[i] = floor if allowed is not None and level <= allowed else 1.0
            certificate.observe(
                Trial(
                    level=level,
                    seen=bool(coins[i] < chance[i]),
                    wrong=bool(wrong[i]),
                    propensity=float(chance[i]),
                    floor=floor,
                )
            )
        return log_of(rng, score, wrong, chance, coins < chance)

    return draw


def simulate(
    draw: Callable[..., Logged], runs: int, seed: int, thresholds: Sequence[float] = THRESHOLDS
) -> list[list[Outlook]]:
    rng = np.random.default_rng(seed)
    return [
        estimate_outlooks(draw(rng), thresholds, audit_share=AUDIT_SHARE, confidence=0.95)
        for _ in range(runs)
    ]


def may_err(chance: float, runs: int) -> float:
    return chance + 3.0 * math.sqrt(chance * (1.0 - chance) / runs)


def check_agreement(runs: list[list[Outlook]], hard: float) -> None:
    for k, threshold in enumerate(THRESHOLDS):
        over_all, of_served, _ = truth(hard, threshold)
        for true, found in (
            (over_all, [run[k].agreement for run in runs]),
            (of_served, [run[k].agreement_served for run in runs]),
        ):
            low = np.mean([one is not None and one.low > true for one in found])
            high = np.mean([one is not None and one.high < true for one in found])
            assert max(low, high) <= may_err(0.025, len(runs)), (threshold, true, low, high)


@pytest.mark.parametrize("observed", [0.0, 0.5])
@pytest.mark.parametrize("share", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("hard", [0.3, 0.7])
def test_agreement_lies_within_its_interval(hard: float, share: float, observed: float) -> None:
    """Risks of 0.7 to 6 % over all; everything above 0.7 is seen at ``share``."""
    check_agreement(simulate(fixed(300, hard, share, observed), runs=200, seed=21), hard)


@pytest.mark.long
@pytest.mark.parametrize("n", [1000, 5000])
@pytest.mark.parametrize("share", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("hard", [0.3, 0.7])
def test_agreement_lies_within_its_interval_in_longer_logs(
    hard: float, share: float, n: int
) -> None:
    check_agreement(simulate(fixed(n, hard, share, 0.0), runs=300, seed=22), hard)


@pytest.mark.long
@pytest.mark.parametrize("n", [300, 2000])
@pytest.mark.parametrize(("hard", "agreement"), [(0.3, 0.95), (0.7, 0.9)])
def test_agreement_lies_within_its_interval_under_a_certificate(
    hard: float, agreement: float, n: int
) -> None:
    """What is seen depends on what was seen before, which no theorem here covers."""
    check_agreement(simulate(certified(n, hard, agreement), runs=100, seed=23), hard)


def test_a_normal_interval_would_not_do() -> None:
    """The simulation can fail: the usual interval around ``ips`` misses the truth too often."""
    n, hard, runs = 300, 0.7, 300
    rng, misses = np.random.default_rng(24), 0
    for _ in range(runs):
        log = fixed(n, hard, 0.05, 0.0)(rng)
        terms = log.wrong * log.seen / log.propensity
        low = 1.0 - terms.mean() - 1.96 * terms.std() / math.sqrt(n)
        misses += low > truth(hard, 0.0)[0]
    assert misses / runs > 2.0 * may_err(0.025, runs)


def test_the_cost_lies_within_its_interval() -> None:
    hard, runs = 0.3, 150
    for share in (0.05, 0.2):
        found = simulate(fixed(1000, hard, share, 0.0), runs=runs, seed=25)
        for k, threshold in enumerate(THRESHOLDS):
            costs = [run[k].cost_usd for run in found]
            true = truth(hard, threshold)[2]
            missed = np.mean([c is None or not c.low <= true <= c.high for c in costs])
            assert missed <= may_err(0.05, runs), (share, threshold, missed)


def test_the_balanced_weights_err_least_where_part_of_the_log_saw_everything() -> None:
    """And where none did, no more than the others: what the choice of estimator rests on."""
    hard = 0.7
    for observed, most in ((0.5, 0.7), (0.0, 1.15)):
        found = simulate(fixed(1000, hard, 0.05, observed), 100, seed=26, thresholds=(0.8,))
        true = truth(hard, 0.8)[0]
        errors = np.array(
            [[o.agreement.value, o.ips, o.snips, o.dr] for (o,) in found], dtype=np.float64
        )
        balanced, *others = np.sqrt(((errors - true) ** 2).mean(axis=0))
        assert balanced <= most * min(others), (observed, balanced, others)
