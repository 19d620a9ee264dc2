"""The ladder: what it compares, what it lets pass, what it can't tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from distill.dataset import Dataset, Question, build_dataset
from distill.promote import MARGIN, Rung, climb, compare, may_promote
from distill.train.kernel_head import Trained
from policies.promise.certificate import Terms
from policies.scoring.gate import EMBEDDED_SIGNALS, Gate
from policies.scoring.scorers import Logistic
from router.record.redact import Redactor
from router.release import Release
from router.students.embedded import EmbeddedStudent
from tests.unit.distill.learning_rows import allow, row

IN_FORCE = "in-force"
TERMS = Terms(agreement=0.95)


def gate(threshold: float) -> Gate:
    """Serves from ``threshold`` on at the promised risk, and everything at more."""
    return Gate(
        signals=EMBEDDED_SIGNALS[:1],
        scorer=Logistic(mean=np.zeros(1), scale=np.ones(1), weights=np.ones(1), bias=0.0),
        curve_score=np.array([threshold, 0.0]),
        curve_all=np.array([0.0, 1.0]),
        curve_served=np.array([0.0, 1.0]),
    )


STUDENT = EmbeddedStudent(
    answers=[],
    support=np.zeros((0, 384), np.float32),
    weights=np.zeros((0, 0), np.float32),
    classes=np.zeros(0, np.int32),
    queries=0,
    gamma=1.0,
)


def release(threshold: float = 0.5, comparer: str = "label") -> Release:
    return Release(
        digest=IN_FORCE,
        workload="shop",
        comparer=comparer,
        encoder="e",
        student=STUDENT,
        gate=gate(threshold),
    )


def dataset(questions: Sequence[Question]) -> Dataset:
    """All of class 0."""
    empty = build_dataset("shop", [], allow("teacher"), Redactor(()))
    classes = np.zeros(len(questions), np.int32)
    return replace(empty, comparer="label", questions=questions, classes=classes, answers=[{}])


def question(
    agreed: bool | None,
    confidence: float = 0.9,
    drafted_by: str | None = IN_FORCE,
    first: str | None = IN_FORCE,
    propensity: float = 1.0,
    weight: float = 1.0,
) -> Question:
    drafted = row(
        "q",
        "a",
        release=drafted_by,
        draft_agreed=agreed,
        confidence=confidence,
        propensity=propensity,
    )
    return Question(text="q", key="k", weight=weight, row=drafted, first_release=first)


def trained(right: Sequence[bool], confidence: float = 0.9, threshold: float = 0.5) -> Trained:
    return Trained(
        student=STUDENT,
        gate=gate(threshold),
        held_out=np.array([0 if one else 1 for one in right], dtype=np.intp),
        confidence=np.full(len(right), confidence),
        report={},
    )


def rungs_of(
    questions: Sequence[Question], candidate: Trained, active: Release | None
) -> dict[str, Rung]:
    return {rung.name: rung for rung in climb(dataset(questions), candidate, active, TERMS)}


def test_the_first_release_has_nothing_to_be_compared_with() -> None:
    rungs = climb(dataset([question(True)]), trained([True]), None, TERMS)
    assert [(rung.verdict, rung.questions) for rung in rungs] == [("skipped", 0)]
    assert may_promote(rungs)


def test_another_comparer_means_another_agreement() -> None:
    rungs = climb(dataset([question(True)]), trained([False]), release(comparer="text"), TERMS)
    assert [rung.verdict for rung in rungs] == ["skipped"]
    assert "text" in rungs[0].sentence


def test_only_questions_count_that_the_release_in_force_drafted_without_knowing_them() -> None:
    questions = [
        question(True),
        question(None),  # the draft couldn't be compared
        question(True, drafted_by="older", first="older"),
        question(True, drafted_by=None, first=None),
        question(True, first="older"),  # asked before: the release in force was trained on it
    ]
    for rung in rungs_of(questions, trained([True] * 5), release()).values():
        assert rung.questions == 1


@pytest.mark.parametrize("questions", [[], [question(True, drafted_by=None, first=None)]])
def test_without_such_questions_every_rung_is_skipped(questions: list[Question]) -> None:
    rungs = rungs_of(questions, trained([True] * len(questions)), release())
    assert {rung.verdict for rung in rungs.values()} == {"skipped"}
    assert may_promote(list(rungs.values()))
    assert all(rung.difference is None for rung in rungs.values())
    assert all("drafted by the release in force and" in rung.sentence for rung in rungs.values())


def test_where_all_that_was_drafted_was_known_before_it_says_so() -> None:
    rungs = rungs_of([question(True, first="older")], trained([True]), release())
    assert {rung.verdict for rung in rungs.values()} == {"skipped"}
    assert all("drafted was known before" in rung.sentence for rung in rungs.values())


def test_an_equal_candidate_passes_where_there_is_enough_to_tell() -> None:
    rungs = rungs_of([question(True)] * 400, trained([True] * 400), release())
    assert {rung.verdict for rung in rungs.values()} == {"passed"}


def test_a_candidate_that_agrees_less_fails() -> None:
    right = [i >= 60 for i in range(400)]
    rungs = rungs_of([question(True)] * 400, trained(right), release())
    assert rungs["agreement"].verdict == "failed"
    assert rungs["agreement"].difference == pytest.approx(-0.15)
    assert rungs["served_disagreement"].verdict == "failed"
    assert rungs["served_share"].verdict == "failed"  # of what it serves, less is right
    assert not may_promote(list(rungs.values()))


def test_errors_that_would_not_be_served_are_no_served_disagreement() -> None:
    right = [i >= 60 for i in range(400)]
    candidate = replace(trained(right), confidence=np.array([0.9 if one else 0.1 for one in right]))
    rungs = rungs_of([question(True)] * 400, candidate, release())
    assert rungs["served_disagreement"].verdict == "passed"
    assert rungs["served_share"].verdict == "failed"


def test_a_release_that_is_too_sure_can_be_replaced_by_one_that_serves_less() -> None:
    questions = [question(i >= 80) for i in range(400)]
    confidence = np.array([0.9 if i >= 120 else 0.1 for i in range(400)])
    candidate = replace(trained([i >= 80 for i in range(400)]), confidence=confidence)
    rungs = rungs_of(questions, candidate, release())
    assert rungs["agreement"].verdict == "passed"
    assert rungs["served_disagreement"].low is not None
    assert rungs["served_disagreement"].low > 0
    assert rungs["served_share"].verdict == "skipped"
    assert "because it disagrees less" in rungs["served_share"].sentence
    assert may_promote(list(rungs.values()))


def test_each_gate_is_held_against_its_own_threshold() -> None:
    questions = [question(True, confidence=0.6)] * 400
    rungs = rungs_of(questions, trained([True] * 400, 0.3, threshold=0.2), release(0.7))
    assert rungs["served_share"].difference == pytest.approx(1.0)


def test_a_question_counts_for_the_interactions_that_its_draft_stands_for() -> None:
    # Seen at one in ten, and asked a thousand times before that: the latter says nothing here.
    audited = question(False, propensity=0.1, weight=1000.0)
    rungs = rungs_of([audited, *[question(True)] * 90], trained([True] * 91), release())
    assert rungs["agreement"].difference == pytest.approx(10 / 100)


FEW, MANY = 50, 2000


def outcomes(before: float, after: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(count)
    return index < before * count, index < after * count


@pytest.mark.parametrize(
    ("before", "after", "count", "verdict"),
    [
        (0.9, 0.9, MANY, "passed"),
        (0.9, 0.95, MANY, "passed"),
        (0.9, 0.8, MANY, "failed"),
        (0.9, 0.8, FEW, "failed"),  # 95 % sure that it is worse, few as they are
        (0.9, 0.9, FEW, "skipped"),
        (0.9, 0.88, FEW, "skipped"),
        (0.5, 0.9, FEW, "passed"),
    ],
)
def test_verdicts(before: float, after: float, count: int, verdict: str) -> None:
    rung = compare("agreement", *outcomes(before, after, count), np.ones(count))
    assert (rung.verdict, rung.questions) == (verdict, count)
    assert rung.low is not None
    assert rung.high is not None
    assert rung.difference == pytest.approx(after - before)
    assert rung.low < after - before < rung.high


def test_enough_questions_that_leave_room_for_a_loss_fail() -> None:
    lost, gained, count = 126, 108, MANY
    before, after = np.ones((2, count), np.bool_)
    after[:lost] = False
    before[lost : lost + gained] = False
    rung = compare("agreement", before, after, np.ones(count))
    assert rung.low is not None
    assert rung.high is not None
    assert rung.low < -MARGIN < 0 < rung.high
    assert (rung.verdict, rung.difference) == ("failed", pytest.approx((gained - lost) / count))


def test_agreeing_pairs_alone_prove_little() -> None:
    same = np.ones(10, dtype=np.bool_)
    rung = compare("agreement", same, same, np.ones(10))
    assert (rung.low, rung.high, rung.verdict) == (-0.3, 0.3, "skipped")
    assert "about 2240 more would" in rung.sentence


def test_one_heavy_row_is_one_row() -> None:
    before, after = np.zeros(101, np.bool_), np.zeros(101, np.bool_)
    after[0] = True
    weights = np.ones(101)
    weights[0] = 10_000.0
    rung = compare("agreement", before, after, weights)
    assert rung.verdict == "skipped"


def test_an_equal_candidate_is_rarely_called_worse() -> None:
    """Two-sided intervals of 95 %: one in forty, simulated."""
    rng = np.random.default_rng(5)
    runs = 400
    failed = 0
    for _ in range(runs):
        before, after = rng.random((2, 300)) < 0.9
        rung = compare("agreement", before, after, np.ones(300))
        failed += rung.high is not None and rung.high < 0
    assert failed / runs <= 0.025 + 3 * (0.025 * 0.975 / runs) ** 0.5


def test_questions_from_before_a_change_compare_nothing() -> None:
    old = [replace(question(True), trust=0.1) for _ in range(400)]
    assert not may_promote(
        climb(dataset([question(True)] * 400), trained([False] * 400), release(), TERMS)
    )
    rungs = rungs_of(old, trained([False] * 400), release())
    assert may_promote(list(rungs.values()))
    assert rungs["agreement"].questions == 0
