"""Is a newcomer worse than what is in force? An answer that may be read at any time.

Setting. At interaction i something undesirable, such as a draft that disagrees with the teacher,
happens with the newcomer (Y_i = 1) or with the release in force (Z_i = 1). Side by side (shadow)
both are seen with a probability π_i; in two arms (canary) a coin gives the interaction to the
newcomer with probability s_i, and only its arm's is seen, again with a probability π_i. Both are
fixed before the coins fall, so

    x_i = (Y_i − Z_i)/π_i      or      x_i = Y_i/(s_i·π_i)  |  −Z_i/((1 − s_i)·π_i)      (0 unseen)

has the mean Y_i − Z_i whatever the traffic does: it may drift, since both are met by the same.

Tests. With −a ≤ x_i ≤ b known before, 0 ≤ λ < 1/(a + t) and 0 ≤ μ < 1/(b − m),

    worse:     Π(1 + λ·(x_i − t))          a supermartingale while it is worse by at most t
    no worse:  Π(1 + μ·(m − x_i))          a supermartingale while it is worse by at least m

of mean at most 1; a mean over several bets is one, too. Either ever reaches 1/δ under its null with
probability at most δ (Ville 1939), however often it is looked at and whatever ends the test.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(JRSS B 2024), with the weights of Horvitz and Thompson (1952).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_BETS = (0.7, 0.3, 0.1, 0.03, 0.01)
"""Shares of the largest bet; the wealth is the mean over them."""


class Difference:
    """How much more often the newcomer does something undesirable. Not thread-safe.

    ``tolerance``: t, so much worse still isn't worse; ``margin``: m, less than so much worse is no
    worse.
    """

    def __init__(self, *, tolerance: float = 0.0, margin: float = 0.02) -> None:
        if not 0.0 <= tolerance < 1.0 or not 0.0 < margin < 1.0:
            raise ValueError(f"a tolerance of {tolerance} with a margin of {margin} is no test")
        self.tolerance = tolerance
        self.margin = margin
        self.trials = 0
        self._sum = 0.0
        self._squares = 0.0
        self._worse = [0.0] * len(_BETS)
        self._no_worse = [0.0] * len(_BETS)

    def observe_pair(
        self, newcomer: bool, in_force: bool, *, seen: bool, propensity: float, floor: float
    ) -> None:
        """Both were met by one interaction; where it isn't ``seen`` their values mean nothing.

        ``floor``: the smallest propensity any interaction could have had. Raises ValueError for a
        propensity outside (0, 1] or below it.
        """
        _check(propensity, floor)
        x = (float(newcomer) - float(in_force)) / propensity if seen else 0.0
        self._take(x, 1.0 / floor, 1.0 / floor)

    def observe_arm(
        self,
        bad: bool,
        *,
        newcomer: bool,
        share: float,
        seen: bool = True,
        propensity: float = 1.0,
        floor: float = 1.0,
    ) -> None:
        """One interaction of one arm; ``share``: the probability with which it is the newcomer's.

        Raises ValueError as above, and for a share outside (0, 1).
        """
        _check(propensity, floor)
        if not 0.0 < share < 1.0:
            raise ValueError(f"a share of {share} leaves no two arms")
        x = 0.0
        if seen and bad:
            x = 1.0 / (share * propensity) if newcomer else -1.0 / ((1.0 - share) * propensity)
        self._take(x, 1.0 / ((1.0 - share) * floor), 1.0 / (share * floor))

    def is_worse(self, confidence: float) -> bool:
        """Whether it is worse by more than the tolerance, at this confidence."""
        return _mean(self._worse) >= -math.log(1.0 - confidence)

    def is_no_worse(self, confidence: float) -> bool:
        """Whether it is worse by less than the margin, at this confidence."""
        return _mean(self._no_worse) >= -math.log(1.0 - confidence)

    def estimate(self) -> tuple[float, float]:
        """The difference, and its standard error; to be read by people, not to decide by."""
        if not self.trials:
            return 0.0, 0.0
        mean = self._sum / self.trials
        spread = max(0.0, self._squares / self.trials - mean**2)
        return mean, math.sqrt(spread / self.trials)

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``."""
        return {
            "tolerance": self.tolerance,
            "margin": self.margin,
            "trials": self.trials,
            "sum": self._sum,
            "squares": self._squares,
            "worse": list(self._worse),
            "no_worse": list(self._no_worse),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Difference:
        """The test as it stood at ``state()``. Raises KeyError, TypeError or ValueError for what no
        ``state()`` wrote."""
        found = cls(tolerance=float(state["tolerance"]), margin=float(state["margin"]))
        found.trials = int(state["trials"])
        found._sum, found._squares = float(state["sum"]), float(state["squares"])
        found._worse = [float(one) for one in state["worse"]]
        found._no_worse = [float(one) for one in state["no_worse"]]
        if len(found._worse) != len(_BETS) or len(found._no_worse) != len(_BETS):
            raise ValueError("the stored test has another shape")
        return found

    def _take(self, x: float, lowest: float, highest: float) -> None:
        """``lowest``, ``highest``: how far below and above 0 x could have been."""
        self.trials += 1
        self._sum += x
        self._squares += x * x
        most = 1.0 / (lowest + self.tolerance)
        gained = x - self.tolerance
        self._worse = [
            w + math.log1p(b * most * gained) for w, b in zip(self._worse, _BETS, strict=True)
        ]
        most = 1.0 / max(highest - self.margin, self.margin)
        gained = self.margin - x
        self._no_worse = [
            w + math.log1p(b * most * gained) for w, b in zip(self._no_worse, _BETS, strict=True)
        ]


def _check(propensity: float, floor: float) -> None:
    if not 0.0 < floor <= propensity <= 1.0:
        raise ValueError(f"propensity {propensity} and floor {floor} don't fit")


def _mean(logs: list[float]) -> float:
    """Log of the mean wealth."""
    most = max(logs)
    return most + math.log(sum(math.exp(one - most) for one in logs) / len(logs))
