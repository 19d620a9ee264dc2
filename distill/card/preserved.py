"""What a student preserved of its teacher, each thing by itself, student beside teacher.

Measured on answers that both gave to the same request and that may be learned from: drafts made
before anyone was trained on the question. A draft whose check had the probability π counts as 1/π,
so that the figures are of all that is drafted. The same rows give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distill.card import instructions, style
from distill.card.estimate import Floats, Preserved, estimate
from distill.card.pairs import Measure, Pair, apply, pair_up, weigh
from distill.card.reasoning import Verdicts, measure_reasoning
from distill.card.vocabulary import measure_vocabulary
from policies.compare.base import is_refusal
from policies.types import Answer
from router.auth import Caller
from router.deciding.slices import find_slices
from router.evidence.format import find_format_fault
from router.record.model import TrainingRow
from router.settings.model import WorkloadSettings

_TAIL = 0.05
_NEAREST = "nearest"
_MOST_ANSWERS = 20
_FEWEST = 10
_FORM: Final = "format compliance"
_UNJUDGED: Verdicts = MappingProxyType({})


def _is_valid(pair: Pair, answer: Answer) -> float:
    return float(find_format_fault(pair.shape, pair.row.comparer, answer) is None)


def _length(_: Pair, answer: Answer) -> float:
    calls = sum(len(call.arguments) for call in answer.tool_calls)
    return float(len(answer.content or "") + calls)


_FORMS: Final = (
    Measure(name="in the form asked for", kind=_FORM, of=_is_valid),
    Measure(name="refuses", kind=_FORM, of=lambda _, answer: float(is_refusal(answer))),
    Measure(name="calls tools", kind=_FORM, of=lambda _, answer: float(bool(answer.tool_calls))),
    Measure(
        name="cut short", kind=_FORM, of=lambda _, answer: float(answer.finish_reason == "length")
    ),
    Measure(name="characters", kind=_FORM, of=_length, unit="number"),
)


def measure_preserved(
    rows: Iterable[TrainingRow],
    release: str,
    settings: WorkloadSettings | None,
    verdicts: Verdicts = _UNJUDGED,
) -> tuple[list[Preserved], list[Preserved]]:
    """What is kept in general, and agreement by part; both empty where nothing was drafted.

    ``verdicts``: which answers are right, where that is known.
    """
    pairs = pair_up(rows, release)
    if not pairs:
        return [], []
    measures = (*_FORMS, *instructions.measures(), *style.measures())
    found = [apply(measure, pairs) for measure in measures]
    kept = [
        *(one for one in found if one is not None),
        style.measure_distance(pairs),
        *measure_vocabulary(pairs),
        *measure_reasoning(pairs, verdicts),
    ]
    return kept, _by_part(pairs, weigh(pairs), settings)


def _by_part(
    pairs: Sequence[Pair], weights: Floats, settings: WorkloadSettings | None
) -> list[Preserved]:
    """Agreement with the teacher in all, in the slices, in the rare tail, and by answer."""
    agreed = np.asarray([float(bool(pair.row.draft_agreed)) for pair in pairs])
    parts: dict[str, NDArray[np.bool_]] = {"all": np.ones(len(pairs), dtype=np.bool_)}
    for one in () if settings is None else settings.slices:
        inside = [
            any(found.name == one.name for found in find_slices(settings, *_asked(pair)))
            for pair in pairs
        ]
        parts[f"slice {one.name}"] = np.asarray(inside)
    lengths = np.asarray([len(pair.row.input_text) for pair in pairs])
    parts["the longest twentieth"] = lengths >= np.quantile(lengths, 1.0 - _TAIL)
    near = [pair.row.evidence.get(_NEAREST) for pair in pairs]
    known = np.asarray([np.nan if one is None else one for one in near])
    if not np.isnan(known).all():
        # A question like none that was learned from: its nearest one lies far away.
        parts["the most unusual twentieth"] = known <= np.nanquantile(known, _TAIL)
    said = [_name(pair.teacher) for pair in pairs]
    names, counts = np.unique(said, return_counts=True)
    for i in np.argsort(-counts, kind="stable")[:_MOST_ANSWERS]:
        parts[f"answer {names[i]}"] = np.asarray(said) == names[i]
    return [
        Preserved(
            name=name,
            n=int(rows.sum()),
            student=estimate(agreed[rows].tolist(), weights[rows], "share"),
            teacher=None,
        )
        for name, rows in parts.items()
        if name == "all" or rows.sum() >= _FEWEST
    ]


def _asked(pair: Pair) -> tuple[Mapping[str, object], Caller]:
    row = pair.row
    caller = Caller(tenant=row.tenant, key_name=row.key_name, train_on=True)
    return row.request or {}, caller


def _name(answer: Answer) -> str:
    text = answer.content or ", ".join(call.name for call in answer.tool_calls) or "without words"
    return text if len(text) <= 40 else f"{text[:39]}…"
