"""Shares with their intervals, for tables of runs."""

from __future__ import annotations

from scipy.stats import binomtest


def share_with_interval(count: int, runs: int) -> tuple[float, float, float]:
    """(share, low, high): the exact 95 % interval of Clopper and Pearson (1934); runs > 0."""
    found = binomtest(count, runs).proportion_ci(0.95, method="exact")
    return count / runs, float(found.low), float(found.high)


def write_share(count: int, runs: int) -> str:
    """``0.037 [0.026, 0.051]``, or a dash where there is no run."""
    if not runs:
        return "-"
    return "{:.3f} [{:.3f}, {:.3f}]".format(*share_with_interval(count, runs))
