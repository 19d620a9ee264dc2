"""Which policy decides about a request of a workload."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from policies.base import Coin, Policy
from policies.cascade import CascadePolicy, Ladder, Rung
from policies.plugins import PolicyContext
from policies.promise.batch import Proven
from policies.promise.certificate import Certificate
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
from router.settings.model import PromiseSettings, WorkloadSettings


@dataclass(frozen=True, kw_only=True)
class Climb:
    """What may draft about a request besides, or instead of, one student."""

    rungs: Sequence[Rung]
    ladder: Ladder


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
    climb: Climb | None = None,
) -> Policy:
    """The configured policy over the release in force; without one, observe and learn.

    ``expect_cost``: USD that asking the teacher about the request is likely to cost. ``proven``:
    what keeps a promise where learning is off; it speaks of the student's drafts alone, so nothing
    else drafts then. ``plugins``: policies of other distributions. ``climb``: the ladder of drafts,
    where there is more than the one student.
    """
    if settings is None:
        return TeacherPolicy()

    def over_ladder(inner: Policy, bar: float) -> Policy:
        """``bar``: the confidence from which ``inner`` serves a draft."""
        if climb is None:
            return inner
        priced = any(rung.cost_usd > 0.0 for rung in climb.rungs)
        teacher_usd = expect_cost() if priced else None
        return CascadePolicy(
            inner,
            climb.rungs,
            climb.ladder,
            coin,
            bar=bar,
            teacher_usd=None if teacher_usd is None else float(teacher_usd),
        )

    name = settings.effective_policy
    if name == "student":
        return over_ladder(StudentPolicy(coin, settings.audit.max_share), 0.0)
    if name == "threshold" and settings.threshold is not None:
        inner = ThresholdPolicy(coin, settings.threshold, settings.audit.max_share)
        return over_ladder(inner, settings.threshold)
    if name == "promise" and proven is not None:
        return ProvenPolicy(proven)
    if name == "promise" and settings.promise is not None:
        account = promises.account(workload, settings.promise)
        if isinstance(account, Ledger):
            return over_ladder(GuaranteePolicy(account, coin), 1.0 - account.cut())
        thresholds = _find_thresholds(account, settings.promise, release, climb)
        # While nothing is served, the strictest level stands for what would be.
        bar = float(thresholds[account.level() or 0])
        return over_ladder(
            PromisePolicy(account, thresholds, coin, settings.audit.proof_share), bar
        )
    if name == "budget" and settings.budget is not None:
        cut = budgets.purse(workload, settings.budget).cut()
        policy = budgets.policy(workload, settings.budget, expect_cost(), coin)
        return over_ladder(policy, 1.0 - cut)
    if plugins is not None and name in plugins:
        context = _surroundings(workload, settings, release, expect_cost)
        return plugins[name](context, coin)
    return TeacherPolicy()


def _surroundings(
    workload: str,
    settings: WorkloadSettings,
    release: Release | None,
    expect_cost: Callable[[], Decimal | None],
) -> PolicyContext:
    return PolicyContext(
        workload=workload,
        options=settings.options,
        release=None if release is None else release.digest,
        audit_share=settings.audit.max_share,
        expect_cost=expect_cost,
    )


def _find_thresholds(
    account: Certificate, promise: PromiseSettings, release: Release | None, climb: Climb | None
) -> NDArray[np.float64]:
    """The score threshold of each risk level, over all that may draft."""
    if climb is not None:
        gate = None if release is None else release.gate
        return climb.ladder.thresholds(account.levels, promise.over, gate)
    if release is None:
        return np.full(len(account.levels), math.inf)
    return release.thresholds(account.levels, promise.over)
