"""A promise over several kinds of draft, by simulation with known truth."""

from __future__ import annotations

import random

import numpy as np
import pytest

from policies.cascade import RECALL, STUDENT, CascadePolicy, Ladder
from policies.promise.certificate import Certificate, Terms
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import PromisePolicy
from policies.types import Answer, Ask, Evidence, Features, Tier, Trial
from router.students.recall import Memory

pytestmark = pytest.mark.long

BOTH = Features(workload="w", student_ready=True, recall_ready=True)
TERMS = Terms(agreement=0.95)


def climb(policy: CascadePolicy, features: Features, drafts: dict[str, Evidence]) -> Ask:
    """The committing ask."""
    flow = policy.flow(features)
    ask = next(flow)
    while not ask.commit:
        ask = flow.send(drafts[ask.rung or ""])
    return ask


def trial_of(ask: Ask, wrong: bool) -> Trial:
    served = ask.tier is not Tier.TEACHER
    return Trial(
        level=ask.level or 0,
        seen=not served,
        wrong=wrong,
        propensity=ask.floor if served else ask.propensity,
        floor=ask.floor,
        served=served,
    )


def violates(seed: int, steps: int = 900) -> bool:
    """One run against an adversary: whichever draft the ladder is likely to choose next is wrong
    the more often, the more was served lately, and confidences say nothing about that."""
    draw = random.Random(seed)
    ledger, ladder = Ledger(TERMS), Ladder()
    delivered = 0
    for _ in range(steps):
        policy = CascadePolicy(
            GuaranteePolicy(ledger, draw.random),
            (RECALL, STUDENT),
            ladder,
            draw.random,
            bar=1.0 - ledger.cut(),
            teacher_usd=None,
        )
        drafts = {
            name: Evidence(available=True, confidence=draw.choice([0.9, 0.99, 0.999]))
            for name in ("recall", "student")
        }
        ask = climb(policy, BOTH, drafts)
        risk = {"recall": 0.25, "student": 0.05}[ask.rung or ""] if ledger.spare() > 3.0 else 0.5
        wrong = draw.random() < risk
        delivered += wrong and ask.tier is not Tier.TEACHER
        ledger.observe(trial_of(ask, wrong))
        if delivered > ledger.bound():
            return True
    return False


def test_the_ledgers_bound_holds_over_a_ladder_of_drafts() -> None:
    runs = 120
    violated = sum(violates(seed) for seed in range(runs))
    delta = 1.0 - TERMS.confidence
    assert violated <= delta * runs + 3.0 * (delta * (1.0 - delta) * runs) ** 0.5


def recall_run(seed: int, wavering: float, steps: int = 2_500) -> tuple[float, float, float]:
    """(agreement, share asked, mean of wrong − doubt over what was judged) with recall alone.

    500 questions by Zipf's law; to a share of them the teacher gives another answer three times in
    ten.
    """
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, 501)
    questions = rng.choice(500, size=steps, p=weights / weights.sum())
    wavers = rng.random(500) < wavering
    coin = random.Random(seed).random
    memory, ladder, certificate = Memory(most=500, max_age_s=1.0), Ladder(), Certificate(TERMS)
    asked = wrongly = judged = 0
    surplus = 0.0
    for question in questions:
        name = str(question)
        truth = "other" if wavers[question] and rng.random() < 0.3 else "usual"
        thresholds = ladder.thresholds(certificate.levels, "all", None)
        policy = CascadePolicy(
            PromisePolicy(certificate, thresholds, coin),
            (RECALL, STUDENT),
            ladder,
            coin,
            bar=float(thresholds[certificate.level() or 0]),
            teacher_usd=None,
        )
        ready = memory.has(name, 0.0)
        found = memory.recall(name, 0.0)
        drafts = {"recall": Evidence(available=False) if found is None else found[1]}
        ask = climb(policy, Features(workload="w", recall_ready=ready), drafts)
        wrong = found is not None and found[0].content != truth
        if found is not None:
            judged += 1
            surplus += wrong - (1.0 - (found[1].confidence or 0.0))
            certificate.observe(trial_of(ask, wrong))
        if ask.tier is Tier.TEACHER:
            asked += 1
            memory.learn(
                name,
                Answer(content=truth),
                teacher="t",
                version=None,
                at_s=0.0,
                agrees=lambda before, after: before.content == after.content,
            )
        else:
            wrongly += wrong
    return 1.0 - wrongly / steps, asked / steps, surplus / max(1, judged)


@pytest.mark.parametrize(("wavering", "most_asked"), [(0.0, 0.55), (0.15, 0.75)])
def test_recall_keeps_the_promise_and_saves_calls(wavering: float, most_asked: float) -> None:
    runs = [recall_run(seed, wavering) for seed in range(12)]
    agreement, asked, surplus = np.asarray(runs).T
    assert (agreement < TERMS.agreement).sum() == 0
    assert asked.mean() < most_asked
    # Its doubts are about as often right as they say, and rather too large than too small.
    assert -0.05 < surplus.mean() < 0.02


def test_a_teacher_that_mostly_wavers_is_asked_most_of_the_time() -> None:
    runs = [recall_run(seed, 0.9, steps=1_200) for seed in range(6)]
    agreement, asked, _ = np.asarray(runs).T
    assert agreement.min() >= TERMS.agreement
    assert asked.mean() > 0.8
