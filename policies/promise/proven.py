"""Serve down to a threshold that was proven before, and ask about nothing more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from policies.base import Flow, draft_or_teacher
from policies.promise.batch import Proven
from policies.promise.policy import CERTIFIED, SLICE_UNPROVEN
from policies.types import Ask, Features, Tier


class ProvenPolicy:
    """Keeps a promise by what a batch has proven, where learning is off.

    Nothing is asked at random: what is served is not measured any more, and the promise stands or
    falls with traffic that is like the batch. ``slices``: what is proven of those slices that the
    interaction belongs to.
    """

    name = "promise"

    def __init__(self, proven: Proven, slices: Sequence[Proven] = ()) -> None:
        self._proven = proven
        self._of_slices = max((one.threshold for one in slices), default=-math.inf)

    def flow(self, features: Features) -> Flow:
        evidence = yield from draft_or_teacher(features)
        if evidence is None or evidence.confidence is None:
            return
        threshold = self._proven.threshold
        if threshold <= evidence.confidence < self._of_slices:
            threshold = self._of_slices
            yield Ask(tier=Tier.TEACHER, commit=True, reason=SLICE_UNPROVEN, threshold=threshold)
            return
        if evidence.confidence >= threshold:
            yield Ask(tier=Tier.STUDENT, commit=True, reason=CERTIFIED, threshold=threshold)
            return
        reason = "observe" if math.isinf(threshold) else "below_threshold"
        yield Ask(tier=Tier.TEACHER, commit=True, reason=reason, threshold=threshold)
