"""Shares and means with their intervals, for tables of runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student_t


def share_with_interval(count: int, runs: int) -> tuple[float, float, float]:
    """(share, low, high): the exact 95 % interval of Clopper and Pearson (1934); runs > 0."""
    found = binomtest(count, runs).proportion_ci(0.95, method="exact")
    return count / runs, float(found.low), float(found.high)


def write_share(count: int, runs: int) -> str:
    """``0.037 [0.026, 0.051]``, or a dash where there is no run."""
    if not runs:
        return "-"
    return "{:.3f} [{:.3f}, {:.3f}]".format(*share_with_interval(count, runs))


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean over seeds with its 95 % interval by Student's t; no interval for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": mean}
    half = student_t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return {"mean": mean, "low": mean - float(half), "high": mean + float(half)}
