"""What both answered to the same request, and how one thing is measured on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from distill.card.estimate import Floats, Preserved, Unit, estimate
from policies.types import Answer, Shape
from router.record.model import TrainingRow
from router.wire.openai import answer_from_json, shape_of, system_prompt


@dataclass(frozen=True, kw_only=True)
class Pair:
    """``prompt``: the system prompt, empty where there is none."""

    row: TrainingRow
    shape: Shape
    prompt: str
    draft: Answer
    teacher: Answer


@dataclass(frozen=True, kw_only=True)
class Measure:
    """``of``: what an answer to a pair's request comes to; None where it has no meaning there."""

    name: str
    kind: str
    of: Callable[[Pair, Answer], float | None]
    unit: Unit = "share"


def pair_up(rows: Iterable[TrainingRow], release: str) -> list[Pair]:
    """Those that the release drafted and that were compared."""
    return [
        Pair(
            row=row,
            shape=shape_of(row.request or {}),
            prompt=system_prompt(row.request or {}),
            draft=answer_from_json(row.draft),
            teacher=answer_from_json(row.teacher_answer),
        )
        for row in rows
        if row.release == release and row.draft is not None and row.draft_agreed is not None
    ]


def weigh(pairs: Sequence[Pair]) -> Floats:
    """How many interactions each stands for."""
    return np.asarray([1.0 / pair.row.propensity for pair in pairs])


def apply(measure: Measure, pairs: Sequence[Pair]) -> Preserved | None:
    """The measure of both over the pairs where it has a meaning for both; None without any."""
    found = [(pair, measure.of(pair, pair.draft), measure.of(pair, pair.teacher)) for pair in pairs]
    both = [(pair, one, other) for pair, one, other in found if one is not None is not other]
    if not both:
        return None
    weights = weigh([pair for pair, _, _ in both])
    drafts, teachers = [one for _, one, _ in both], [other for _, _, other in both]
    return Preserved(
        name=measure.name,
        kind=measure.kind,
        unit=measure.unit,
        n=len(both),
        student=estimate([one for one in drafts if one is not None], weights, measure.unit),
        teacher=estimate([one for one in teachers if one is not None], weights, measure.unit),
    )


def text_of(answer: Answer) -> str:
    """What was said; of a call, its arguments."""
    return "\n".join(
        [answer.content or "", *(call.arguments for call in answer.tool_calls)]
    ).strip()
