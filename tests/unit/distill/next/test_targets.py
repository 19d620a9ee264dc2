"""The questions that teach most, against trying every one of them at each step."""

from __future__ import annotations

import numpy as np
import pytest

from distill.next.targets import choose_questions, doubt_of
from distill.train.kernel_head import GAMMA

NOISE = 0.1


def unit_vectors(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def kernel(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.exp(-2.0 * GAMMA * (1.0 - (left @ right.T).astype(np.float64)))


def left_open(known: np.ndarray, pool: np.ndarray, doubt: np.ndarray) -> float:
    """The doubt-weighted sum of the pool's variances after these answers."""
    inverse = np.linalg.inv(kernel(known, known) + NOISE * np.eye(len(known)))
    part = kernel(pool, known)
    return float(doubt @ (1.0 - np.einsum("ij,jk,ik->i", part, inverse, part)))


@pytest.mark.parametrize("known_count", [1, 15])
def test_each_step_leaves_least_open(known_count: int) -> None:
    known, pool = unit_vectors(known_count, 1), unit_vectors(25, 2)
    doubt = np.random.default_rng(3).random(25)
    expected: list[int] = []
    for _ in range(6):
        now = np.vstack([known, pool[expected]])
        open_after = {
            i: left_open(np.vstack([now, pool[i : i + 1]]), pool, doubt)
            for i in range(25)
            if i not in expected
        }
        expected.append(min(open_after, key=lambda i: open_after[i]))
    assert choose_questions(known, pool, doubt, 6, noise=NOISE) == expected


def test_without_anything_known_and_no_more_than_there_is() -> None:
    pool = unit_vectors(4, 5)
    none = np.zeros((0, 5), dtype=np.float32)
    assert sorted(choose_questions(none, pool, np.ones(4), 9, noise=NOISE)) == [0, 1, 2, 3]


def test_a_reworded_question_is_left_for_last() -> None:
    pool = np.eye(5, dtype=np.float32)[[0, 0, 1, 2]]
    chosen = choose_questions(pool[:0], pool, np.asarray([1.0, 1.0, 0.9, 0.8]), 4, noise=NOISE)
    assert chosen[-1] in (0, 1)


def test_doubt_is_none_where_the_student_is_sure() -> None:
    assert doubt_of(np.asarray([1.2, 1.0, 0.25])).tolist() == [0.0, 0.0, 0.75]
