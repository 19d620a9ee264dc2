"""Purses survive restarts, and another budget starts afresh."""

from __future__ import annotations

from decimal import Decimal

import pytest

from policies.purse import Payment
from policies.types import Trial
from router.deciding.budget import BudgetKeeper
from router.meter.metrics import Metrics
from router.record.model import Interaction, PromiseState
from router.record.store import Store
from router.settings.model import WorkloadBudget
from tests.unit.router.record.records import make_record

BUDGET = WorkloadBudget(usd_per_interaction=Decimal("0.002"))
CENT = Decimal("0.01")
ASKED = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)


def _gather(store: Store, count: int) -> BudgetKeeper:
    keeper = BudgetKeeper(store, Metrics(), clock=lambda: 5.0)
    keeper.policy("w", BUDGET, CENT, lambda: 0.5)
    for i in range(count):
        state = keeper.observe("w", Payment(trial=ASKED, cost_usd=CENT, at_s=5.0))
        store.append([_record(f"i{i}")], {"w": state})
    return keeper


def _record(name: str) -> Interaction:
    return make_record(
        name,
        workload="w",
        level=0,
        seen=True,
        draft_agreed=True,
        propensity=1.0,
        cost_usd=CENT,
        created_at=5.0,
    )


def test_a_restart_takes_in_what_came_after_the_snapshot() -> None:
    store = Store.open(":memory:")
    kept = _gather(store, 3)
    store.append([_record("late")], {})
    kept.observe("w", Payment(trial=ASKED, cost_usd=CENT, at_s=5.0))
    again = BudgetKeeper(store, Metrics()).purse("w", BUDGET)
    before = kept.purse("w", BUDGET)
    assert again.proven.state() == before.proven.state()
    assert (again.debt_usd, again.spare()) == (before.debt_usd, before.spare())
    assert again.debt_usd == 4 * CENT - 4 * Decimal("0.002")


def test_another_budget_starts_afresh() -> None:
    store = Store.open(":memory:")
    _gather(store, 3)
    other = WorkloadBudget(usd_per_day=Decimal(3))
    assert BudgetKeeper(store, Metrics()).purse("w", other).proven.trials == 0


def test_a_purse_that_cannot_be_used_starts_afresh(caplog: pytest.LogCaptureFixture) -> None:
    store = Store.open(":memory:")
    keeper = _gather(store, 1)
    broken = PromiseState(terms=keeper.purse("w", BUDGET).key, state={"balance": "much"})
    store.append([], {"w": broken})
    assert BudgetKeeper(store, Metrics()).purse("w", BUDGET).proven.trials == 0
    assert "starts afresh" in caplog.text


def test_what_is_proven_is_a_metric() -> None:
    metrics = Metrics()
    keeper = BudgetKeeper(Store.open(":memory:"), metrics)
    assert (keeper.keeps("w"), keeper.proven_agreement("w")) == (False, None)
    keeper.release("w")
    keeper.purse("w", BUDGET)
    keeper.observe("w", Payment(trial=ASKED, cost_usd=CENT, at_s=5.0))
    assert (keeper.keeps("w"), keeper.proven_agreement("w")) == (True, 1.0)
    page = metrics.render()[0].decode()
    assert 'tutelage_agreement_lower_bound{workload="w"} 1.0' in page
