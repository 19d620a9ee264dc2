"""Drafts of the student, ranked by its teacher: what the recipe ``preference`` learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from distill.train.examples import Draft, Example
from distill.train.losses.compose import TopK
from distill.train.losses.sequence import IGNORED, mean_log_probs
from distill.train.recipes.batch import collate
from distill.train.recipes.encode import Encoded
from distill.train.recipes.steps import sample
from distill.train.recipes.teachers import ScoringTeacher

Grade = Callable[[Encoded, Sequence[int]], float]
"""The teacher's grade of one draft, given as token ids; the higher the better."""


def sample_drafts(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Encoded],
    grade: Grade,
    *,
    count: int,
    new_tokens: int,
    batch: int = 8,
) -> list[Example]:
    """The rows' examples with ``count`` sampled drafts each, same ones told once, graded.

    Those whose drafts are all the same, or graded alike, are left out: nothing sets them apart.
    """
    found: list[Example] = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        rounds = [sample(model, tokenizer, part, new_tokens=new_tokens) for _ in range(count)]
        for i, row in enumerate(part):
            drafts = {
                tokenizer.decode(ids[i], skip_special_tokens=True): grade(row, ids[i])
                for ids in rounds
            }
            if len(set(drafts.values())) > 1:
                graded = tuple(Draft(text=text, grade=value) for text, value in drafts.items())
                found.append(replace(row.example, drafts=graded))
    return found


def likelihood_grade(teacher: ScoringTeacher, tokenizer: Any) -> Grade:
    """Grades a draft by the teacher's mean log-probability of its tokens, in nats.

    With a top-k teacher a token outside it counts as the least likely one inside, its upper bound.
    """

    def grade(row: Encoded, ids: Sequence[int]) -> float:
        batch = collate([row], tokenizer.pad_token_id, [ids])
        scores = teacher.score(batch)
        if not isinstance(scores, TopK):
            return float(mean_log_probs(scores, batch.labels))
        hit = scores.ids == batch.labels.unsqueeze(-1)
        floor = scores.log_probs.masked_fill(scores.log_probs == -torch.inf, torch.inf).amin(-1)
        known = scores.log_probs.masked_fill(~hit, -torch.inf).amax(-1)
        values = torch.where(hit.any(-1), known, floor)
        return float(values[batch.labels != IGNORED].mean())

    return grade
