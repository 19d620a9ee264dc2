"""Reasoning in several steps: agreement, and accuracy where it is known, by how many there are.

Steps are those of the teacher's answer, counted on its surface: lines and sentences that calculate
("3 * 4 = 12"), or items of a numbered list where none does. An answer that reasons in other words
counts as one step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from distill.card.estimate import Preserved, estimate
from distill.card.pairs import Pair, text_of, weigh

KIND: Final = "reasoning in steps"

Verdicts = Mapping[str, tuple[bool, bool]]
"""By the row's id, whether the draft and the teacher's answer are right."""

_PART = re.compile(r"(?<=[.!?;])\s+|\n+")
_CALCULATES = re.compile(r"\d\D{0,40}[-+*/×÷x^%]\D{0,40}\d[^=]{0,40}=\s*\D{0,12}\d")
_ITEM = re.compile(r"^\s*\d{1,2}[.)]\s+\S", re.MULTILINE)
_BANDS: Final = {"1 step": (0, 1), "2 steps": (2, 2), "3 steps": (3, 3), "4 and more": (4, 10**9)}
_FEWEST = 10


def count_steps(text: str) -> int:
    """Of an answer; 0 where none shows."""
    steps = sum(_CALCULATES.search(part) is not None for part in _PART.split(text))
    return steps or len(_ITEM.findall(text))


def measure_reasoning(pairs: Sequence[Pair], verdicts: Verdicts) -> Iterator[Preserved]:
    """A line of agreement, and one of accuracy where it is known, for each number of steps with ten
    answers; nothing where no ten answers show several steps."""
    steps = np.asarray([count_steps(text_of(pair.teacher)) for pair in pairs])
    if (steps >= 2).sum() < _FEWEST:
        return
    for name, (least, most) in _BANDS.items():
        chosen = [pair for pair, n in zip(pairs, steps, strict=True) if least <= n <= most]
        if len(chosen) < _FEWEST:
            continue
        agreed = [float(bool(pair.row.draft_agreed)) for pair in chosen]
        yield Preserved(
            name=f"agrees, {name}",
            kind=KIND,
            n=len(chosen),
            student=estimate(agreed, weigh(chosen), "share"),
            teacher=None,
        )
        judged = [pair for pair in chosen if pair.row.id in verdicts]
        if len(judged) < _FEWEST:
            continue
        right = [[float(verdicts[pair.row.id][whose]) for pair in judged] for whose in (0, 1)]
        student, teacher = (estimate(one, weigh(judged), "share") for one in right)
        yield Preserved(
            name=f"right, {name}", kind=KIND, n=len(judged), student=student, teacher=teacher
        )
