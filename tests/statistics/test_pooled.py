"""What a pool proves, and what it costs a member that doesn't belong, by simulation.

Members draft by the release of ``test_promise_policy``, which says that a draft of score s is wrong
with probability 1 − s; a member's truth is its factor times that. Seeds are fixed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from policies.promise.certificate import Certificate, Terms
from policies.promise.drift import Watch
from policies.promise.policy import PromisePolicy
from policies.promise.pooled import DOUBTED, REJECTED, Pool, Suspicion
from policies.types import Tier, Trial
from tests.statistics.test_promise_policy import decide, predict_thresholds

TERMS = Terms(agreement=0.9, confidence=0.9)
ALIKE = (1.0,) * 5
INTERACTIONS = 1_500


@dataclass(kw_only=True)
class Seen:
    """What came of one member. ``excess``: disagreements delivered at a level that was borrowed,
    beyond what is allowed of as many interactions; ``left_at``: its interaction that put it out."""

    answered: int = 0
    asked: int = 0
    wrong: int = 0
    excess: float = 0.0
    left_at: int | None = None


@dataclass(kw_only=True)
class Run:
    """``pooled``, ``pooled_wrong``: interactions that were evidence for the pool, and their
    disagreements delivered; ``claimed``: the wealth of the run has proven the promise of them."""

    members: list[Seen]
    pooled: int = 0
    pooled_wrong: int = 0
    claimed: bool = False

    @property
    def asked_rate(self) -> float:
        return sum(one.asked for one in self.members) / sum(one.answered for one in self.members)


def simulate(
    seed: int,
    factors: Sequence[float],
    *,
    pooled: bool = True,
    watched: bool = False,
    terms: Terms = TERMS,
    interactions: int = INTERACTIONS,
    turned_at: int | None = None,
) -> Run:
    """``watched``: members have a watch; ``turned_at``: the interaction of all from which the last
    member has its factor, before it has the first one's."""
    rng = random.Random(seed)
    pool, thresholds = Pool(terms), predict_thresholds(terms)
    own = [Certificate(terms) for _ in factors]
    watches = [Watch() for _ in factors]
    for k, certificate in enumerate(own):
        pool.enter(str(k), certificate)
    run = Run(members=[Seen() for _ in factors])
    for i in range(interactions):
        k = rng.randrange(len(factors))
        turned = k < len(factors) - 1 or turned_at is None or i >= turned_at
        seen, member, lens = run.members[k], pool.member(str(k)), pool.in_force(str(k))
        score = rng.random()
        wrong = rng.random() < min(1.0, (factors[k] if turned else factors[0]) * (1.0 - score))
        borrowed, feeds = pooled and lens.borrowed, pooled and member.feeds
        ask = decide(PromisePolicy(lens if pooled else own[k], thresholds, rng.random), score)
        by_student = ask.tier is Tier.STUDENT
        assert ask.level is not None
        trial = Trial(
            level=ask.level,
            seen=not by_student,
            wrong=wrong,
            propensity=ask.floor if by_student else ask.propensity,
            floor=ask.floor,
            confidence=score,
        )
        floor = pool.floor()
        own[k].observe(trial)
        alarm = watches[k].observe(trial) if watched else None
        alarmed = alarm is not None and alarm.kind == "agreement"
        if alarmed:
            own[k].withdraw()
        if pooled and pool.observe(str(k), trial, alarmed=alarmed, floor=floor) is not None:
            seen.left_at = seen.answered if seen.left_at is None else seen.left_at
        seen.answered += 1
        seen.asked += not by_student
        seen.wrong += by_student and wrong
        seen.excess += borrowed * ((by_student and wrong) - terms.risk)
        run.pooled += feeds
        run.pooled_wrong += feeds and by_student and wrong
    run.claimed = pool.certificate.run_wealth() >= terms.target
    return run


def test_members_that_are_alike_are_served_sooner_together() -> None:
    alone = [simulate(seed, ALIKE, pooled=False).asked_rate for seed in range(4)]
    pooled = [simulate(seed, ALIKE).asked_rate for seed in range(4)]
    assert np.mean(pooled) < np.mean(alone) - 0.03


@pytest.mark.long
@pytest.mark.parametrize("factors", [ALIKE, (0.5, 0.7, 1.0, 1.3, 1.5), (0.8,) * 4 + (6.0,)])
def test_a_pool_rarely_breaks_its_promise(factors: Sequence[float]) -> None:
    runs = [simulate(seed, factors) for seed in range(50)]
    delta = 1.0 - TERMS.confidence
    error = math.sqrt(delta * (1.0 - delta) / len(runs))
    broken = [run.pooled_wrong > TERMS.risk * run.pooled for run in runs]
    assert sum(broken) / len(runs) <= delta + 3.0 * error
    assert sum(run.claimed for run in runs) > len(runs) / 8


@pytest.mark.long
def test_members_that_are_alike_are_hardly_ever_put_out() -> None:
    runs = [simulate(seed, ALIKE) for seed in range(50)]
    left = sum(one.left_at is not None for run in runs for one in run.members)
    assert left <= 250 / REJECTED + 3.0 * math.sqrt(250 / REJECTED)


@pytest.mark.long
def test_one_that_turns_bad_is_put_out_and_the_others_go_on() -> None:
    runs = [
        simulate(seed, (0.8,) * 4 + (6.0,), watched=True, turned_at=INTERACTIONS // 2)
        for seed in range(40)
    ]
    turned = [run.members[-1] for run in runs]
    assert sum(one.left_at is not None for one in turned) > 36
    assert sum(run.pooled_wrong > TERMS.risk * run.pooled for run in runs) <= 4 + 3 * 2
    assert np.mean([one.excess for one in turned]) < 15.0
    others = [one for run in runs for one in run.members[:-1]]
    assert sum(one.left_at is not None for one in others) < len(others) / 10


def _excess_until(limit: float, times: float, share: float, seed: int) -> tuple[float, bool]:
    """What a risk of ``times`` the allowed one delivers beyond it until M reaches the limit."""
    rng, terms = random.Random(seed), Terms(agreement=0.95)
    suspicion, excess = Suspicion(terms), 0.0
    for _ in range(30_000 if limit == DOUBTED else 2_000):
        seen, wrong = rng.random() < share, rng.random() < times * terms.risk
        suspicion.observe(
            Trial(level=0, seen=seen, wrong=wrong, propensity=share, floor=share), level=0
        )
        excess += (wrong and not seen) - terms.risk
        if suspicion.value() >= limit:
            return excess, True
    return excess, False


@pytest.mark.long
def test_a_member_that_keeps_the_promise_is_put_out_with_a_probability_of_one_percent() -> None:
    rejected = sum(_excess_until(REJECTED, 1.0, 0.1, seed)[1] for seed in range(400))
    assert rejected <= 4 + 3 * 2


@pytest.mark.parametrize("times", [2.0, 4.0, 8.0])
def test_what_borrowing_costs_before_a_member_is_doubted_is_bounded(times: float) -> None:
    share = 0.1
    bound = (times - 1.0) * math.log(18.0 * times)
    bound /= share * (times * math.log(times) - times + 1.0)
    costs = [_excess_until(DOUBTED, times, share, seed) for seed in range(60)]
    assert all(ended for _, ended in costs)
    assert 0.2 * bound < np.mean([cost for cost, _ in costs]) < bound
