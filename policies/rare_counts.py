"""Limits of a risk that is estimated from a few weighted errors.

Where errors are rare and each stands for 1/π interactions, a normal interval around the weighted
mean is too short: it is empty before the first error, and blind to the errors that would weigh most
until one of them is seen. Fay and Feuer's limits are exact (Garwood 1936, the Poisson twin of
Clopper and Pearson) where all weights are equal. Else the upper limit is reckoned as if one more
error, of the largest weight, had been seen.

Source: Fay and Feuer, "Confidence intervals for directly standardized rates: a method based on the
gamma distribution" (Statistics in Medicine 1997). Their coverage is no theorem for unequal weights;
``tests/statistics/test_estimate.py`` simulates it for the weights that a gateway logs.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

_STEPS = 50
_EXACT = 1e-9


def limit_weighted_count(
    total: float, squares: float, largest: float, confidence: float
) -> tuple[float, float]:
    """Two-sided limits of the expectation of a weighted count, at ``confidence``.

    ``total`` and ``squares``: sums of the weights seen and of their squares; ``largest``: the
    largest weight that an error could have had. Each limit errs with at most half of what the
    confidence leaves.
    """
    tail = (1.0 - confidence) / 2.0
    low = 0.0
    if total > 0.0:
        low = squares / total * gamma_quantile(total**2 / squares, tail)
    more, spread = total + largest, squares + largest**2
    if more <= 0.0:
        return low, 0.0
    return low, spread / more * gamma_quantile(more**2 / spread, 1.0 - tail)


def gamma_quantile(shape: float, chance: float) -> float:
    """The quantile of a gamma distribution of scale 1, by Newton's method.

    ``shape`` is at least 1, as that of any weighted count is; 0 < ``chance`` < 1.
    """
    spread = 1.0 / (9.0 * shape)
    root = 1.0 - spread + NormalDist().inv_cdf(chance) * math.sqrt(spread)
    # Wilson and Hilferty (1931) are close but near 0, where the first term of the series is.
    near_zero = math.exp((math.log(chance) + math.lgamma(shape + 1.0)) / shape)
    value = shape * root**3 if root > 0.5 else near_zero
    for _ in range(_STEPS):
        density = math.exp((shape - 1.0) * math.log(value) - value - math.lgamma(shape))
        change = (gamma_share(shape, value) - chance) / density
        value = max(value - change, value / 2.0)
        if abs(change) <= _EXACT * value:
            break
    return value


def gamma_share(shape: float, value: float) -> float:
    """P(X ≤ value) of a gamma distribution of scale 1, by its series; 0 where value is 0."""
    if value <= 0.0:
        return 0.0
    # Its terms grow while value > shape + k, and have faded long before the last one kept.
    count = int(max(value - shape, 0.0) + 40.0 + 12.0 * math.sqrt(value + shape))
    terms = np.cumprod(value / (shape + np.arange(1, count + 1)))
    first = shape * math.log(value) - value - math.lgamma(shape + 1.0)
    return min(1.0, math.exp(first) * (1.0 + float(terms.sum())))
