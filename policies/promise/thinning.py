"""How many disagreements were delivered at most, from the checks that a coin chose.

Setting. X_i = 1 if the draft of interaction i would disagree with the teacher. With a probability
π_i, fixed before, the teacher is asked instead and its answer delivered (A_i = 1); else the draft
is (A_i = 0). Everything but the coin may depend on the whole past. D_t = Σ (1 − A_i)·X_i.

Bound. For a growth g with (1 − π_i)·e^g < 1 let ℓ_i(g) = −ln[(1 − (1 − π_i)·e^g) / π_i], so that
exp(g·(1 − A_i)·X_i − ℓ_i·A_i·X_i) has mean at most 1 given the past. At a growth too large for π_i
a served draft is taken for wrong instead: it counts to S_t(g), and the factor is 1. With weights w
over a fixed grid of growths

    M_t = Σ_g w(g)·exp(g·(D_t − S_t(g)) − Σ A_i·X_i·ℓ_i(g))

is at most a non-negative martingale that starts at 1, which ever reaches 1/δ with probability at
most δ (Ville 1939). So for all t at once D_t is at most the largest D for which M_t stays below
1/δ. The derivation is in docs/budget.md; for a single growth it is that of ``ledger.py``.

Half of the weight is on one growth that suits the least share of checks that is expected when the
first draft is at hand; the grid is for shares and lengths that turn out otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from policies.promise.ledger import charge
from policies.types import Trial

_GRID = (0.15, 0.05, 0.015, 0.005, 0.0015)
_ON_GRID = 0.5
"""The weight of the grid as a whole; the rest is on the growth that suits the usual check."""

_OF_SHARE = 0.6
"""That growth, as a multiple of the smallest share of checks that is expected."""

_HALVINGS = 40


class Thinning:
    """The bound for one stretch of interactions, at ``confidence``. Not thread-safe.

    ``least_share``: of checks, as expected beforehand; it decides how tight the bound is, not
    whether it holds.
    """

    def __init__(self, confidence: float, least_share: float) -> None:
        if not 0.0 < least_share <= 1.0:
            raise ValueError(f"a least share of {least_share} is none")
        self.confidence = confidence
        self.least_share = least_share
        self.trials = 0
        """Interactions that got an answer."""
        self.served = 0
        self._target = -math.log(1.0 - confidence)
        self._checked = False
        self._unchecked = 0
        self._growths = (_OF_SHARE * least_share, *_GRID)
        on_grid = math.log(_ON_GRID / len(_GRID))
        self._log_weights = (math.log(1.0 - _ON_GRID), *(on_grid for _ in _GRID))
        self._charged = [0.0] * len(self._growths)
        self._unfit = [0] * len(self._growths)

    def observe(self, trial: Trial) -> None:
        """Take in one interaction; its ``level`` and ``floor`` don't matter.

        A draft served with propensity 1 had no chance of a check: it counts as wrong. A check that
        failed is charged as wrong, and counts as wrong where the draft was served after all. What
        the teacher was asked about outright and didn't answer doesn't count.

        Raises ValueError for a propensity outside (0, 1].
        """
        share = trial.propensity
        if not 0.0 < share <= 1.0:
            raise ValueError(f"a propensity of {share} is none")
        checked = share < 1.0 and (trial.seen or trial.failed)
        if trial.failed and not checked and not trial.served:
            return
        self.trials += trial.served or not trial.failed
        self.served += trial.served
        self._unchecked += trial.served and (checked or share == 1.0)
        if share == 1.0:
            return
        self._checked = True
        for k, growth in enumerate(self._growths):
            cost = charge(share, growth)
            if math.isinf(cost):
                self._unfit[k] += not checked
            elif checked and (trial.failed or trial.wrong):
                self._charged[k] += cost

    @property
    def begun(self) -> bool:
        """A draft met a coin, or was served."""
        return self.served > 0 or self._checked

    def expecting(self, least_share: float) -> Thinning:
        """The same before any draft was served, with another expectation of the checks.

        Raises ValueError afterwards: an expectation must not follow what the checks showed.
        """
        if self.begun:
            raise ValueError("drafts were served under the old expectation")
        other = Thinning(self.confidence, least_share)
        other.trials = self.trials
        return other

    def bound(self) -> float:
        """No more disagreements than this have been delivered, at the confidence."""
        low, high = 0.0, float(self.served - self._unchecked)
        if self._log_wealth(high) < self._target:
            return float(self.served)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            if self._log_wealth(middle) < self._target:
                low = middle
            else:
                high = middle
        return self._unchecked + high

    def agreement(self) -> float:
        """The share of agreement that is proven over all interactions; 0 before the first."""
        return max(0.0, 1.0 - self.bound() / self.trials) if self.trials else 0.0

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``."""
        return {
            "least_share": self.least_share,
            "trials": self.trials,
            "checked": self._checked,
            "served": self.served,
            "unchecked": self._unchecked,
            "charged": list(self._charged),
            "unfit": list(self._unfit),
        }

    @classmethod
    def restore(cls, confidence: float, state: Mapping[str, Any]) -> Thinning:
        """The bound as it stood at ``state()``.

        Raises ValueError, KeyError or TypeError for what no ``state()`` wrote.
        """
        found = cls(confidence, float(state["least_share"]))
        counts = [int(state[name]) for name in ("trials", "served", "unchecked")]
        charged = [float(value) for value in state["charged"]]
        unfit = [int(value) for value in state["unfit"]]
        whole = len(charged) == len(unfit) == len(found._growths)
        if not whole or not all(map(math.isfinite, charged)) or min(*counts, *charged, *unfit) < 0:
            raise ValueError("the stored bound holds something that can't be")
        found.trials, found.served, found._unchecked = counts
        found._charged, found._unfit = charged, unfit
        found._checked = bool(state["checked"])
        return found

    def _log_wealth(self, delivered: float) -> float:
        """ln M_t, had this many of the drafts with a chance of a check been delivered wrong."""
        parts = [
            weight + growth * (delivered - unfit) - charged
            for weight, growth, charged, unfit in zip(
                self._log_weights, self._growths, self._charged, self._unfit, strict=True
            )
        ]
        most = max(parts)
        return most + math.log(sum(math.exp(part - most) for part in parts))
