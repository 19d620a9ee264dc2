"""Recorded streams to replay, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from router.cli import main
from tests.integration.learning.messages import make_messages

SYSTEM = "Sort the message into one of the shop's intents."


@dataclass(frozen=True, kw_only=True)
class Run:
    """``code``: the exit status; ``result`` and ``trace``: what ``--out`` and ``--trace`` hold."""

    code: int
    out: str
    err: str
    result: dict[str, Any]
    trace: list[dict[str, Any]]


def make_stream(count: int = 400, seed: int = 5, hard: float = 0.12) -> list[dict[str, Any]]:
    """Rows in the contract's form; the teacher errs in one of ten."""
    return [
        {
            "id": f"q{i}",
            "request": {
                "messages": [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": text},
                ]
            },
            "teacher": {"content": label, "usage": {"prompt_tokens": 40, "completion_tokens": 3}},
            "gold": "refund" if i % 10 == 0 else label,
        }
        for i, (text, label) in enumerate(make_messages(count, seed, hard))
    ]


def write_stream(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_config(folder: Path, distillation: str = "allowed", **sections: Any) -> Path:
    """A configuration that promises 0.9 to everything, at a teacher of 0.01 USD a request."""
    path = folder / "tutelage.yaml"
    teacher = {
        "upstream": "http://127.0.0.1:9/v1",
        "model": "big",
        "distillation": distillation,
        "price": {"usd_per_request": 0.01},
    }
    workload = {"name": "shop", "promise": {"agreement": 0.9}}
    content = {"models": {"teacher": teacher}, "workloads": [workload]} | sections
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


def replay(stream: Path, *words: str | Path, seed: int = 0) -> Run:
    """``tutelage replay`` in this process."""
    result, trace = stream.with_suffix(".result"), stream.with_suffix(".trace")
    options = ["--out", str(result), "--trace", str(trace)]
    options += [] if "--seed" in words else ["--seed", str(seed)]
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["replay", str(stream), *map(str, words), *options])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    if code != 0:
        return Run(code=code, out=out.getvalue(), err=err.getvalue(), result={}, trace=[])
    return Run(
        code=code,
        out=out.getvalue(),
        err=err.getvalue(),
        result=json.loads(result.read_text()),
        trace=[json.loads(line) for line in trace.read_text().splitlines()],
    )


DECISION = ("id", "draft", "tier", "asked", "background", "score", "threshold", "propensity")


def decisions(trace: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What was decided about every query, and by which release."""
    return [(*(line[name] for name in DECISION), line["release"]) for line in trace]
