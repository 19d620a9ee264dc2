"""What takes part in the comparison, and what it may see.

A ranker is fitted on whole rows and scores rows without answers: the harness removes what the
teacher said, who was right and the gold answer before it hands them over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from distill.streams import RecordedAnswer, StreamRow
from policies.types import Answer

Floats = NDArray[np.float64]

_UNKNOWN = RecordedAnswer(answer=Answer(content=None))


class Ranker(Protocol):
    """Orders queries by how safely the student may serve them."""

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        """Learn from rows with both answers and their ``correct`` flags; forgets earlier fits."""
        ...

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        """Finite scores of shape (len(rows),): the higher, the sooner the student may serve.

        ``rows`` come from ``hide_answers``; a score depends on nothing but its own row.
        """
        ...


@runtime_checkable
class ProbabilityRanker(Ranker, Protocol):
    """A ranker that also claims probabilities, which are then held against what happened."""

    def probability(self, rows: Sequence[StreamRow]) -> Floats:
        """That serving the draft loses nothing: not (teacher right and student wrong)."""
        ...


class NotApplicableError(Exception):
    """A ranker has nothing to work with on a stream; the sentence says what is missing."""


def hide_answers(rows: Sequence[StreamRow]) -> list[StreamRow]:
    """The rows as they are before anybody asks the teacher.

    Left are request, workload and the student's draft with its evidence, cost and latency. The
    teacher's answer, both ``correct`` flags and the gold answer go; so does the id, which in some
    streams names the kind of question.
    """
    return [
        replace(
            row,
            id=str(i),
            teacher=_UNKNOWN,
            student=None if row.student is None else replace(row.student, correct=None),
            gold=None,
        )
        for i, row in enumerate(rows)
    ]


def right(rows: Sequence[StreamRow]) -> tuple[Floats, Floats]:
    """1.0 where student, and where teacher, were right. Needs ``correct`` of both everywhere."""
    if any(
        r.student is None or r.student.correct is None or r.teacher.correct is None for r in rows
    ):
        raise ValueError("every row needs a recorded student and 'correct' of both models")
    student = [r.student is not None and bool(r.student.correct) for r in rows]
    teacher = [bool(r.teacher.correct) for r in rows]
    return np.array(student, float), np.array(teacher, float)
