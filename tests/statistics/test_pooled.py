"""What a pool proves, and what it costs a member that doesn't belong, by simulation.

Members draft by the release of ``test_promise_policy``, which says that a draft of score s is wrong
with probability 1 − s; a member's truth is its factor times that. Seeds are fixed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.promise.certificate import Certificate, Terms
from policies.promise.drift import Watch
from policies.promise.policy import PromisePolicy
from policies.promise.pooled import Pool
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
    certificates: list[Certificate] = field(default_factory=list)

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
    run = Run(members=[Seen() for _ in factors], certificates=own)
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
        own[k].observe(trial)
        alarm = watches[k].observe(trial) if watched else None
        alarmed = alarm is not None and alarm.kind == "agreement"
        if alarmed:
            own[k].withdraw()
        if pooled and pool.observe(str(k), trial, alarmed=alarmed) is not None:
            seen.left_at = seen.answered if seen.left_at is None else seen.left_at
        seen.answered += 1
        seen.asked += not by_student
        seen.wrong += by_student and wrong
        seen.excess += borrowed * ((by_student and wrong) - terms.risk)
        run.pooled += feeds
        run.pooled_wrong += feeds and by_student and wrong
    run.claimed = pool.certificate.run_wealth() >= terms.target
    return run
