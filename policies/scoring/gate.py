"""The gate: evidence → calibrated probability that the draft agrees with the teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.promise.certificate import Over
from policies.scoring.scorers import Floats, Scorer, read_scorer
from policies.scoring.words import DIFFICULTY, Words
from policies.types import Evidence

EMBEDDED_SIGNALS: tuple[str, ...] = (
    *("margin", "top", "runner_up"),
    *("neighbour_agreement", "nearest"),
)
"""What the embedded student measures: the two best classes' scores and their difference; the share
of nearest training queries with the drafted answer; the nearest one's cosine similarity."""

_LOGIT_LIMIT = 14.0

_SCORER = "gate_scorer_"
_WEIGHTS, _BIAS = "gate_words_weights", "gate_words_bias"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A fitted model over some signals, and what it predicts about risk.

    ``signals``: the names of the columns that ``scorer`` reads, in its order.
    ``curve_score``: descending scores of held-out traffic; ``curve_all`` and ``curve_served``:
    the share of wrong served drafts that the gate predicts if everything down to that score were
    served, among all interactions and among the served ones. ``words``: what makes the signal
    ``difficulty`` of a question, where the scorer reads it.
    """

    signals: tuple[str, ...]
    scorer: Scorer
    curve_score: Floats
    curve_all: Floats
    curve_served: Floats
    words: Words | None = None

    def read(self, question: str) -> dict[str, float]:
        """The signals that this gate measures on the question itself."""
        return {} if self.words is None else {DIFFICULTY: self.words.difficulty(question)}

    def confidence(self, evidence: Evidence) -> float | None:
        """The probability, or None where a signal it needs was not measured."""
        try:
            values = [evidence.signals[name] for name in self.signals]
        except KeyError:
            return None
        return float(self.scorer.probabilities(np.asarray([values], dtype=np.float64))[0])

    def confidences(self, signals: Floats, names: Sequence[str]) -> Floats:
        """Probabilities of many drafts; ``signals``: shape (rows, len(names))."""
        return self.scorer.probabilities(signals[:, [names.index(name) for name in self.signals]])

    def thresholds(self, levels: Floats, over: Over) -> Floats:
        """Lowest score at which the predicted risk stays within each level; ``inf``: none.

        Levels ascend, thresholds don't increase.
        """
        risk = self.curve_all if over == "all" else self.curve_served
        return find_thresholds(self.curve_score, risk, levels)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The numeric part, for an artifact; ``signals`` and the scorer's kind go beside it."""
        words = self.words
        of_words = {} if words is None else {_WEIGHTS: words.weights, _BIAS: np.array(words.bias)}
        return (
            of_words
            | {
                "gate_curve_score": self.curve_score,
                "gate_curve_all": self.curve_all,
                "gate_curve_served": self.curve_served,
            }
            | {f"{_SCORER}{name}": array for name, array in self.scorer.to_arrays().items()}
        )

    @classmethod
    def from_arrays(
        cls, signals: tuple[str, ...], kind: str, arrays: Mapping[str, NDArray[Any]]
    ) -> Gate:
        """The gate of an artifact; KeyError where a part is missing or the kind is not known."""
        own = {n.removeprefix(_SCORER): a for n, a in arrays.items() if n.startswith(_SCORER)}
        return cls(
            signals=signals,
            scorer=read_scorer(kind, own),
            curve_score=arrays["gate_curve_score"],
            curve_all=arrays["gate_curve_all"],
            curve_served=arrays["gate_curve_served"],
            words=Words(weights=arrays[_WEIGHTS], bias=float(arrays[_BIAS]))
            if _WEIGHTS in arrays
            else None,
        )


def find_thresholds(score: Floats, risk: Floats, levels: Floats) -> Floats:
    """Lowest of the descending scores at which the predicted risk stays within each level."""
    within = np.searchsorted(np.maximum.accumulate(risk), levels, side="right")
    chosen: Floats = np.concatenate([[np.inf], score])[within]
    return chosen


def logit_of_logprob(logprob: float) -> float:
    """The log-odds of an event whose log-probability is given, within ±14.

    Log-probabilities of confident models crowd below 0; their log-odds spread them evenly.
    """
    if not logprob < 0.0:
        return _LOGIT_LIMIT
    logit = logprob - math.log(-math.expm1(max(logprob, -700.0)))
    return min(max(logit, -_LOGIT_LIMIT), _LOGIT_LIMIT)


def risk_curve(
    confidence: Floats, weights: Floats, points: int = 512
) -> tuple[Floats, Floats, Floats]:
    """(score, risk over all, risk over served) from held-out confidences of weighted traffic.

    ``weights``: how many interactions each row stands for (1/propensity). Thinned to ``points``.
    """
    order = np.argsort(-confidence, kind="stable")
    score, weight = confidence[order], weights[order]
    wrong = np.cumsum(weight * (1.0 - score))
    curve_all, curve_served = wrong / weight.sum(), wrong / np.cumsum(weight)
    keep = np.unique(np.linspace(0, len(score) - 1, min(points, len(score))).astype(int))
    return score[keep], curve_all[keep], curve_served[keep]
