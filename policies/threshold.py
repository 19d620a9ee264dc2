"""Serve the draft where the gate's probability reaches a fixed threshold."""

from __future__ import annotations

from policies.base import Coin, Flow, audit, draft_or_teacher
from policies.types import Ask, Features, Tier


class ThresholdPolicy:
    """A threshold chosen by hand: nothing is promised, and nothing is certified.

    ``threshold``: smallest calibrated probability of agreement at which a draft is served;
    ``audit_share``: probability with which a served answer is checked in the background; it is
    the floor of what is served, unless it is 0.
    """

    name = "threshold"

    def __init__(self, coin: Coin, threshold: float, audit_share: float) -> None:
        self._coin = coin
        self._threshold = threshold
        self._audit_share = audit_share

    def flow(self, features: Features) -> Flow:
        evidence = yield from draft_or_teacher(features)
        if evidence is None or evidence.confidence is None:
            return
        if evidence.confidence < self._threshold:
            yield Ask(
                tier=Tier.TEACHER,
                commit=True,
                reason="below_threshold",
                threshold=self._threshold,
            )
            return
        yield Ask(
            tier=Tier.STUDENT,
            commit=True,
            reason="above_threshold",
            threshold=self._threshold,
            floor=self._audit_share or 1.0,
        )
        yield from audit(self._coin, self._audit_share)
