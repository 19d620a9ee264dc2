"""Optimiser, checkpoints and curve. Killed and resumed, a run ends as if it had not been.

What a step does depends only on the seed, the step's number, the weights, the optimiser and torch's
random state: the last three are in the checkpoint, written whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.train.recipes.adapter import CURVE
from distill.train.recipes.encode import Encoded
from distill.train.recipes.recipe import Recipe
from distill.train.recipes.team import ALONE, Team

_CHECKPOINT = "checkpoint.pt"
_SORTED_BATCHES = 8
"""Rows of so many batches are sorted by length before they are cut: less padding, still random."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which rows each step sees: a function of seed and epoch alone."""

    recipe: Recipe
    rows: Sequence[Encoded]

    @property
    def steps(self) -> int:
        return math.ceil(self.recipe.epochs * len(self.rows) / self.recipe.batch)

    def batches(self) -> Iterator[list[Encoded]]:
        """Endless."""
        epoch = 0
        while True:
            yield from self._epoch(epoch)
            epoch += 1

    def _epoch(self, epoch: int) -> list[list[Encoded]]:
        random = np.random.default_rng([self.recipe.seed, epoch])
        order = random.permutation(len(self.rows))
        size = self.recipe.batch
        batches: list[list[Encoded]] = []
        for start in range(0, len(order), size * _SORTED_BATCHES):
            window = [self.rows[i] for i in order[start : start + size * _SORTED_BATCHES]]
            window.sort(key=lambda row: row.tokens)
            batches += [window[i : i + size] for i in range(0, len(window), size)]
        return [batches[i] for i in random.permutation(len(batches))]

    def rate(self, step: int) -> float:
        """Learning rate: linear up over ``warmup``, cosine down to a tenth."""
        peak, first = self.recipe.learning_rate, max(1, int(self.recipe.warmup * self.steps))
        if step < first:
            return peak * (step + 1) / first
        done = (step - first) / max(1, self.steps - first)
        return peak * (0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * done)))


Progress = Callable[[int, int, float, float], None]
"""Step, steps, loss, seconds since this process began to train."""


def train_loop(
    step_loss: Callable[[Sequence[Encoded]], tuple[torch.Tensor, dict[str, float]]],
    model: Any,
    plan: Plan,
    folder: Path,
    *,
    identity: str,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> None:
    """Train to the end of the plan; begins where a checkpoint in ``folder`` left off.

    ``identity``: what the run is made of; a checkpoint of another run raises ValueError. ``team``:
    processes that share each step; the first alone writes.
    """
    weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(weights.values(), lr=plan.recipe.learning_rate, weight_decay=0.0)
    torch.manual_seed(plan.recipe.seed)
    done = _resume(folder, weights, optimizer, identity, cut=team.leads)
    team.wait()  # nobody writes before all have read
    batches = plan.batches()
    for _ in range(done):
        next(batches)
    began_s = time.monotonic()
    model.train()
    with Path(folder / CURVE if team.leads else os.devnull).open("a", encoding="utf-8") as curve:
        for step in range(done, plan.steps):
            rows = next(batches)
            for group in optimizer.param_groups:
                group["lr"] = plan.rate(step)
            loss, parts = step_loss(team.share(rows))
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"The loss of step {step + 1} is not finite: lower the learning rate."
                )
            loss.backward()
            team.average(weights.values(), len(rows))
            norm = torch.nn.utils.clip_grad_norm_(weights.values(), plan.recipe.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            value = team.mean(float(loss.detach()), len(rows))
            parts = {name: team.mean(part, len(rows)) for name, part in parts.items()}
            tokens = sum(row.tokens for row in rows)
            line = {"step": step + 1, "loss": value, "parts": parts, "rate": plan.rate(step)}
            curve.write(json.dumps({**line, "norm": float(norm), "tokens": tokens}) + "\n")
            if (step + 1) % plan.recipe.checkpoint_steps == 0 or step + 1 == plan.steps:
                curve.flush()
                if team.leads:
                    _save(folder, weights, optimizer, step + 1, identity)
            if progress is not None:
                progress(step + 1, plan.steps, value, time.monotonic() - began_s)


def _save(
    folder: Path, weights: dict[str, torch.Tensor], optimizer: Any, step: int, identity: str
) -> None:
    draft = folder / (_CHECKPOINT + ".new")
    with draft.open("wb") as file:
        torch.save(
            {
                "identity": identity,
                "step": step,
                "weights": {name: value.detach() for name, value in weights.items()},
                "optimizer": optimizer.state_dict(),
                "random": torch.get_rng_state(),
            },
            file,
        )
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _CHECKPOINT)


def _resume(
    folder: Path, weights: dict[str, torch.Tensor], optimizer: Any, identity: str, *, cut: bool
) -> int:
    """Steps that are done. ``cut``: the curve to them, since a killed run may have written
    further."""
    path, curve = folder / _CHECKPOINT, folder / CURVE
    step = 0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        if kept["identity"] != identity:
            raise ValueError(
                f"{folder} holds a checkpoint of another run: choose another folder, or empty it"
            )
        with torch.no_grad():
            for name, value in weights.items():
                value.copy_(kept["weights"][name])
        optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["random"])
        step = int(kept["step"])
    if cut and curve.exists():
        lines = curve.read_text(encoding="utf-8").splitlines(keepends=True)[:step]
        curve.write_text("".join(lines), encoding="utf-8")
    return step
