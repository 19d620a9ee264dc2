"""Likelihood of whole answers, weights of their tokens, and the confidence that the gate reads."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -100
"""Label of a position that isn't the answer's: prompt or padding."""


def token_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """log q(label) per position, in nats: (B, T, V) and (B, T) → (B, T); 0 where ignored."""
    ignored = labels == IGNORED
    places = labels.masked_fill(ignored, 0).unsqueeze(-1)
    picked = logits.gather(-1, places).squeeze(-1) - logits.logsumexp(dim=-1)
    return picked.masked_fill(ignored, 0.0)


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Σ w·v / Σ w over all positions; 0 where nothing weighs. A masked value may be anything."""
    counted = weights > 0
    total = weights.sum()
    summed = torch.where(counted, values, torch.zeros_like(values)).mul(weights).sum()
    return summed / total.clamp(min=torch.finfo(weights.dtype).tiny)


def token_weights(
    labels: Tensor,
    row_weights: Tensor,
    *,
    confidence: Tensor | None = None,
    reasoning: Tensor | None = None,
    reasoning_weight: float = 1.0,
) -> Tensor:
    """What each answer token counts: (B, T), 0 where ignored.

    ``labels``: (B, T); ``row_weights``: (B,), how many interactions a row stands for;
    ``confidence``: (B,), the teacher's own probability in its answer, exp of the mean
    log-probability of its tokens: answers that it was unsure of teach less, after
    Kim and Rush 2016, "Sequence-Level Knowledge Distillation", whose objective is an expectation
    under the teacher; ``reasoning``: (B, T), true on tokens of the
    reasoning trace, which count ``reasoning_weight`` (Hsieh et al. 2023, "Distilling Step-by-Step",
    weigh rationale against answer).
    """
    weights = (labels != IGNORED).to(row_weights.dtype) * row_weights.unsqueeze(-1)
    if confidence is not None:
        weights = weights * confidence.to(weights.dtype).unsqueeze(-1)
    if reasoning is not None:
        weights = torch.where(reasoning, weights * reasoning_weight, weights)
    return weights


def sequence_nll(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Σ w·(−log q(label)) / Σ w, in nats per token: a scalar. Weights from ``token_weights``."""
    return masked_mean(-token_log_probs(logits, labels), weights)


def sequence_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """log q(answer) = Σ log q(token), in nats: (B, T, V) and (B, T) → (B,)."""
    return token_log_probs(logits, labels).sum(dim=-1)


def mean_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean log q(token) of each answer, in nats per token: (B,); what evidence calls
    ``mean_logprob``. 0 for an empty answer."""
    lengths = (labels != IGNORED).sum(dim=-1).clamp(min=1)
    return sequence_log_probs(logits, labels) / lengths


def calibration(mean_log_prob: Tensor, agreed: Tensor, weights: Tensor) -> Tensor:
    """Brier score of the confidence that the gate reads: Σ w·(c − a)² / Σ w, c = exp(mean log q).

    ``mean_log_prob``: (B,), of the student's own drafts; ``agreed``: (B,), 1 where the draft agreed
    with the teacher's answer, or its probability; ``weights``: (B,). Between 0 and 1, a proper
    score: its expectation is least where c is the probability of agreeing, so a student that grows
    overconfident pays for it. Source: Brier 1950; as a training term Kumar et al. 2018 (MMCE) and
    Mukhoti et al. 2020, who show it keeps networks calibrated.
    """
    return masked_mean((mean_log_prob.exp() - agreed.to(mean_log_prob.dtype)) ** 2, weights)
