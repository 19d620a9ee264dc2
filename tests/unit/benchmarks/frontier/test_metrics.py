"""Metrics against cases worked by hand, and against simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.frontier.metrics import (
    accuracy_at,
    apgr,
    apgr_draws,
    bootstrap_weights,
    calibration,
    call_share,
    escalation_curve,
    interval,
    parity_share,
    risk_coverage_area,
)

SCORE = [0.1, 0.2, 0.3, 0.4]
STUDENT = [0, 1, 0, 1]
TEACHER = [1, 1, 1, 0]
"""Gains in the order of escalation: +1, 0, +1, -1."""


def test_curve_by_hand() -> None:
    curve = escalation_curve(SCORE, STUDENT, TEACHER)
    assert curve.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.accuracy.tolist() == [0.5, 0.75, 0.75, 1, 0.75]


def test_figures_by_hand() -> None:
    curve = escalation_curve(SCORE, STUDENT, TEACHER)
    # Recovered: 0, 1, 1, 2, 1 at steps of a quarter; trapezoids .5, 1, 1.5, 1.5, each times 1/4.
    assert apgr(curve) == pytest.approx((0.5 + 1 + 1.5 + 1.5) / 4)
    assert call_share(curve, 0.5) == pytest.approx(0.125)
    assert call_share(curve, 0.8) == pytest.approx(0.2)
    assert parity_share(curve) == pytest.approx(0.25)
    assert accuracy_at(curve, 0.125) == pytest.approx(0.625)
    assert accuracy_at(curve, 1) == pytest.approx(0.75)


def test_ties_are_the_mean_over_all_orders() -> None:
    random = np.random.default_rng(0)
    score = random.integers(0, 3, 40)
    student, teacher = random.random(40) < 0.5, random.random(40) < 0.9
    exact = apgr(escalation_curve(score, student, teacher))
    drawn = [
        apgr(escalation_curve(score + 1e-3 * random.random(40), student, teacher))
        for _ in range(4000)
    ]
    assert exact == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(4000))


def test_order_of_rows_never_matters() -> None:
    random = np.random.default_rng(1)
    score = random.integers(0, 5, 60).astype(float)
    student, teacher = random.random(60) < 0.5, random.random(60) < 0.9
    shuffle = random.permutation(60)
    before = escalation_curve(score, student, teacher)
    after = escalation_curve(score[shuffle], student[shuffle], teacher[shuffle])
    assert before.accuracy == pytest.approx(after.accuracy)
    assert risk_coverage_area(score, ~student) == pytest.approx(
        risk_coverage_area(score[shuffle], ~student[shuffle])
    )


def test_one_score_for_all_is_a_random_router() -> None:
    curve = escalation_curve(np.zeros(4), STUDENT, TEACHER)
    assert apgr(curve) == pytest.approx(0.5)
    assert call_share(curve, 0.8) == pytest.approx(0.8)
    assert parity_share(curve) == pytest.approx(1)


def test_no_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="no better"):
        apgr(escalation_curve(SCORE, TEACHER, STUDENT))


def test_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        escalation_curve([0.1, float("nan"), 0.3, 0.4], STUDENT, TEACHER)


def test_risk_coverage_by_hand() -> None:
    # Served from the highest score: wrong 0, 1, 0, 1 → risks 0, 1/2, 1/3, 1/2.
    assert risk_coverage_area([4, 3, 2, 1], [0, 1, 0, 1]) == pytest.approx((0.5 + 1 / 3 + 0.5) / 4)
    assert risk_coverage_area([1, 1, 1, 1], [0, 1, 0, 1]) == pytest.approx(0.5)


def test_calibration_error_by_hand() -> None:
    found = calibration([0.2] * 5 + [0.9] * 5, [0] * 5 + [1] * 5, seed=0, bins=2)
    assert found.error == pytest.approx((0.2 + 0.1) / 2)


def test_perfect_gate_passes_as_often_as_it_should() -> None:
    random = np.random.default_rng(2)
    rejected = 0
    for seed in range(200):
        p = random.random(300)
        rejected += calibration(p, random.random(300) < p, seed=seed, draws=200).p_value <= 0.05
    # 200 runs at 5 %: 10 expected, 20 is beyond three standard deviations.
    assert rejected <= 20


def test_overconfident_gate_is_found() -> None:
    random = np.random.default_rng(3)
    p = random.random(800)
    outcome = random.random(800) < 0.5 + (p - 0.5) / 2
    found = calibration(p, outcome, seed=0)
    assert found.p_value <= 0.01
    assert found.error > found.null_95


def test_draws_are_the_metric_on_resampled_rows() -> None:
    random = np.random.default_rng(4)
    score = random.integers(0, 9, 50).astype(float)
    student, teacher = random.random(50) < 0.4, random.random(50) < 0.9
    weights = bootstrap_weights(50, seed=0, draws=20)
    assert (weights.sum(axis=1) == 50).all()
    slow = []
    for weight in weights:
        rows = np.repeat(np.arange(50), weight)
        slow.append(apgr(escalation_curve(score[rows], student[rows], teacher[rows])))
    assert apgr_draws(score, student, teacher, weights) == pytest.approx(np.array(slow))
    low, high = interval(np.array(slow))
    assert min(slow) <= low <= high <= max(slow)


def test_draws_without_a_gap_are_left_out() -> None:
    weights = np.array([[0, 0, 0, 4], [1, 1, 1, 1]])
    draws = apgr_draws(SCORE, STUDENT, TEACHER, weights)
    assert np.isnan(draws).tolist() == [True, False]
    assert interval(draws) == pytest.approx((1.125, 1.125))
