"""The batch certificate against known truth: exact tails, and how often it is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from policies.promise.batch import binomial_tail, certify_batch
from policies.promise.certificate import Over, Terms

Floats = NDArray[np.float64]

RUNS = 400
ROWS = 600


def draw(rng: np.random.Generator, steep: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Uniform scores, wrong with the probability (1 − score)^steep."""
    scores = rng.random(ROWS)
    return scores, rng.random(ROWS) < (1.0 - scores) ** steep


def true_risk(threshold: float, steep: float, over: Over) -> float:
    """Of serving from ``threshold`` on: the integral of what ``draw`` says."""
    wrong = (1.0 - threshold) ** (steep + 1.0) / (steep + 1.0)
    return wrong if over == "all" else wrong / (1.0 - threshold)


@pytest.mark.parametrize("trials", [1, 7, 60, 1_000])
@pytest.mark.parametrize("chance", [0.01, 0.05, 0.3])
def test_the_tail_is_the_binomials(trials: int, chance: float) -> None:
    for successes in {0, 1, trials // 20, trials // 2, trials - 1, trials}:
        exact = binom.cdf(successes, trials, chance)
        assert binomial_tail(successes, trials, chance) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("over", ["all", "served"])
@pytest.mark.parametrize("steep", [1.0, 3.0])
def test_it_is_wrong_no_more_often_than_it_says(over: Over, steep: float) -> None:
    terms = Terms(agreement=0.9, confidence=0.9, over=over)
    rng = np.random.default_rng(17)
    wrong = served = 0
    for _ in range(RUNS):
        proven = certify_batch(*draw(rng, steep), terms)
        if math.isfinite(proven.threshold):
            served += 1
            wrong += true_risk(proven.threshold, steep, over) > terms.risk
    # Where a fifth may be served at most, and little of it is sure, half of the batches do.
    assert served > (0.4 if (over, steep) == ("served", 1.0) else 0.9) * RUNS
    assert wrong <= binom.ppf(0.999, RUNS, 0.1)


def test_it_comes_close_to_what_may_be_served() -> None:
    """With many rows the threshold is near the one that a clairvoyant would choose."""
    terms = Terms(agreement=0.9)
    rng = np.random.default_rng(3)
    scores = rng.random(20_000)
    proven = certify_batch(scores, rng.random(20_000) < 1.0 - scores, terms)
    ideal = 1.0 - math.sqrt(2.0 * terms.risk)
    assert ideal <= proven.threshold < ideal + 0.03
    assert proven.share == pytest.approx(1.0 - proven.threshold, abs=0.02)


def test_rows_of_one_score_are_served_together() -> None:
    scores = np.repeat([0.9, 0.5], 300)
    wrong = np.concatenate([np.zeros(300, np.bool_), np.arange(300) % 2 == 0])
    proven = certify_batch(scores, wrong, Terms(agreement=0.9))
    assert (proven.threshold, proven.share) == (0.9, 0.5)


def test_an_early_error_does_not_end_every_walk() -> None:
    """Over the served ones the surest draft may be wrong, and much can still be proven."""
    scores = np.linspace(1.0, 0.0, 1_000)
    wrong = np.zeros(1_000, np.bool_)
    wrong[:2] = True
    proven = certify_batch(scores, wrong, Terms(agreement=0.95, over="served"))
    assert proven.share == 1.0


@pytest.mark.parametrize("over", ["all", "served"])
def test_too_few_rows_prove_nothing(over: Over) -> None:
    terms = Terms(agreement=0.95, over=over)
    for rows in (0, 58):
        proven = certify_batch(np.linspace(0, 1, rows), np.zeros(rows, np.bool_), terms)
        assert (math.isinf(proven.threshold), proven.share) == (True, 0.0)
    enough = certify_batch(np.linspace(0, 1, 200), np.zeros(200, np.bool_), terms)
    assert enough.share == 1.0
