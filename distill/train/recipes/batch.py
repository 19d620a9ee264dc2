"""Token ids → tensors. Rows are padded on the left, so that answers end in the last column and only
that end of the sequence needs logits: with long prompts, most of the work of a small model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft.helpers import disable_input_dtype_casting
from torch import Tensor

from distill.train.losses.compose import TopK
from distill.train.losses.sequence import IGNORED
from distill.train.recipes.encode import Encoded


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``input_ids``, ``attention``: (B, L); ``labels``, ``reasoning``: (B, T), of the last T
    columns; the rest (B,). ``confidence``: 1 where the teacher gave none."""

    input_ids: Tensor
    attention: Tensor
    labels: Tensor
    reasoning: Tensor
    row_weights: Tensor
    confidence: Tensor
    replayed: Tensor


def collate(
    rows: Sequence[Encoded], pad: int, answers: Sequence[Sequence[int]] | None = None
) -> Batch:
    """Pad rows into one batch; ``answers`` stand in for the rows' own."""
    own = answers is None
    given = [row.answer for row in rows] if answers is None else answers
    longest = max(len(row.prompt) + len(answer) for row, answer in zip(rows, given, strict=True))
    width = max(len(answer) for answer in given)
    ids = torch.full((len(rows), longest), pad)
    attention = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    reasoning = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (row, answer) in enumerate(zip(rows, given, strict=True)):
        whole = torch.tensor([*row.prompt, *answer])
        ids[i, longest - len(whole) :] = whole
        attention[i, longest - len(whole) :] = 1
        labels[i, width - len(answer) :] = torch.tensor(answer)
        if own:
            reasoning[i, width - len(answer) :] = torch.tensor(row.reasoning)
    confidence = [row.example.confidence for row in rows]
    return Batch(
        input_ids=ids,
        attention=attention,
        labels=labels,
        reasoning=reasoning,
        row_weights=torch.tensor([row.example.weight for row in rows], dtype=torch.float32),
        confidence=torch.tensor([1.0 if one is None else one for one in confidence]),
        replayed=torch.tensor([row.example.replayed for row in rows]),
    )


@contextmanager
def in_own_precision(model: Any) -> Iterator[None]:
    """Multiply in bfloat16 where the base weights are: peft keeps an adapter in float32, so that
    small updates aren't lost, and would multiply in it too, and copy what comes in to it."""
    low = model.dtype == torch.bfloat16
    device = next(model.parameters()).device.type
    with (
        torch.autocast(device, torch.bfloat16, enabled=low),
        disable_input_dtype_casting(model, active=low),
    ):
        yield


def answer_logits(model: Any, batch: Batch) -> Tensor:
    """Logits that predict ``batch.labels``: (B, T, V), in float32."""
    width = batch.labels.shape[1]
    positions = (batch.attention.cumsum(-1) - 1).clamp(min=0)
    with in_own_precision(model):
        output = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention,
            position_ids=positions,
            logits_to_keep=width + 1,
            use_cache=False,
        )
    logits: Tensor = output.logits[:, :-1].float()
    return logits


def recorded_top_k(rows: Sequence[Encoded], width: int) -> TopK | None:
    """The teacher's packed log-probabilities in the places of the labels: (B, width, k); None
    where no row has any. A token without them has mass 0, and gets plain likelihood."""
    packed = [row.example.top_k for row in rows]
    k = max((one.ids.shape[1] for one in packed if one is not None), default=0)
    if k == 0:
        return None
    ids = np.full((len(rows), width, k), -1, dtype=np.int64)
    log_probs = np.full((len(rows), width, k), -np.inf)
    for i, (row, one) in enumerate(zip(rows, packed, strict=True)):
        if one is None:
            continue
        start = width - len(row.answer)
        own_ids, own_log_probs = one.unpack()
        ids[i, start : start + one.tokens, : own_ids.shape[1]] = own_ids
        log_probs[i, start : start + one.tokens, : own_ids.shape[1]] = own_log_probs
    return TopK(ids=torch.from_numpy(ids), log_probs=torch.from_numpy(log_probs).float())
