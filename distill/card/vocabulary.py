"""Words of the trade: those that tell the teacher's answers from what it is asked.

A word is typical where it is commoner in the teacher's answers than in the requests, beyond chance:
z of the log odds ratio above 1.96, half a word added to each count (as ``distill.next.clusters``
names its clusters). They compare with the workload's own requests, not with a language at large;
of answers that repeat the question, few words are typical.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np

from distill.card.estimate import Preserved, estimate
from distill.card.pairs import Measure, Pair, apply, text_of
from policies.types import Answer

KIND: Final = "domain vocabulary"

_MOST = 200
_Z95 = 1.96
_WORD = re.compile(r"[^\W\d_]{3,}")


def measure_vocabulary(pairs: Sequence[Pair]) -> Iterator[Preserved]:
    """How many of the typical words the student uses at all, and where the teacher uses them; none
    where there are no typical words."""
    typical = find_typical(pairs)
    if not typical:
        return
    used = {word for pair in pairs for word in _words(text_of(pair.draft))}
    kept = [float(word in used) for word in typical]
    yield Preserved(
        name="typical words used at all",
        kind=KIND,
        n=len(typical),
        student=estimate(kept, np.ones(len(kept)), "share"),
        teacher=None,
    )
    named = frozenset(typical)
    same = Measure(name="typical words in place", kind=KIND, of=partial(_recall, named))
    rate = Measure(name="typical words per 100", kind=KIND, of=partial(_rate, named), unit="number")
    for found in (apply(same, pairs), apply(rate, pairs)):
        if found is not None:
            yield found


def find_typical(pairs: Sequence[Pair]) -> list[str]:
    """At most 200, the surest first."""
    answers, asked = Counter[str](), Counter[str]()
    for pair in pairs:
        answers.update(_words(text_of(pair.teacher)))
        asked.update(_words(pair.row.input_text))
    said, heard = sum(answers.values()), sum(asked.values())
    scores = []
    for word, count in answers.items():
        cells = (count, said - count, asked[word], heard - asked[word])
        a, b, c, d = (cell + 0.5 for cell in cells)
        z = (math.log(a / b) - math.log(c / d)) / math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
        if z > _Z95:
            scores.append((-round(z, 6), word))
    return [word for _, word in sorted(scores)[:_MOST]]


def _recall(typical: frozenset[str], pair: Pair, answer: Answer) -> float | None:
    """Of the typical words in the teacher's answer, the share that this answer has; the teacher's
    own has all."""
    wanted = typical.intersection(_words(text_of(pair.teacher)))
    if not wanted:
        return None
    return len(wanted.intersection(_words(text_of(answer)))) / len(wanted)


def _rate(typical: frozenset[str], _: Pair, answer: Answer) -> float:
    words = list(_words(text_of(answer)))
    return 100.0 * sum(word in typical for word in words) / max(len(words), 1)


def _words(text: str) -> Iterable[str]:
    return (word.casefold() for word in _WORD.findall(text))
