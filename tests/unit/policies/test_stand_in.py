"""A draft that stood in for a teacher that failed counts as wrong, whatever it was fit for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from policies.promise.certificate import Certificate, Terms
from policies.promise.ledger import Ledger
from policies.promise.thinning import Thinning
from policies.purse import Allowance, Payment, Purse
from policies.types import Trial

TERMS = Terms(agreement=0.9)
RIGHT = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
STAND_IN = Trial(
    level=0, seen=False, wrong=True, propensity=1.0, floor=0.2, failed=True, served=True
)
NO_ANSWER = Trial(level=0, seen=False, wrong=True, propensity=1.0, floor=0.2, failed=True)


def test_a_ledger_is_charged_one_disagreement() -> None:
    ledger = Ledger(TERMS)
    for _ in range(500):
        ledger.observe(RIGHT)
    before, trials = ledger.bound(), ledger.trials
    ledger.observe(NO_ANSWER)
    assert (ledger.bound(), ledger.trials) == (before, trials)
    ledger.observe(STAND_IN)
    assert ledger.bound() - before == pytest.approx(1.0)
    assert ledger.trials == trials + 1


def test_a_certificate_loses_wealth_for_the_traffic_as_it_was_run() -> None:
    kept, lost = Certificate(TERMS), Certificate(TERMS)
    for certificate in (kept, lost):
        for _ in range(500):
            certificate.observe(RIGHT)
    kept.observe(NO_ANSWER)
    lost.observe(STAND_IN)
    assert lost.run_wealth() < kept.run_wealth()


def test_a_budgets_bound_counts_it_as_wrong() -> None:
    bound = Thinning(0.95, 0.05)
    for _ in range(500):
        bound.observe(RIGHT)
    before, trials = bound.agreement(), bound.trials
    bound.observe(STAND_IN)
    assert bound.trials == trials + 1
    assert bound.agreement() < before


def test_a_purse_pays_for_a_fallbacks_answer() -> None:
    purses = [Purse(Allowance(usd_per_interaction=Decimal("0.01"))) for _ in range(2)]
    for purse, cost_usd in zip(purses, (Decimal(0), Decimal("0.002")), strict=True):
        purse.observe(Payment(trial=RIGHT, cost_usd=Decimal("0.001"), at_s=0.0))
        purse.observe(Payment(trial=NO_ANSWER, cost_usd=cost_usd, at_s=1.0))
    free, paid = (Decimal(purse.state()["spent_today"]) for purse in purses)
    assert paid - free == Decimal("0.002")
