"""Keeps one purse per workload, across requests and restarts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from decimal import Decimal

from policies.base import Coin
from policies.budget import BudgetPolicy
from policies.purse import Allowance, Payment, Purse
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import WorkloadBudget

_log = logging.getLogger("tutelage.budget")


class BudgetKeeper:
    """Purses by workload. Used from one event loop only.

    A purse is restored from the store where the budget is the same, and brought up to date with
    the interactions stored after its snapshot. Another budget starts afresh, and so does what
    can't be used: without credit, and with nothing proven. ``clock``: seconds since the epoch.
    """

    def __init__(
        self, store: Store, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._kept: dict[str, Purse] = {}

    def purse(self, workload: str, budget: WorkloadBudget) -> Purse:
        """The workload's purse; the first call for a workload reads the store."""
        found = self._kept.get(workload)
        if found is None:
            found = self._kept[workload] = self._restore(workload, _allow(budget))
            self._publish(workload, found)
        return found

    def policy(
        self, workload: str, budget: WorkloadBudget, price_usd: Decimal | None, coin: Coin
    ) -> BudgetPolicy:
        """The policy over the purse as it stands now."""
        purse = self.purse(workload, budget)
        purse.advance(self._clock())
        return BudgetPolicy(purse, price_usd, coin)

    def keeps(self, workload: str) -> bool:
        """Whether the workload has a purse, so that its interactions are observed here."""
        return workload in self._kept

    def keep_only(self, budgets: Mapping[str, WorkloadBudget]) -> None:
        """Let go of the purses of workloads that have another budget now, or none."""
        for workload, purse in list(self._kept.items()):
            budget = budgets.get(workload)
            if budget is None or purse.key != _allow(budget).key:
                del self._kept[workload]

    def observe(self, workload: str, payment: Payment) -> PromiseState:
        """Take in one interaction of a workload whose purse is kept; returns a snapshot."""
        purse = self._kept[workload]
        purse.observe(payment)
        self._publish(workload, purse)
        return PromiseState(terms=purse.key, state=purse.state())

    def release(self, workload: str) -> None:
        """An ask that the purse was to pay for isn't carried out after all."""
        if workload in self._kept:
            self._kept[workload].release()

    def proven_agreement(self, workload: str) -> float | None:
        """The agreement over all interactions that is proven; None without a purse."""
        purse = self._kept.get(workload)
        return None if purse is None else purse.proven.agreement()

    def _restore(self, workload: str, allowance: Allowance) -> Purse:
        stored = self._store.promise_state(workload)
        if stored is None or stored.terms != allowance.key:
            return Purse(allowance)
        try:
            purse = Purse.restore(allowance, stored.state)
            for _, payment in self._store.payments(workload, after_seq=stored.upto_seq):
                purse.observe(payment)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            _log.warning(
                "The purse of workload %s can't be used (%s): it starts afresh.", workload, error
            )
            return Purse(allowance)
        return purse

    def _publish(self, workload: str, purse: Purse) -> None:
        self._metrics.set_agreement_bound(workload, purse.proven.agreement())


def _allow(budget: WorkloadBudget) -> Allowance:
    return Allowance(usd_per_interaction=budget.usd_per_interaction, usd_per_day=budget.usd_per_day)
