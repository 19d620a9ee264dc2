"""Fine-tune a sentence encoder from top to bottom: labelled texts in, an int8 ONNX file out.

The classifier that is trained along is a cosine to one vector per answer, since the head that
serves compares by cosine, too; it begins at the mean of each answer's questions, and is thrown away
in the end. Nothing here knows of gates, promises or held-out rows: whoever calls leaves those out.
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
from torch import Tensor
from torch.nn import functional

from distill.train.encoder.base import EncoderBase
from distill.train.encoder.export import Exported, export
from distill.train.encoder.layers import encode, run_lower, run_upper
from distill.train.encoder.tuning import (
    LabelledText,
    Tuning,
    check_rows,
    digest_rows,
    identify,
)
from router.students.encoder import make_tokenizer

CURVE = "curve.jsonl"
_CHECKPOINT = "checkpoint.pt"
_SORTED_BATCHES = 16
"""Rows of so many batches are sorted by length before they are cut: less padding, still random."""

_AT_ONCE = 64
_NO_DECAY = ("bias", "LayerNorm.weight")

Progress = Callable[[int, int, float], None]
"""Step, steps, loss."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """``exported``: the file that serves; ``curve``: losses, a JSON line a step; ``manifest``:
    what the run was made of."""

    exported: Exported
    curve: Path
    manifest: dict[str, Any]


def tune_encoder(
    tuning: Tuning,
    rows: Sequence[LabelledText],
    answers: Sequence[str],
    base: EncoderBase,
    folder: Path,
    progress: Progress | None = None,
) -> Tuned:
    """Train, export, check. ``answers``: their texts, by label; ``folder``: runs lie in ``runs``
    below it, encoders in ``encoders``. Called again after a kill, it goes on from its last
    checkpoint. ``base.model`` is changed in place. Raises TuningError before any compute.
    """
    # 1. What must hold, and what the run is made of, which names it.
    check_rows(rows, answers)
    manifest = {
        "recipe": tuning.as_mapping(),
        "base": {"name": base.name, "digest": base.digest},
        "rows": {"digest": digest_rows(rows, answers), "count": len(rows)},
    }
    identity = identify(manifest)
    work = folder / "runs" / identity[:16]
    work.mkdir(parents=True, exist_ok=True)
    # 2. Texts → token ids, the same as when it serves.
    tokens = _Tokens(rows, tuning)
    # 3. What stays as it is, once; and one vector per answer to begin with.
    torch.manual_seed(tuning.seed)
    model = base.model
    _freeze(model, tuning.frozen)
    lower = run_lower(model, tokens.ids, tuning.frozen)
    heads = torch.nn.Parameter(_begin_heads(model, lower, tokens, answers))
    # 4. Train.
    _train(model, heads, lower, tokens, work, identity, progress)
    # 5. Export, and check that what serves is what was trained.
    model.eval()
    exported = export(model, folder / "encoders", [row.text for row in rows[:64]])
    return Tuned(exported=exported, curve=work / CURVE, manifest=manifest)


class _Tokens:
    """The rows as token ids; which rows each step sees is a function of seed and epoch alone."""

    def __init__(self, rows: Sequence[LabelledText], tuning: Tuning) -> None:
        tokenizer = make_tokenizer()
        tokenizer.enable_truncation(tuning.max_tokens)
        self.tuning, self.rows = tuning, rows
        self.ids = [one.ids for one in tokenizer.encode_batch([row.text for row in rows])]
        mean = sum(row.weight for row in rows) / len(rows)
        self.weights = torch.tensor([row.weight / mean for row in rows])
        self.steps = max(tuning.epochs * math.ceil(len(rows) / tuning.batch), tuning.least_steps)

    def batches(self) -> Iterator[list[int]]:
        """Row numbers; endless."""
        epoch = 0
        while True:
            random = np.random.default_rng([self.tuning.seed, epoch])
            order = random.permutation(len(self.ids)).tolist()
            size, batches = self.tuning.batch, []
            for start in range(0, len(order), size * _SORTED_BATCHES):
                window = order[start : start + size * _SORTED_BATCHES]
                window.sort(key=lambda i: len(self.ids[i]))
                batches += [window[i : i + size] for i in range(0, len(window), size)]
            yield from (batches[i] for i in random.permutation(len(batches)))
            epoch += 1

    def rate(self, step: int) -> float:
        """Share of the peak rates: linear up over the warm-up, cosine down to nothing."""
        first = max(1, int(self.tuning.warmup * self.steps))
        if step < first:
            return (step + 1) / first
        return 0.5 * (1.0 + math.cos(math.pi * (step - first) / max(1, self.steps - first)))

    def targets(self, numbers: Sequence[int], classes: int) -> Tensor:
        """Shape (rows, classes): what the teacher thought, as far as it said."""
        made = torch.zeros(len(numbers), classes)
        for i, number in enumerate(numbers):
            row = self.rows[number]
            left = self.tuning.smoothing if row.probability is None else 1.0 - row.probability
            made[i] = left / max(1, classes - 1)
            made[i, row.label] = 1.0 - left
        return made


def _begin_heads(
    model: Any, lower: Sequence[Tensor], tokens: _Tokens, answers: Sequence[str]
) -> Tensor:
    """The mean of each answer's questions and of its own text, unit length."""
    frozen = tokens.tuning.frozen
    own = [one.ids for one in make_tokenizer().encode_batch(list(answers))]
    sums = encode(model, own, frozen)
    with torch.no_grad():
        for start in range(0, len(lower), _AT_ONCE):
            labels = [row.label for row in tokens.rows[start : start + _AT_ONCE]]
            vectors = run_upper(model, lower[start : start + _AT_ONCE], frozen)
            sums.index_add_(0, torch.tensor(labels), vectors)
    return functional.normalize(sums, dim=1)


def _freeze(model: Any, layers: int) -> None:
    """Word embeddings are most of the weights and are seldom met: they stay as they are."""
    for part in (model.embeddings, *model.encoder.layer[:layers]):
        for parameter in part.parameters():
            parameter.requires_grad_(False)


def _train(
    model: Any,
    heads: torch.nn.Parameter,
    lower: Sequence[Tensor],
    tokens: _Tokens,
    work: Path,
    identity: str,
    progress: Progress | None,
) -> None:
    tuning = tokens.tuning
    weights = {name: one for name, one in model.named_parameters() if one.requires_grad}
    plain = [one for name, one in weights.items() if name.endswith(_NO_DECAY)]
    decayed = [one for name, one in weights.items() if not name.endswith(_NO_DECAY)]
    groups = [
        {"params": decayed, "peak": tuning.learning_rate, "weight_decay": 0.01},
        {"params": plain, "peak": tuning.learning_rate, "weight_decay": 0.0},
        {"params": [heads], "peak": tuning.head_rate, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=tuning.learning_rate, fused=True)
    state = _State(weights={**weights, "heads": heads}, optimizer=optimizer, identity=identity)
    done = state.resume(work)
    batches = tokens.batches()
    for _ in range(done):
        next(batches)
    model.train()
    with (work / CURVE).open("a", encoding="utf-8") as curve:
        for step in range(done, tokens.steps):
            began_s = time.monotonic()
            numbers, share = next(batches), tokens.rate(step)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share
            vectors = run_upper(model, [lower[i] for i in numbers], tuning.frozen)
            logits = tuning.scale * vectors @ functional.normalize(heads, dim=1).T
            losses = functional.cross_entropy(
                logits, tokens.targets(numbers, len(heads)), reduction="none"
            )
            loss = (losses * tokens.weights[numbers]).mean()
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"The loss of step {step + 1} is not finite: lower the learning rate."
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seconds = time.monotonic() - began_s
            line = {"step": step + 1, "loss": float(loss), "rate": share, "seconds": seconds}
            curve.write(json.dumps(line) + "\n")
            if (step + 1) % tuning.checkpoint_steps == 0 or step + 1 == tokens.steps:
                curve.flush()
                state.save(work, step + 1)
            if progress is not None:
                progress(step + 1, tokens.steps, float(loss))


@dataclass(frozen=True, kw_only=True)
class _State:
    """What a step depends on beside seed and number; written whole or not at all."""

    weights: dict[str, Tensor]
    optimizer: Any
    identity: str

    def save(self, work: Path, step: int) -> None:
        draft = work / (_CHECKPOINT + ".new")
        kept = {
            "identity": self.identity,
            "step": step,
            "weights": {name: value.detach() for name, value in self.weights.items()},
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        with draft.open("wb") as file:
            torch.save(kept, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(work / _CHECKPOINT)

    def resume(self, work: Path) -> int:
        """Steps that are done. The curve is cut to them: a killed run may have written further."""
        step = 0
        if (work / _CHECKPOINT).exists():
            kept = torch.load(work / _CHECKPOINT, weights_only=True)
            if kept["identity"] != self.identity:
                raise ValueError(f"{work} holds a checkpoint of another run: empty it.")
            with torch.no_grad():
                for name, value in self.weights.items():
                    value.copy_(kept["weights"][name])
            self.optimizer.load_state_dict(kept["optimizer"])
            torch.set_rng_state(kept["random"])
            step = int(kept["step"])
        if (work / CURVE).exists():
            lines = (work / CURVE).read_text(encoding="utf-8").splitlines(keepends=True)[:step]
            (work / CURVE).write_text("".join(lines), encoding="utf-8")
        return step
