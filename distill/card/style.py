"""How answers are written: sentences, punctuation, Markdown, code, indentation.

Counted on the surface, whatever the words say. The distance is Jensen and Shannon's (square root of
the divergence to base 2, from 0 to 1) between how often each mark is used by the student and by the
teacher, over marks and all other characters; beside it that of two random halves of the teacher's
own answers, which is what chance alone gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from distill.card.estimate import Floats, Preserved, Unit
from distill.card.pairs import Measure, Pair, text_of, weigh
from policies.estimate import Estimate
from policies.types import Answer

KIND: Final = "coding and writing style"

_MARKS = ".,;:!?'\"()[]{}<>-–—/\\*_#`~=+%$&@|0\n\t "
"""``0`` stands for every digit; what is no mark is counted together."""

_SENTENCE = re.compile(r"[.!?]+(?:\s|$)|\n+")
_MARKDOWN = re.compile(r"^(?:#{1,6} |[-*+] |\d+[.)] |> |\|)|\*\*|`", re.MULTILINE)
_FENCE = re.compile(r"^```", re.MULTILINE)
_INDENTED = re.compile(r"^(?: {2,}|\t)\S", re.MULTILINE)
_DIGIT = re.compile(r"\d")
_DRAWS = 200


def _words_a_sentence(text: str) -> float:
    lengths = [len(part.split()) for part in _SENTENCE.split(text) if part.strip()]
    return sum(lengths) / max(len(lengths), 1)


def _punctuation(text: str) -> float:
    marks = sum(not (c.isalnum() or c.isspace()) for c in text)
    return 100.0 * marks / max(len(text), 1)


def _indented(text: str) -> float:
    return len(_INDENTED.findall(text)) / max(len(text.splitlines()), 1)


_FEATURES: Final[Mapping[str, tuple[Unit, Callable[[str], float]]]] = {
    "words a sentence": ("number", _words_a_sentence),
    "punctuation per 100 characters": ("number", _punctuation),
    "with Markdown": ("share", lambda text: float(_MARKDOWN.search(text) is not None)),
    "with a code fence": ("share", lambda text: float(_FENCE.search(text) is not None)),
    "lines indented": ("share", _indented),
}


def measures() -> list[Measure]:
    """One for each feature of the surface."""

    def over(feature: Callable[[str], float]) -> Callable[[Pair, Answer], float]:
        return lambda pair, answer: feature(text_of(answer))

    return [
        Measure(name=name, kind=KIND, of=over(feature), unit=unit)
        for name, (unit, feature) in _FEATURES.items()
    ]


def measure_distance(pairs: Sequence[Pair], seed: int = 0) -> Preserved:
    """Its interval by drawing the pairs again, 200 times."""
    drafts = np.stack([_count(text_of(pair.draft)) for pair in pairs])
    teachers = np.stack([_count(text_of(pair.teacher)) for pair in pairs])
    weights, draw = weigh(pairs), np.random.default_rng(seed)
    apart, chance = [], []
    for _ in range(_DRAWS):
        drawn = draw.multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs))) * weights
        apart.append(_distance(drawn @ drafts, drawn @ teachers))
        half = draw.random(len(pairs)) < 0.5
        chance.append(_distance((weights * half) @ teachers, (weights * ~half) @ teachers))
    return Preserved(
        name="distance of style",
        kind=KIND,
        unit="share",
        n=len(pairs),
        student=_spread(_distance(weights @ drafts, weights @ teachers), apart),
        teacher=_spread(float(np.mean(chance)), chance),
    )


def _spread(value: float, drawn: Sequence[float]) -> Estimate:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def _count(text: str) -> Floats:
    folded = _DIGIT.sub("0", text)
    counts = [folded.count(mark) for mark in _MARKS]
    return np.asarray([*counts, len(folded) - sum(counts)], dtype=np.float64)


def _distance(left: Floats, right: Floats) -> float:
    if not left.sum() or not right.sum():
        return float(left.sum() != right.sum())
    p, q = left / left.sum(), right / right.sum()
    middle = (p + q) / 2
    divergence = 0.0
    for one in (p, q):
        there = one > 0
        divergence += float((one[there] * np.log2(one[there] / middle[there])).sum()) / 2
    return math.sqrt(max(0.0, divergence))
