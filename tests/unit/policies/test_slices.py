"""A draft is served where the whole's account and those of its slices allow it."""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from policies.checks import check_policy
from policies.promise.batch import Proven
from policies.promise.certificate import Certificate, Terms
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import Part, PromisePolicy
from policies.promise.proven import ProvenPolicy
from policies.types import Ask, InSlice, Tier, Trial
from tests.unit.policies.test_policies import ACCEPTED, EARNED, THRESHOLDS, UNPROVEN, drive, sure

LOWER, HIGHER = THRESHOLDS - 0.1, np.minimum(THRESHOLDS + 0.3, 0.99)


def decide(*slices: Part, coin: float = 0.99, whole: Certificate = ACCEPTED) -> Ask:
    policy = PromisePolicy(whole, THRESHOLDS, lambda: coin, 0.1, slices)
    return drive(policy, sure(0.97))[-1]


def part(certificate: Certificate, thresholds: np.ndarray = THRESHOLDS, name: str = "s") -> Part:
    return Part(certificate=certificate, thresholds=thresholds, name=name)


def test_both_must_allow_a_draft() -> None:
    assert decide(part(ACCEPTED)).reason == "certified"
    refused = decide(part(ACCEPTED), part(UNPROVEN, name="new"))
    assert (refused.tier, refused.reason, refused.threshold) == (
        *(Tier.TEACHER, "slice_unproven"),
        None,
    )
    assert (refused.propensity, refused.floor) == (1.0, 0.1)
    higher = part(ACCEPTED, np.full(len(THRESHOLDS), 0.98))
    assert (decide(higher).reason, decide(higher).threshold) == ("slice_unproven", 0.98)
    assert decide(part(ACCEPTED), whole=UNPROVEN).reason == "observe"


def test_a_draft_counts_in_each_slice_by_its_own_levels_and_shares() -> None:
    ask = decide(part(ACCEPTED, LOWER, "a"), part(UNPROVEN, HIGHER, "b"))
    assert ask.slices == (
        InSlice(name="a", level=0, floor=0.1),
        InSlice(name="b", level=int((HIGHER > 0.97).sum()), floor=1.0),
    )


def test_the_coin_falls_with_the_largest_share_and_each_bets_by_its_own() -> None:
    wary = deepcopy(ACCEPTED)
    wary.be_wary()
    served, proof = decide(part(wary), coin=0.21), decide(part(wary), coin=0.19)
    assert (served.tier, served.propensity) == (Tier.STUDENT, 0.8)
    assert (proof.reason, proof.propensity) == ("proof", 0.2)
    # The whole's bet must not know to which slices the interaction belongs.
    assert (proof.floor, proof.slices[0].floor) == (0.1, 0.2)
    unsliced = drive(PromisePolicy(ACCEPTED, THRESHOLDS, lambda: 0.15, 0.1), sure(0.97))[-1]
    assert (unsliced.reason, unsliced.floor) == ("certified", 0.1)


def test_every_account_can_take_in_what_comes_of_it() -> None:
    wary = deepcopy(ACCEPTED)
    wary.be_wary()
    ask = decide(part(wary), coin=0.19)
    trial = Trial(
        level=ask.level or 0,
        seen=True,
        wrong=False,
        propensity=ask.propensity,
        floor=ask.floor,
        slices=ask.slices,
    )
    within = trial.within("s")
    assert within is not None
    assert (within.floor, within.propensity, within.slices) == (0.2, 0.2, ())
    assert trial.within("t") is None
    wary.observe(within)
    deepcopy(ACCEPTED).observe(trial)


def test_a_guarantee_is_paid_for_by_every_ledger() -> None:
    whole, earned, poor = deepcopy(EARNED), deepcopy(EARNED), Ledger(Terms(agreement=0.9))
    check_policy(lambda coin: GuaranteePolicy(deepcopy(EARNED), coin, {"s": deepcopy(EARNED)}))
    proof = drive(GuaranteePolicy(whole, lambda: 0.0, {"s": earned}), sure(0.999))[-1]
    assert (proof.reason, proof.slices[0].floor) == ("proof", proof.propensity)
    assert whole.bound() > EARNED.bound() < earned.bound()
    strict = Ledger(Terms(agreement=0.95))
    for _ in range(3_000):
        strict.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    served = drive(GuaranteePolicy(EARNED, lambda: 0.99, {"s": strict}), sure(0.999))[-1]
    assert (served.tier, served.floor) == (
        *(Tier.STUDENT,),
        max(EARNED.floor, strict.floor),
    )
    refused = drive(GuaranteePolicy(EARNED, lambda: 0.99, {"s": poor}), sure(0.999))[-1]
    assert (refused.tier, refused.reason) == (Tier.TEACHER, "slice_unproven")


def test_a_batch_must_have_proven_both() -> None:
    def proven(threshold: float) -> Proven:
        return Proven(terms=Terms(agreement=0.9), threshold=threshold, share=0.5, rows=500)

    policy = ProvenPolicy(proven(0.8), [proven(0.7), proven(0.9)])
    reasons = [drive(policy, sure(score))[-1].reason for score in (0.79, 0.85, 0.9)]
    assert reasons == ["below_threshold", "slice_unproven", "certified"]
    assert drive(ProvenPolicy(proven(0.8), [proven(0.7)]), sure(0.8))[-1].reason == "certified"
    check_policy(lambda coin: policy)
