"""Serve as much as the certificate allows, and keep asking at random to keep it honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.base import Coin, Flow, draft_or_teacher
from policies.promise.certificate import LEVEL_MULTIPLES, Certificate
from policies.types import Ask, Features, Tier

CERTIFIED = "certified"
"""The draft is served: its threshold is proven."""

PROOF = "proof"
"""The teacher answers, by chance, instead of a draft fit to be served."""

PROOF_FAILED = "proof_failed"
TEACHER_FAILED = "teacher_failed"
"""The teacher was asked outright and gave no answer, and the workload wants a draft then."""
"""It was to answer by chance and couldn't, so the draft was served after all."""

DRIFT = "drift"
"""The draft would have been served but for an alarm."""

_WARY_SHARE = 0.2
"""The random share after an alarm, at least."""

_LEANING_SHARE = 0.1
"""The random share at a level that is likely and not proven, at least: there errors must be seen
soon, and at a twentieth it takes a thousand interactions to see that a level errs by half too
often."""

_PROOF_AT_LEVEL = ((0.3, 0.2), (0.9, 0.05))
"""Between these (level multiple, share) the random share falls in a straight line."""


def choose_proof_share(level: int) -> float:
    """The random share for a level in force, an index into ``LEVEL_MULTIPLES``.

    At a strict level few drafts are wrong and little is served, so proof is scarce and asking is
    cheap; at a lax one the reverse. A constant share either starves the first or wastes the second.
    """
    multiples, shares = zip(*_PROOF_AT_LEVEL, strict=True)
    return float(np.interp(LEVEL_MULTIPLES[level], multiples, shares))


class PromisePolicy:
    """Keeps a promise about agreement at the lowest cost that is proven.

    ``thresholds``: the active release's score threshold per risk level, non-increasing, ``inf``
    where the release has none. ``proof_share``: probability with which an interaction that could
    be served is answered by the teacher instead, so that what is served stays measured; that
    answer is awaited and delivered, so it can't be wrong. None: by the level in force
    (``choose_proof_share``). The certificate is shared with its owner, who feeds it the outcomes.
    """

    name = "promise"

    def __init__(
        self,
        certificate: Certificate,
        thresholds: NDArray[np.float64],
        coin: Coin,
        proof_share: float | None = None,
    ) -> None:
        if proof_share is not None and not 0.0 < proof_share <= 1.0:
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
            withheld = self._certificate.withheld
            reason = "observe" if withheld is None or level > withheld else DRIFT
            yield Ask(tier=Tier.TEACHER, commit=True, reason=reason, level=level)
            return
        threshold = float(self._thresholds[allowed])
        share = self._proof_share or choose_proof_share(allowed)
        if self._certificate.wary:
            share = max(share, _WARY_SHARE)
        elif self._certificate.leans:
            share = max(share, _LEANING_SHARE)
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
                reason=PROOF,
                propensity=share,
                threshold=threshold,
                level=level,
                floor=share,
            )
        else:
            yield Ask(
                tier=Tier.STUDENT,
                commit=True,
                reason=CERTIFIED,
                propensity=1.0 - share,
                threshold=threshold,
                level=level,
                floor=share,
            )
