"""How often students agree that learned from an eighth of the questions, a quarter, half, all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.train.kernel_head import Examples, Trained, hold_out
from policies.intervals import wilson

_PARTS = (0.125, 0.25, 0.5)
_LEAST = 50
"""Questions, of a part; the agreement of fewer says nothing."""


def learning_curve(examples: Examples, trained: Trained, *, seed: int) -> list[dict[str, Any]]:
    """Points by rising number of ``questions``: ``agreement`` with the teacher, of drafts by a
    student that had not seen the question, with its 95 % interval (``low``, ``high``).

    Each part holds the one before it. The parts' students have the noise that was chosen for all
    the questions, so they cost a seventh of that student's own training.
    """
    shuffled = np.random.default_rng(seed).permutation(len(examples.vectors))
    sizes = [int(len(shuffled) * part) for part in _PARTS]
    points = []
    for size in (size for size in sizes if size >= _LEAST):
        part = _take(examples, np.sort(shuffled[:size]))
        right = hold_out(part, trained.report["noise"]) == part.classes
        points.append(_point(right, part.weights))
    right = trained.held_out == examples.classes
    return [*points, _point(right, examples.weights)]


def _take(examples: Examples, rows: NDArray[np.intp]) -> Examples:
    """These rows alone, with the answers that they have."""
    known, classes = np.unique(examples.classes[rows], return_inverse=True)
    return Examples(
        vectors=examples.vectors[rows],
        classes=classes.astype(np.int32),
        answers=[examples.answers[c] for c in known],
        answer_vectors=examples.answer_vectors[known],
        weights=examples.weights[rows],
        trust=None if examples.trust is None else examples.trust[rows],
    )


def _point(right: NDArray[np.bool_], weights: NDArray[np.float64]) -> dict[str, Any]:
    """A question that stands for many interactions makes the rest count for less: Kish's size."""
    agreement = float(np.average(right, weights=weights))
    size = float(weights.sum() ** 2 / (weights**2).sum())
    low, high = wilson(agreement * size, size)
    return {"questions": len(right), "agreement": agreement, "low": low, "high": high}
