"""The embedded student: a kernel head over the encoder, for answers that form a closed set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.scoring.gate import EMBEDDED_SIGNALS
from policies.types import Answer, Evidence
from router.wire.openai import answer_from_json

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]

NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class EmbeddedStudent:
    """scores(x) = exp(−2γ(1 − x·S))·W over the support vectors S of one class each.

    ``answers``: what to say per class, as ``answer_to_json`` writes it; ``support``: unit
    vectors, shape (rows, 384); ``weights``: shape (rows, classes); ``classes``: the class of
    each support row; ``queries``: how many of the rows, the first ones, are real queries (the
    rest are the answers' own texts).
    """

    answers: Sequence[Mapping[str, Any]]
    support: Vectors
    weights: NDArray[np.float32]
    classes: NDArray[np.int32]
    queries: int
    gamma: float

    def draft(self, vector: Vectors) -> tuple[Answer, Evidence]:
        """The likeliest answer to a query of that vector, and what was measured on the way."""
        similarity = self.support @ vector
        scores = np.exp(-2.0 * self.gamma * (1.0 - similarity)) @ self.weights
        top, signals = measure(
            scores[None].astype(np.float64), similarity[None, : self.queries], self.classes
        )
        measured = dict(zip(EMBEDDED_SIGNALS, signals[0].tolist(), strict=True))
        evidence = Evidence(available=True, signals=measured)
        return answer_from_json(self.answers[int(top[0])]), evidence

    def classify(self, vectors: Vectors) -> NDArray[np.intp]:
        """The likeliest answer to each query, shape (rows,): an index into ``answers``."""
        top: NDArray[np.intp] = self._score(vectors).argmax(axis=1)
        return top

    def margins(self, vectors: Vectors) -> Scores:
        """By how much the likeliest answer's score exceeds the second's, shape (rows,)."""
        scores = self._score(vectors).astype(np.float64)
        if scores.shape[1] == 1:
            return scores[:, 0]
        second, first = np.partition(scores, -2, axis=1)[:, -2:].T
        margin: Scores = first - second
        return margin

    def _score(self, vectors: Vectors) -> NDArray[np.float32]:
        similarity = vectors @ self.support.T
        scores: NDArray[np.float32] = np.exp(-2.0 * self.gamma * (1.0 - similarity)) @ self.weights
        return scores


def measure(
    scores: Scores, similarity: NDArray[Any], classes: NDArray[np.int32]
) -> tuple[NDArray[np.intp], Scores]:
    """Best class and signals of every row, in the order of ``EMBEDDED_SIGNALS``.

    ``scores``: shape (rows, classes); ``similarity``: cosine to each training query, shape
    (rows, queries). Used alike for live drafts and for held-out ones.
    """
    rows = np.arange(len(scores))
    top = scores.argmax(axis=1)
    best = scores[rows, top]
    others = scores.copy()
    others[rows, top] = -np.inf
    runner_up = others.max(axis=1) if scores.shape[1] > 1 else np.zeros(len(scores))
    count = min(NEIGHBOURS, similarity.shape[1])
    near = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    agreement = (classes[near] == top[:, None]).mean(axis=1)
    nearest = similarity.max(axis=1)
    return top, np.column_stack([best - runner_up, best, runner_up, agreement, nearest])
