"""Rankers see no answers of the rows that they score, and are measured on those rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.frontier.contestants import CONTESTANTS
from benchmarks.frontier.metrics import apgr, escalation_curve
from benchmarks.frontier.protocol import Split, measure, read_split, score_split
from benchmarks.frontier.ranker import Floats, NotApplicableError, hide_answers, right
from benchmarks.frontier.vectors import RememberingEncoder
from distill.streams import StreamRow
from tests.unit.benchmarks.frontier.rows import make_row

ROWS = [
    make_row(
        i, student=i % 3 > 0, teacher=i % 7 > 0, logprob=-(1 + i % 5) / 5, workload=f"w{i % 2}"
    )
    for i in range(60)
]


class Spy:
    """Keeps what it was handed."""

    def __init__(self) -> None:
        self.fitted: list[Sequence[StreamRow]] = []
        self.scored: list[Sequence[StreamRow]] = []

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        self.fitted.append(rows)

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        self.scored.append(rows)
        return np.arange(len(rows), dtype=float)


class Cheat(Spy):
    """Scores by who was right."""

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        student, teacher = right(rows)
        return student - teacher


def test_answers_are_gone_from_what_is_scored() -> None:
    hidden = hide_answers(ROWS)
    for row, seen in zip(ROWS, hidden, strict=True):
        assert row.student is not None
        assert seen.student == replace(row.student, correct=None)
        assert seen.body == row.body
        assert seen.teacher.correct is None
        assert seen.gold is None
        shown = repr(seen)
        assert "teacher says" not in shown
        assert "gold " not in shown
        assert "kind-" not in shown


@pytest.mark.parametrize("train", [ROWS[:20], []])
def test_harness_hands_over_hidden_rows_alone(train: Sequence[StreamRow]) -> None:
    spy = Spy()
    score_split(spy, Split(train=train, test=ROWS[20:]), seed=0)
    handed = [row for rows in spy.scored for row in rows]
    assert len(handed) == 40
    for row in handed:
        assert row.teacher.answer.content is None
        assert row.teacher.correct is None
        assert row.student is not None
        assert row.student.correct is None
        assert row.gold is None


def test_ranker_that_looks_for_answers_fails() -> None:
    with pytest.raises(ValueError, match="'correct'"):
        score_split(Cheat(), Split(train=ROWS[:20], test=ROWS[20:]), seed=0)


def test_no_row_is_scored_by_a_fit_that_saw_it() -> None:
    spy = Spy()
    score_split(spy, Split(train=[], test=ROWS), seed=0)
    assert len(spy.fitted) == len(spy.scored) == 5
    for fitted, scored in zip(spy.fitted, spy.scored, strict=True):
        said = {row.body["messages"][0]["content"] for row in fitted}
        assert len(fitted) + len(scored) == len(ROWS)
        assert not any(row.body["messages"][0]["content"] in said for row in scored)


def test_scores_come_back_in_the_order_of_the_rows() -> None:
    scores, claims = score_split(
        CONTESTANTS["raw confidence"](RememberingEncoder(None)), Split(train=[], test=ROWS), seed=0
    )
    assert claims is None
    assert scores.tolist() == [-(1 + i % 5) / 5 for i in range(60)]


def test_lead_is_over_the_reference() -> None:
    split = Split(train=[], test=ROWS)
    student, teacher = right(ROWS)
    perfect, flat = student - teacher, np.zeros(60)
    found = measure(perfect, None, flat, split, seed=0)
    assert found.lead == pytest.approx(
        apgr(escalation_curve(perfect, student, teacher))
        - apgr(escalation_curve(flat, student, teacher))
    )
    assert found.lead_interval is not None
    assert found.lead_interval[0] > 0
    assert measure(flat, None, flat, split, seed=0).lead is None


@pytest.mark.parametrize("name", ["domain prior", "raw confidence", "isotonic confidence"])
def test_ranker_without_its_input_says_so(name: str) -> None:
    bare = [make_row(i, student=i % 2 > 0) for i in range(10)]
    with pytest.raises(NotApplicableError, match="recorded"):
        CONTESTANTS[name](RememberingEncoder(None)).fit(bare, 0)


def test_raw_confidence_on_the_recorded_stream() -> None:
    data = os.environ.get("TUTELAGE_DATA")
    if data is None or not (Path(data) / "streams/mmlu-llama-test.jsonl.gz").exists():
        pytest.skip("set TUTELAGE_DATA to a folder that has streams/mmlu-llama-test.jsonl.gz")
    split = read_split(Path(data), "mmlu-llama")
    scores, _ = score_split(CONTESTANTS["raw confidence"](RememberingEncoder(None)), split, seed=0)
    assert apgr(escalation_curve(scores, *right(split.test))) == pytest.approx(0.696, abs=5e-4)
