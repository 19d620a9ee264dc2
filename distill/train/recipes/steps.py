"""The loss of each recipe on one batch of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distill.train.losses.compose import Ranked, Signals, TopK, total_loss
from distill.train.losses.sequence import IGNORED, sequence_log_probs
from distill.train.losses.spec import PREFERENCE_TERMS, SOFT_TERMS
from distill.train.recipes.batch import (
    Batch,
    answer_logits,
    collate,
    in_own_precision,
    recorded_top_k,
)
from distill.train.recipes.encode import Encoded
from distill.train.recipes.recipe import Recipe
from distill.train.recipes.teachers import ScoringTeacher

Loss = tuple[Tensor, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Computes a recipe's loss. ``incumbent``: the student as it was before, frozen, with which
    preferences are compared and old traffic is remembered; None where the recipe has no such part.
    """

    recipe: Recipe
    model: Any
    tokenizer: Any
    teacher: ScoringTeacher | None = None
    incumbent: Callable[[Batch], Tensor] | None = None

    def __call__(self, rows: Sequence[Encoded]) -> Loss:
        if self.recipe.name == "on_policy":
            return self._on_policy(rows)
        batch = collate(rows, self._pad)
        logits = answer_logits(self.model, batch)
        spec = self.recipe.losses
        more: dict[str, Any] = {}
        if spec.has(SOFT_TERMS):
            more = self._distribution(rows, batch)
        if spec.has(PREFERENCE_TERMS):
            more["ranked"] = self._rank(rows)
        if spec.has(frozenset({"replay_kl"})) and self.incumbent is not None:
            more |= {"incumbent_logits": self.incumbent(batch), "replayed": batch.replayed}
        return total_loss(spec, _signals(logits, batch, more))

    @property
    def _pad(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def _distribution(self, rows: Sequence[Encoded], batch: Batch) -> dict[str, Any]:
        if self.teacher is not None:
            return _scored(self.teacher.score(batch))
        return {"top_k": recorded_top_k(rows, batch.labels.shape[1])}

    def _on_policy(self, rows: Sequence[Encoded]) -> Loss:
        """The student writes, the teacher scores, and the student learns from that (Agarwal et al.
        2024): it sees the states that its own mistakes lead to."""
        if self.teacher is None:
            raise ValueError("on_policy needs a teacher that scores")
        answers = sample(self.model, self.tokenizer, rows, new_tokens=self.recipe.new_tokens)
        batch = collate(rows, self._pad, answers)
        logits = answer_logits(self.model, batch)
        return total_loss(
            self.recipe.losses, _signals(logits, batch, _scored(self.teacher.score(batch)))
        )

    def _rank(self, rows: Sequence[Encoded]) -> Ranked:
        """Summed log-probabilities of every draft, now and before preference training."""
        if self.incumbent is None:
            raise ValueError("preferences need the student as it was before")
        most = max(len(row.drafts) for row in rows)
        # A missing draft is padded by the best one, and masked.
        drafts = [
            (row, row.drafts[j] if j < len(row.drafts) else row.drafts[0])
            for row in rows
            for j in range(most)
        ]
        batch = collate([row for row, _ in drafts], self._pad, [ids for _, ids in drafts])
        shape = (len(rows), most)
        policy = sequence_log_probs(answer_logits(self.model, batch), batch.labels)
        before = sequence_log_probs(self.incumbent(batch), batch.labels)
        grades = torch.tensor(
            [
                [draft.grade for draft in ranked] + [ranked[-1].grade] * (most - len(ranked))
                for ranked in (row.example.ranked() for row in rows)
            ]
        )
        stated = [row.example.preference for row in rows]
        return Ranked(
            policy=policy.reshape(shape),
            reference=before.reshape(shape),
            lengths=(batch.labels != IGNORED).sum(-1).reshape(shape),
            grades=grades - grades.min(),
            present=torch.tensor([[j < len(row.drafts) for j in range(most)] for row in rows]),
            preference=torch.tensor([1.0 if one is None else one for one in stated]),
        )


def sample(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Encoded],
    *,
    new_tokens: int,
    greedy: bool = False,
) -> list[list[int]]:
    """The student's answers to the rows' prompts, until the end token or ``new_tokens``."""
    prompts = collate(rows, tokenizer.pad_token_id, [[] for _ in rows])
    was_training = model.training
    model.eval()
    choice: dict[str, Any] = {"do_sample": False}
    if not greedy:  # from the whole distribution, whatever the model's own settings say
        choice = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0}
    with torch.no_grad(), in_own_precision(model):
        written = model.generate(
            input_ids=prompts.input_ids,
            attention_mask=prompts.attention,
            max_new_tokens=new_tokens,
            **choice,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    model.train(was_training)
    answers = []
    for ids in written[:, prompts.input_ids.shape[1] :].tolist():
        end = ids.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in ids else len(ids)
        answers.append(ids[:end])
    return answers


def _scored(scores: Tensor | TopK) -> dict[str, Any]:
    return {"top_k": scores} if isinstance(scores, TopK) else {"teacher_logits": scores}


def _signals(logits: Tensor, batch: Batch, more: Mapping[str, Any]) -> Signals:
    return Signals(
        logits=logits,
        labels=batch.labels,
        row_weights=batch.row_weights,
        confidence=batch.confidence,
        reasoning=batch.reasoning,
        **more,
    )
