"""Teachers that score tokens they did not write: what on-policy distillation needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from distill.train.losses.compose import TopK
from distill.train.recipes.batch import Batch, answer_logits


class TeacherError(RuntimeError):
    """The teacher could not score; the message says why."""


class ScoringTeacher(Protocol):
    """``name``: as the manifest calls it; ``vocabulary``: as in ``base.hash_vocabulary``; ``tier``:
    one of ``preflight.TIERS``; ``context``: tokens of the longest sequence that it scores, None for
    any."""

    @property
    def name(self) -> str: ...

    @property
    def vocabulary(self) -> str: ...

    @property
    def tier(self) -> str: ...

    @property
    def context(self) -> int | None: ...

    def score(self, batch: Batch) -> Tensor | TopK:
        """Logits (B, T, V), or a top-k (B, T, k), in the places of ``batch.labels``."""
        ...


@dataclass(frozen=True, kw_only=True)
class LocalTeacher:
    """A model in this process: the full vocabulary."""

    model: Any
    vocabulary: str
    name: str = "a model in this process"
    tier: str = "full vocabulary"
    context: int | None = None

    def score(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return answer_logits(self.model, batch)
