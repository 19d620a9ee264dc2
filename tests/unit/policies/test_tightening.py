"""What an alarm takes from a certificate or a ledger, and that it comes back by itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from policies.base import Coin, Policy
from policies.checks import check_policy
from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Terms
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import PromisePolicy, choose_proof_share
from policies.types import Ask, Evidence, Features, Trial

TERMS = Terms(agreement=0.95)
GOOD = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
READY = Features(workload="w", student_ready=True)
THRESHOLDS = np.linspace(0.99, 0.5, len(LEVEL_MULTIPLES))


@cache
def _state(trials: int) -> dict[str, Any]:
    certificate = Certificate(TERMS)
    for _ in range(trials):
        certificate.observe(GOOD)
    return certificate.state()


def proven(trials: int = 600) -> Certificate:
    return Certificate.restore(TERMS, _state(trials))


@cache
def _earnings(trials: int) -> dict[str, Any]:
    ledger = Ledger(TERMS)
    for _ in range(trials):
        ledger.observe(GOOD)
    return ledger.state()


def earned(trials: int = 2_000) -> Ledger:
    return Ledger.restore(TERMS, _earnings(trials))


def ask_of(policy: PromisePolicy | GuaranteePolicy, confidence: float) -> Ask:
    flow = policy.flow(READY)
    next(flow)
    return flow.send(Evidence(available=True, confidence=confidence))


def test_an_alarm_only_lowers_wealth_and_stops_serving() -> None:
    certificate = proven()
    before, level = certificate.wealth(), certificate.level()
    certificate.withdraw()
    assert level is not None
    assert (certificate.wealth() <= before).all()
    assert (certificate.wealth() < certificate.target).all()
    assert (certificate.level(), certificate.withheld) == (None, level)
    assert certificate.lower_bound(None) == 1.0


def test_good_answers_loosen_it_again() -> None:
    certificate = proven()
    certificate.withdraw()
    needed = 0
    while certificate.level() is None:
        certificate.observe(GOOD)
        needed += 1
    assert 10 < needed < 100
    assert certificate.withheld is None
    while certificate.tightened:
        certificate.observe(GOOD)
        needed += 1
    assert needed == 300


def test_an_alarm_before_anything_was_served_withholds_nothing() -> None:
    certificate = Certificate(TERMS)
    certificate.withdraw()
    assert certificate.withheld is None
    assert (certificate.wealth() == 0.0).all()


def test_what_would_have_been_served_says_drift() -> None:
    certificate = proven()
    allowed = certificate.level()
    assert allowed is not None
    certificate.withdraw()
    policy = PromisePolicy(certificate, THRESHOLDS, lambda: 0.99)
    assert ask_of(policy, 0.995).reason == "drift"
    assert ask_of(policy, float(THRESHOLDS[allowed])).reason == "drift"
    assert ask_of(policy, 0.1).reason == "observe"


def test_wariness_asks_more_by_chance_for_a_while() -> None:
    certificate = proven(3_000)
    allowed = certificate.level()
    assert allowed is not None
    policy = PromisePolicy(certificate, THRESHOLDS, lambda: 0.99)
    usual = choose_proof_share(allowed)
    assert ask_of(policy, 0.995).floor == usual < 0.2
    certificate.be_wary()
    assert certificate.level() == allowed
    assert ask_of(policy, 0.995).floor == 0.2
    assert ask_of(PromisePolicy(certificate, THRESHOLDS, lambda: 0.99, 0.5), 0.995).floor == 0.5
    for _ in range(300):
        certificate.observe(GOOD)
    assert ask_of(policy, 0.995).floor == usual


def test_a_milder_alarm_has_no_patience() -> None:
    certificate = proven(3_000)
    lax = certificate.level()
    assert lax is not None
    wrong = Trial(level=lax, seen=True, wrong=True, propensity=0.5, floor=0.5)
    while certificate.wealth()[lax] >= certificate.target:
        certificate.observe(wrong)
    assert certificate.level() == lax
    certificate.be_wary()
    level = certificate.level()
    assert level is None or level < lax


@pytest.mark.parametrize("tighten", [Certificate.withdraw, Certificate.be_wary])
def test_a_snapshot_of_a_certificate_remembers_the_alarm(tighten: object) -> None:
    certificate = proven()
    assert callable(tighten)
    tighten(certificate)
    again = Certificate.restore(TERMS, certificate.state())
    assert again.state() == certificate.state()
    assert (again.tightened, again.withheld) == (True, certificate.withheld)


def test_a_ledger_from_before_there_were_alarms_is_used() -> None:
    ledger = earned()
    old = {k: v for k, v in ledger.state().items() if k != "withheld"}
    assert Ledger.restore(TERMS, old).can_serve()


def test_an_alarm_empties_the_purse_and_the_bound_stays() -> None:
    ledger = earned()
    bound, cut = ledger.bound(), ledger.cut()
    ledger.withdraw()
    assert ledger.bound() == bound
    assert ledger.spare() == 0.0
    assert not ledger.can_serve()
    assert ledger.withheld == cut
    policy = GuaranteePolicy(ledger, lambda: 0.99)
    assert ask_of(policy, 0.99).reason == "drift"
    assert ask_of(policy, 1.0 - cut - 0.01).reason == "observe"
    assert Ledger.restore(TERMS, ledger.state()).withheld == cut
    waited = 0
    while ledger.tightened:
        ledger.observe(GOOD)
        waited += 1
    assert 100 < waited < 200
    assert ask_of(policy, 1.0).reason == "guaranteed"


def test_tightened_policies_keep_the_contract() -> None:
    def certified(coin: Coin) -> Policy:
        certificate = proven()
        certificate.withdraw()
        return PromisePolicy(certificate, THRESHOLDS, coin)

    def wary(coin: Coin) -> Policy:
        certificate = proven()
        certificate.be_wary()
        return PromisePolicy(certificate, THRESHOLDS, coin)

    def guaranteed(coin: Coin) -> Policy:
        ledger = earned(700)
        ledger.withdraw()
        return GuaranteePolicy(ledger, coin)

    for make in (certified, wary, guaranteed):
        check_policy(make)


def test_a_milder_alarm_makes_a_ledger_ask_for_surer_drafts() -> None:
    ledger = earned(50_000)
    cut, spare = ledger.cut(), ledger.spare()
    ledger.be_wary()
    assert ledger.cut() <= cut
    assert (ledger.spare(), ledger.withheld) == (spare, None)
