"""Limits of weighted counts of rare errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from policies.rare_counts import gamma_quantile, gamma_share, limit_weighted_count


@pytest.mark.parametrize("shape", [1.0, 1.5, 3.7, 50.0, 2000.0])
@pytest.mark.parametrize("chance", [0.001, 0.025, 0.5, 0.975, 0.999])
def test_quantiles_are_those_of_the_gamma_distribution(shape: float, chance: float) -> None:
    found = gamma_quantile(shape, chance)
    assert found == pytest.approx(float(stats.gamma.ppf(chance, shape)), rel=1e-6, abs=1e-12)
    assert gamma_share(shape, found) == pytest.approx(chance, rel=1e-6)


def test_equal_weights_give_the_exact_limits_of_a_count() -> None:
    for count, weight in ((1, 1.0), (4, 20.0), (30, 0.5)):
        low, high = limit_weighted_count(count * weight, count * weight**2, weight, 0.95)
        assert low == pytest.approx(weight * stats.chi2.ppf(0.025, 2 * count) / 2)
        assert high == pytest.approx(weight * stats.chi2.ppf(0.975, 2 * count + 2) / 2)


def test_without_an_error_the_upper_limit_is_what_may_have_been_missed() -> None:
    low, high = limit_weighted_count(0.0, 0.0, 20.0, 0.95)
    assert (low, high) == (0.0, pytest.approx(-20.0 * math.log(0.025)))
    assert limit_weighted_count(0.0, 0.0, 0.0, 0.95) == (0.0, 0.0)


def test_one_heavy_weight_that_was_not_seen_still_widens_the_interval() -> None:
    weights = np.ones(10)
    total, squares = float(weights.sum()), float((weights**2).sum())
    plain = limit_weighted_count(total, squares, 1.0, 0.95)
    heavy = limit_weighted_count(total, squares, 20.0, 0.95)
    assert heavy[0] == plain[0]
    assert heavy[1] > 2.0 * plain[1]
