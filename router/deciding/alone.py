"""What a further model would be worth alone: how often it agrees with the teacher, and its price.

A draft was made with a known chance q (the propensity of its step) and compared with a known chance
π, so it stands for 1/(q·π) requests. Their weighted share is told, over all requests that it could
have drafted for, with Fay and Feuer's limits (``policies.rare_counts``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from policies.rare_counts import limit_weighted_count
from router.meter.money import plain_usd, show_usd, usd
from router.record.store import Store
from router.wording import show_share

_NEWEST = 10_000
_LEAST = 50
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Alone:
    """``agreement`` between ``low`` and ``high`` at 95 %; ``compared``: drafts behind it; ``usd``:
    of a draft, None where unknown."""

    workload: str
    model: str
    compared: int
    agreement: float
    low: float
    high: float
    usd: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "usd": None if self.usd is None else plain_usd(self.usd)}

    def describe(self) -> str:
        """One line."""
        price = "unknown cost" if self.usd is None else f"{show_usd(self.usd)} an interaction"
        return (
            f"{self.model} alone, everything served: agreement {show_share(self.agreement)}"
            f" [{show_share(self.low)}, {show_share(self.high)}] at {price}"
            f" ({self.compared} drafts compared)"
        )


def read_alone(store: Store, workload: str) -> list[Alone]:
    """Of each model that drafted for the workload's newest 10,000 answers of the teacher, in the
    order of names; none with under 50 comparisons. Blocks."""
    found: dict[str, list[tuple[float, bool]]] = {}
    pairs: dict[str, str] = {}
    for trace, propensity in store.traces(workload, _NEWEST):
        for step in trace:
            if "compared" in step:
                model, pair = step["rung"], step["compared"]["pair"]
                if pairs.setdefault(model, pair) != pair:  # another model behind the name
                    pairs[model], found[model] = pair, []
                weight = 1.0 / (step["propensity"] * propensity)
                found.setdefault(model, []).append((weight, bool(step["compared"]["agreed"])))
    costs = store.draft_costs(workload, _NEWEST)
    return [
        _estimate(workload, model, drafts, costs.get(model))
        for model, drafts in sorted(found.items())
        if len(drafts) >= _LEAST
    ]


def _estimate(
    workload: str,
    model: str,
    drafts: list[tuple[float, bool]],
    cost: tuple[Decimal, int] | None,
) -> Alone:
    weights = np.array([weight for weight, _ in drafts])
    wrong = weights[[not agreed for _, agreed in drafts]]
    total = float(weights.sum())
    low, high = limit_weighted_count(
        float(wrong.sum()), float((wrong**2).sum()), float(weights.max()), _CONFIDENCE
    )
    return Alone(
        workload=workload,
        model=model,
        compared=len(drafts),
        agreement=1.0 - float(wrong.sum()) / total,
        low=max(0.0, 1.0 - high / total),
        high=1.0 - min(low / total, 1.0),
        usd=None if cost is None else usd(cost[0] / cost[1]),
    )
