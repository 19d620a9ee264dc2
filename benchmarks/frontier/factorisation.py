"""RouteLLM's matrix factorisation, retrained on what a stream records.

Section 4.2 of arXiv 2406.18665: a model m with embedding v_m answers the prompt q with quality
s(m, q) = w · (v_m ⊙ (W·x_q + b)), ⊙ by element, and P(the teacher wins) = σ(s(teacher, q) -
s(student, q)), fitted by logistic loss with Adam and weight decay. Only the difference of the two
model embeddings is ever used with a pair of models; both are kept as in the paper. It differs in
what surrounds it: x_q are this project's own 384-dimensional vectors in place of OpenAI's 1,536,
and the label is who was right on the row (the student wins where it is at least as good) in place
of human preference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.frontier.ranker import Floats, right
from benchmarks.frontier.texts import question_text
from benchmarks.frontier.vectors import RememberingEncoder
from distill.streams import StreamRow

_WIDTH = 128
_EPOCHS = 100
_BATCH = 64
_RATE = 3e-4
_DECAY = 1e-5


class MatrixFactorisation:
    """Scores by the fitted probability that the student does at least as well."""

    def __init__(self, encoder: RememberingEncoder) -> None:
        self._encoder = encoder

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        student, teacher = right(rows)
        inputs = self._encoder.encode([question_text(row) for row in rows])
        self._weights = train_factors(inputs, (teacher > student).astype(float), seed)

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        inputs = self._encoder.encode([question_text(row) for row in rows])
        return -teacher_margin(self._weights, inputs)


def teacher_margin(weights: Sequence[Floats], inputs: Floats) -> Floats:
    """s(teacher, q) - s(student, q), shape (n,), for inputs of shape (n, d)."""
    teacher, student, head, projection, offset = weights
    margin: Floats = (inputs @ projection + offset) @ ((teacher - student) * head)
    return margin


def train_factors(inputs: Floats, teacher_wins: Floats, seed: int) -> list[Floats]:
    """Fitted [v_teacher, v_student, w, W, b]; ``teacher_wins``: 1.0 where the teacher is better."""
    random = np.random.default_rng(seed)
    weights = [
        random.normal(size=_WIDTH),
        random.normal(size=_WIDTH),
        random.normal(size=_WIDTH) / np.sqrt(_WIDTH),
        random.normal(size=(inputs.shape[1], _WIDTH)) / np.sqrt(inputs.shape[1]),
        np.zeros(_WIDTH),
    ]
    mean, square = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    step = 0
    for _ in range(_EPOCHS):
        order = random.permutation(len(inputs))
        for i in range(0, len(order), _BATCH):
            rows = order[i : i + _BATCH]
            step += 1
            for j, slope in enumerate(_slopes(weights, inputs[rows], teacher_wins[rows])):
                mean[j] = 0.9 * mean[j] + 0.1 * slope
                square[j] = 0.999 * square[j] + 0.001 * slope**2
                first, second = mean[j] / (1 - 0.9**step), square[j] / (1 - 0.999**step)
                move = first / (np.sqrt(second) + 1e-8)
                weights[j] = weights[j] - _RATE * (move + _DECAY * weights[j])
    return weights


def _slopes(weights: Sequence[Floats], inputs: Floats, teacher_wins: Floats) -> list[Floats]:
    """Gradient of the mean logistic loss, in the order of the weights."""
    teacher, student, head, projection, offset = weights
    hidden = inputs @ projection + offset
    away = 1 / (1 + np.exp(-teacher_margin(weights, inputs))) - teacher_wins
    pooled = away @ hidden / len(inputs)
    direction = (teacher - student) * head
    return [
        pooled * head,
        -pooled * head,
        pooled * (teacher - student),
        np.outer(away @ inputs / len(inputs), direction),
        away.mean() * direction,
    ]
