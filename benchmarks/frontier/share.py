"""How much the student may serve while what it spoils stays rare, certified on half of the rows.

A served answer is *spoilt* where the teacher was right and the student wrong. A threshold is
certified on one half so that, with confidence 1 - delta, at most ``risk`` of the answers served
above it are spoilt; whether that is so is judged on all rows.

The threshold is the product's own, ``policies.promise.batch``, over the served answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from policies.promise.batch import certify_batch
from policies.promise.certificate import Terms


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


def certify(score: ArrayLike, loss: ArrayLike, risk: float, delta: float) -> float:
    """The lowest certified threshold on these rows: serve where ``score >= threshold``.

    ``loss``: 1 where serving would spoil the answer. Infinity where nothing can be certified.
    """
    terms = Terms(agreement=1.0 - risk, confidence=1.0 - delta, over="served")
    return certify_batch(np.asarray(score, float), np.asarray(loss, bool), terms).threshold


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
        served = scores >= certify(scores[half], losses[half], risk, delta)
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
