"""What is measured of a ranker, from its scores and from who was right.

A *score* says how safely the student may serve: queries are escalated to the teacher from the
lowest score up. Ties are broken by expectation, the mean over all orders of the tied queries, so
that the order of the rows never matters. ``student`` and ``teacher`` are 1 where the model was
right, else 0; all arrays have shape (n,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_FEW = 1e-12
"""Sums of the same terms in another order differ by less."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Expected accuracy against the escalated share, linear between its points.

    ``share`` runs from 0 (the student answers all) to 1 (the teacher does), ``accuracy`` belongs
    to it. There is a point at the end of every block of tied scores.
    """

    share: Floats
    accuracy: Floats


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """``error``: expected calibration error; ``null_95``: the 95 % quantile of a perfect gate's.

    ``p_value``: the share of simulated perfect gates whose error is at least as large.
    """

    error: float
    null_95: float
    p_value: float


def escalation_curve(
    score: ArrayLike, student: ArrayLike, teacher: ArrayLike, weight: ArrayLike | None = None
) -> Curve:
    """The curve of escalating from the lowest score up; ``weight``: how often a row counts."""
    scores = np.asarray(score, float)
    if not np.isfinite(scores).all():
        raise ValueError("a score must be finite")
    weights = np.ones(len(scores)) if weight is None else np.asarray(weight, float)
    student_right = np.asarray(student, float)
    gain = np.asarray(teacher, float) - student_right
    order = np.argsort(scores, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    total = weights.sum()
    share = np.cumsum(weights[order])[ends] / total
    gained = np.cumsum((weights * gain)[order])[ends] / total
    start = float((weights * student_right).sum() / total)
    return Curve(share=np.r_[0.0, share], accuracy=start + np.r_[0.0, gained])


def recovered(curve: Curve) -> Floats:
    """RouteLLM's performance gap recovered at every point: 0 for the student, 1 for the teacher."""
    gap = curve.accuracy[-1] - curve.accuracy[0]
    if gap <= _FEW:
        raise ValueError("the teacher is no better than the student: no gap to recover")
    share: Floats = (curve.accuracy - curve.accuracy[0]) / gap
    return share


def apgr(curve: Curve) -> float:
    """Average performance gap recovered (arXiv 2406.18665, section 2.3).

    The mean of the recovered gap over all escalation shares from 0 to 1: the exact area under the
    piecewise linear curve, of which RouteLLM's ten shares are an approximation. Random: 0.5.
    """
    return float(np.trapezoid(recovered(curve), curve.share))


def call_share(curve: Curve, gap: float) -> float:
    """CPT(gap): the smallest escalated share that recovers this part of the gap."""
    return _first_share(curve.share, recovered(curve), gap)


def accuracy_at(curve: Curve, share: float) -> float:
    """Expected accuracy where this share is escalated."""
    return float(np.interp(share, curve.share, curve.accuracy))


def parity_share(curve: Curve) -> float:
    """The smallest escalated share at which expected accuracy reaches the teacher's."""
    return _first_share(curve.share, curve.accuracy, float(curve.accuracy[-1]))


def _first_share(share: Floats, height: Floats, wanted: float) -> float:
    i = int(np.argmax(height >= wanted - _FEW))
    if i == 0:
        return float(share[0])
    part = (wanted - height[i - 1]) / (height[i] - height[i - 1])
    return float(share[i - 1] + min(1.0, part) * (share[i] - share[i - 1]))


def risk_coverage_area(score: ArrayLike, wrong: ArrayLike) -> float:
    """Mean, over how many are served, of the error among those served: the highest scores first.

    Expected over ties. The lower the better; no order helps where all or none are wrong.
    """
    scores, errors = np.asarray(score, float), np.asarray(wrong, float)
    _, block, size = np.unique(-scores, return_inverse=True, return_counts=True)
    mean = np.bincount(block, errors) / size
    served = np.arange(1, len(scores) + 1)
    return float((np.cumsum(mean[np.sort(block)]) / served).mean())


def calibration(
    probability: ArrayLike, outcome: ArrayLike, seed: int, draws: int = 1000, bins: int = 10
) -> Calibration:
    """How far probabilities are from frequencies, beside what chance alone does to a perfect gate.

    The error is the mean, over rows, of |mean outcome - mean probability| in ``bins`` groups of
    nearly equal size, cut at quantiles of the probability. Even a perfect gate has one; its
    distribution is simulated by drawing the outcomes from the probabilities ``draws`` times.
    """
    p, y = np.asarray(probability, float), np.asarray(outcome, float)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    group = np.searchsorted(edges, p, side="right")
    member = np.zeros((len(p), len(edges) + 1))
    member[np.arange(len(p)), group] = 1.0 / len(p)
    error = float(np.abs((y - p) @ member).sum())
    random = np.random.default_rng(seed)
    drawn = random.random((draws, len(p))) < p
    null = np.abs((drawn - p) @ member).sum(axis=1)
    return Calibration(
        error=error,
        null_95=float(np.quantile(null, 0.95)),
        p_value=float((1 + (null >= error - _FEW).sum()) / (draws + 1)),
    )


def bootstrap_weights(rows: int, seed: int, draws: int = 1000) -> NDArray[np.int64]:
    """How often each row is drawn, shape (draws, rows): one set for all rankers, so paired."""
    random = np.random.default_rng(seed)
    return random.multinomial(rows, np.full(rows, 1 / rows), size=draws)


def apgr_draws(
    score: ArrayLike, student: ArrayLike, teacher: ArrayLike, weights: NDArray[np.int64]
) -> Floats:
    """APGR on every resample; NaN where the teacher is no better than the student in it."""
    scores = np.asarray(score, float)
    gain = np.asarray(teacher, float) - np.asarray(student, float)
    order = np.argsort(scores, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    drawn = weights[:, order].astype(float)
    start = np.zeros((len(drawn), 1))
    share = np.hstack([start, np.cumsum(drawn, axis=1)[:, ends]]) / drawn.sum(axis=1)[:, None]
    gained = np.hstack([start, np.cumsum(drawn * gain[order], axis=1)[:, ends]])
    gap = np.where(gained[:, -1] > _FEW, gained[:, -1], np.nan)
    found: Floats = np.trapezoid(gained / gap[:, None], share, axis=1)
    return found


def interval(draws: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """The middle ``confidence`` of bootstrap draws."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)
