"""Serve down to a threshold that was proven before, and ask about nothing more."""

from __future__ import annotations

import math

from policies.base import Flow, draft_or_teacher
from policies.promise.batch import Proven
from policies.promise.policy import CERTIFIED
from policies.types import Ask, Features, Tier


class ProvenPolicy:
    """Keeps a promise by what a batch has proven, where learning is off.

    Nothing is asked at random: what is served is not measured any more, and the promise stands or
    falls with traffic that is like the batch.
    """

    name = "promise"

    def __init__(self, proven: Proven) -> None:
        self._proven = proven

    def flow(self, features: Features) -> Flow:
        evidence = yield from draft_or_teacher(features)
        if evidence is None or evidence.confidence is None:
            return
        threshold = self._proven.threshold
        if evidence.confidence >= threshold:
            yield Ask(tier=Tier.STUDENT, commit=True, reason=CERTIFIED, threshold=threshold)
            return
        reason = "observe" if math.isinf(threshold) else "below_threshold"
        yield Ask(tier=Tier.TEACHER, commit=True, reason=reason, threshold=threshold)
