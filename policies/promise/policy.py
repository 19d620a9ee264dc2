"""Serve as much as the certificates allow, and keep asking at random to keep them honest.

A workload has a certificate, and each of its slices one more. A draft is served where all those
allow it that the interaction belongs to. One coin serves them all: it falls for the teacher with
the largest of their shares. The share that each account bets by, its floor, is of its own state and
the whole's, never of the interaction's other slices: a bet that knew them could favour those that
err less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policies.base import Coin, Flow, draft_or_teacher
from policies.promise.certificate import LEVEL_MULTIPLES
from policies.types import Ask, Features, InSlice, Tier

CERTIFIED = "certified"
"""The draft is served: its threshold is proven."""

PROOF = "proof"
"""The teacher answers, by chance, instead of a draft fit to be served."""

PROOF_FAILED = "proof_failed"
TEACHER_FAILED = "teacher_failed"
"""The teacher was asked outright and gave no answer, and the workload wants a draft then."""
"""It was to answer by chance and couldn't, so the draft was served after all."""

SLICE_UNPROVEN = "slice_unproven"
"""The workload's certificate would let the draft be served; that of one of its slices doesn't."""

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


class InForce(Protocol):
    """What the policy asks a certificate: see there. A pool's stands in its place."""

    def level(self) -> int | None: ...
    @property
    def withheld(self) -> int | None: ...
    @property
    def wary(self) -> bool: ...
    @property
    def leans(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """A certificate with the active release's score threshold per level of it; ``name``: of the
    slice, empty for the whole workload."""

    certificate: InForce
    thresholds: NDArray[np.float64]
    name: str = ""

    def level_of(self, confidence: float) -> int:
        """The strictest level that the draft passes; how many there are where it passes none."""
        return int(np.count_nonzero(self.thresholds > confidence))

    def threshold(self) -> float | None:
        """That of the level in force; None: nothing may be served."""
        allowed = self.certificate.level()
        return None if allowed is None else float(self.thresholds[allowed])

    def allows(self, confidence: float) -> bool:
        """The draft may be served, as far as this certificate goes."""
        allowed = self.certificate.level()
        return allowed is not None and self.level_of(confidence) <= allowed

    def refuse(self, ask: Ask, confidence: float) -> Ask | None:
        """The teacher's turn, and why the draft isn't fit to be served; None where it is."""
        if self.certificate.level() is None:
            withheld = self.certificate.withheld
            held = withheld is not None and ask.level is not None and ask.level <= withheld
            return replace(ask, reason=DRIFT) if held else ask
        return None if self.allows(confidence) else replace(ask, reason="below_threshold")

    def share(self, configured: float | None) -> float:
        """How much of what may be served is to be checked; 1 where nothing may."""
        allowed = self.certificate.level()
        if allowed is None:
            return 1.0
        share = configured or choose_proof_share(allowed)
        if self.certificate.wary:
            return max(share, _WARY_SHARE)
        return max(share, _LEANING_SHARE) if self.certificate.leans else share


class PromisePolicy:
    """Keeps a promise about agreement at the lowest cost that is proven.

    ``thresholds``: the active release's score threshold per risk level, non-increasing, ``inf``
    where the release has none. ``proof_share``: probability with which an interaction that could
    be served is answered by the teacher instead, so that what is served stays measured; that
    answer is awaited and delivered, so it can't be wrong. None: by the level in force
    (``choose_proof_share``). ``slices``: those of the workload that the interaction belongs to.
    Certificates are shared with their owner, who feeds them the outcomes.
    """

    name = "promise"

    def __init__(
        self,
        certificate: InForce,
        thresholds: NDArray[np.float64],
        coin: Coin,
        proof_share: float | None = None,
        slices: Sequence[Part] = (),
    ) -> None:
        if proof_share is not None and not 0.0 < proof_share <= 1.0:
            raise ValueError("proof_share must lie in (0, 1]: unasked, nothing is proven")
        self._whole = Part(certificate=certificate, thresholds=thresholds)
        self._slices = slices
        self._coin = coin
        self._proof_share = proof_share

    def flow(self, features: Features) -> Flow:
        evidence = yield from draft_or_teacher(features)
        if evidence is None or evidence.confidence is None:
            return
        confidence, whole = evidence.confidence, self._whole
        floor = whole.share(self._proof_share)
        ask = Ask(
            tier=Tier.TEACHER,
            commit=True,
            reason="observe",
            threshold=whole.threshold(),
            level=whole.level_of(confidence),
            floor=floor,
            slices=tuple(self._weigh(one, confidence, floor) for one in self._slices),
        )
        refusal = self._refuse(ask, confidence)
        if refusal is not None:
            yield refusal
            return
        share = max([floor, *(one.floor for one in ask.slices)])
        if self._coin() < share:
            yield replace(ask, reason=PROOF, propensity=share)
        else:
            yield replace(ask, tier=Tier.STUDENT, reason=CERTIFIED, propensity=1.0 - share)

    def _weigh(self, part: Part, confidence: float, floor: float) -> InSlice:
        share = max(floor, part.share(self._proof_share))
        return InSlice(name=part.name, level=part.level_of(confidence), floor=share)

    def _refuse(self, ask: Ask, confidence: float) -> Ask | None:
        """As ``Part.refuse``, for all that the interaction belongs to."""
        refusal = self._whole.refuse(ask, confidence)
        if refusal is not None:
            return refusal
        for part in self._slices:
            if not part.allows(confidence):
                return replace(ask, reason=SLICE_UNPROVEN, threshold=part.threshold())
        return None
