"""What a question's words tell about it, before anybody has answered.

Words and pairs of words are hashed into a fixed number of places, each with a weight: no dictionary
is kept, a question of any words can be read, and what two words share by chance is noise. (The
hashing trick: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009.)
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DIFFICULTY = "difficulty"
"""The signal that a gate reads it as."""

PLACES = 1 << 14

_WORD = re.compile(r"\w\w+")
_MOST_CHARS = 20_000


def read_words(question: str) -> Mapping[int, float]:
    """Places and values of a question, a vector of length 1; empty where it has no words."""
    words = _WORD.findall(question[:_MOST_CHARS].lower())
    said = [*words, *(f"{a} {b}" for a, b in pairwise(words))]
    counts = Counter(zlib.crc32(one.encode()) % PLACES for one in said)
    values = 1.0 + np.log(np.fromiter(counts.values(), dtype=np.float64, count=len(counts)))
    values /= max(1.0, float(np.linalg.norm(values)))
    return dict(zip(counts, values.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Words:
    """A linear model over words: ``weights`` of shape (``PLACES``,) and a ``bias``."""

    weights: Floats
    bias: float

    def difficulty(self, question: str) -> float:
        """How much is expected to be lost where a draft answers this question; it only ranks."""
        read = read_words(question)
        values = np.fromiter(read.values(), dtype=np.float64, count=len(read))
        return self.bias + float(self.weights[list(read)] @ values)
