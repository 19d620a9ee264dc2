"""Which policy decides about a request of a workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from policies.base import Coin, Policy
from policies.promise.batch import Proven
from policies.promise.certificate import Certificate
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import Part, PromisePolicy
from policies.promise.proven import ProvenPolicy
from policies.static import StudentPolicy, TeacherPolicy
from policies.threshold import ThresholdPolicy
from router.budget import BudgetKeeper
from router.promise import Account, PromiseKeeper
from router.release import Release
from router.settings.model import PromiseSettings, WorkloadSettings
from router.settings.slices import SliceSettings


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
) -> Policy:
    """The configured policy over the release in force; without one, observe and learn.

    ``expect_cost``: USD that asking the teacher about the request is likely to cost. ``proven``:
    what keeps a promise where learning is off, first the whole workload's. ``inside``: the slices
    that the request belongs to.
    """
    if settings is None:
        return TeacherPolicy()
    name = settings.effective_policy
    if name == "student":
        return StudentPolicy(coin, settings.audit.max_share)
    if name == "threshold" and settings.threshold is not None:
        return ThresholdPolicy(coin, settings.threshold, settings.audit.max_share)
    if name == "promise" and proven:
        return ProvenPolicy(proven[0], proven[1:])
    if name == "promise" and settings.promise is not None:
        account = promises.account(workload, settings.promise, settings.slices)
        accounts = promises.slices(workload)
        slices = {one.name: accounts[one.name] for one in inside}
        return _build_promise(account, slices, settings, settings.promise, release, coin)
    if name == "budget" and settings.budget is not None:
        return budgets.policy(workload, settings.budget, expect_cost(), coin)
    return TeacherPolicy()


def _build_promise(
    account: Account,
    slices: Mapping[str, Account],
    settings: WorkloadSettings,
    promise: PromiseSettings,
    release: Release | None,
    coin: Coin,
) -> Policy:
    if isinstance(account, Ledger):
        ledgers = {name: one for name, one in slices.items() if isinstance(one, Ledger)}
        return GuaranteePolicy(account, coin, ledgers)

    def find_thresholds(certificate: Certificate) -> NDArray[np.float64]:
        if release is None:
            return np.full(len(certificate.levels), np.inf)
        return release.thresholds(certificate.levels, promise.over)

    parts = [
        Part(certificate=one, thresholds=find_thresholds(one), name=name)
        for name, one in slices.items()
        if isinstance(one, Certificate)
    ]
    thresholds = find_thresholds(account)
    return PromisePolicy(account, thresholds, coin, settings.audit.proof_share, parts)
