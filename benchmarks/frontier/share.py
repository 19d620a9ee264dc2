"""How much the student may serve while what it spoils stays rare, certified on half of the rows.

A served answer is *spoilt* where the teacher was right and the student wrong. A threshold is
certified on one half so that, with confidence 1 - delta, at most ``risk`` of the answers served
above it are spoilt; whether that is so is judged on all rows.

The method is fixed-sequence testing. Thresholds stand for served shares of the half, from strict
to lax in steps of one hundredth. Each is tested by the exact binomial tail at level delta; the walk
stops at the first that fails, so that no correction for their number is needed. It begins at the
smallest share at which a half with three spoilt answers would still pass: below that one unlucky
answer at the top ends the walk (on one stream here it does in half of the splits), and where it
begins depends on nothing but risk, delta and the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

_STEP = 0.01
_ALLOWED_AT_START = 3


@dataclass(frozen=True, kw_only=True)
class Certified:
    """Over all splits: ``share`` served on average and its 5 % and 95 % quantiles.

    ``violated``: the share of splits whose threshold spoils more than the risk on all rows;
    ``nothing``: the share of splits in which no threshold passed.
    """

    share: float
    low: float
    high: float
    violated: float
    nothing: float


def certify_batch(score: ArrayLike, loss: ArrayLike, risk: float, delta: float) -> float:
    """The lowest certified threshold on these rows: serve where ``score >= threshold``.

    ``loss``: 1 where serving would spoil the answer. Infinity where nothing can be certified.
    """
    scores, losses = np.asarray(score, float), np.asarray(loss, float)
    order = np.argsort(-scores, kind="stable")
    falling, spoilt = -scores[order], np.cumsum(losses[order])
    first = smallest_sample(risk, delta, _ALLOWED_AT_START) / len(scores)
    places = np.ceil(np.arange(first, 1.0 + _STEP / 2, _STEP) * len(scores)).astype(int) - 1
    candidates = falling[np.minimum(places, len(scores) - 1)]
    served = np.searchsorted(falling, candidates, side="right")
    passed = binom.cdf(spoilt[served - 1], served, risk) <= delta
    accepted = int(np.argmin(np.r_[passed, False]))
    return float("inf") if accepted == 0 else float(-candidates[accepted - 1])


@lru_cache
def smallest_sample(risk: float, delta: float, errors: int) -> int:
    """How many answers must be served for so many spoilt ones to pass the test."""
    sample = errors + 1
    while binom.cdf(errors, sample, risk) > delta:
        sample += 1
    return sample


def certified_share(
    score: ArrayLike,
    loss: ArrayLike,
    seed: int,
    risk: float = 0.05,
    delta: float = 0.1,
    splits: int = 200,
) -> Certified:
    """Certify on a random half, judge on all rows, ``splits`` times."""
    scores, losses = np.asarray(score, float), np.asarray(loss, float)
    random = np.random.default_rng(seed)
    shares, violated = np.zeros(splits), np.zeros(splits)
    for i in range(splits):
        half = random.permutation(len(scores))[: len(scores) // 2]
        served = scores >= certify_batch(scores[half], losses[half], risk, delta)
        shares[i] = served.mean()
        violated[i] = served.any() and losses[served].mean() > risk
    low, high = np.quantile(shares, [0.05, 0.95])
    return Certified(
        share=float(shares.mean()),
        low=float(low),
        high=float(high),
        violated=float(violated.mean()),
        nothing=float((shares == 0).mean()),
    )
