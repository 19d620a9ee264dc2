"""Teachers that score tokens they did not write: what on-policy distillation needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import numpy as np
import torch
from torch import Tensor

from distill.train.losses.compose import TopK
from distill.train.losses.sequence import IGNORED
from distill.train.recipes.batch import Batch, answer_logits
from distill.train.topk import pack_rows


class TeacherError(RuntimeError):
    """The teacher could not score; the message says why."""


class ScoringTeacher(Protocol):
    """``vocabulary``: as in ``base.hash_vocabulary``; ``tier``: one of ``preflight.TIERS``."""

    @property
    def vocabulary(self) -> str: ...

    @property
    def tier(self) -> str: ...

    def score(self, batch: Batch) -> Tensor | TopK:
        """Logits (B, T, V), or a top-k (B, T, k), in the places of ``batch.labels``."""
        ...


@dataclass(frozen=True, kw_only=True)
class LocalTeacher:
    """A model in this process: the full vocabulary."""

    model: Any
    vocabulary: str
    tier: str = "full vocabulary"

    def score(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return answer_logits(self.model, batch)


@dataclass(frozen=True, kw_only=True)
class VllmTeacher:
    """A model behind vLLM, which gives the log-probabilities of a prompt's tokens.

    ``k``: at most what the server was started with (``--max-logprobs``, 20 unless told); one
    request per sequence, in turn.
    """

    client: httpx.Client
    model: str
    vocabulary: str
    k: int = 20
    tier: str = "top-k"

    def score(self, batch: Batch) -> TopK:
        width = batch.labels.shape[1]
        ids = np.full((len(batch.labels), width, self.k), -1, dtype=np.int64)
        log_probs = np.full(ids.shape, -np.inf)
        for i, (row, attended) in enumerate(zip(batch.input_ids, batch.attention, strict=True)):
            answer = int((batch.labels[i] != IGNORED).sum())
            given = self._ask(row[attended.bool()].tolist())[-answer:]
            packed = pack_rows(given, self.k)
            ids[i, width - answer :], log_probs[i, width - answer :] = packed.unpack()
        return TopK(ids=torch.from_numpy(ids), log_probs=torch.from_numpy(log_probs).float())

    def _ask(self, tokens: list[int]) -> list[dict[int, float]]:
        body = {
            "model": self.model,
            "prompt": tokens,
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": self.k,
        }
        try:
            reply = self.client.post("/v1/completions", json=body)
            reply.raise_for_status()
            scored = reply.json()["choices"][0]["prompt_logprobs"]
            rows = [
                {int(token): float(entry["logprob"]) for token, entry in (place or {}).items()}
                for place in scored
            ]
        except (httpx.HTTPError, KeyError, IndexError, TypeError, ValueError) as error:
            raise TeacherError(
                f"The teacher {self.model} gave no prompt_logprobs: is it vLLM? ({error})"
            ) from error
        if len(rows) != len(tokens):
            raise TeacherError(f"The teacher scored {len(rows)} of {len(tokens)} tokens.")
        return rows
