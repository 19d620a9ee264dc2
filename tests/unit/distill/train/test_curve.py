"""A learning curve is what students of each size reach on questions that they haven't seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distill.train.curve import learning_curve
from distill.train.kernel_head import hold_out, train
from tests.unit.distill.test_kernel_head import make_examples


def test_each_point_is_the_held_out_agreement_of_a_student_of_that_size() -> None:
    examples = make_examples(3, rows=480)
    trained = train(examples, seed=0)
    points = learning_curve(examples, trained, seed=0)
    assert [point["questions"] for point in points] == [60, 120, 240, 480]
    chosen = np.sort(np.random.default_rng(0).permutation(480)[:120])
    part = replace(
        examples,
        vectors=examples.vectors[chosen],
        classes=examples.classes[chosen],
        weights=examples.weights[chosen],
    )
    right = hold_out(part, trained.report["noise"]) == part.classes
    assert points[1]["agreement"] == pytest.approx(right.mean())
    whole = (trained.held_out == examples.classes).mean()
    assert points[-1]["agreement"] == pytest.approx(whole)
    assert all(point["low"] < point["agreement"] < point["high"] for point in points)
    assert points[0]["agreement"] < points[-1]["agreement"]


def test_weights_count_and_widen_the_interval() -> None:
    examples = make_examples(3, rows=200)
    trained = train(examples, seed=0)
    even = learning_curve(examples, trained, seed=0)[-1]
    right = trained.held_out == examples.classes
    heavy = replace(examples, weights=np.where(right, 1.0, 20.0))
    uneven = learning_curve(heavy, trained, seed=0)[-1]
    assert uneven["agreement"] == pytest.approx(right.sum() / heavy.weights.sum())
    assert uneven["high"] - uneven["low"] > even["high"] - even["low"]


def test_a_part_of_few_questions_has_no_point() -> None:
    examples = make_examples(3, rows=199)
    points = learning_curve(examples, train(examples, seed=0), seed=0)
    assert [point["questions"] for point in points] == [99, 199]


def test_a_part_without_some_answers_learns_those_it_has() -> None:
    examples = make_examples(3, rows=200)
    rare = examples.classes.copy()
    rare[rare == 3] = 0
    rare[-1] = 3
    few = replace(examples, classes=rare)
    points = learning_curve(few, train(few, seed=0), seed=1)
    assert [point["questions"] for point in points] == [50, 100, 200]
