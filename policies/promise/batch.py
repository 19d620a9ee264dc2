"""A threshold that a batch of fully seen drafts proves, before anything is served.

Where the teacher's answer to every row of a recorded batch is known, looking once is enough, and
exact binomial tails need less evidence than a wealth that may be looked at all the time. Take
thresholds in an order fixed by the scores alone, from strict to lax. At each, test that the risk is
at least the allowed m: of n independent rows k would be served wrongly, and the p-value is
P(Bin(n, m) ≤ k). A threshold is accepted while every one before it was, each at level δ: a lax one
whose risk is at least m is only reached through the first such, so that with probability at least
1 − δ none is accepted (fixed-sequence testing; Wiens 2003; Angelopoulos, Bates, Candès, Jordan and
Lei, "Learn then Test", 2021). Over the served rows, n are those that the threshold serves; the
walk then starts where a batch with a few errors could pass, since one unlucky row among the surest
would else end it. Where it starts depends on m, δ and nothing else.

It assumes that the rows are independent draws of the traffic to come, and that their scores come
from a student and a gate that had not seen them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from policies.promise.certificate import Terms

Floats = NDArray[np.float64]

_STEPS = 100
"""Thresholds on the way from strict to lax, evenly spaced in the share that they serve."""

_ERRORS_AT_START = 3
"""A walk over served rows starts at the fewest rows that pass with so many errors."""


@dataclass(frozen=True, kw_only=True)
class Proven:
    """What a batch has proven under ``terms``: drafts that score at least ``threshold`` may be
    served; ``inf``: none may. ``share``: of the batch that is served there; ``rows``: its size."""

    terms: Terms
    threshold: float
    share: float
    rows: int

    @property
    def key(self) -> str:
        """Names what it belongs to, as the other accounts' keys do."""
        return f"batch:{self.terms.key}"


def certify_batch(scores: Floats, wrong: NDArray[np.bool_], terms: Terms) -> Proven:
    """The laxest threshold that the batch proves to keep the promise.

    ``scores``: of held-out drafts, higher is surer; ``wrong``: the draft disagrees with the
    teacher; one row per independent question. Rows with equal scores are served together.
    """
    rows = len(scores)
    delta, step = 1.0 - terms.confidence, max(1, rows // _STEPS)
    over_all = terms.over == "all"
    first = step if over_all else fewest_rows(terms.risk, delta, _ERRORS_AT_START)
    counts = np.append(np.arange(first, rows, step), rows) if rows >= first else np.arange(0)
    thresholds = np.unique(np.sort(scores)[::-1][counts - 1])[::-1]
    served = np.asarray([(scores >= t).sum() for t in thresholds])
    errors = np.asarray([((scores >= t) & wrong).sum() for t in thresholds])
    trials = np.full(len(thresholds), rows) if over_all else served
    accepted = -1
    for i in range(len(thresholds)):
        if binomial_tail(int(errors[i]), int(trials[i]), terms.risk) > delta:
            break
        accepted = i
    if accepted < 0:
        return Proven(terms=terms, threshold=math.inf, share=0.0, rows=rows)
    share = float(served[accepted] / rows)
    return Proven(terms=terms, threshold=float(thresholds[accepted]), share=share, rows=rows)


def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """P(Bin(trials, chance) ≤ successes), for a chance strictly between 0 and 1."""
    if successes >= trials:
        return 1.0
    k = np.arange(successes + 1)
    binomials = [
        math.lgamma(trials + 1) - math.lgamma(i + 1) - math.lgamma(trials - i + 1) for i in k
    ]
    logs = np.asarray(binomials) + k * math.log(chance) + (trials - k) * math.log1p(-chance)
    return min(1.0, float(np.exp(logs).sum()))


@lru_cache
def fewest_rows(risk: float, delta: float, errors: int) -> int:
    """How many rows must be served for so many errors to pass the test."""
    rows = errors + 1
    while binomial_tail(errors, rows, risk) > delta:
        rows += 1
    return rows
