"""How much a certificate bets: η per share of the wealth, candidate risk and risk level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BETS: tuple[float, ...] = (0.3, 1.0)
"""Shares of the growth-optimal bet; the wealth is the mean over them."""

EVEN_BETS: tuple[float, ...] = (0.4, 1.0)
"""Shares of the largest bet for a promise on accuracy, as many as ``BETS``: growth-optimal where
0.76 and 0.4 of the allowed risk is met."""

_SMALLEST_BET = 0.03

_SMALLEST_RUN_BET = 0.1


def find_optimal_bets(candidates: Floats, levels: Floats) -> Floats:
    """Growth-optimal η per (share, candidate m, level ρ), were the level's prediction exact.

    For outcomes in {0, 1} with mean ρ tested against m it is (1 − ρ/m)/(1 − m) (Kelly 1956).
    """
    expected = np.minimum(levels[None, :], 0.95 * candidates[:, None])
    limit = np.minimum(candidates, 0.5)[:, None]
    kelly = (1.0 - expected / candidates[:, None]) / (1.0 - limit)
    return np.asarray(BETS)[:, None, None] * np.maximum(kelly, _SMALLEST_BET)[None]


def share_evenly(largest: Floats) -> Floats:
    """η per (share, candidate m, level) where levels predict nothing; ``largest``: per candidate.

    For outcomes in {0, 1/π} with mean r the growth-optimal η is (1 − r/m)/(1/π − m).
    """
    return np.asarray(EVEN_BETS)[:, None, None] * largest[None, :, None]


def find_bets_on_run(risk: float, levels: Floats) -> Floats:
    """η per (share, level in force): growth-optimal at a risk of the level, but never timid."""
    kelly = (1.0 - levels / risk) / (1.0 - min(risk, 0.5))
    return np.asarray(BETS)[:, None] * np.maximum(kelly, _SMALLEST_RUN_BET)[None]
