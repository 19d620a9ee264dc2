from __future__ import annotations

import math
import random
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal

import numpy as np
import pytest

from policies.base import Coin, Flow, Policy
from policies.budget import BudgetPolicy
from policies.checks import check_policy
from policies.promise.accuracy import VERDICT, AccuracyPolicy, checks_draft
from policies.promise.batch import Proven
from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Terms
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import Part, PromisePolicy, choose_proof_share
from policies.promise.proven import ProvenPolicy
from policies.purse import Allowance, Payment, Purse
from policies.static import StudentPolicy, TeacherPolicy
from policies.threshold import ThresholdPolicy
from policies.types import Ask, Evidence, Features, Tier, Trial

READY = Features(workload="w", student_ready=True)
LEVELS = len(LEVEL_MULTIPLES)
THRESHOLDS = np.linspace(0.95, 0.5, LEVELS)


def certificate(right: int = 0) -> Certificate:
    """After ``right`` agreeing trials that every level would have served."""
    accepted = Certificate(Terms(agreement=0.9))
    for _ in range(right):
        accepted.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    return accepted


def ledger(right: int = 0) -> Ledger:
    """After ``right`` interactions that the teacher answered."""
    earned = Ledger(Terms(agreement=0.9))
    for _ in range(right):
        earned.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    return earned


def purse(right: int = 0) -> Purse:
    """After ``right`` interactions that the teacher answered at a cent each."""
    filled = Purse(Allowance(usd_per_interaction=Decimal("0.004")))
    trial = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
    for _ in range(right):
        filled.observe(Payment(trial=trial, cost_usd=Decimal("0.01"), at_s=0.0))
    return filled


def proven(threshold: float) -> Proven:
    return Proven(terms=Terms(agreement=0.9), threshold=threshold, share=0.5, rows=500)


def right_so_far(trials: int) -> Part:
    """Of a promise on accuracy, after so many right verdicts."""
    accepted = Certificate(Terms(accuracy=0.9))
    for _ in range(trials):
        accepted.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    return Part(certificate=accepted, thresholds=THRESHOLDS)


ACCEPTED = certificate(right=3000)
UNPROVEN = certificate()
JUDGED, UNJUDGED = right_so_far(600), right_so_far(0)
EARNED = ledger(right=3000)
FILLED = purse(right=500)


def drive(policy: Policy, evidence: Evidence, features: Features = READY) -> list[Ask]:
    flow, asks = policy.flow(features), []
    try:
        ask = next(flow)
        while True:
            asks.append(ask)
            ask = flow.send(evidence)
    except StopIteration:
        return asks


def sure(confidence: float) -> Evidence:
    return Evidence(available=True, confidence=confidence)


@pytest.mark.parametrize(
    "make",
    [
        lambda coin: TeacherPolicy(),
        lambda coin: StudentPolicy(coin, 0.1),
        lambda coin: StudentPolicy(coin, 0.0),
        lambda coin: ThresholdPolicy(coin, 0.8, 0.1),
        lambda coin: GuaranteePolicy(Ledger(Terms(agreement=0.9)), coin),
        lambda coin: GuaranteePolicy(deepcopy(EARNED), coin),
        lambda coin: BudgetPolicy(purse(), None, coin),
        lambda coin: BudgetPolicy(purse(), Decimal("0.01"), coin),
        lambda coin: BudgetPolicy(deepcopy(FILLED), Decimal("0.01"), coin),
        lambda coin: ProvenPolicy(proven(0.8)),
        lambda coin: ProvenPolicy(proven(math.inf)),
        lambda coin: PromisePolicy(UNPROVEN, THRESHOLDS, coin, 0.1),
        lambda coin: PromisePolicy(ACCEPTED, THRESHOLDS, coin, 0.1),
        lambda coin: PromisePolicy(ACCEPTED, THRESHOLDS, coin, 1.0),
        lambda coin: PromisePolicy(ACCEPTED, THRESHOLDS, coin),
        lambda coin: PromisePolicy(ACCEPTED, np.full(LEVELS, np.inf), coin, 0.1),
        lambda coin: AccuracyPolicy(UNJUDGED, coin, 0.2),
        lambda coin: AccuracyPolicy(JUDGED, coin, 0.2),
        lambda coin: AccuracyPolicy(JUDGED, coin, 0.7),
        lambda coin: AccuracyPolicy(JUDGED, coin, 1.0),
    ],
)
def test_every_policy_keeps_the_contract(make: Callable[[Coin], Policy]) -> None:
    check_policy(make)


def test_verdicts_are_drawn_from_all_that_was_drafted_served_or_not() -> None:
    def decide(part: Part, confidence: float, coin: float, share: float = 0.2) -> Ask:
        policy = AccuracyPolicy(part, lambda: coin, share)
        ask = drive(policy, sure(confidence))[-1]
        assert ask.verdict_share == share
        return ask

    served, drawn, unfit = (
        decide(JUDGED, 0.9, 0.2),
        decide(JUDGED, 0.9, 0.1),
        decide(JUDGED, 0.1, 0.1),
    )
    assert (served.tier, served.reason, served.propensity) == (Tier.STUDENT, "certified", 0.8)
    assert (drawn.tier, drawn.reason, drawn.propensity) == (Tier.TEACHER, VERDICT, 0.2)
    assert (unfit.reason, unfit.propensity) == (VERDICT, 1.0)
    assert decide(JUDGED, 0.1, 0.2).reason == "below_threshold"
    assert [decide(UNJUDGED, 0.99, coin).reason for coin in (0.1, 0.2)] == [VERDICT, "observe"]
    assert decide(JUDGED, 0.99, 1.0 - 2**-53, share=1.0).reason == VERDICT
    checks = [checks_draft(one.reason, one.propensity) for one in (served, drawn, unfit)]
    assert checks == [False, True, False]
    with pytest.raises(ValueError, match="share of verdicts"):
        AccuracyPolicy(UNJUDGED, lambda: 0.5, 0.0)


def test_terms_are_about_one_thing() -> None:
    terms = Terms(accuracy=0.9)
    assert (terms.about, terms.at_least, terms.risk) == ("accuracy", 0.9, Terms(agreement=0.9).risk)
    assert terms.key != Terms(agreement=0.9).key
    assert terms.key == Terms(accuracy=0.9, within_s=60.0).key
    for given in ({}, {"agreement": 0.9, "accuracy": 0.9}, {"accuracy": 0.9, "over": "served"}):
        with pytest.raises(ValueError, match="accuracy"):
            Terms(**given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="guarantee"):
        Ledger(terms)


def test_only_proven_levels_serve_under_a_promise_on_accuracy() -> None:
    """The laxer ones are wrong too often to be proven, and as likely as under agreement."""
    by_verdicts, by_teacher = Certificate(Terms(accuracy=0.9)), certificate()
    leaned = 0
    for i in range(400):
        level = 0 if i % 14 else 10
        trial = Trial(level=level, seen=True, wrong=level == 10, propensity=1.0, floor=1.0)
        by_verdicts.observe(trial)
        by_teacher.observe(trial)
        leaned += by_teacher.leans
        assert not by_verdicts.leans
    assert leaned
    assert by_verdicts.needed(5) == by_verdicts.target


def test_what_a_batch_has_proven_is_served_and_nothing_else_is_asked() -> None:
    (_, served) = drive(ProvenPolicy(proven(0.8)), sure(0.8))
    assert (served.tier, served.reason, served.threshold) == (Tier.STUDENT, "certified", 0.8)
    assert (served.propensity, served.level) == (1.0, None)
    assert drive(ProvenPolicy(proven(0.8)), sure(0.79))[-1].reason == "below_threshold"
    assert drive(ProvenPolicy(proven(math.inf)), sure(1.0))[-1].reason == "observe"


class Scripted:
    """Yields the same asks whatever it is told."""

    name = "scripted"

    def __init__(self, *asks: Ask) -> None:
        self._asks = asks

    def flow(self, features: Features) -> Flow:
        for ask in self._asks:  # noqa: UP028  (a tuple's iterator takes no send)
            yield ask


TEACHER = Ask(tier=Tier.TEACHER, commit=True, reason="r")
DRAFT = Ask(tier=Tier.STUDENT, commit=False, reason="draft")
STUDENT = Ask(tier=Tier.STUDENT, commit=True, reason="r")
CHECK = Ask(tier=Tier.TEACHER, commit=False, reason="audit", background=True)


@pytest.mark.parametrize(
    ("asks", "clause"),
    [
        ((), "exactly one"),
        ((TEACHER, TEACHER), "exactly one"),
        ((CHECK, TEACHER), "before the commit"),
        ((TEACHER, DRAFT), "may follow the commit"),
        ((TEACHER, *[CHECK] * 8), "at most 8"),
        ((Ask(tier=Tier.TEACHER, commit=True, reason="r", background=True),), "foreground"),
        ((Ask(tier=Tier.TEACHER, commit=True, reason="r", propensity=0.0),), "propensities"),
        ((Ask(tier=Tier.TEACHER, commit=True, reason="r", propensity=1.5),), "propensities"),
        ((Ask(tier=Tier.TEACHER, commit=True, reason="r", propensity=0.5),), "floor"),
        ((STUDENT,), "teacher at once"),
        ((DRAFT, TEACHER), "teacher at once"),
    ],
)
def test_the_contract_catches_broken_scripts(asks: tuple[Ask, ...], clause: str) -> None:
    with pytest.raises(AssertionError, match=clause):
        check_policy(lambda coin: Scripted(*asks))


class Careless:
    """Escalates what isn't cascadable; the rest of its asks are scripted per kind of evidence."""

    name = "careless"

    def __init__(self, unavailable: Ask | None, missing: Ask | None) -> None:
        self._unavailable, self._missing = unavailable, missing

    def flow(self, features: Features) -> Flow:
        if not features.cascadable:
            yield TEACHER
            return
        evidence = yield DRAFT
        if not evidence.available:
            yield self._unavailable or Ask(
                tier=Tier.TEACHER, commit=True, reason="student_unavailable"
            )
        elif evidence.confidence is None:
            yield self._missing or TEACHER
        else:
            yield STUDENT


def test_the_contract_catches_careless_use_of_evidence() -> None:
    check_policy(lambda coin: Careless(None, None))
    with pytest.raises(AssertionError, match="usable draft"):
        check_policy(lambda coin: Careless(STUDENT, None))
    with pytest.raises(AssertionError, match="unavailable student"):
        check_policy(lambda coin: Careless(TEACHER, None))
    with pytest.raises(AssertionError, match="usable draft"):
        check_policy(lambda coin: Careless(None, STUDENT))


def test_the_contract_catches_randomness_from_elsewhere() -> None:
    own = random.Random(1)
    with pytest.raises(AssertionError, match="same coins"):
        check_policy(lambda coin: StudentPolicy(own.random, 0.5))


def test_threshold_serves_from_its_threshold_on() -> None:
    policy = ThresholdPolicy(lambda: 0.99, 0.8, 0.1)
    assert [a.tier for a in drive(policy, sure(0.8))] == [Tier.STUDENT, Tier.STUDENT]
    below = drive(policy, sure(0.79))[-1]
    assert (below.tier, below.reason, below.threshold) == (Tier.TEACHER, "below_threshold", 0.8)


def test_nothing_is_served_before_the_promise_is_proven() -> None:
    ask = drive(PromisePolicy(UNPROVEN, THRESHOLDS, lambda: 0.99, 0.1), sure(1.0))[-1]
    assert (ask.tier, ask.reason, ask.level, ask.floor) == (Tier.TEACHER, "observe", 0, 1.0)


def test_promise_serves_proves_and_escalates_at_an_accepted_level() -> None:
    allowed = ACCEPTED.level()
    assert allowed == LEVELS - 1
    served = drive(PromisePolicy(ACCEPTED, THRESHOLDS, lambda: 0.1, 0.1), sure(0.97))[-1]
    assert (served.tier, served.reason, served.level) == (Tier.STUDENT, "certified", 0)
    assert (served.propensity, served.floor, served.threshold) == (0.9, 0.1, THRESHOLDS[-1])
    proof = drive(PromisePolicy(ACCEPTED, THRESHOLDS, lambda: 0.09, 0.1), sure(0.97))[-1]
    assert (proof.tier, proof.reason) == (Tier.TEACHER, "proof")
    assert (proof.propensity, proof.floor) == (0.1, 0.1)
    below = drive(PromisePolicy(ACCEPTED, THRESHOLDS, lambda: 0.0, 0.1), sure(0.4))[-1]
    assert (below.tier, below.reason, below.level) == (Tier.TEACHER, "below_threshold", LEVELS)
    assert (below.propensity, below.floor) == (1.0, 0.1)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_promise_refuses_a_share_that_proves_nothing(share: float) -> None:
    with pytest.raises(ValueError, match="proof_share"):
        PromisePolicy(UNPROVEN, THRESHOLDS, lambda: 0.5, share)


def test_audits_and_proofs_come_at_their_share() -> None:
    coin = random.Random(7).random
    runs = 4000
    tolerance = 4 * (0.2 * 0.8 / runs) ** 0.5
    audited: list[Policy] = [StudentPolicy(coin, 0.2), ThresholdPolicy(coin, 0.5, 0.2)]
    for policy in audited:
        last = [drive(policy, sure(0.9))[-1] for _ in range(runs)]
        audits = [ask for ask in last if ask.reason == "audit"]
        assert abs(len(audits) / runs - 0.2) < tolerance
        assert all(a.background and not a.commit and a.propensity == 0.2 for a in audits)
        unaudited = [ask for ask in last if ask.commit]
        assert {(ask.tier, ask.floor) for ask in unaudited} == {(Tier.STUDENT, 0.2)}
    promise = PromisePolicy(ACCEPTED, THRESHOLDS, coin, 0.2)
    proofs = sum(drive(promise, sure(0.9))[-1].reason == "proof" for _ in range(runs))
    assert abs(proofs / runs - 0.2) < tolerance


def test_the_proof_share_falls_as_the_level_grows_laxer() -> None:
    shares = [choose_proof_share(level) for level in range(LEVELS)]
    assert shares[0] == 0.2
    assert shares[-1] == 0.05
    assert shares == sorted(shares, reverse=True)
    for multiple, share in zip(LEVEL_MULTIPLES, shares, strict=True):
        if multiple <= 0.3:
            assert share == 0.2
        elif multiple >= 0.9:
            assert share == 0.05
        else:
            assert 0.05 < share < 0.2


class AtLevel(Certificate):
    """A certificate with a level in force, which is proven unless it leans."""

    def __init__(self, level: int, *, leans: bool = False) -> None:
        super().__init__(Terms(agreement=0.9))
        self._level = level
        self._leans = leans

    @property
    def leans(self) -> bool:
        return self._leans

    def level(self) -> int:
        return self._level


def test_more_is_checked_where_a_level_is_likely_and_not_proven() -> None:
    laxest = LEVELS - 1
    assert choose_proof_share(laxest) == 0.05
    for configured in (None, 1e-6):
        policy = PromisePolicy(AtLevel(laxest, leans=True), THRESHOLDS, lambda: 0.0, configured)
        ask = drive(policy, sure(1.0))[-1]
        assert (ask.reason, ask.propensity, ask.floor) == ("proof", 0.1, 0.1)
    policy = PromisePolicy(AtLevel(0, leans=True), THRESHOLDS, lambda: 0.0)
    assert drive(policy, sure(1.0))[-1].propensity == choose_proof_share(0) == 0.2


@pytest.mark.parametrize("allowed", range(LEVELS))
def test_what_is_recorded_of_any_level_is_accepted_as_evidence(allowed: int) -> None:
    """Of a served draft the floor is recorded: 1 − (1 − 0.2), rounded, is less than 0.2."""
    share = choose_proof_share(allowed)
    asks = {}
    for toss, confidence in ((0.0, 1.0), (share, 1.0), (0.999, 1.0), (0.0, 0.0)):
        policy = PromisePolicy(AtLevel(allowed), THRESHOLDS, lambda toss=toss: toss)
        ask = drive(policy, sure(confidence))[-1]
        asks[ask.reason] = ask
        assert ask.floor == share
        assert ask.level is not None
        served = ask.tier is Tier.STUDENT
        trial = Trial(
            level=ask.level,
            seen=not served,
            wrong=False,
            propensity=ask.floor if served else ask.propensity,
            floor=ask.floor,
        )
        certificate().observe(trial)
    assert set(asks) == {"proof", "certified", "below_threshold"}
    assert asks["proof"].propensity == share
    assert asks["certified"].propensity == 1.0 - share


@pytest.mark.parametrize("share", [1e-6, 0.1, 0.2, 1.0])
def test_a_configured_share_holds_at_every_level(share: float) -> None:
    for allowed in range(LEVELS):
        policy = PromisePolicy(AtLevel(allowed), THRESHOLDS, lambda: 0.0, share)
        ask = drive(policy, sure(1.0))[-1]
        assert (ask.reason, ask.propensity, ask.floor) == ("proof", share, share)


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), None])
def test_a_confidence_that_is_no_number_escalates(confidence: float | None) -> None:
    flow = ThresholdPolicy(lambda: 0.5, 0.8, 0.0).flow(Features(workload="w", student_ready=True))
    next(flow)
    ask = flow.send(Evidence(available=True, confidence=confidence))
    assert (ask.tier, ask.reason) == (Tier.TEACHER, "evidence_missing")
