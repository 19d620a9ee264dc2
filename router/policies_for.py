"""Which policy decides about a request of a workload."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np

from policies.base import Coin, Policy
from policies.plugins import PolicyContext
from policies.promise.batch import Proven
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import PromisePolicy
from policies.promise.proven import ProvenPolicy
from policies.static import StudentPolicy, TeacherPolicy
from policies.threshold import ThresholdPolicy
from router.budget import BudgetKeeper
from router.plugins import Plugins
from router.promise import PromiseKeeper
from router.release import Release
from router.settings.model import WorkloadSettings


def build_policy(
    workload: str,
    settings: WorkloadSettings | None,
    release: Release | None,
    promises: PromiseKeeper,
    coin: Coin,
    budgets: BudgetKeeper,
    expect_cost: Callable[[], Decimal | None],
    proven: Proven | None = None,
    plugins: Plugins | None = None,
) -> Policy:
    """The configured policy over the release in force; without one, observe and learn.

    ``expect_cost``: USD that asking the teacher about the request is likely to cost. ``proven``:
    what keeps a promise where learning is off. ``plugins``: policies of other distributions.
    """
    if settings is None:
        return TeacherPolicy()
    name = settings.effective_policy
    if name == "student":
        return StudentPolicy(coin, settings.audit.max_share)
    if name == "threshold" and settings.threshold is not None:
        return ThresholdPolicy(coin, settings.threshold, settings.audit.max_share)
    if name == "promise" and proven is not None:
        return ProvenPolicy(proven)
    if name == "promise" and settings.promise is not None:
        account = promises.account(workload, settings.promise)
        if isinstance(account, Ledger):
            return GuaranteePolicy(account, coin)
        thresholds = np.full(len(account.levels), np.inf)
        if release is not None:
            thresholds = release.thresholds(account.levels, settings.promise.over)
        return PromisePolicy(account, thresholds, coin, settings.audit.proof_share)
    if name == "budget" and settings.budget is not None:
        return budgets.policy(workload, settings.budget, expect_cost(), coin)
    factory = None if plugins is None else plugins.get(name)
    if factory is not None:
        context = PolicyContext(
            workload=workload,
            options=settings.options,
            release=None if release is None else release.digest,
            audit_share=settings.audit.max_share,
            expect_cost=expect_cost,
        )
        return factory(context, coin)
    return TeacherPolicy()
