"""Divergences between a student's and a teacher's distribution, per position.

Each takes log-probabilities of shape (..., K), in nats, that sum to 1 as probabilities (from
``buckets``), and returns (...), in nats: zero where the two are equal, positive elsewhere. P is the
teacher, Q the student. A bucket of probability zero adds nothing where it would weigh; where the
student gives zero to what the teacher may say, forward KL is infinite, as it is.

A temperature T softens both (``full_buckets``) and shrinks gradients by T²: multiply by T² to mix
terms of different T (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def forward_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(P‖Q) = Σ p·log(p/q): covers all that the teacher might say (Hinton et al. 2015)."""
    return _kl(teacher, student)


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(Q‖P) = Σ q·log(q/p): keeps to what the teacher would say (Gu et al. 2024, "MiniLLM")."""
    return _kl(student, teacher)


def generalised_jsd(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """JSD_β = β·KL(P‖M) + (1−β)·KL(Q‖M) with M = β·P + (1−β)·Q, 0 ≤ β ≤ 1.

    At the ends it vanishes; JSD_β/β → KL(P‖Q) as β → 0 and JSD_β/(1−β) → KL(Q‖P) as β → 1, so β = 0
    and β = 1 mean these limits. At most −β·log β − (1−β)·log(1−β) between. Source: Agarwal et al.
    2024, "On-Policy Distillation of Language Models" (GKD), eq. 2.
    """
    _check_share("beta", beta)
    if beta == 0.0:
        return forward_kl(student, teacher)
    if beta == 1.0:
        return reverse_kl(student, teacher)
    mixture = _mix(teacher, student, beta)
    return beta * _kl(teacher, mixture) + (1.0 - beta) * _kl(student, mixture)


def skew_kl(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """KL(P ‖ α·P + (1−α)·Q), 0 ≤ α < 1: forward KL at α = 0, at most −log α, → 0 as α → 1.

    Source: Ko et al. 2024, "DistiLLM", sec. 3.1.
    """
    _check_share("alpha", alpha)
    return _kl(teacher, _mix(teacher, student, alpha))


def reverse_skew_kl(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """KL(Q ‖ α·Q + (1−α)·P), 0 ≤ α < 1: reverse KL at α = 0. Source: Ko et al. 2024, sec. 3.1."""
    _check_share("alpha", alpha)
    return _kl(student, _mix(student, teacher, alpha))


def _kl(left: Tensor, right: Tensor) -> Tensor:
    """Σ exp(left)·(left − right); where left gives nothing it adds nothing, with gradient 0.

    Masked before the subtraction, since −inf − −inf would poison the gradient even where unused.
    """
    absent = left == -torch.inf
    known, other = left.masked_fill(absent, 0.0), right.masked_fill(absent, 0.0)
    return (known.exp() * (known - other)).masked_fill(absent, 0.0).sum(dim=-1)


def _mix(left: Tensor, right: Tensor, share: float) -> Tensor:
    """log(share·exp(left) + (1−share)·exp(right))."""
    if share == 0.0:
        return right
    if share == 1.0:
        return left
    # logaddexp has no gradient where both are −inf; there neither gives anything, nor the mixture.
    absent = (left == -torch.inf) & (right == -torch.inf)
    mixed = torch.logaddexp(
        left.masked_fill(absent, 0.0) + math.log(share),
        right.masked_fill(absent, 0.0) + math.log1p(-share),
    )
    return mixed.masked_fill(absent, -torch.inf)


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], not {value}")
