"""Train the embedded student: kernel ridge regression onto one-hot answers.

The classes' own texts are training examples too ("card arrival" says what it is about), which
counts most while there are few answers. Held-out scores come in closed form: with
G = (K + Λ)⁻¹ and α = G·Y, the prediction for row i without row i is y_i − α_i / G_ii (Rasmussen
and Williams, "Gaussian Processes for Machine Learning", 2006, eq. 5.12), so that every row is
predicted by a student that has not seen it, and none is set aside.

The noise λ is the one whose held-out margins rank right drafts before wrong ones best: lowest
area under the risk-coverage curve (Geifman and El-Yaniv, 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dtrtri

from policies.fit.gate import fit_gate
from policies.scoring.gate import EMBEDDED_SIGNALS, Gate
from router.release import Student
from router.students.embedded import EmbeddedStudent, measure

Floats = NDArray[np.float64]
Solution = tuple[Floats, Floats]
"""Dual weights, and leave-one-out predictions."""

GAMMA = 1.0
_NOISES = (0.05, 0.1, 0.2)
_MOST_TRIED = 2_500
"""Queries on which the noise is chosen: more cost time by the cube and change the choice little."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Teacher answers to train on.

    ``vectors``: of the queries, shape (rows, 384); ``classes``: the answer of each row, an index
    into ``answers`` and ``answer_vectors`` (the encoded texts of the answers); ``weights``: how
    many interactions each row stands for (1/propensity), times its ``trust``, 0..1 (None: 1): the
    noise of a row trusted a tenth is ten times that of the others;
    ``fresh``: whether the encoder was tuned without the row's answer (None: it wasn't tuned): only
    such rows say how good it is.
    """

    vectors: NDArray[np.float32]
    classes: NDArray[np.int32]
    answers: Sequence[Mapping[str, Any]]
    answer_vectors: NDArray[np.float32]
    weights: Floats
    trust: Floats | None = None
    fresh: NDArray[np.bool_] | None = None

    @property
    def honest(self) -> NDArray[np.intp]:
        """The rows that the gate may learn from."""
        rows = np.arange(len(self.vectors))
        return rows if self.fresh is None else rows[self.fresh]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """``student``: None where only the gate was learned; ``held_out``: the class drafted for every
    row by a student that had not seen it, -1 for an answer that is no row's; ``confidence``: in
    that draft, of a gate that had not seen it either; ``report``: what was chosen, and by which
    figures, JSON-ready."""

    student: Student | None
    gate: Gate
    held_out: NDArray[np.intp]
    confidence: Floats
    report: Mapping[str, Any]
    area: float = 0.0


def train(examples: Examples, *, seed: int) -> Trained:
    """Fit head and gate. Raises what ``fit_gate`` raises."""
    laid = _lay_out(examples)
    support, classes, kernel, targets = laid.support, laid.classes, laid.kernel, laid.targets
    queries = len(examples.vectors)
    near = laid.similarity[:queries, :queries].copy()
    np.fill_diagonal(near, -1.0)
    scale = laid.scale
    noise, solution = _choose_noise(examples, kernel, targets, near, classes, scale, seed)
    weights, held_out = solution or _solve(kernel, targets, noise * scale)
    rows = examples.honest
    top, signals = measure(held_out[rows], near[rows], classes)
    right, row_weights = top == examples.classes[rows], examples.weights[rows]
    student = EmbeddedStudent(
        answers=examples.answers,
        support=support,
        weights=weights.astype(np.float32),
        classes=classes,
        queries=queries,
        gamma=GAMMA,
    )
    fitted = fit_gate(signals, EMBEDDED_SIGNALS, right, row_weights, seed)
    return Trained(
        student=student,
        gate=fitted.gate,
        held_out=top,
        confidence=fitted.held_out,
        report={"noise": noise, "gate": fitted.name, "losses": fitted.losses},
        area=_risk_area(signals[:, 0], right, row_weights),
    )


def hold_out(examples: Examples, noise: float) -> NDArray[np.intp]:
    """The class drafted for every row by a student with this noise that had not seen it."""
    laid = _lay_out(examples)
    _, held_out = _solve(laid.kernel, laid.targets, noise * laid.scale)
    top: NDArray[np.intp] = held_out[: len(examples.vectors)].argmax(axis=1)
    return top


@dataclass(frozen=True, kw_only=True)
class _Laid:
    """Queries, then the answers' texts; ``scale``: of each row's noise."""

    support: NDArray[np.float32]
    classes: NDArray[np.int32]
    similarity: NDArray[np.float32]
    kernel: Floats
    targets: Floats
    scale: Floats


def _lay_out(examples: Examples) -> _Laid:
    support = np.vstack([examples.vectors, examples.answer_vectors])
    count = len(examples.answers)
    classes = np.concatenate([examples.classes, np.arange(count, dtype=np.int32)])
    similarity = support @ support.T
    scale = np.ones(len(support))
    if examples.trust is not None:
        scale[: len(examples.vectors)] /= examples.trust
    return _Laid(
        support=support,
        classes=classes,
        similarity=similarity,
        kernel=np.exp(-2.0 * GAMMA * (1.0 - similarity.astype(np.float64))),
        targets=np.eye(count)[classes],
        scale=scale,
    )


def _choose_noise(
    examples: Examples,
    kernel: Floats,
    targets: Floats,
    near: NDArray[np.float32],
    classes: NDArray[np.int32],
    scale: Floats,
    seed: int,
) -> tuple[float, Solution | None]:
    """The λ with the lowest area under the risk-coverage curve, and what was solved with it.

    Of many queries it is chosen on a sample, and then nothing is solved yet.
    """
    queries = np.arange(len(near))
    if len(queries) > _MOST_TRIED:
        chosen = np.random.default_rng(seed).choice(queries, _MOST_TRIED, replace=False)
        queries = np.sort(chosen)
    rows = np.concatenate([queries, np.arange(len(near), len(kernel))])
    whole = len(queries) == len(near)
    inner = kernel if whole else kernel[np.ix_(rows, rows)]
    close = near if whole else near[np.ix_(queries, queries)]
    honest = np.flatnonzero(np.isin(queries, examples.honest))
    right, weights = examples.classes[queries[honest]], examples.weights[queries[honest]]
    best: tuple[float, float, Solution] | None = None
    for noise in _NOISES:
        solution = _solve(inner, targets[rows], noise * scale[rows])
        top, signals = measure(solution[1][honest], close[honest], classes[rows])
        area = _risk_area(signals[:, 0], top == right, weights)
        if best is None or area < best[0]:
            best = (area, noise, solution)
    if best is None:
        raise ValueError("no noise level was tried")
    _, chosen_noise, solved = best
    return chosen_noise, solved if whole else None


def _solve(kernel: Floats, targets: Floats, noise: Floats) -> Solution:
    """Dual weights and leave-one-out predictions; ``noise``: of each row, the diagonal of Λ.

    With K + Λ = L·Lᵀ the inverse is L⁻ᵀ·L⁻¹; it is never formed, since its diagonal and its product
    with the targets are all that is needed. Two thirds of n³ operations, and one copy of K.
    """
    noisy = kernel.copy(order="F")
    noisy[np.diag_indices_from(noisy)] += noise
    factor, broken = dpotrf(noisy, lower=1, clean=1, overwrite_a=1)
    if broken == 0:
        factor, broken = dtrtri(factor, lower=1, overwrite_c=1)
    if broken != 0:
        raise LinAlgError("the kernel isn't positive definite: a vector isn't finite")
    weights = factor.T @ (factor @ targets)
    diagonal = np.einsum("ij,ij->j", factor, factor)
    return weights, targets - weights / diagonal[:, None]


def _risk_area(margin: Floats, right: NDArray[np.bool_], weights: Floats) -> float:
    order = np.argsort(-margin, kind="stable")
    weight = weights[order]
    risk = np.cumsum(weight * ~right[order]) / np.cumsum(weight)
    return float(np.average(risk, weights=weight))
