"""Which policy decides about a request of a workload."""

from __future__ import annotations

import numpy as np

from policies.base import Coin, Policy
from policies.promise.policy import PromisePolicy
from policies.static import StudentPolicy, TeacherPolicy
from policies.threshold import ThresholdPolicy
from router.promise import PromiseKeeper
from router.release import Release
from router.settings.model import WorkloadSettings


def build_policy(
    workload: str,
    settings: WorkloadSettings | None,
    release: Release | None,
    promises: PromiseKeeper,
    coin: Coin,
) -> Policy:
    """The configured policy over the release in force; without one, observe and learn."""
    if settings is None:
        return TeacherPolicy()
    name = settings.effective_policy
    if name == "student":
        return StudentPolicy(coin, settings.audit.max_share)
    if name == "threshold" and settings.threshold is not None:
        return ThresholdPolicy(coin, settings.threshold, settings.audit.max_share)
    if name == "promise" and settings.promise is not None:
        certificate = promises.certificate(workload, settings.promise)
        thresholds = np.full(len(certificate.levels), np.inf)
        if release is not None:
            thresholds = release.thresholds(certificate.levels, settings.promise.over)
        return PromisePolicy(certificate, thresholds, coin, settings.audit.proof_share)
    return TeacherPolicy()
