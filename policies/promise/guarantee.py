"""Serve what the ledger can pay for: a promise that assumes nothing about the traffic."""

from __future__ import annotations

from dataclasses import replace

from policies.base import Coin, Draft, Flow, draft_or_teacher
from policies.promise.ledger import Ledger
from policies.promise.policy import DRIFT, PROOF
from policies.types import Ask, Features, Tier

GUARANTEED = "guaranteed"
"""The draft is served; the coin didn't ask for its check, and the ledger could have paid for it."""


class GuaranteePolicy:
    """Keeps a promise about agreement over all interactions, whatever the traffic does.

    The check by chance is awaited and its answer delivered, so that it can't be wrong. The ledger
    is shared with its owner, who feeds it what came of every interaction that was asked about with
    a ``level``, and takes back the reservation of a check that is never carried out.
    """

    name = "promise"

    def __init__(self, ledger: Ledger, coin: Coin) -> None:
        self._ledger = ledger
        self._coin = coin

    def flow(self, features: Features) -> Flow:
        evidence = yield from _counted(draft_or_teacher(features))
        if evidence is None or evidence.confidence is None:
            return
        doubt = min(1.0, max(0.0, 1.0 - evidence.confidence))
        cut = self._ledger.cut()
        share = self._ledger.choose_share(doubt)
        ask = Ask(tier=Tier.TEACHER, commit=True, reason="observe", threshold=1.0 - cut, level=0)
        if share is None:
            yield replace(ask, reason=self._explain(doubt, cut))
        elif self._coin() < share:
            self._ledger.reserve(share)
            yield replace(ask, reason=PROOF, propensity=share, floor=share)
        else:
            served = replace(ask, tier=Tier.STUDENT, reason=GUARANTEED)
            yield replace(served, propensity=1.0 - share, floor=share)

    def _explain(self, doubt: float, cut: float) -> str:
        """Why a draft of this doubt isn't let to the coin."""
        withheld = self._ledger.withheld
        if withheld is not None and doubt < withheld:
            return DRIFT
        return "below_threshold" if doubt >= cut and self._ledger.can_serve() else "observe"


def _counted(draft: Draft) -> Draft:
    """The same asks; one that commits counts as an interaction: it earns its allowance."""
    ask = next(draft)
    try:
        while True:
            ask = draft.send((yield replace(ask, level=0) if ask.commit else ask))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
