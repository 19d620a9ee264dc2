"""The interval of a ratio of paired gains."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning.targeted import ratio_with_interval


def test_pairs_in_one_proportion_have_no_doubt_about_it() -> None:
    below = [1.0, 1.5, 2.0, 1.2]
    found = ratio_with_interval([2.0 * value for value in below], below)
    assert found == pytest.approx((2.0, 2.0, 2.0), abs=1e-6)


def test_a_gain_that_may_be_none_bounds_no_ratio() -> None:
    assert len(ratio_with_interval([2.0, 2.1, 1.9], [0.5, -0.6, 0.3])) == 1


def test_the_interval_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        below = draw.normal(1.2, 0.3, 10)
        _, low, high = ratio_with_interval(2.0 * below + draw.normal(0.0, 0.4, 10), below)
        inside += low <= 2.0 <= high
    assert 0.92 <= inside / 400 <= 0.98
