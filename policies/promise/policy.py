"""Serve as much as the certificate allows, and keep asking at random to keep it honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.base import Coin, Flow, draft_or_teacher
from policies.promise.certificate import Certificate
from policies.types import Ask, Features, Tier


class PromisePolicy:
    """Keeps a promise about agreement at the lowest cost that is proven.

    ``thresholds``: the active release's score threshold per risk level, non-increasing, ``inf``
    where the release has none. ``proof_share``: probability with which an interaction that could
    be served is answered by the teacher instead, so that what is served stays measured; that
    answer is awaited and delivered, so it can't be wrong. The certificate is shared with its
    owner, who feeds it the outcomes.
    """

    name = "promise"

    def __init__(
        self,
        certificate: Certificate,
        thresholds: NDArray[np.float64],
        coin: Coin,
        proof_share: float,
    ) -> None:
        if not 0.0 < proof_share <= 1.0:
            raise ValueError("proof_share must lie in (0, 1]: unasked, nothing is proven")
        self._certificate = certificate
        self._thresholds = thresholds
        self._coin = coin
        self._proof_share = proof_share

    def flow(self, features: Features) -> Flow:
        evidence = yield from draft_or_teacher(features)
        if evidence is None or evidence.confidence is None:
            return
        level = int(np.count_nonzero(self._thresholds > evidence.confidence))
        allowed = self._certificate.level()
        if allowed is None:
            yield Ask(tier=Tier.TEACHER, commit=True, reason="observe", level=level)
            return
        threshold = float(self._thresholds[allowed])
        share = self._proof_share
        if level > allowed:
            yield Ask(
                tier=Tier.TEACHER,
                commit=True,
                reason="below_threshold",
                threshold=threshold,
                level=level,
                floor=share,
            )
        elif self._coin() < share:
            yield Ask(
                tier=Tier.TEACHER,
                commit=True,
                reason="proof",
                propensity=share,
                threshold=threshold,
                level=level,
                floor=share,
            )
        else:
            yield Ask(
                tier=Tier.STUDENT,
                commit=True,
                reason="certified",
                propensity=1.0 - share,
                threshold=threshold,
                level=level,
                floor=share,
            )
