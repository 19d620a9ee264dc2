"""How many of the teacher's answers its own answers to like questions contradict.

A question is like another where it is among the seven nearest by the encoder and at least as
similar as rewordings of one question are. Where it has three such or more, and two thirds of them
or more have one answer, an answer that isn't that one is contradicted.

That is a sign of noise and no proof: a word can make the difference between two questions. So where
the right answer is known, it is counted how often it is the teacher's, that of the like questions
and the student's. Nothing is learned from any of this: it was tried and gained nothing
(docs/next.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.dataset.model import Dataset
from distill.wording import count_of
from policies.intervals import wilson
from policies.types import Tier

NEIGHBOURS = 7
LEAST_SIMILARITY = 0.8
"""Cosine that rewordings of one question reach ("may I return the shoes?" and "how do I return my
shoes?" have .83). Of the bank's 3,080 messages three in five have three like ones at this."""

FEWEST = 3
_BLOCK = 512
"""Questions compared at once with all others: bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """The teacher's answer to one question, and what is known of it; answers are keys of the
    workload's comparer.

    ``drafted``: the answer of a student that had not seen the question; ``right``: the right one;
    ``refuted``: the teacher's is known to be wrong. None: unknown.
    """

    said: str
    drafted: str | None = None
    right: str | None = None
    refuted: bool = False


@dataclass(frozen=True, kw_only=True)
class Poll:
    """What the questions that are like one question say: ``like``, how many there are; ``said``,
    the answer of two thirds of them or more, None where there is none or they are too few."""

    like: int
    said: str | None


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of ``known`` answers of which it is known whether they are right, so many are."""

    known: int = 0
    right: int = 0

    def describe(self) -> dict[str, Any]:
        """JSON-ready, with Wilson's 95 % interval; None where nothing is known."""
        return {"known": self.known, "right": self.right} | _share(self.right, self.known)


@dataclass(frozen=True, kw_only=True)
class TeacherNoise:
    """Counts of questions: of all, of those with enough like ones (``polled``), and of those whose
    answer the like ones contradict; over the latter, how often each party is right.

    ``outvoted``: answers that differ from the commonest to the very same question; they are no
    questions of their own, and so not among the others.
    """

    questions: int = 0
    outvoted: int = 0
    polled: int = 0
    contradicted: int = 0
    teacher: Score = Score()
    neighbours: Score = Score()
    student: Score = Score()

    def describe(self) -> dict[str, Any]:
        """JSON-ready. ``share``: of the polled, with Wilson's 95 % interval, which takes questions
        for independent."""
        return {
            "questions": self.questions,
            "outvoted": self.outvoted,
            "polled": self.polled,
            "contradicted": self.contradicted,
            **_share(self.contradicted, self.polled),
            "right_there": {name: getattr(self, name).describe() for name in _PARTIES},
        }


_PARTIES = ("teacher", "neighbours", "student")


def find_noise(
    dataset: Dataset, vectors: NDArray[np.float32], held_out: NDArray[np.intp]
) -> TeacherNoise:
    """The noise in the answers that a student learned from. ``vectors``: of the dataset's
    questions; ``held_out``: the class drafted for each by a student that had not seen it.

    Answers that a change of what the teacher says has probably undone are left out: they are old,
    not noisy.
    """
    keys = {own: one.key for own, one in zip(dataset.classes, dataset.questions, strict=True)}
    asked = [
        i
        for i, one in enumerate(dataset.questions)
        if one.row.teacher_model is not None and one.stands
    ]
    told = [
        Told(
            said=one.teacher_key or one.key,
            drafted=keys.get(held_out[i]),
            right=one.right_key,
            refuted=one.refuted and one.row.tier is Tier.TEACHER,
        )
        for i, one in ((i, dataset.questions[i]) for i in asked)
    ]
    return measure_noise(vectors[asked], told, dataset.dropped.get("contradiction", 0))


def measure_noise(
    vectors: NDArray[np.float32], told: Sequence[Told], outvoted: int = 0
) -> TeacherNoise:
    """The noise in a workload's answers, one per question. ``vectors``: unit, shape (questions,
    dimensions)."""
    polls = poll(vectors, [one.said for one in told])
    against = [
        (one, asked.said)
        for one, asked in zip(told, polls, strict=True)
        if asked.said not in (None, one.said)
    ]
    return TeacherNoise(
        questions=len(told),
        outvoted=outvoted,
        polled=sum(asked.like >= FEWEST for asked in polls),
        contradicted=len(against),
        teacher=_score(_judge(one, one.said) for one, _ in against),
        neighbours=_score(_judge(one, said) for one, said in against),
        student=_score(_judge(one, one.drafted) for one, _ in against),
    )


def poll(vectors: NDArray[np.float32], keys: Sequence[str]) -> list[Poll]:
    """What is said of each question by those that are like it."""
    count, polls = len(keys), []
    for start in range(0, count, _BLOCK):
        similar = vectors[start : start + _BLOCK] @ vectors.T
        own = np.arange(len(similar))
        similar[own, start + own] = -1.0  # nobody is asked about himself
        nearest = np.argpartition(-similar, min(NEIGHBOURS, count) - 1, axis=1)[:, :NEIGHBOURS]
        for row, found in zip(similar, nearest, strict=True):
            polls.append(_count([keys[i] for i in found if row[i] >= LEAST_SIMILARITY]))
    return polls


def combine(parts: Iterable[TeacherNoise]) -> TeacherNoise:
    """The counts of several workloads together."""
    total = TeacherNoise()
    for part in parts:
        total = TeacherNoise(
            **{
                one.name: _add(getattr(total, one.name), getattr(part, one.name))
                for one in fields(TeacherNoise)
            }
        )
    return total


def write_noise(described: Mapping[str, Any]) -> str:
    """What ``TeacherNoise.describe`` gave, in sentences for people."""
    polled, against = described["polled"], described["contradicted"]
    if not polled:
        return "no question has three others like it, so noise in the answers can't be seen."
    low, high = described["low"], described["high"]
    sentence = (
        f"like questions contradict {against:,} of {count_of(polled, 'answer')}"
        f" ({against / polled:.1%}, {low:.1%} to {high:.1%})"
    )
    if described["outvoted"]:
        sentence += f", the same question {described['outvoted']:,} more"
    right = [
        f"{name} {score['right']} of {score['known']}"
        for name, score in described["right_there"].items()
        if score["known"]
    ]
    return sentence + (f"; right there: {', '.join(right)}." if right else ".")


def _count(answers: Sequence[str]) -> Poll:
    if len(answers) < FEWEST:
        return Poll(like=len(answers), said=None)
    said, votes = Counter(answers).most_common(1)[0]
    # Two thirds of those in reach, not of seven: four like questions are enough.
    return Poll(like=len(answers), said=said if 3 * votes >= 2 * len(answers) else None)


def _judge(told: Told, answer: str | None) -> bool | None:
    """Whether an answer is right; None where that is unknown."""
    if answer is not None and told.right is not None:
        return answer == told.right
    return False if told.refuted and answer == told.said else None


def _score(verdicts: Iterable[bool | None]) -> Score:
    known = [verdict for verdict in verdicts if verdict is not None]
    return Score(known=len(known), right=sum(known))


def _add(one: Any, other: Any) -> Any:
    if isinstance(one, Score):
        return Score(known=one.known + other.known, right=one.right + other.right)
    return one + other


def _share(part: int, whole: int) -> dict[str, float | None]:
    if not whole:
        return {"share": None, "low": None, "high": None}
    low, high = wilson(part, whole)
    return {"share": part / whole, "low": low, "high": high}
