"""How far the drafts of a model that nobody trains can be trusted, learned from each comparison.

A logistic regression over named signals of a draft, fitted anew on the latest comparisons whenever
a twentieth more of them is known. Each confidence is given before the draft's own label is known.
It is a prediction and nothing else: a certificate or ledger proves what comes of it.

Columns are standardised over the comparisons that are kept. k weights share a normal prior under
which a draft's log-odds spread by 2 about the base rate, however large k is (each has the precision
k/4); half a draft that agrees and half a one that doesn't, of average signals, are added to what
was seen (Jeffreys' prior for the rate). Fitted by Newton's method. No confidence is surer than that
prior lets the rate be where n comparisons all agree: (n + ½)/(n + 1).

A comparison counts for 1/propensity interactions, as many as it stands for; n is then their
effective number (Σw)²/Σw², and weights are scaled to sum to it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST: Final = 50
"""Comparisons before the first confidence: until then a draft is measured and never judged."""

WINDOW: Final = 1_000
"""Latest comparisons that count; models behind a name change, and so does traffic."""

MOST_SIGNALS: Final = 32
"""Signals of a draft that are read, in the order given."""

_COMMON = 0.9
"""A signal is read that so large a share of the kept drafts has."""

_SPREAD = 2.0
_CLIP = 4.0
_STEPS = 25
_LOGIT_LIMIT = 30.0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A draft that was held against the teacher's answer."""

    signals: Mapping[str, float]
    agreed: bool
    weight: float


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """``most``: the highest confidence that so few comparisons allow."""

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    weights: Floats
    most: float


class OnlineGate:
    """The chance that a draft agrees with the teacher. Not thread-safe."""

    def __init__(self) -> None:
        self._kept: deque[Compared] = deque(maxlen=WINDOW)
        self._fitted: Fitted | None = None
        self._fresh = 0

    def __len__(self) -> int:
        """Comparisons that count."""
        return len(self._kept)

    def confidence(self, signals: Mapping[str, float]) -> float | None:
        """For a draft with these signals; None before ``LEAST`` comparisons, and where the draft
        lacks a signal that others have."""
        if len(self._kept) < LEAST:
            return None
        due = self.take_due()
        if due is not None or self._fitted is None:
            self._fitted = fit(list(self._kept) if due is None else due)
        fitted = self._fitted
        if not signals.keys() >= set(fitted.names):
            return None
        row = np.array([signals[name] for name in fitted.names])
        x = _standardise(row, fitted.mean, fitted.scale)
        logit = float(fitted.weights[0] + x @ fitted.weights[1:])
        chance = 1.0 / (1.0 + math.exp(-min(max(logit, -_LOGIT_LIMIT), _LOGIT_LIMIT)))
        return min(max(chance, 1.0 - fitted.most), fitted.most)

    def take_due(self) -> list[Compared] | None:
        """What is to be fitted on anew, to whoever asks first; None where nothing is. Whoever took
        it gives what ``fit`` makes of it to ``put``; until then the earlier fit is read."""
        if len(self._kept) < LEAST:
            return None
        if self._fitted is not None and self._fresh < max(1, len(self._kept) // 20):
            return None
        self._fresh = 0
        return list(self._kept)

    def put(self, fitted: Fitted) -> None:
        """From now on this is read."""
        self._fitted = fitted

    def observe(self, signals: Mapping[str, float], agreed: bool, propensity: float = 1.0) -> None:
        """A draft was compared. ``propensity``: the chance with which the teacher's answer became
        known, in (0, 1]."""
        kept = [(name, value) for name, value in signals.items() if math.isfinite(value)]
        one = Compared(
            signals=dict(kept[:MOST_SIGNALS]), agreed=agreed, weight=1.0 / max(propensity, 1e-3)
        )
        self._kept.append(one)
        self._fresh += 1


def fit(kept: list[Compared]) -> Fitted:
    """The regression over these comparisons, at least one; up to 20 ms of a core."""
    counts = Counter(name for one in kept for name in one.signals)
    common = [name for name, count in counts.items() if count >= _COMMON * len(kept)]
    # A draft that lacks one would be told from the others by what isn't known of it.
    used = [one for one in kept if one.signals.keys() >= set(common)] or kept
    names = common if used is not kept else []
    rows = np.array([[one.signals[name] for name in names] for one in used])
    rows = rows.reshape(len(used), len(names))
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    varies = scale > 1e-9 * (1.0 + np.abs(mean))
    names = [name for name, kept_one in zip(names, varies, strict=True) if kept_one]
    mean, scale = mean[varies], scale[varies]
    x = _standardise(rows[:, varies], mean, scale)
    agreed = np.array([float(one.agreed) for one in used])
    given = np.array([one.weight for one in used])
    effective = float(given.sum() ** 2 / (given**2).sum())
    weights = _maximise(x, agreed, given * (effective / given.sum()))
    return Fitted(
        names=tuple(names),
        mean=mean,
        scale=scale,
        weights=weights,
        most=(effective + 0.5) / (effective + 1.0),
    )


def _standardise(rows: Floats, mean: Floats, scale: Floats) -> Floats:
    standardised: Floats = np.clip((rows - mean) / scale, -_CLIP, _CLIP)
    return standardised


def _maximise(x: Floats, agreed: Floats, weight: Floats) -> Floats:
    """The mode of the posterior, shape (1 + columns,), the constant first."""
    columns = x.shape[1]
    design = np.hstack([np.ones((len(x) + 2, 1)), np.vstack([x, np.zeros((2, columns))])])
    target = np.concatenate([agreed, [1.0, 0.0]])
    counted = np.concatenate([weight, [0.5, 0.5]])
    precision = np.concatenate([[0.0], np.full(columns, columns / _SPREAD**2)])

    def loss(beta: Floats) -> float:
        logit = design @ beta
        each = np.logaddexp(0.0, logit) - target * logit
        return float(counted @ each + 0.5 * precision @ beta**2)

    beta: Floats = np.zeros(1 + columns)
    least = loss(beta)
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -_LOGIT_LIMIT, _LOGIT_LIMIT)))
        gradient = design.T @ (counted * (chance - target)) + precision * beta
        curvature = (design * (counted * chance * (1.0 - chance))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(precision + 1e-9), gradient)
        size = 1.0
        while (found := loss(beta - size * step)) > least and size > 1e-4:
            size /= 2.0
        if least - found < 1e-9 * (1.0 + least):
            break
        beta, least = beta - size * step, found
    return beta
