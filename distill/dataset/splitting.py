"""Training and evaluation apart, by time and by group.

What is evaluated on is newer than all that is trained on, as the traffic will be that a student
meets; and no conversation and no group of questions that are nearly alike is on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from distill.dataset.merging import fold
from distill.dataset.model import Question
from distill.dataset.near import group, near_pairs

_ALIKE = 0.6
"""Questions so similar are kept on one side: less than what makes them duplicates."""


def split(questions: Sequence[Question], held_out: float) -> list[Question]:
    """The newest share ``held_out`` of the questions is held out; the rest is to train on.

    A question counts by when it was first asked (of those of one instant, such as a log without
    times, by its place), a group by its first question. A question that is
    as new as those held out, in a group that began before them, is on neither side: ``apart``.
    """
    if held_out <= 0 or not questions:
        return list(questions)
    groups = group(len(questions), chain(_conversations(questions), _alike(questions)))
    first = [(min(s.created_at for s in q.sources), i) for i, q in enumerate(questions)]
    last = [(max(s.created_at for s in q.sources), i) for i, q in enumerate(questions)]
    began: dict[int, tuple[float, int]] = {}
    for own, at in zip(groups, first, strict=True):
        began[own] = min(began.get(own, at), at)
    cut = sorted(first)[min(len(first) - 1, round((1 - held_out) * len(first)))]
    placed = []
    for question, own, newest in zip(questions, groups, last, strict=True):
        if began[own] >= cut:
            placed.append(replace(question, group=own, split="held_out"))
        elif newest < cut:
            placed.append(replace(question, group=own, split="train"))
        else:
            placed.append(replace(question, group=own, split="apart"))
    return placed


def _alike(questions: Sequence[Question]) -> Iterator[tuple[int, int]]:
    return near_pairs([question.text for question in questions], _ALIKE)


def _conversations(questions: Sequence[Question]) -> Iterator[tuple[int, int]]:
    """Pairs of questions that begin with the same turn, or that were recorded as one group."""
    seen: dict[tuple[str, str], int] = {}
    for i, question in enumerate(questions):
        opening = ("opening", fold(_opening_of(question)))
        recorded = ("group", question.row.group)
        for name in (opening, recorded):
            if name[1]:
                yield seen.setdefault(name, i), i


def _opening_of(question: Question) -> str:
    """The first user turn's text; the question itself where the request says no more."""
    messages = json.loads(question.request).get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else json.dumps(content)
    return question.text
