"""Logits → log-probabilities to compare.

Teachers behind an API give only their k likeliest tokens. Renormalising those would compare
something that neither model believes; instead everything else becomes one more bucket, the tail,
for teacher and student alike. Both rows are then coarser views of the full distributions, so by the
data-processing inequality (Cover and Thomas, "Elements of Information Theory", 2006, sec. 2.8; for
f-divergences Csiszár 1967) every divergence of this package is at most that of the full ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_TAIL = 1e-6
"""Least probability of a teacher's tail: rounding may leave none, and log 0 would be infinite.

Where it takes effect the inequality above holds to within twice this many nats."""

ABSENT = -1
"""In place of a token id where the teacher gave fewer than k."""


def full_buckets(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / temperature) over the last axis: (..., V) → (..., V), in nats."""
    return torch.log_softmax(logits / temperature, dim=-1)


def top_k_buckets(
    student_logits: Tensor, ids: Tensor, teacher_log_probs: Tensor
) -> tuple[Tensor, Tensor]:
    """Student and teacher as k + 1 log-probabilities, the last of which is the tail's.

    ``student_logits``: (..., V); ``ids``: the teacher's k likeliest tokens, distinct, ABSENT
    where there are fewer, (..., k) with k < V; ``teacher_log_probs``: of these under the teacher's
    *full* softmax at temperature 1, in nats, (..., k). Returns two tensors (..., k + 1), each of
    which sums to 1 as probabilities; an absent bucket has -inf in both.
    """
    vocabulary, k = student_logits.shape[-1], ids.shape[-1]
    if not 0 < k < vocabulary:
        raise ValueError(f"top-k needs 0 < k < vocabulary, but k is {k} of {vocabulary}")
    absent = ids == ABSENT
    places = ids.clamp(min=0)
    log_norm = student_logits.logsumexp(dim=-1, keepdim=True)
    top = (student_logits.gather(-1, places) - log_norm).masked_fill(absent, -torch.inf)
    # The tail from the rest itself: 1 − Σ would lose its digits and its gradient.
    named = torch.zeros_like(student_logits, dtype=torch.int8)
    named.scatter_add_(-1, places, (~absent).to(torch.int8))
    rest = student_logits.masked_fill(named > 0, -torch.inf)
    tail = rest.logsumexp(dim=-1, keepdim=True) - log_norm
    student = torch.cat([top, tail], dim=-1)

    given = teacher_log_probs.to(student.dtype).masked_fill(absent, -torch.inf)
    left = (1.0 - given.exp().sum(dim=-1, keepdim=True)).clamp(min=SMALLEST_TAIL)
    teacher = torch.cat([given, left.log()], dim=-1).log_softmax(dim=-1)
    return student, teacher


def captured_mass(teacher_log_probs: Tensor, ids: Tensor) -> Tensor:
    """Probability that the teacher gave to its k tokens: (..., k) → (...), between 0 and 1."""
    given = teacher_log_probs.masked_fill(ids == ABSENT, -torch.inf)
    return given.exp().sum(dim=-1).clamp(max=1.0)
