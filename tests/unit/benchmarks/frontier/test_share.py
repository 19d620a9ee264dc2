"""The certified share: its bound by hand (its risk by simulation: tests/statistics)."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.frontier.share import certified_share, certify
from policies.promise.batch import fewest_rows


def test_fewest_rows_by_hand() -> None:
    # .95^45 = .0994 is the first power below a tenth.
    assert fewest_rows(0.05, 0.1, 0) == 45
    assert fewest_rows(0.5, 0.1, 0) == 4


def test_threshold_stops_before_the_spoilt_ones() -> None:
    score = np.arange(1000.0)
    loss = score < 500
    threshold = certify(score, loss, 0.05, 0.1)
    # Served 500 + k with k spoilt: the walk ends near 5 % of them, and short of it.
    assert 475 < threshold < 500


def test_nothing_is_certified_where_all_is_spoilt() -> None:
    assert certify(np.arange(500.0), np.ones(500), 0.05, 0.1) == float("inf")


def test_too_few_rows_certify_nothing() -> None:
    assert certify(np.arange(40.0), np.zeros(40), 0.05, 0.1) == float("inf")


def test_tied_scores_are_served_together() -> None:
    score = np.r_[np.full(300, 2.0), np.full(300, 1.0)]
    assert certify(score, np.r_[np.zeros(300), np.ones(300)], 0.05, 0.1) == 2.0


def test_splits_are_judged_on_all_rows() -> None:
    score = np.arange(600.0)
    found = certified_share(score, score < 300, seed=0, splits=50)
    assert found.share == pytest.approx(0.5, abs=0.03)
    assert found.low <= found.share <= found.high
    assert (found.violated, found.nothing) == (0, 0)
    assert certified_share(score, np.ones(600), seed=0, splits=5).nothing == 1
