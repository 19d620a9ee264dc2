"""Serve as much as is proven right by verdicts, and ask at random for the verdicts that prove it.

One coin, whose share never depends on the draft, meets every draft that was judged. Where it falls
the teacher answers, the draft is kept beside its answer, and the application is asked for a verdict
on what was delivered, which tells of both. Elsewhere the draft goes out where the certificate
allows it and the teacher answers where it doesn't; neither proves anything. While nothing may be
served the coin is the same: verdicts cost people's time.
"""

from __future__ import annotations

from dataclasses import replace

from policies.base import Coin, Flow, draft_or_teacher
from policies.promise.policy import CERTIFIED, PROOF, Part
from policies.types import Ask, Features, Tier

VERDICT = "verdict"
"""The teacher answers by chance, and a verdict on its answer is wanted. At a propensity below 1
the draft was fit to be served."""


def checks_draft(reason: str, propensity: float) -> bool:
    """Whether the teacher is asked, by this ask, instead of a draft that was fit to be served."""
    return reason == PROOF or (reason == VERDICT and propensity < 1.0)


class AccuracyPolicy:
    """Keeps a promise about accuracy by verdicts on a random ``share`` of the interactions.

    ``part``: the workload's certificate with the active release's thresholds; its owner feeds it
    the verdicts, in the order of the interactions. An ask's ``propensity`` is that of the teacher's
    answer, which becomes known in any case where the draft isn't fit to be served.
    """

    name = "promise"

    def __init__(self, part: Part, coin: Coin, share: float) -> None:
        if not 0.0 < share <= 1.0:
            raise ValueError("the share of verdicts must lie in (0, 1]: without, nothing is proven")
        self._part = part
        self._coin = coin
        self._share = share

    def flow(self, features: Features) -> Flow:
        evidence = yield from draft_or_teacher(features)
        if evidence is None or evidence.confidence is None:
            return
        ask = Ask(
            tier=Tier.TEACHER,
            commit=True,
            reason="observe",
            threshold=self._part.threshold(),
            level=self._part.level_of(evidence.confidence),
            floor=self._share,
            verdict_share=self._share,
        )
        refusal = self._part.refuse(ask, evidence.confidence)
        if self._coin() < self._share:
            known = self._share if refusal is None else 1.0
            yield replace(ask, reason=VERDICT, propensity=known)
        elif refusal is not None:
            yield refusal
        else:
            yield replace(ask, tier=Tier.STUDENT, reason=CERTIFIED, propensity=1.0 - self._share)
