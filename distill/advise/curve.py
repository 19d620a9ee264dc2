"""What a student would learn from a workload's first answers, from its first half, from all.

Every question is judged by a student that had not seen it (leave-one-out), and the share that may
be served is what a batch of such drafts proves, not the best threshold in hindsight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distill.advise.decision import Point
from distill.appraise.log import Logged
from distill.dataset import MIN_ANSWERS, MIN_COVERAGE
from distill.train.kernel_head import Examples, train
from distill.wording import answer_text
from policies.compare import get_comparer
from policies.compare.fold import fold_label
from policies.fit.gate import NothingToCalibrate
from policies.promise.batch import certify_batch
from policies.promise.certificate import Terms
from router.students.encoder import Encoder
from router.wire.openai import answer_to_json, input_text, shape_of

MOST_ANSWERS = 4_000
"""Newer ones are left out: training takes time by the cube, and a curve shows where it goes."""

_SIZES = (0.125, 0.25, 0.5, 1.0)


def learning_curve(
    entries: Sequence[Logged], comparer: str, terms: Terms, encoder: Encoder, *, seed: int
) -> tuple[list[Point], float]:
    """Points by rising number of answers, and the share of new answers that were given before.

    No points where the answers are too few, or no closed set: such a student learns nothing then.
    """
    questions = _distinct(entries, comparer)[:MOST_ANSWERS]
    keys = [key for _, key, _ in questions]
    singletons = sum(keys.count(key) == 1 for key in set(keys))
    coverage = 1.0 - singletons / len(keys) if keys else 0.0
    if coverage < MIN_COVERAGE:
        return [], coverage
    sizes = sorted({int(len(questions) * size) for size in _SIZES})
    points = [
        _measure(questions[:size], terms, encoder, seed) for size in sizes if size >= MIN_ANSWERS
    ]
    return [point for point in points if point is not None], coverage


def _distinct(entries: Sequence[Logged], comparer: str) -> list[tuple[str, str, Logged]]:
    """Text, answer's key and entry of every question, each text once."""
    judge = get_comparer(comparer)
    found: dict[str, tuple[str, str, Logged]] = {}
    for entry in entries:
        text = input_text(entry.row.body)
        key = judge.key(entry.row.teacher.answer, shape_of(entry.row.body))
        if key is not None and text.strip():
            found.setdefault(fold_label(text) or text, (text, key, entry))
    return list(found.values())


def _measure(
    questions: Sequence[tuple[str, str, Logged]], terms: Terms, encoder: Encoder, seed: int
) -> Point | None:
    keys = sorted({key for _, key, _ in questions})
    index = {key: i for i, key in enumerate(keys)}
    said = {key: answer_to_json(entry.row.teacher.answer) for _, key, entry in questions}
    answers = [said[key] for key in keys]
    classes = np.asarray([index[key] for _, key, _ in questions], dtype=np.int32)
    examples = Examples(
        vectors=encoder.encode([text for text, _, _ in questions]),
        classes=classes,
        answers=answers,
        answer_vectors=encoder.encode([answer_text(answer) for answer in answers]),
        weights=np.ones(len(questions)),
    )
    try:
        trained = train(examples, seed=seed)
    except NothingToCalibrate:
        return None
    wrong = trained.held_out != classes
    return Point(
        answers=len(questions),
        agreement=float(1.0 - wrong.mean()),
        share=certify_batch(trained.confidence, wrong, terms).share,
    )
