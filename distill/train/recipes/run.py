"""A training run from top to bottom: examples in, an adapter out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

from distill.train.examples import Example, digest_examples
from distill.train.recipes.adapter import Adapter, identify, open_adapter, save_adapter
from distill.train.recipes.base import Base
from distill.train.recipes.batch import Batch, answer_logits
from distill.train.recipes.encode import Encoding, encode
from distill.train.recipes.loop import Plan, Progress, train_loop
from distill.train.recipes.preflight import (
    TrainingRefused,
    check_encoding,
    check_examples,
    tier_of,
)
from distill.train.recipes.recipe import CONTINUES, Recipe
from distill.train.recipes.steps import Step
from distill.train.recipes.teachers import ScoringTeacher
from distill.train.recipes.team import ALONE, Team


def train_student(
    recipe: Recipe,
    examples: Sequence[Example],
    base: Base,
    folder: Path,
    *,
    student: str,
    start: Path | None = None,
    teacher: ScoringTeacher | None = None,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> Adapter:
    """Train, and write ``folder/student@digest``.

    ``start``: the adapter to continue. A checkpoint and the curve lie in a folder of the run's own
    under ``folder/runs``; called again after a kill, the run goes on from there. ``base.model`` is
    changed in place. ``team``: processes that each call this alike; the first writes. Raises
    TrainingRefused, EncodingError or AdapterError before any compute.
    """
    # 1. What must hold.
    check_examples(
        recipe,
        examples,
        vocabulary=base.vocabulary,
        teacher_vocabulary=None if teacher is None else teacher.vocabulary,
        continues=start is not None,
    )
    begun = None if start is None else open_adapter(start)
    encoding = encode(examples, base.tokenizer, max_tokens=recipe.max_tokens)
    check_encoding(recipe, encoding, context=None if teacher is None else teacher.context)

    # 2. What the run is made of, which names it.
    manifest = {
        **_describe(recipe, base, examples, encoding, team),
        **_describe_teacher(recipe, examples, teacher),
        "start": None if begun is None else begun.digest,
    }
    identity = identify(manifest)
    work = folder / "runs" / identity[:16]
    work.mkdir(parents=True, exist_ok=True)

    # 3. The student, and the student as it was.
    torch.manual_seed(recipe.seed)
    model = _open_student(base.model, recipe, start)
    step = Step(
        recipe=recipe,
        model=model,
        tokenizer=base.tokenizer,
        teacher=teacher,
        incumbent=_incumbent(model, start) if recipe.name in CONTINUES else None,
    )

    # 4. Train, and write.
    plan = Plan(recipe=recipe, rows=encoding.rows)
    train_loop(step, model, plan, work, identity=identity, progress=progress, team=team)
    written = None
    if team.leads:
        made = save_adapter(model, folder, student=student, base=base.name, manifest=manifest)
        written = [str(made.folder)]
    return open_adapter(Path(team.tell(written)[0]))


def _describe(
    recipe: Recipe, base: Base, examples: Sequence[Example], encoding: Encoding, team: Team
) -> dict[str, Any]:
    if recipe.name == "on_policy" and team.size > 1:
        raise TrainingRefused("The recipe on_policy is trained by one process: each would draft.")
    made = {
        "recipe": recipe.as_mapping(),
        "base": {"name": base.name, "digest": base.digest, "vocabulary": base.vocabulary},
        "dtype": str(base.model.dtype).removeprefix("torch."),
        "examples": {"digest": digest_examples(examples), "count": len(encoding.rows)},
        "too_long": encoding.too_long,
    }
    # Another number of processes adds up to other weights.
    return made if team.size == 1 else {**made, "processes": team.size}


def _describe_teacher(
    recipe: Recipe, examples: Sequence[Example], teacher: ScoringTeacher | None
) -> dict[str, str]:
    if teacher is None:
        return {"teacher_tier": tier_of(recipe, examples, None)}
    return {"teacher_tier": tier_of(recipe, examples, teacher.tier), "scorer": teacher.name}


def _open_student(model: Any, recipe: Recipe, start: Path | None) -> Any:
    if start is not None:
        return PeftModel.from_pretrained(model, start, is_trainable=True)
    if recipe.rank == 0:
        return model
    configuration = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, configuration)


def _incumbent(model: Any, start: Path | None) -> Callable[[Batch], Tensor] | None:
    """Logits of the adapter as it was; it rides in the same model under a name of its own."""
    if start is None:
        return None
    model.load_adapter(start, adapter_name="incumbent", is_trainable=False)
    model.set_adapter("default")

    def logits(batch: Batch) -> Tensor:
        model.set_adapter("incumbent", inference_mode=True)
        with torch.no_grad():
            found = answer_logits(model, batch)
        model.set_adapter("default")
        return found

    return logits
