"""Intervals of shares, for people."""

from __future__ import annotations

from math import sqrt

_Z95 = 1.959964


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927); both may be weighted counts, ``n`` above 0."""
    share = successes / n
    centre = share + _Z95**2 / (2 * n)
    half = _Z95 * sqrt(share * (1 - share) / n + _Z95**2 / (4 * n * n))
    scale = 1 + _Z95**2 / n
    return (centre - half) / scale, (centre + half) / scale
