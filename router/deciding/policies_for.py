"""Which policy decides about a request of a workload."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from policies.base import Coin, Policy
from policies.cascade import CascadePolicy, Ladder, Rung, Skip
from policies.plugins import PolicyContext
from policies.promise.accuracy import AccuracyPolicy
from policies.promise.batch import Proven
from policies.promise.certificate import LEVEL_MULTIPLES, Certificate
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import InForce, Part, PromisePolicy
from policies.promise.proven import ProvenPolicy
from policies.static import StudentPolicy, TeacherPolicy
from policies.threshold import ThresholdPolicy
from router.deciding.budget import BudgetKeeper
from router.deciding.kept import Account
from router.deciding.plugins import Plugins
from router.deciding.promise import PromiseKeeper
from router.release import Release
from router.settings.model import WorkloadSettings
from router.settings.slices import SliceSettings


@dataclass(frozen=True, kw_only=True)
class Climb:
    """What may draft about a request besides, or instead of, one student. ``skipped``: is given
    the rungs that weren't asked, and why."""

    rungs: Sequence[Rung]
    ladder: Ladder
    skipped: dict[str, Skip] = field(default_factory=dict)

    def over(
        self,
        inner: Policy,
        bar: float,
        coin: Coin,
        expect_cost: Callable[[], Decimal | None],
        aim: float | None = None,
    ) -> Policy:
        """``inner`` over the ladder; ``bar``, ``aim``: see ``CascadePolicy``."""
        priced = any(rung.cost_usd > 0.0 for rung in self.rungs)
        teacher_usd = expect_cost() if priced else None
        return CascadePolicy(
            inner,
            self.rungs,
            self.ladder,
            coin,
            bar=bar,
            teacher_usd=None if teacher_usd is None else float(teacher_usd),
            aim=aim,
            skipped=self.skipped,
        )


def build_policy(
    workload: str,
    settings: WorkloadSettings | None,
    release: Release | None,
    promises: PromiseKeeper,
    coin: Coin,
    budgets: BudgetKeeper,
    expect_cost: Callable[[], Decimal | None],
    proven: Sequence[Proven] = (),
    inside: Sequence[SliceSettings] = (),
    plugins: Plugins | None = None,
    climb: Climb | None = None,
) -> Policy:
    """The configured policy over the release in force; without one, observe and learn.

    ``expect_cost``: USD that asking the teacher about the request is likely to cost. ``proven``:
    what keeps a promise where learning is off, first the whole workload's; it speaks of the
    student's drafts alone, so nothing else drafts then. ``inside``: the slices that the request
    belongs to. ``plugins``: policies of other distributions. ``climb``: the ladder of drafts, where
    there is more than the one student.
    """
    if settings is None:
        return TeacherPolicy()

    def over_ladder(inner: Policy, bar: float, aim: float | None = None) -> Policy:
        return inner if climb is None else climb.over(inner, bar, coin, expect_cost, aim)

    name = settings.effective_policy
    if name == "student":
        return over_ladder(StudentPolicy(coin, settings.audit.max_share), 0.0)
    if name == "threshold" and settings.threshold is not None:
        inner = ThresholdPolicy(coin, settings.threshold, settings.audit.max_share)
        return over_ladder(inner, settings.threshold)
    if name == "promise" and proven:
        return ProvenPolicy(proven[0], proven[1:])
    if name == "promise" and settings.promise is not None:
        account = promises.account(workload, settings.promise, settings.slices)
        accounts = promises.slices(workload)
        slices = {one.name: accounts[one.name] for one in inside}
        if isinstance(account, Ledger):
            ledgers = {name: one for name, one in slices.items() if isinstance(one, Ledger)}
            return over_ladder(GuaranteePolicy(account, coin, ledgers), 1.0 - account.cut())
        whole = promises.pools.in_force(workload, account)
        kept = _keep_promise(whole, account.levels, slices, settings, release, coin, climb)
        return over_ladder(*kept)
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


def _keep_promise(
    whole: InForce,
    levels: NDArray[np.float64],
    slices: Mapping[str, Account],
    settings: WorkloadSettings,
    release: Release | None,
    coin: Coin,
    climb: Climb | None,
) -> tuple[Policy, float, float]:
    """The policy over what is in force for the whole and for slices, the confidence from which it
    serves (while nothing is served, the strictest level stands for what would be), and the one from
    which it would at the level whose predicted risk is what is promised."""
    over = "all" if settings.promise is None else settings.promise.over
    parts = [
        Part(
            certificate=one,
            thresholds=_find_thresholds(one.levels, over, release, climb),
            name=name,
        )
        for name, one in slices.items()
        if isinstance(one, Certificate)
    ]
    thresholds = _find_thresholds(levels, over, release, climb)
    promised = int(np.searchsorted(LEVEL_MULTIPLES, 1.0, side="right")) - 1
    bars = float(thresholds[whole.level() or 0]), float(thresholds[promised])
    if settings.promise is not None and settings.promise.accuracy is not None:
        part = Part(certificate=whole, thresholds=thresholds)
        return AccuracyPolicy(part, coin, settings.promise.effective_verdicts.share), *bars
    return PromisePolicy(whole, thresholds, coin, settings.audit.proof_share, parts), *bars


def _find_thresholds(
    levels: NDArray[np.float64],
    over: Literal["all", "served"],
    release: Release | None,
    climb: Climb | None,
) -> NDArray[np.float64]:
    """The score threshold of each risk level, over all that may draft."""
    if climb is not None:
        return climb.ladder.thresholds(levels, over, None if release is None else release.gate)
    if release is None:
        return np.full(len(levels), math.inf)
    return release.thresholds(levels, over)
