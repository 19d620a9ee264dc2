"""Rows of a stream from the files of its public source, one maker a source.

A maker does what was done by hand for the tables: it chooses rows, names them, asks their questions
under short instructions of our own, and keeps answers, usage and verdicts as they were recorded.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

Row = dict[str, Any]
Files = Mapping[str, Path]
"""A source's files by the name that the manifest gives them."""

_INVOICES = (
    "Extract the invoice fields from the message. Answer with one JSON object with the keys "
    "vendor_name, invoice_number, invoice_date, due_date, currency, total_amount, tax_amount, "
    "po_number; null where the message does not say."
)
_INTENTS = (
    "You sort customer messages for a bank. Answer with the one intent label that fits best, and "
    "nothing else."
)
_SOLVE = "Solve the problem step by step. End with a line 'ans = NUMBER'."
_KEY = (
    "model",
    "messages",
    "temperature",
    "max_tokens",
    "response_format",
    "top_p",
    "seed",
    "stop",
)
"""What of a request taskdistill's recordings are keyed by."""


class SourceDiffers(Exception):
    """A source isn't laid out as it was when the stream was made; the sentence says where."""


class Recordings:
    """A teacher's answers in taskdistill's wheel, by the question asked."""

    def __init__(self, wheel: Path, task: str) -> None:
        with zipfile.ZipFile(wheel) as held:
            self._prompt = held.read(f"taskdistill/_data/tasks/{task}/teacher_prompt.md").decode()
            packed = held.read(f"taskdistill/_data/demos/{task}/teacher_recording.jsonl.gz")
        first, *others = gzip.decompress(packed).decode().splitlines()
        self._head = json.loads(first)
        self._records = {record["key"]: record for record in map(json.loads, others)}

    def teacher(self, question: str) -> Row:
        """The recorded answer as a stream has it. Raises SourceDiffers where there is none."""
        made = self._head["generation"]
        body = {
            "model": self._head["teacher_model"],
            "messages": [
                {"role": "system", "content": self._prompt},
                {"role": "user", "content": question},
            ],
            **{name: made[name] for name in ("temperature", "max_tokens", "response_format")},
        }
        record = self._records.get(_key_of(body))
        if record is None:
            raise SourceDiffers(f"no answer was recorded to {question[:60]!r}")
        usage = record["usage"]
        return {
            "content": record["output"],
            "usage": {name: usage[name] for name in ("prompt_tokens", "completion_tokens")},
            "cost_usd": usage["cost"],
            "latency_ms": round(record["latency_ms"], 1),
        }


def make_invoices(files: Files) -> Iterator[Row]:
    """The training and validation layouts of taskdistill's seeded generator, with its recordings.

    The generator is taken from the wheel, which is not installed: it needs the standard library
    alone.
    """
    recordings = Recordings(files["wheel"], "invoices")
    for document in _read_documents(files["wheel"]):
        if document.split == "test":
            continue
        yield {
            "id": f"inv-{document.id}",
            "workload": "invoices",
            "layout": document.template,
            "request": {
                "messages": _ask(document.text, _INVOICES),
                "temperature": 0,
                "response_format": {"type": "json_object"},
            },
            "teacher": recordings.teacher(document.text),
            "gold": json.dumps(document.gold, ensure_ascii=False),
        }


def make_intents(files: Files) -> Iterator[Row]:
    """Banking77's training split in its own order, with taskdistill's recordings."""
    recordings = Recordings(files["wheel"], "banking77")
    for i, line in enumerate(_read_table(files["train.csv"], ("text", "category"))):
        answer = recordings.teacher(line["text"])
        yield {
            "id": f"b77ds-{i}",
            "workload": "banking77",
            "request": {"messages": _ask(line["text"], _INTENTS), "temperature": 0},
            "teacher": answer | {"content": _name_intent(answer["content"])},
            "gold": _name_intent(line["category"]),
        }


def make_routed(files: Files) -> Iterator[Row]:
    """RouteLLM's answers to GSM8K but for the prompts that it calls contaminated."""
    text = files["contaminated_prompts.jsonl"].read_text(encoding="utf-8")
    left_out = {json.loads(line)["eval_prompt"] for line in text.splitlines() if line.strip()}
    weak, strong = "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"
    columns = ("prompt", weak, strong, f"{weak}_response", f"{strong}_response")
    lines = _read_table(files["gsm8k_responses.csv"], columns)
    for i, line in enumerate(one for one in lines if one["prompt"] not in left_out):
        yield {
            "id": f"gsm8k-{i}",
            "workload": "gsm8k",
            "domain": None,
            "request": {"messages": _ask(line["prompt"]), "temperature": 0},
            "teacher": {
                "content": line[f"{strong}_response"],
                "correct": line[strong] == "True",
                "model": strong,
            },
            "student": {
                "content": line[f"{weak}_response"],
                "correct": line[weak] == "True",
                "model": "mixtral-8x7b-instruct",
            },
        }


def make_traces(files: Files) -> Iterator[Row]:
    """The first of GPT-4's solutions of each problem that has any; ids count all problems."""
    told = json.loads(files["gsm_greedy_cot1.json"].read_text(encoding="utf-8"))
    for i, problem in enumerate(told):
        missing = {"question", "answer", "generated", "results"} - problem.keys()
        if missing:
            raise SourceDiffers(f"problem {i} lacks {sorted(missing)[0]!r}")
        if not problem["generated"]:
            continue
        yield {
            "id": f"gsm-{i}",
            "workload": "gsm8k",
            "request": {"messages": _ask(problem["question"], _SOLVE), "temperature": 0},
            "teacher": {
                "content": problem["generated"][0],
                "correct": problem["results"][0] == problem["answer"],
                "model": "gpt-4",
            },
            "gold": str(problem["answer"]),
        }


MAKERS: Mapping[str, Callable[[Files], Iterator[Row]]] = MappingProxyType(
    {
        "invoices-train": make_invoices,
        "banking77-deepseek-train": make_intents,
        "gsm8k-mixtral-gpt4": make_routed,
        "gsm8k-gpt4-traces": make_traces,
    }
)
"""By the stream's name."""


def _ask(question: str, instructions: str | None = None) -> list[Row]:
    asked = {"role": "user", "content": question}
    return [asked] if instructions is None else [{"role": "system", "content": instructions}, asked]


def _name_intent(label: str) -> str:
    return label.replace("_", " ").replace("?", "").lower()


def _key_of(body: Row) -> str:
    """SHA-256 of sorted JSON, with 0 for 0.0."""
    chosen = {name: body.get(name) for name in _KEY}
    if float(body["temperature"]).is_integer():
        chosen["temperature"] = int(body["temperature"])
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_documents(wheel: Path) -> Any:
    sys.path.insert(0, str(wheel))
    try:
        return importlib.import_module("taskdistill.demos.invoices").generate()
    finally:
        sys.path.remove(str(wheel))


def _read_table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise SourceDiffers(f"{path.name} has no column {missing[0]!r}")
        yield from reader
