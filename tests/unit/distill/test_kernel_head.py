"""The kernel head: right on simple data, honest about what it has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from distill.train.kernel_head import GAMMA, Examples, Trained, train
from policies.types import Answer
from router.errors import ReleaseError
from router.release import load_release, save_release
from router.wire.openai import answer_to_json

CLASSES = 4


def make_examples(seed: int, rows: int = 200, spread: float = 2.5) -> Examples:
    rng = np.random.default_rng(seed)
    centres = np.eye(CLASSES, 384)
    classes = rng.integers(0, CLASSES, rows).astype(np.int32)
    vectors = centres[classes] + spread * rng.normal(size=(rows, 384)) / np.sqrt(384) * 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Examples(
        vectors=vectors.astype(np.float32),
        classes=classes,
        answers=[answer_to_json(Answer(content=f"intent {i}")) for i in range(CLASSES)],
        answer_vectors=centres.astype(np.float32),
        weights=np.ones(rows),
    )


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(make_examples(0), seed=0)


def test_weights_equal_a_reference_ridge(trained: Trained) -> None:
    student = trained.student
    reference = KernelRidge(alpha=trained.report["noise"], kernel="rbf", gamma=GAMMA)
    reference.fit(student.support, np.eye(CLASSES)[student.classes])
    np.testing.assert_allclose(student.weights, reference.dual_coef_, atol=1e-4)


def test_half_the_trust_is_twice_the_noise() -> None:
    """As a reference has it with half the weight."""
    trust = np.where(np.arange(200) < 80, 0.5, 1.0)
    student = train(replace(make_examples(0), trust=trust), seed=0)
    noise = np.concatenate([1.0 / trust, np.ones(CLASSES)])
    assert student.student is not None
    reference = KernelRidge(alpha=student.report["noise"], kernel="rbf", gamma=GAMMA)
    targets = np.eye(CLASSES)[student.student.classes]
    reference.fit(student.student.support, targets, sample_weight=1.0 / noise)
    np.testing.assert_allclose(student.student.weights, reference.dual_coef_, atol=1e-4)


def test_held_out_draft_equals_a_student_trained_without_the_row(trained: Trained) -> None:
    student = trained.student
    for row in range(20):
        keep = np.arange(len(student.support)) != row
        reference = KernelRidge(alpha=trained.report["noise"], kernel="rbf", gamma=GAMMA)
        reference.fit(student.support[keep], np.eye(CLASSES)[student.classes[keep]])
        scores = reference.predict(student.support[row : row + 1])
        assert scores.argmax() == trained.held_out[row]


def test_confidence_is_calibrated_on_fresh_queries(trained: Trained) -> None:
    fresh = make_examples(1, rows=600)
    right, confidence = [], []
    for vector, label in zip(fresh.vectors, fresh.classes, strict=True):
        answer, evidence = trained.student.draft(vector)
        right.append(answer.content == f"intent {label}")
        confidence.append(trained.gate.confidence(evidence))
    assert np.mean(right) > 0.5
    assert abs(np.mean(right) - np.mean(np.array(confidence, dtype=float))) < 0.06


def test_release_comes_back_as_it_was(trained: Trained, tmp_path: Path) -> None:
    digest, path = save_release(
        tmp_path,
        workload="w",
        comparer="label",
        encoder="e",
        student=trained.student,
        gate=trained.gate,
    )
    release = load_release(path)
    vector = make_examples(2).vectors[0]
    assert release.digest == digest
    assert release.student.draft(vector) == trained.student.draft(vector)
    (path / "manifest.json").write_text("{}")
    with pytest.raises(ReleaseError):
        load_release(path)


def test_what_is_trusted_less_gives_way_to_newer_answers() -> None:
    """All answers of one class were called another before, and few are new."""
    old, new = make_examples(2, rows=160, spread=1.2), make_examples(3, rows=60, spread=1.2)
    renamed = np.where(old.classes == 0, 1, old.classes).astype(np.int32)
    joined = replace(
        old,
        vectors=np.vstack([old.vectors, new.vectors]),
        classes=np.concatenate([renamed, new.classes]),
        weights=np.ones(220),
    )
    trust = np.where(np.arange(220) < 160, 0.1, 1.0)
    fresh = make_examples(4, rows=300, spread=1.2)

    def agreement(examples: Examples) -> float:
        student = train(examples, seed=0).student
        assert student is not None
        drafts = [student.draft(vector)[0].content for vector in fresh.vectors]
        return float(np.mean(np.array(drafts) == [f"intent {one}" for one in fresh.classes]))

    assert agreement(replace(joined, trust=trust)) > agreement(joined) + 0.05


def test_rows_that_an_encoder_was_tuned_on_say_nothing_of_how_good_it_is() -> None:
    """Their vectors give their answers away; all others tell nothing."""
    rng = np.random.default_rng(0)
    examples = make_examples(3, spread=9.0)
    fresh = rng.random(len(examples.vectors)) < 0.5
    told = np.where(fresh[:, None], examples.vectors, np.eye(CLASSES, 384)[examples.classes])
    leaky = replace(examples, vectors=told.astype(np.float32))
    fooled, honest = train(leaky, seed=0), train(replace(leaky, fresh=fresh), seed=0)
    assert len(honest.held_out) == len(honest.confidence) == fresh.sum()
    assert (fooled.held_out[fresh] == honest.held_out).mean() > 0.9
    right = (honest.held_out == examples.classes[fresh]).mean()
    assert abs(honest.confidence.mean() - right) < 0.05
    assert (fooled.held_out == examples.classes).mean() > right + 0.2
    assert fooled.area < honest.area
