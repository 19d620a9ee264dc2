from __future__ import annotations

import random
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from policies.base import Coin
from policies.budget import BUDGET_SPENT, DOUBTFUL, WITHIN_BUDGET, BudgetPolicy
from policies.checks import check_policy
from policies.promise.policy import PROOF
from policies.promise.thinning import Thinning
from policies.purse import Allowance, Payment, Purse
from policies.types import Evidence, Features, Tier, Trial
from tests.unit.policies.test_policies import drive, sure

CENT = Decimal("0.01")
READY = Features(workload="w", student_ready=True)
A_FIFTH = Allowance(usd_per_interaction=Decimal("0.002"))
A_DAY = Allowance(usd_per_day=Decimal("2.4"))


def always(value: float) -> Coin:
    return lambda: value


def payment(share: float, asked: bool, at_s: float = 0.0, wrong: bool = False) -> Payment:
    trial = Trial(level=0, seen=asked, wrong=wrong, propensity=share, floor=share, served=not asked)
    return Payment(trial=trial, cost_usd=CENT if asked else None, at_s=at_s)


def filled(allowance: Allowance = A_FIFTH) -> Purse:
    return Purse.restore(allowance, _filled_state(allowance))


def empty() -> Purse:
    return Purse.restore(A_FIFTH, _empty_state())


@cache
def _filled_state(allowance: Allowance) -> dict[str, Any]:
    """After half a day with a draft every minute and no ask."""
    purse = Purse(allowance)
    for i in range(720):
        purse.advance(60.0 * i)
        purse.choose_share((i % 100) / 100.0, CENT)
        purse.observe(payment(0.02, asked=False, at_s=60.0 * i))
    return purse.state()


@cache
def _empty_state() -> dict[str, Any]:
    """So deep in debt that nothing is left to spend."""
    purse = Purse(A_FIFTH)
    purse.choose_share(0.5, CENT)
    for _ in range(1000):
        purse.observe(payment(1.0, asked=True))
    return purse.state()


@pytest.mark.parametrize(
    "make",
    [
        lambda coin: BudgetPolicy(Purse(A_FIFTH), CENT, coin),
        lambda coin: BudgetPolicy(filled(), CENT, coin),
        lambda coin: BudgetPolicy(empty(), CENT, coin),
        lambda coin: BudgetPolicy(filled(A_DAY), CENT, coin),
        lambda coin: BudgetPolicy(filled(), None, coin),
    ],
    ids=["new", "filled", "empty", "daily", "unpriced"],
)
def test_it_keeps_the_contract(make: object) -> None:
    check_policy(make)  # type: ignore[arg-type]


def test_the_most_doubtful_are_asked_about_and_the_rest_by_chance() -> None:
    doubtful = drive(BudgetPolicy(filled(), CENT, always(0.99)), sure(0.01))[-1]
    assert (doubtful.tier, doubtful.reason, doubtful.propensity) == (Tier.TEACHER, DOUBTFUL, 1.0)
    kept = drive(BudgetPolicy(filled(), CENT, always(0.99)), sure(0.99))[-1]
    assert (kept.tier, kept.reason) == (Tier.STUDENT, WITHIN_BUDGET)
    checked = drive(BudgetPolicy(filled(), CENT, always(0.0)), sure(0.99))[-1]
    assert (checked.tier, checked.reason) == (Tier.TEACHER, PROOF)
    assert checked.propensity == checked.floor == kept.floor == pytest.approx(0.02)
    assert kept.propensity == 1.0 - kept.floor
    assert kept.level == checked.level == doubtful.level == 0


@pytest.mark.parametrize(("purse", "price"), [(empty(), CENT), (filled(), None)])
def test_what_cannot_be_paid_for_is_served(purse: Purse, price: Decimal | None) -> None:
    ask = drive(BudgetPolicy(purse, price, always(0.0)), sure(0.1))[-1]
    assert (ask.tier, ask.reason, ask.propensity) == (Tier.STUDENT, BUDGET_SPENT, 1.0)


def test_without_a_release_the_teacher_answers_and_that_is_a_debt() -> None:
    purse = Purse(A_FIFTH)
    ask = drive(
        BudgetPolicy(purse, CENT, always(0.0)), Evidence(available=True), Features(workload="w")
    )[-1]
    assert (ask.tier, ask.reason, ask.level) == (Tier.TEACHER, "no_release", 0)
    purse.observe(payment(1.0, asked=True))
    assert purse.debt_usd == CENT - Decimal("0.002")


def test_spending_never_exceeds_what_accrued_by_more_than_the_debt() -> None:
    purse, spent, coin = Purse(A_FIFTH), Decimal(0), iter([0.3, 0.0, 0.9] * 2000)
    for i in range(5000):
        share = purse.choose_share(((i * 37) % 100) / 100.0, CENT)
        asked = share == 1.0 or next(coin) < share
        purse.observe(payment(share or 1.0, asked))
        spent += CENT * asked
        assert spent <= Decimal("0.002") * (i + 1) + purse.debt_usd
    assert purse.debt_usd == 0
    assert spent >= Decimal("0.0019") * 5000


def test_asks_under_way_count_as_spent() -> None:
    purse = filled()
    before = purse.spare()
    purse.reserve()
    assert purse.spare() == before - CENT
    purse.release()
    purse.release()
    assert purse.spare() == before


def test_a_day_never_spends_more_than_its_allowance() -> None:
    purse, coin = filled(A_DAY), random.Random(3)
    for day in range(1, 4):
        spent = Decimal(0)
        for minute in range(1440):
            at_s = 86_400.0 * day + 60.0 * minute
            purse.advance(at_s)
            share = purse.choose_share(0.9, CENT)
            asked = coin.random() < share  # doubts are all the same: only chance can choose
            purse.observe(payment(share or 1.0, asked, at_s=at_s))
            spent += CENT * asked
        assert Decimal("1.2") < spent <= Decimal("2.4")


def test_a_call_without_an_answer_costs_and_earns_nothing() -> None:
    purse = filled()
    before = purse.spare()
    purse.reserve()
    failed = Trial(level=0, seen=False, wrong=True, propensity=1.0, floor=1.0, failed=True)
    purse.observe(Payment(trial=failed, cost_usd=None, at_s=0.0))
    assert purse.spare() == before


def test_an_unknown_cost_is_charged_as_expected() -> None:
    purse = filled()
    before = purse.spare()
    seen = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
    purse.observe(Payment(trial=seen, cost_usd=None, at_s=0.0))
    # What accrued for it repays debt or is kept, a part of 0.002 each.
    assert before - CENT <= purse.spare() <= before - CENT + Decimal("0.002")


def test_a_stored_purse_goes_on_where_it_stood() -> None:
    purse = filled()
    again = Purse.restore(A_FIFTH, purse.state())
    assert again.state() == purse.state()
    assert again.choose_share(0.4, CENT) == Purse.restore(A_FIFTH, purse.state()).choose_share(
        0.4, CENT
    )


@pytest.mark.parametrize(
    "change",
    [{"balance": "-1"}, {"debt": "NaN"}, {"doubts": [2.0]}, {"proven": {}}, {"rate": "many"}],
)
def test_a_purse_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, ArithmeticError, KeyError)):
        Purse.restore(A_FIFTH, {**filled().state(), **change})


def test_where_the_teacher_answers_all_agreement_is_certain() -> None:
    proven = Thinning(0.95, 0.05)
    assert proven.agreement() == 0.0
    proven.observe(payment(1.0, asked=True).trial)
    assert proven.agreement() == 1.0


def test_a_draft_without_a_chance_of_a_check_counts_as_wrong() -> None:
    proven = Thinning(0.95, 0.05)
    proven.observe(payment(1.0, asked=False).trial)
    assert (proven.bound(), proven.trials) == (1.0, 1)


def test_an_expectation_must_come_first() -> None:
    proven = Thinning(0.95, 0.05)
    proven.observe(payment(0.05, asked=True).trial)
    with pytest.raises(ValueError, match="old expectation"):
        proven.expecting(0.1)
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match="none"):
            Thinning(0.95, share)
        with pytest.raises(ValueError, match="none"):
            proven.observe(payment(share, asked=True).trial)
