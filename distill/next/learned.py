"""What people look at after a cycle: how the student's agreement grew, and where it still fails.

It goes into the cycle's report, which outlasts the interactions. So questions are named by their
interactions' ids and read from the record when they are shown: what is erased there is gone here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distill.dataset import Dataset
from distill.next.checked import Checked, say, thin_out
from distill.next.clusters import Cluster, find_clusters
from distill.train.curve import learning_curve
from distill.train.kernel_head import Examples, Trained

_MOST = 1_000
"""Failures, and others, that are looked at: of more, a random sample stands for them."""


def describe_learned(
    dataset: Dataset, examples: Examples, trained: Trained, *, seed: int
) -> dict[str, Any]:
    """``curve``: see ``learning_curve``; ``clusters``: of the questions whose held-out drafts
    disagree with the teacher, those that stand for most interactions first. JSON-ready."""
    checked = thin_out(_check(dataset, trained), _MOST, seed)
    place = {question.row.id: i for i, question in enumerate(dataset.questions)}
    vectors = examples.vectors[np.asarray([place[one.id] for one in checked], dtype=np.intp)]
    return {
        "curve": learning_curve(examples, trained, seed=seed),
        "clusters": [_write(one) for one in find_clusters(checked, vectors, seed=seed)],
    }


def _check(dataset: Dataset, trained: Trained) -> list[Checked]:
    said = [say(answer) for answer in dataset.answers]
    found = []
    for question, right, drafted in zip(
        dataset.questions, dataset.classes, trained.held_out, strict=True
    ):
        wrong = right != drafted
        found.append(
            Checked(
                id=question.row.id,
                text=question.text,
                asked=question.weight,
                wrong=question.weight if wrong else 0.0,
                teacher=said[right] if wrong else "",
                draft=said[drafted] if wrong else "",
            )
        )
    return found


def _write(cluster: Cluster) -> dict[str, Any]:
    """Without words of the questions: they may be a person's."""
    return {
        "teacher": cluster.teacher,
        "draft": cluster.draft,
        "confusion_share": cluster.confusion_share,
        "questions": cluster.questions,
        "interactions": cluster.interactions,
        "share": cluster.share,
        "precision": cluster.precision,
        "examples": list(cluster.ids),
    }
