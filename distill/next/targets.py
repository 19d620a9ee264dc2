"""Which questions teach most if the teacher is asked about them? Pure: no store, no clock.

The student is kernel ridge regression, so it is also the mean of a Gaussian process, whose variance
tells what the known answers leave open about a question (Rasmussen and Williams 2006, eq. 2.26). An
answer lowers it at every question that is like the one asked. One question after the other is
taken, each time the one that lowers the sum of all variances most, where a question counts the more
the less sure the student is of it (integrated variance, Seo et al. 2000, weighted): what is far
from everything else teaches nothing about it, and none is taken twice in other words. Which answer
comes doesn't matter for that, so all are chosen before any is asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from distill.train.kernel_head import GAMMA

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]


def choose_questions(
    known: Vectors, pool: Vectors, doubt: Floats, count: int, *, noise: float
) -> list[int]:
    """Indices into ``pool``, the one that teaches most first; all of them where there are no more.

    ``known``, ``pool``: unit vectors of the questions that were answered and of those that may be,
    of shape (rows, dimensions); ``doubt``: how much each of the pool counts, at least 0, shape
    (rows,); ``noise``: the student's λ. Takes memory for rows² numbers. Of equals the first.
    """
    covariance = _condition(known, pool, noise)
    variance = covariance.diagonal().copy()
    # Σ over x of doubt(x)·cov(x, c)², kept up to date as cov loses a step·stepᵀ each time.
    spread = doubt @ covariance**2
    free = np.ones(len(pool), dtype=np.bool_)
    taken: list[int] = []
    steps = np.zeros((min(count, len(pool)), len(pool)))
    for n, step in enumerate(steps):
        best = int(np.where(free, spread / (variance + noise), -np.inf).argmax())
        column = covariance[best] - steps[:n].T @ steps[:n, best]
        step[:] = column / np.sqrt(variance[best] + noise)
        heavy = doubt * step
        shared = covariance @ heavy - steps[:n].T @ (steps[:n] @ heavy)
        spread += step * (step * (heavy @ step) - 2.0 * shared)
        variance -= step**2
        free[best] = False
        taken.append(best)
    return taken


def doubt_of(margins: Floats) -> Floats:
    """How much a question counts by its draft's margin, the best score less the second: a student
    that knows an answer scores it 1 and all others 0."""
    doubt: Floats = np.clip(1.0 - margins, 0.0, None)
    return doubt


def _condition(known: Vectors, pool: Vectors, noise: float) -> Floats:
    """Covariances of the pool, given what is known."""
    covariance = _kernel(pool, pool)
    if len(known):
        kernel = _kernel(known, known)
        kernel[np.diag_indices_from(kernel)] += noise
        factor = cholesky(kernel, lower=True, overwrite_a=True)
        part = solve_triangular(factor, _kernel(known, pool), lower=True, overwrite_b=True)
        covariance -= part.T @ part
    return covariance


def _kernel(left: Vectors, right: Vectors) -> Floats:
    """As the student's: exp(−2γ(1 − x·y)), of 1 on its diagonal."""
    similarity = (left @ right.T).astype(np.float64)
    kernel: Floats = np.exp(-2.0 * GAMMA * (1.0 - similarity))
    return kernel
