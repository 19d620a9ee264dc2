"""What a student preserved of its teacher, each thing by itself, student beside teacher.

Measured on answers that both gave to the same request and that may be learned from: drafts made
before anyone was trained on the question. A draft whose check had the probability π counts as 1/π,
so that the figures are of all that is drafted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.compare.base import is_refusal
from policies.types import Answer, Shape
from router.auth import Caller
from router.deciding.slices import find_slices
from router.evidence.format import find_format_fault
from router.record.model import TrainingRow
from router.settings.model import WorkloadSettings
from router.wire.openai import answer_from_json, shape_of

Floats = NDArray[np.float64]

_Z95 = 1.96
_TAIL = 0.95
_MOST_ANSWERS = 20
_FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A weighted mean with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Preserved:
    """One thing, of both, over ``n`` answers; ``student`` or ``teacher`` is None where it has no
    meaning for one alone, as agreement."""

    name: str
    n: int
    student: Estimate | None
    teacher: Estimate | None


@dataclass(frozen=True, kw_only=True)
class _Pair:
    row: TrainingRow
    shape: Shape
    draft: Answer
    teacher: Answer


def _is_valid(pair: _Pair, answer: Answer) -> float:
    return float(find_format_fault(pair.shape, pair.row.comparer, answer) is None)


def _refuses(_: _Pair, answer: Answer) -> float:
    return float(is_refusal(answer))


def _calls(_: _Pair, answer: Answer) -> float:
    return float(bool(answer.tool_calls))


def _is_cut(_: _Pair, answer: Answer) -> float:
    return float(answer.finish_reason == "length")


def _length(_: _Pair, answer: Answer) -> float:
    calls = sum(len(call.arguments) for call in answer.tool_calls)
    return float(len(answer.content or "") + calls)


_SHARES: Final[Mapping[str, Callable[[_Pair, Answer], float]]] = {
    "in the form asked for": _is_valid,
    "refuses": _refuses,
    "calls tools": _calls,
    "cut short": _is_cut,
}
LENGTH: Final = "characters"


def measure_preserved(
    rows: Iterable[TrainingRow], release: str, settings: WorkloadSettings | None
) -> tuple[list[Preserved], list[Preserved]]:
    """What is kept in general, and agreement by part; both empty where nothing was drafted."""
    pairs = [
        _Pair(
            row=row,
            shape=shape_of(row.request or {}),
            draft=answer_from_json(row.draft),
            teacher=answer_from_json(row.teacher_answer),
        )
        for row in rows
        if row.release == release and row.draft is not None and row.draft_agreed is not None
    ]
    if not pairs:
        return [], []
    weights = np.asarray([1.0 / pair.row.propensity for pair in pairs])
    kept = [
        Preserved(
            name=name,
            n=len(pairs),
            student=_estimate([of(pair, pair.draft) for pair in pairs], weights, share=True),
            teacher=_estimate([of(pair, pair.teacher) for pair in pairs], weights, share=True),
        )
        for name, of in _SHARES.items()
    ]
    lengths = [[_length(pair, one) for pair, one in _answers(pairs, whose)] for whose in (0, 1)]
    student, teacher = (_estimate(one, weights, share=False) for one in lengths)
    kept.append(Preserved(name=LENGTH, n=len(pairs), student=student, teacher=teacher))
    return kept, _by_part(pairs, weights, settings)


def _answers(pairs: Sequence[_Pair], whose: int) -> list[tuple[_Pair, Answer]]:
    return [(pair, (pair.draft, pair.teacher)[whose]) for pair in pairs]


def _by_part(
    pairs: Sequence[_Pair], weights: Floats, settings: WorkloadSettings | None
) -> list[Preserved]:
    """Agreement with the teacher in all, in the slices, in the longest twentieth, and by answer."""
    agreed = np.asarray([float(bool(pair.row.draft_agreed)) for pair in pairs])
    parts: dict[str, NDArray[np.bool_]] = {"all": np.ones(len(pairs), dtype=np.bool_)}
    for one in () if settings is None else settings.slices:
        inside = [
            any(found.name == one.name for found in find_slices(settings, *_asked(pair)))
            for pair in pairs
        ]
        parts[f"slice {one.name}"] = np.asarray(inside)
    lengths = np.asarray([len(pair.row.input_text) for pair in pairs])
    parts["the longest twentieth"] = lengths >= np.quantile(lengths, _TAIL)
    said = [_name(pair.teacher) for pair in pairs]
    names, counts = np.unique(said, return_counts=True)
    for i in np.argsort(-counts, kind="stable")[:_MOST_ANSWERS]:
        parts[f"answer {names[i]}"] = np.asarray(said) == names[i]
    return [
        Preserved(
            name=name,
            n=int(rows.sum()),
            student=_estimate(agreed[rows].tolist(), weights[rows], share=True),
            teacher=None,
        )
        for name, rows in parts.items()
        if name == "all" or rows.sum() >= _FEWEST
    ]


def _asked(pair: _Pair) -> tuple[Mapping[str, object], Caller]:
    row = pair.row
    caller = Caller(tenant=row.tenant, key_name=row.key_name, train_on=True)
    return row.request or {}, caller


def _name(answer: Answer) -> str:
    text = answer.content or ", ".join(call.name for call in answer.tool_calls) or "without words"
    return text if len(text) <= 40 else f"{text[:39]}…"


def _estimate(values: Sequence[float], weights: Floats, *, share: bool) -> Estimate:
    """Shares stay within 0..1, and rows that are all alike don't prove that all are."""
    numbers, total = np.asarray(values), weights.sum()
    mean = float((weights * numbers).sum() / total)
    spread = float(np.sqrt((weights**2 * (numbers - mean) ** 2).sum()) / total)
    half = _Z95 * spread
    if not share:
        return Estimate(value=mean, low=mean - half, high=mean + half)
    half = max(half, 3.0 * float((weights**2).sum() / total**2))
    return Estimate(value=mean, low=max(0.0, mean - half), high=min(1.0, mean + half))
