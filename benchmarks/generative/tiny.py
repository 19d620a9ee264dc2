"""A tiny teacher and a tiny student, both trained here: what does each kind of distillation gain?

The task: the order of a random walk ("a", "b" or "c", each with its own table of transitions
between 60 letters) and where it begins → six steps of the walk. The teacher is a small character
transformer trained on walks; students are smaller and see some of its answers. Two questions:

1. Does top-20 and a tail keep what the full vocabulary gains over the answers' text? Gain is the
   fall of KL(teacher ‖ student) on unseen questions below that of the recipe ``sequence``.
2. Do ``preference`` and ``on_policy`` answer more unseen questions as the teacher does (greedily)
   than ``sequence`` followed by as many further steps of the same?

    python -m benchmarks.generative.tiny --seeds 3 --out tiny.json
"""

from __future__ import annotations

import argparse
import copy
import json
import string
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.promise.intervals import interval
from distill.train.examples import Example
from distill.train.losses.buckets import full_buckets
from distill.train.losses.divergences import forward_kl
from distill.train.losses.sequence import IGNORED, masked_mean
from distill.train.recipes.batch import Batch, answer_logits, collate
from distill.train.recipes.drafts import likelihood_grade, sample_drafts
from distill.train.recipes.encode import Encoded, encode, encode_one
from distill.train.recipes.loop import Plan, train_loop
from distill.train.recipes.recipe import Recipe, make_recipe
from distill.train.recipes.steps import Step, sample
from distill.train.recipes.teachers import LocalTeacher
from distill.train.topk import pack_top_k

_LETTERS = string.ascii_letters + string.digits
_TEMPLATE = (
    "{% for m in messages %}{{ m['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '' }}{% endif %}"
)
_ORDERS = "abc"
_STATES = _LETTERS[:60]
_WALK = 6
_NEW_TOKENS = _WALK + 1


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is trained; the defaults take minutes on one core."""

    teacher_rows: int = 6000
    rows: int = 400
    test: int = 200
    epochs: float = 8.0
    later_epochs: float = 2.0


def make_tokenizer() -> PreTrainedTokenizerFast:
    """67 tokens: letters, digits, and an end."""
    words = ["<pad>", "</s>", "<unk>", *_LETTERS, ":"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    backend.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")
    made.chat_template = _TEMPLATE
    return made


def make_model(tokenizer: PreTrainedTokenizerFast, *, width: int, layers: int, seed: int) -> Any:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


def ask(count: int, seed: int) -> list[Example]:
    """Walks drawn from the true tables, which are the same for every seed."""
    tables = np.exp(2.0 * np.random.default_rng(0).normal(size=(3, 60, 60)))
    tables /= tables.sum(axis=-1, keepdims=True)
    random = np.random.default_rng([1, seed])
    found = []
    for i in range(count):
        order, state = int(random.integers(3)), int(random.integers(60))
        question, walk = f"{_ORDERS[order]}:{_STATES[state]}", ""
        for _ in range(_WALK):
            state = int(random.choice(60, p=tables[order, state]))
            walk += _STATES[state]
        messages = ({"role": "user", "content": question},)
        found.append(Example(id=str(i), messages=messages, answer=walk, licence="allowed"))
    return found


def fit(
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    rows: Sequence[Encoded],
    teacher: LocalTeacher | None = None,
) -> None:
    """Train every weight of the model in place, by the recipe's own loop and loss."""
    before = copy.deepcopy(model).eval() if recipe.name == "preference" else None

    def incumbent(batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            return answer_logits(before, batch)

    step = Step(
        recipe=recipe,
        model=model,
        tokenizer=tokenizer,
        teacher=teacher,
        incumbent=incumbent if before is not None else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        train_loop(step, model, Plan(recipe=recipe, rows=rows), Path(folder), identity=recipe.name)
    model.eval()


def answer_greedily(model: Any, tokenizer: Any, rows: Sequence[Encoded]) -> list[list[int]]:
    found: list[list[int]] = []
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        found += sample(model, tokenizer, part, new_tokens=_NEW_TOKENS, greedy=True)
    return found


def distance(student: Any, teacher: Any, batch: Batch) -> float:
    """KL(teacher ‖ student) per token of the teacher's answers, in nats."""
    with torch.no_grad():
        values = forward_kl(
            full_buckets(answer_logits(student, batch)), full_buckets(answer_logits(teacher, batch))
        )
    return float(masked_mean(values, (batch.labels != IGNORED).float()))


def taught(
    teacher: Any, tokenizer: Any, rows: Sequence[Encoded], k: int, *, greedy: bool
) -> list[Encoded]:
    """The questions with the teacher's answers, the likeliest or drawn, and its packed top-k."""
    if greedy:
        answers = answer_greedily(teacher, tokenizer, rows)
    else:
        answers = sample(teacher, tokenizer, rows, new_tokens=_NEW_TOKENS)
    found = []
    for row, ids in zip(rows, answers, strict=True):
        text = tokenizer.decode(ids, skip_special_tokens=True)
        new = encode_one(replace(row.example, answer=text), tokenizer)
        with torch.no_grad():
            logits = answer_logits(teacher, collate([new], tokenizer.pad_token_id))[0]
        best = full_buckets(logits).topk(k, dim=-1)
        packed = pack_top_k(best.indices.numpy(), best.values.numpy())
        found.append(replace(new, example=replace(new.example, top_k=packed)))
    return found


def run_seed(teacher: Any, tokenizer: Any, sizes: Sizes, seed: int) -> dict[str, float]:
    """Every student of one seed: distance and agreement on unseen questions."""
    rows = encode(ask(sizes.rows, 1000 + seed), tokenizer, max_tokens=99).rows
    torch.manual_seed(seed)
    rows = taught(teacher, tokenizer, rows, 20, greedy=False)
    test = encode(ask(sizes.test, 2000 + seed), tokenizer, max_tokens=99).rows
    test = taught(teacher, tokenizer, test, 20, greedy=True)
    batch = collate(test, tokenizer.pad_token_id)
    scoring = LocalTeacher(model=teacher, vocabulary="")
    common: dict[str, float] = {
        "batch": 32,
        "learning_rate": 3e-3,
        "seed": seed,
        "new_tokens": _NEW_TOKENS,
        "checkpoint_steps": 1000,
    }
    later = {**common, "epochs": sizes.later_epochs, "learning_rate": 5e-4}
    found: dict[str, float] = {}

    def note(name: str, model: Any) -> None:
        written = answer_greedily(model, tokenizer, test)
        same = [ids == list(row.answer) for ids, row in zip(written, test, strict=True)]
        found[f"{name}.kl"] = distance(model, teacher, batch)
        found[f"{name}.agreement"] = float(np.mean(same))

    fresh = make_model(tokenizer, width=32, layers=2, seed=100 + seed)
    sequence = copy.deepcopy(fresh)
    fit(make_recipe("sequence", epochs=sizes.epochs, **common), sequence, tokenizer, rows)
    note("sequence", sequence)
    for name, source in (("full", scoring), ("top20", None)):
        model = copy.deepcopy(fresh)
        recipe = make_recipe("standard", epochs=sizes.epochs, **common)
        fit(recipe, model, tokenizer, rows, source)
        note(name, model)

    model = copy.deepcopy(sequence)
    fit(make_recipe("sequence", **later), model, tokenizer, rows)
    note("sequence_longer", model)
    model = copy.deepcopy(sequence)
    fit(make_recipe("on_policy", **later), model, tokenizer, rows, scoring)
    note("on_policy", model)
    torch.manual_seed(seed)
    grade = likelihood_grade(scoring, tokenizer)
    drafted = sample_drafts(
        sequence, tokenizer, rows, grade, count=4, new_tokens=_NEW_TOKENS, batch=100
    )
    ranked = encode(drafted, tokenizer, max_tokens=99).rows
    model = copy.deepcopy(sequence)
    fit(make_recipe("preference", {"plackett_luce": 1.0}, **later), model, tokenizer, ranked)
    note("preference", model)
    return found


def summarise(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Means, and the paired differences that answer the two questions."""

    def gained(name: str) -> list[float]:
        return [run["sequence.kl"] - run[f"{name}.kl"] for run in runs]

    full, top = gained("full"), gained("top20")
    return {
        "means": {name: interval([run[name] for run in runs]) for name in runs[0]},
        "top20_share_of_gain": interval([a / b for a, b in zip(top, full, strict=True)]),
        "agreement_beyond_sequence_longer": {
            name: interval(
                [run[f"{name}.agreement"] - run["sequence_longer.agreement"] for run in runs]
            )
            for name in ("on_policy", "preference")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--teacher-rows", type=int, default=Sizes.teacher_rows)
    parser.add_argument("--rows", type=int, default=Sizes.rows)
    parser.add_argument("--epochs", type=float, default=Sizes.epochs)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = Sizes(teacher_rows=arguments.teacher_rows, rows=arguments.rows, epochs=arguments.epochs)
    began_s = time.monotonic()
    tokenizer = make_tokenizer()
    teacher = make_model(tokenizer, width=64, layers=3, seed=0)
    truth = encode(ask(sizes.teacher_rows, 1), tokenizer, max_tokens=99).rows
    recipe = make_recipe(
        "sequence", epochs=6, batch=64, learning_rate=3e-3, checkpoint_steps=10_000
    )
    fit(recipe, teacher, tokenizer, truth)
    runs = []
    for seed in range(arguments.seeds):
        runs.append(run_seed(teacher, tokenizer, sizes, seed))
        shown = {name: round(value, 3) for name, value in runs[-1].items()}
        print(
            f"seed {seed}, {time.monotonic() - began_s:.0f} s: {shown}", file=sys.stderr, flush=True
        )
    result = {"sizes": vars(sizes), "seeds": arguments.seeds, **summarise(runs)}
    print(json.dumps(result, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({**result, "runs": runs}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
