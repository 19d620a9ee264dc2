"""Serve what the ledger can pay for: a promise that assumes nothing about the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from policies.base import Coin, Draft, Flow, draft_or_teacher
from policies.promise.ledger import Ledger
from policies.promise.policy import DRIFT, PROOF, SLICE_UNPROVEN
from policies.types import Ask, Features, InSlice, Tier

GUARANTEED = "guaranteed"
"""The draft is served; the coin didn't ask for its check, and the ledger could have paid for it."""


_NO_SLICES: Final[Mapping[str, Ledger]] = MappingProxyType({})


class GuaranteePolicy:
    """Keeps a promise about agreement over all interactions, whatever the traffic does.

    The check by chance is awaited and its answer delivered, so that it can't be wrong. ``slices``:
    ledgers of those slices that the interaction belongs to; each must be able to pay, and the
    largest share of checks serves them all. Ledgers are shared with their owner, who feeds them
    what came of every interaction that was asked about with a ``level``, and takes back the
    reservations of a check that is never carried out.
    """

    name = "promise"

    def __init__(
        self, ledger: Ledger, coin: Coin, slices: Mapping[str, Ledger] = _NO_SLICES
    ) -> None:
        self._ledger = ledger
        self._coin = coin
        self._slices = slices
        self._inside = tuple(InSlice(name=name, level=0, floor=1.0) for name in slices)

    def flow(self, features: Features) -> Flow:
        evidence = yield from _counted(draft_or_teacher(features), self._inside)
        if evidence is None or evidence.confidence is None:
            return
        doubt = min(1.0, max(0.0, 1.0 - evidence.confidence))
        cut = self._ledger.cut()
        ask = Ask(
            tier=Tier.TEACHER,
            commit=True,
            reason="observe",
            threshold=1.0 - cut,
            level=0,
            slices=self._inside,
        )
        own = self._ledger.choose_share(doubt)
        of_slices = [ledger.choose_share(doubt) for ledger in self._slices.values()]
        if own is None:
            yield replace(ask, reason=self._explain(doubt, cut))
            return
        if None in of_slices:
            yield replace(ask, reason=SLICE_UNPROVEN)
            return
        share = max([own, *(one for one in of_slices if one is not None)])
        inside = tuple(replace(one, floor=share) for one in self._inside)
        ask = replace(ask, floor=share, slices=inside)
        if self._coin() < share:
            for ledger in (self._ledger, *self._slices.values()):
                ledger.reserve(share)
            yield replace(ask, reason=PROOF, propensity=share)
        else:
            served = replace(ask, tier=Tier.STUDENT, reason=GUARANTEED)
            yield replace(served, propensity=1.0 - share)

    def _explain(self, doubt: float, cut: float) -> str:
        """Why a draft of this doubt isn't let to the coin."""
        withheld = self._ledger.withheld
        if withheld is not None and doubt < withheld:
            return DRIFT
        return "below_threshold" if doubt >= cut and self._ledger.can_serve() else "observe"


def _counted(draft: Draft, inside: tuple[InSlice, ...]) -> Draft:
    """The same asks; one that commits counts as an interaction: it earns its allowance."""
    ask = next(draft)
    try:
        while True:
            if ask.commit:
                ask = replace(ask, level=0, slices=inside)
            ask = draft.send((yield ask))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
