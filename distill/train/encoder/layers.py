"""A BERT encoder in two parts: what stays as it is, computed once, and what is trained.

Both give together what the model's own ``forward`` does, and vectors are pooled as the router's
encoder pools them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from distill.train.recipes.base import fast_dtype

_AT_ONCE = 64

Ids = Sequence[Sequence[int]]


def cast() -> AbstractContextManager[Any]:
    """bfloat16 where the processor multiplies it; sums, norms and weights stay in float32."""
    dtype = fast_dtype()
    made: AbstractContextManager[Any] = torch.autocast(
        "cpu", dtype=dtype, enabled=dtype is not torch.float32
    )
    return made


def run_lower(model: Any, ids: Ids, layers: int) -> list[Tensor]:
    """Hidden states after the embeddings and the first ``layers``, shape (tokens, width) of each
    text, without dropout; texts of like length are taken together."""
    model.eval()
    found: list[Tensor] = [torch.empty(0)] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    with torch.no_grad(), cast():
        for start in range(0, len(order), _AT_ONCE):
            numbers = order[start : start + _AT_ONCE]
            padded = pad_sequence([torch.tensor(ids[i]) for i in numbers], batch_first=True)
            lengths = [len(ids[i]) for i in numbers]
            hidden = _pass(model.embeddings(padded), model.encoder.layer[:layers], lengths)
            for i, one, length in zip(numbers, hidden.to(fast_dtype()), lengths, strict=True):
                found[i] = one[:length].clone()
    return found


def run_upper(model: Any, lower: Sequence[Tensor], layers: int) -> Tensor:
    """Mean-pooled unit vectors, shape (texts, width), of what ``run_lower`` made."""
    lengths = [len(one) for one in lower]
    with cast():
        padded = pad_sequence(list(lower), batch_first=True)
        hidden = _pass(padded, model.encoder.layer[layers:], lengths).float()
    mask = _mask(lengths, hidden.shape[1])
    pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return functional.normalize(pooled, dim=1)


def encode(model: Any, ids: Ids, layers: int = 0) -> Tensor:
    """Unit vectors of many texts; the model is set to evaluation."""
    lower = run_lower(model, ids, layers)
    with torch.no_grad():
        parts = [
            run_upper(model, lower[i : i + _AT_ONCE], layers)
            for i in range(0, len(lower), _AT_ONCE)
        ]
    return torch.cat(parts)


def _pass(hidden: Tensor, layers: Any, lengths: Sequence[int]) -> Tensor:
    barred = (1.0 - _mask(lengths, hidden.shape[1])) * torch.finfo(torch.bfloat16).min
    for layer in layers:
        hidden = layer(hidden, barred[:, None, None, :].to(hidden.dtype))
    return hidden


def _mask(lengths: Sequence[int], longest: int) -> Tensor:
    """1 for tokens and 0 for padding, shape (texts, tokens)."""
    return (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).float()
