"""What one thing comes to, of the student and of the teacher, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from policies.estimate import Estimate

Floats = NDArray[np.float64]
Unit = Literal["share", "number"]

_Z95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Preserved:
    """One thing, of both, over ``n`` answers; ``student`` or ``teacher`` is None where it has no
    meaning for one alone, as agreement. ``kind``: what it is a part of; ``unit``: a share from 0 to
    1, or a number of what the name says."""

    name: str
    n: int
    student: Estimate | None
    teacher: Estimate | None
    kind: str = ""
    unit: Unit = "share"


def estimate(values: Sequence[float], weights: Floats, unit: Unit) -> Estimate:
    """A weighted mean with its 95 % interval. Shares stay within 0..1, and rows that are all alike
    don't prove that all are."""
    numbers, total = np.asarray(values), weights.sum()
    mean = float((weights * numbers).sum() / total)
    spread = float(np.sqrt((weights**2 * (numbers - mean) ** 2).sum()) / total)
    half = _Z95 * spread
    if unit == "number":
        return Estimate(value=mean, low=mean - half, high=mean + half)
    half = max(half, 3.0 * float((weights**2).sum() / total**2))
    return Estimate(value=mean, low=max(0.0, mean - half), high=min(1.0, mean + half))
