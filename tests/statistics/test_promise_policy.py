"""Policy and certificate together keep what they promise, by simulation with known truth.

A release is its thresholds: it predicts that a draft of score s is wrong with probability 1 − s,
scores being uniform; the truth is ``factor`` times that. Seeds are fixed and stated.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Over, Terms
from policies.promise.policy import PromisePolicy
from policies.types import Ask, Evidence, Features, Tier, Trial

RUNS, INTERACTIONS = 300, 900
READY = Features(workload="w", student_ready=True)
STATIONARY = (1.0,)
TOO_SURE = (3.0,)
IMPROVING = (2.5, 1.5, 0.7)


def predict_thresholds(terms: Terms) -> NDArray[np.float64]:
    """Lowest score from which on the predicted share of wrong ones stays within each level.

    Over all: ∫ₜ¹ (1 − s) ds = (1 − t)²/2 ≤ ρ. Over the served ones: (1 − t)/2 ≤ ρ.
    """
    levels = terms.risk * np.asarray(LEVEL_MULTIPLES)
    depth = np.sqrt(2.0 * levels) if terms.over == "all" else 2.0 * levels
    return np.asarray(1.0 - np.minimum(depth, 1.0))


def decide(policy: PromisePolicy, score: float) -> Ask:
    flow = policy.flow(READY)
    next(flow)
    return flow.send(Evidence(available=True, confidence=score))


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What one run came to."""

    served: int
    wrong: int
    reasons: frozenset[str]

    def breaks(self, terms: Terms) -> bool:
        """More disagreements were delivered than promised."""
        counted = INTERACTIONS if terms.over == "all" else self.served
        return self.wrong > terms.risk * counted


def simulate(terms: Terms, factors: tuple[float, ...], seed: int) -> Ended:
    """One workload's traffic; each release drafts an equal part of it."""
    rng = random.Random(seed)
    certificate = Certificate(terms)
    policy = PromisePolicy(certificate, predict_thresholds(terms), rng.random)
    served = wrong_served = 0
    reasons = set()
    for i in range(INTERACTIONS):
        factor = factors[i * len(factors) // INTERACTIONS]
        score = rng.random()
        wrong = rng.random() < min(1.0, factor * (1.0 - score))
        ask = decide(policy, score)
        reasons.add(ask.reason)
        by_student = ask.tier is Tier.STUDENT
        served += by_student
        wrong_served += by_student and wrong
        assert ask.level is not None
        certificate.observe(
            Trial(
                level=ask.level,
                seen=not by_student,
                wrong=wrong,
                propensity=ask.floor if by_student else ask.propensity,
                floor=ask.floor,
            )
        )
    return Ended(served=served, wrong=wrong_served, reasons=frozenset(reasons))


@pytest.mark.long
@pytest.mark.parametrize("over", ["all", "served"])
@pytest.mark.parametrize("factors", [STATIONARY, TOO_SURE, IMPROVING])
def test_a_promise_is_rarely_broken(over: Over, factors: tuple[float, ...]) -> None:
    terms = Terms(agreement=0.9, confidence=0.9, over=over)
    runs = [simulate(terms, factors, seed) for seed in range(RUNS)]
    delta = 1.0 - terms.confidence
    error = math.sqrt(delta * (1.0 - delta) / RUNS)
    assert sum(run.breaks(terms) for run in runs) / RUNS <= delta + 3.0 * error


@pytest.mark.long
def test_a_promise_that_can_be_kept_is_put_to_use() -> None:
    terms = Terms(agreement=0.9, confidence=0.9)
    runs = [simulate(terms, (0.5,), seed) for seed in range(40)]
    assert sum(run.served > 0.05 * INTERACTIONS for run in runs) > 36
    seen = frozenset[str]().union(*(run.reasons for run in runs))
    assert seen == {"observe", "below_threshold", "proof", "certified"}


def test_one_run_of_each_kind() -> None:
    for over in ("all", "served"):
        terms = Terms(agreement=0.9, over="all" if over == "all" else "served")
        assert not simulate(terms, STATIONARY, seed=1).breaks(terms)
