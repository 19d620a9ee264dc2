"""The best agreement for a given amount of money."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from decimal import Decimal

from policies.base import Coin, Flow, draft_or_teacher
from policies.promise.policy import PROOF
from policies.purse import Purse
from policies.types import Ask, Evidence, Features, Tier

DOUBTFUL = "doubtful"
"""The teacher is asked: among the latest drafts this is one of the most doubtful."""

WITHIN_BUDGET = "within_budget"
"""The draft is served: more doubtful ones are worth the money, and the coin asked for no check."""

BUDGET_SPENT = "budget_spent"
"""The draft is served without a chance of a check: there is no credit for an ask."""

OVER_MAX_COST = "over_max_cost"
"""The draft is served where the teacher was to be asked, or might have been: the caller's own limit
for this request rules that out."""

CHOSEN = (DOUBTFUL, PROOF)
"""Reasons of asks that the purse chose to make, with a draft at hand."""

REASONS = (*CHOSEN, WITHIN_BUDGET, BUDGET_SPENT, OVER_MAX_COST)
"""Reasons of asks that a budget decided, with a draft at hand."""


class BudgetPolicy:
    """Asks the teacher about the most doubtful drafts that the purse can pay for.

    ``price_usd``: what asking about this request is likely to cost; None where that is unknown,
    which no credit covers. The purse is shared with its owner, who feeds it what came of every
    interaction that was asked about with a ``level``, and takes back the reservation of an ask
    that is never carried out.
    """

    name = "budget"

    def __init__(self, purse: Purse, price_usd: Decimal | None, coin: Coin) -> None:
        self._purse = purse
        self._price_usd = price_usd
        self._coin = coin

    def flow(self, features: Features) -> Flow:
        evidence = yield from self._draft(features)
        if evidence is None or evidence.confidence is None:
            return
        doubt = min(1.0, max(0.0, 1.0 - evidence.confidence))
        share = 0.0
        if self._price_usd is not None:
            share = self._purse.choose_share(doubt, self._price_usd)
        threshold = 1.0 - self._purse.cut()
        served = Ask(
            tier=Tier.STUDENT, commit=True, reason=BUDGET_SPENT, threshold=threshold, level=0
        )
        if share == 0.0:
            yield served
        elif self._coin() < share:
            self._purse.reserve()
            reason = DOUBTFUL if share == 1.0 else PROOF
            asked = replace(served, tier=Tier.TEACHER, reason=reason)
            yield replace(asked, propensity=share, floor=share)
        else:
            kept = replace(served, reason=WITHIN_BUDGET)
            yield replace(kept, propensity=1.0 - share, floor=share)

    def _draft(self, features: Features) -> Generator[Ask, Evidence, Evidence | None]:
        """The draft's evidence, or None after the teacher had to be asked; that is paid for too."""
        draft = draft_or_teacher(features)
        ask = next(draft)
        try:
            while True:
                if ask.commit:
                    self._purse.reserve()
                    ask = replace(ask, level=0)
                ask = draft.send((yield ask))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
