"""Synthetic traffic of which the truth is known, for simulating promises.

A draft has a *depth* u, uniform on [0, 1): u⁴ is the probability that it is wrong while nothing is
amiss, 0.2 on average. A scenario adds an extra error e at every depth, so that the truth is
u⁴ + (1 − u⁴)·e. The gate says u⁴/k: k = 1 is calibrated at the start, k = 3 three times too sure.
Serving all depths below q therefore has the risk q⁵/5 + e·(q − q⁵/5), over all interactions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from policies.promise.certificate import LEVEL_MULTIPLES, Terms

Floats = NDArray[np.float64]

EXTRA = 0.2
"""Extra error while something is amiss."""

GATES: Mapping[str, float] = MappingProxyType({"calibrated": 1.0, "too-sure": 3.0})
"""How many times too sure the gate is."""

_PERIODS = 3


def stationary(place: float, serving: bool) -> float:
    """Nothing is ever amiss."""
    return 0.0


def abrupt(place: float, serving: bool) -> float:
    """From the middle on every fifth draft is wrong, however sure the gate is of it."""
    return EXTRA if place >= 0.5 else 0.0


def gradual(place: float, serving: bool) -> float:
    """The extra error grows in a straight line from the first interaction to the last."""
    return EXTRA * place


def recurring(place: float, serving: bool) -> float:
    """Good and bad stretches of equal length in turns."""
    return EXTRA if int(place * 2 * _PERIODS) % 2 else 0.0


def lulling(place: float, serving: bool) -> float:
    """An adversary: all is well until drafts may be served, and amiss while they may."""
    return EXTRA if serving else 0.0


Scenario = Callable[[float, bool], float]
"""(place in the run, 0..1; drafts may be served just now) → extra error."""

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "stationary": stationary,
        "abrupt": abrupt,
        "gradual": gradual,
        "recurring": recurring,
        "lulling": lulling,
    }
)


@dataclass(frozen=True, kw_only=True)
class World:
    """Depths and luck of one run, shape (interactions,), drawn beforehand from its seed.

    ``luck``: a draft is wrong where this is below the truth; ``too_sure``: k of the gate.
    """

    terms: Terms
    scenario: Scenario
    too_sure: float
    depth: Floats
    luck: Floats

    @classmethod
    def draw(cls, terms: Terms, scenario: str, gate: str, *, interactions: int, seed: int) -> World:
        """The same seed draws the same depths and luck in every scenario."""
        rng = np.random.default_rng(seed)
        return cls(
            terms=terms,
            scenario=SCENARIOS[scenario],
            too_sure=GATES[gate],
            depth=rng.random(interactions),
            luck=rng.random(interactions),
        )

    def doubts(self) -> Floats:
        """What the gate says of every draft."""
        return self.depth**4 / self.too_sure

    def thresholds(self) -> Floats:
        """Per risk level the lowest confidence at which the gate predicts no more than its risk."""
        levels = self.terms.risk * np.asarray(LEVEL_MULTIPLES)
        deepest = np.minimum(1.0, (5.0 * self.too_sure * levels) ** 0.2)
        return np.asarray(1.0 - deepest**4 / self.too_sure)

    def extra(self, i: int, serving: bool) -> float:
        """Extra error at interaction ``i``."""
        return self.scenario(i / len(self.depth), serving)

    def is_wrong(self, i: int, extra: float) -> bool:
        """The draft of interaction ``i`` disagrees with the teacher."""
        doubt = float(self.depth[i]) ** 4
        return float(self.luck[i]) < doubt + (1.0 - doubt) * extra

    def risk_at(self, threshold: float, extra: float) -> float:
        """The true risk, over all interactions, of serving down to this confidence."""
        served = math.pow(min(1.0, max(0.0, (1.0 - threshold) * self.too_sure)), 0.25)
        mass = served**5 / 5.0
        return mass + extra * (served - mass)

    def oracle_asked(self, extras: Floats) -> float:
        """Least share asked by who knows every draft's true chance of being wrong, not its luck.

        ``extras``: the extra error of every interaction. The surest are served, over the whole
        run, until the chances add up to what the promise allows.
        """
        doubts = self.depth**4
        spent = np.cumsum(np.sort(doubts + (1.0 - doubts) * extras))
        served = int(np.searchsorted(spent, self.terms.risk * len(spent), side="right"))
        return 1.0 - served / len(spent)
