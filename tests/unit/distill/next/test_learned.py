"""The report of a cycle: failures by the interactions that show them, without their texts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from distill.dataset import Dataset, build_dataset
from distill.next.learned import describe_learned
from distill.train.kernel_head import Examples, Trained, train
from router.record.redact import Redactor
from tests.unit.distill.learning_rows import allow, row

PLACES = ("parcel", "refund", "opening")
ROWS = 120


def learn() -> tuple[Dataset, Examples, Trained]:
    """Three answers; of the questions for ``refund``, the student drafts every third wrongly."""
    rows = [
        row(f"Ada's {PLACES[i % 3]} {i}", PLACES[i % 3], id=f"int_{i}", propensity=0.5)
        for i in range(ROWS)
    ]
    dataset = build_dataset("shop", rows, allow("teacher"), Redactor(()))
    vectors = np.eye(8, dtype=np.float32)[dataset.classes]
    examples = Examples(
        vectors=vectors,
        classes=dataset.classes,
        answers=dataset.answers,
        answer_vectors=np.eye(8, dtype=np.float32)[: len(dataset.answers)],
        weights=dataset.weights,
    )
    said = [answer["content"] for answer in dataset.answers]
    held_out = dataset.classes.astype(np.intp)
    refunds = np.flatnonzero(held_out == said.index("refund"))
    held_out[refunds[::3]] = said.index("parcel")
    trained = replace(train(examples, seed=0), held_out=held_out)
    return dataset, examples, trained


def test_failures_are_weighed_and_named_by_ids_alone() -> None:
    dataset, examples, trained = learn()
    report = describe_learned(dataset, examples, trained, seed=0)
    (place,) = report["clusters"]
    assert (place["teacher"], place["draft"], place["questions"]) == ("refund", "parcel", 14)
    assert place["interactions"] == pytest.approx(28.0)
    assert place["share"] == pytest.approx(28 / 240)
    assert place["precision"] == pytest.approx(14 / 40)
    assert len(place["examples"]) == 3
    assert all(int(name.removeprefix("int_")) % 3 == 1 for name in place["examples"])
    assert "Ada" not in json.dumps(report)
    assert report["curve"][-1]["agreement"] == pytest.approx(1 - 14 / 120)


def test_a_student_that_never_fails_has_no_clusters() -> None:
    dataset, examples, trained = learn()
    right = replace(trained, held_out=dataset.classes.astype(np.intp))
    report = describe_learned(dataset, examples, right, seed=0)
    assert report["clusters"] == []
    assert report["curve"][-1]["agreement"] == 1.0
