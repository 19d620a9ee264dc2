"""No slice breaks its promise more often than its share of δ allows, by simulation.

A workload of which a quarter of the traffic, the slice, errs ``harder`` times as often as the gate
says, while the rest errs less, so that the workload as a whole looks fine.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest

from policies.promise.certificate import Certificate, Terms
from policies.promise.policy import Part, PromisePolicy
from policies.types import Tier, Trial
from tests.statistics.test_promise_policy import decide, predict_thresholds

RUNS, INTERACTIONS = 120, 1_000
SLICE, SHARE_OF_SLICE = "hard", 0.25
AGREEMENT, CONFIDENCE = 0.9, 0.8
ACCOUNTS = 2
TERMS = Terms(agreement=AGREEMENT, confidence=1.0 - (1.0 - CONFIDENCE) / ACCOUNTS)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Shares of wrong answers delivered, and how many drafts of the slice were served."""

    whole: float
    hard: float
    served: int


def simulate(seed: int, *, harder: float, easier: float, kept: bool) -> Ended:
    """``kept``: the slice has an account of its own; else only the whole workload has."""
    rng = random.Random(seed)
    whole, hard = Certificate(TERMS), Certificate(TERMS)
    thresholds = predict_thresholds(TERMS)
    parts = [Part(certificate=hard, thresholds=thresholds, name=SLICE)]
    counted, wrong_ones, served = [0, 0], [0, 0], 0
    for _ in range(INTERACTIONS):
        inside = rng.random() < SHARE_OF_SLICE
        score = rng.random()
        wrong = rng.random() < min(1.0, (harder if inside else easier) * (1.0 - score))
        slices = parts if inside and kept else []
        ask = decide(PromisePolicy(whole, thresholds, rng.random, slices=slices), score)
        by_student = ask.tier is Tier.STUDENT
        counted[inside] += 1
        wrong_ones[inside] += by_student and wrong
        served += by_student and inside
        seen_with = max([ask.floor, *(one.floor for one in ask.slices)])
        assert ask.level is not None
        trial = Trial(
            level=ask.level,
            seen=not by_student,
            wrong=wrong,
            propensity=seen_with if by_student else ask.propensity,
            floor=ask.floor,
            slices=ask.slices,
        )
        whole.observe(trial)
        within = trial.within(SLICE)
        if within is not None:
            hard.observe(within)
    return Ended(
        whole=sum(wrong_ones) / sum(counted), hard=wrong_ones[1] / counted[1], served=served
    )


def test_without_an_account_of_its_own_the_slice_is_sacrificed_to_the_rest() -> None:
    runs = [simulate(seed, harder=3.0, easier=0.3, kept=False) for seed in range(8)]
    assert np.mean([run.whole for run in runs]) < TERMS.risk
    assert np.mean([run.hard for run in runs]) > TERMS.risk


@pytest.mark.long
@pytest.mark.parametrize(("harder", "easier"), [(3.0, 0.3), (1.0, 1.0)])
def test_no_slice_breaks_its_promise_more_often_than_its_share_of_delta(
    harder: float, easier: float
) -> None:
    runs = [simulate(seed, harder=harder, easier=easier, kept=True) for seed in range(RUNS)]
    delta = 1.0 - TERMS.confidence
    error = math.sqrt(delta * (1.0 - delta) / RUNS)
    assert sum(run.hard > TERMS.risk for run in runs) / RUNS <= delta + 3.0 * error
    assert sum(run.whole > TERMS.risk for run in runs) / RUNS <= delta + 3.0 * error
    broken = sum(run.hard > TERMS.risk or run.whole > TERMS.risk for run in runs)
    assert broken / RUNS <= ACCOUNTS * delta + 3.0 * error


def test_a_slice_that_keeps_its_promise_is_served() -> None:
    runs = [simulate(seed, harder=0.4, easier=0.4, kept=True) for seed in range(4)]
    assert min(run.served for run in runs) > 0.1 * SHARE_OF_SLICE * INTERACTIONS
