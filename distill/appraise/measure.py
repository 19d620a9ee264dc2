"""What a workload's part of a log cost and how repetitive it is. Nothing is predicted here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from distill.appraise.log import Logged
from policies.compare import choose_comparer, get_comparer
from policies.compare.fold import fold_label
from router.meter.prices import Price, cost_of
from router.wire.openai import input_text, shape_of

NEAR = 0.95
"""Cosine of two questions' vectors above which they count as near repeats."""

_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Of one workload: ``cost_usd``: of the whole log, None unless every answer's is known;
    ``exact_repeats``, ``near_repeats``: share of questions asked before, in the same words and in
    nearly the same; ``self_agreement``: of questions asked again in the same words, the share that
    the teacher answered as it did the time before, with how many there were (``asked_again``);
    ``different_answers``: how many it gave."""

    interactions: int
    cost_usd: Decimal | None
    exact_repeats: float
    near_repeats: float | None
    asked_again: int
    self_agreement: float | None
    different_answers: int
    comparer: str


def find_cost(entry: Logged, price: Price | None) -> Decimal | None:
    """USD of the teacher's answer: as logged, else by the price."""
    recorded = entry.row.teacher.cost_usd
    return cost_of(entry.row.teacher.usage, price) if recorded is None else recorded


def profile(
    entries: Sequence[Logged],
    price: Price | None,
    vectors: NDArray[np.float32] | None,
    comparer: str | None,
) -> Profile:
    """``vectors``: of the questions, unit length, shape (entries, dimensions); None: near repeats
    aren't looked for. ``comparer``: the configured one, None: by the answers' shapes."""
    name = comparer or _choose(entries)
    judge = get_comparer(name)
    last: dict[str, Logged] = {}
    again = same = 0
    for entry in entries:
        text = input_text(entry.row.body)
        folded = fold_label(text) or text
        before = last.get(folded)
        if before is not None:
            again += 1
            shape = shape_of(entry.row.body)
            same += judge.agrees(before.row.teacher.answer, entry.row.teacher.answer, shape)
        last[folded] = entry
    keys = {
        judge.key(entry.row.teacher.answer, shape_of(entry.row.body)) or entry.row.id
        for entry in entries
    }
    return Profile(
        interactions=len(entries),
        cost_usd=_sum([find_cost(entry, price) for entry in entries]),
        exact_repeats=again / len(entries),
        near_repeats=None if vectors is None else _near_repeats(vectors),
        asked_again=again,
        self_agreement=same / again if again else None,
        different_answers=len(keys),
        comparer=name,
    )


def by_workload(entries: Sequence[Logged]) -> dict[str, list[Logged]]:
    """The entries of each workload in their order, the largest workload first."""
    found: defaultdict[str, list[Logged]] = defaultdict(list)
    for entry in entries:
        found[entry.row.workload or ""].append(entry)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _choose(entries: Sequence[Logged]) -> str:
    """What fits most answers when they are judged one by one, as the gateway does at first."""
    chosen = Counter(
        choose_comparer(shape_of(entry.row.body), [entry.row.teacher.answer]) for entry in entries
    )
    return chosen.most_common(1)[0][0]


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def _near_repeats(vectors: NDArray[np.float32]) -> float:
    """The share of rows that are near to an earlier one, a block of rows at a time."""
    near = 0
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        likeness = block @ vectors[: start + len(block)].T
        rows = np.arange(len(block))
        likeness[rows[:, None] + start <= np.arange(likeness.shape[1])] = -1.0
        near += int((likeness.max(axis=1, initial=-1.0) >= NEAR).sum())
    return near / len(vectors)
