"""A dataset's questions as vectors."""

from __future__ import annotations

import numpy as np

from distill.dataset import Dataset
from distill.steps import Steps
from distill.train.kernel_head import Examples
from distill.train.tuned import Learned
from distill.wording import answer_text
from router.release import Release
from router.students.embedded import Vectors
from router.students.encoder import Encoder

_AT_ONCE = 256
"""Questions that are encoded between two looks at how far it is."""


def encode_questions(encoder: Encoder, dataset: Dataset, steps: Steps) -> Vectors:
    """As the common encoder sees them. Raises Stopped."""
    steps.begin("encoding")
    asked = [question.text for question in dataset.questions]
    vectors = []
    for start in range(0, len(asked), _AT_ONCE):
        vectors.append(encoder.encode(asked[start : start + _AT_ONCE]))
        steps.advance(min(start + _AT_ONCE, len(asked)), len(asked))
    return np.concatenate(vectors)


def make_examples(dataset: Dataset, vectors: Vectors, encoder: Encoder) -> Examples:
    """What the head learns from; ``vectors``: of the questions."""
    texts = [answer_text(answer) for answer in dataset.answers]
    return Examples(
        vectors=vectors,
        classes=dataset.classes,
        answers=dataset.answers,
        answer_vectors=encoder.encode(texts),
        weights=dataset.weights,
        trust=dataset.trust,
    )


def encode_for(
    active: Release | None, learned: Learned, dataset: Dataset, encoder: Encoder
) -> Vectors | None:
    """The questions' vectors as the release in force sees them; None where none drafts here."""
    if learned.vectors is None or active is None:
        return None
    if active.encoder == learned.space.digest:
        return learned.vectors
    return active.space.encode([question.text for question in dataset.questions], encoder)
