"""Losses on drafts that the teacher compared or ranked.

A draft's score is β·(log π(draft) − log π_ref(draft)), its implicit reward (Rafailov et al. 2023),
from summed log-probabilities in nats; the reference is the student before preference training.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def scores(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Implicit rewards β·(policy − reference) of summed log-probabilities: any shape, kept."""
    return beta * (policy - reference)


def dpo(chosen: Tensor, rejected: Tensor, preference: Tensor | None = None) -> Tensor:
    """−p·log σ(Δ) − (1−p)·log σ(−Δ) with Δ = chosen − rejected, per pair, in nats: (B,).

    ``chosen``, ``rejected``: scores, (B,); ``preference``: the teacher's probability p that the
    chosen draft is the better one, (B,); 1 where absent. Least at Δ = logit(p), where it equals the
    entropy of p: a doubtful preference pulls to a small margin instead of an endless one. Sources:
    Rafailov et al. 2023, "Direct Preference Optimization", eq. 7; with p, Mitchell 2023, "A note on
    DPO with noisy preferences".
    """
    margin = chosen - rejected
    loss = -functional.logsigmoid(margin)
    if preference is None:
        return loss
    return preference * loss - (1.0 - preference) * functional.logsigmoid(-margin)


def plackett_luce(ranked: Tensor, present: Tensor) -> Tensor:
    """−Σ_i log(exp s_i / Σ_{j ≥ i} exp s_j), per list, in nats: (B,).

    ``ranked``: scores in the teacher's order, the best first, (B, D); ``present``: false on
    padding, which comes last, (B, D). With two drafts it is ``dpo``. Sources: Plackett 1975;
    Rafailov et al. 2023, app. A.3.
    """
    held = ranked.masked_fill(~present, -torch.inf)
    # logcumsumexp from the end is log Σ_{j ≥ i}; padding is at the end and adds nothing.
    after = held.flip(-1).where(present.flip(-1), torch.full_like(held, -1e30))
    rest = torch.logcumsumexp(after, dim=-1).flip(-1)
    terms = (rest - ranked).masked_fill(~present, 0.0)
    return terms.sum(dim=-1)


def lipo(scored: Tensor, gains: Tensor, present: Tensor) -> Tensor:
    """Σ over pairs with ψ_i > ψ_j of Δ_ij·log(1 + exp(s_j − s_i)), per list: (B,).

    ``scored``: scores, (B, D), in any order; ``gains``: the teacher's grades ψ, at least 0, (B, D);
    ``present``: (B, D). Δ_ij = |2^ψ_i − 2^ψ_j|·|1/log₂(1+τ_i) − 1/log₂(1+τ_j)|, τ the rank by the
    student's scores (1 is best), not differentiated: mistakes at the top cost most. Source: Liu et
    al. 2024, "LiPO: Listwise Preference Optimization through Learning-to-Rank", eq. 8 (LiPO-λ).
    """
    hidden = scored.detach().masked_fill(~present, -torch.inf)
    rank = hidden.argsort(dim=-1, descending=True).argsort(dim=-1).to(scored.dtype) + 1.0
    discount = 1.0 / torch.log2(1.0 + rank)
    gain = torch.exp2(gains.to(scored.dtype))
    weight = (gain.unsqueeze(-1) - gain.unsqueeze(-2)).abs() * (
        discount.unsqueeze(-1) - discount.unsqueeze(-2)
    ).abs()
    better = gains.unsqueeze(-1) > gains.unsqueeze(-2)
    counted = better & present.unsqueeze(-1) & present.unsqueeze(-2)
    cost = functional.softplus(scored.unsqueeze(-2) - scored.unsqueeze(-1))
    return (weight * cost).masked_fill(~counted, 0.0).sum(dim=(-1, -2))
