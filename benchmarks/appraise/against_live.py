"""Does an appraisal of a log say what a live replay then achieves?

A recorded stream is written as an OpenAI log, in a random order and spread over ten days;
``tutelage appraise`` predicts from it, then ``tutelage replay`` runs over the stream in other
random orders with other coins, and with other messages where there is a limit. What they ask and
save should lie within the predicted intervals, which hold for each run in 95 of 100. The data isn't
part of the project: its folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.appraise.forecast import COVERAGE

_BEGAN_AT = 1_767_225_600
_SPAN_S = 10 * 86_400


def write_openai_log(stream: Path, log: Path, seed: int, limit: int | None) -> int:
    """The stream's rows as OpenAI's client sends and gets them, and what each cost; how many."""
    with gzip.open(stream, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    random.Random(seed).shuffle(rows)
    rows = rows[:limit]
    with log.open("w", encoding="utf-8") as file:
        for i, row in enumerate(rows):
            line = _as_openai(row, _BEGAN_AT + _SPAN_S * i // len(rows))
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(rows)


def _as_openai(row: dict[str, Any], at: int) -> dict[str, Any]:
    teacher = row["teacher"]
    message = {"role": "assistant", "content": teacher["content"]}
    response = {
        "id": f"chatcmpl-{row['id']}",
        "object": "chat.completion",
        "created": at,
        "model": "recorded",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": teacher["usage"],
    }
    return {
        "request": {"model": "recorded", **row["request"]},
        "response": response,
        "cost_usd": teacher["cost_usd"],
    }


def compare(forecast: dict[str, Any], lived: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each predicted share beside what came of it."""
    found = {"asked": lived["asked_rate"], "saving": lived["saving"]}
    for name, value in found.items():
        said = forecast[name]
        yield {
            "what": name,
            "predicted": said,
            "lived": value,
            "within": said["low"] <= value <= said["high"],
        }


def _tutelage(*arguments: str) -> None:
    main_of = "import sys; from router.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", main_of, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def live(stream: Path, folder: Path, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """What a replay in a random order of its own comes to."""
    lived = folder / "lived.json"
    only = () if args.limit is None else ("--limit", str(args.limit))
    terms = ("--promise", args.promise, "--seed", str(seed))
    _tutelage("replay", str(stream), *terms, *only, "--out", str(lived))
    result: dict[str, Any] = json.loads(lived.read_text())
    return result


def main() -> int:
    """Print a line for each figure of each replay; 1 unless as many lie within their intervals as
    should, and as many promises were held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("TUTELAGE_DATA"))
    parser.add_argument("--stream", default="banking77-deepseek-train")
    parser.add_argument("--promise", default="0.95")
    parser.add_argument("--runs", default="5", help="replays of the appraisal (5)")
    parser.add_argument("--lives", type=int, default=1, help="replays held against it (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="rows (all)")
    args = parser.parse_args()
    if args.data is None:
        parser.error("name the folder of the recorded data: --data DIR")
    stream = Path(args.data) / "streams" / f"{args.stream}.jsonl.gz"
    within: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, said = folder / "log.jsonl", folder / "said.json"
        count = write_openai_log(stream, log, args.seed, args.limit)
        terms = ("--promise", args.promise, "--runs", args.runs, "--seed", str(args.seed))
        _tutelage("appraise", str(log), *terms, "--limit", str(count), "--out", str(said))
        (part,) = json.loads(said.read_text())["workloads"]
        for seed in range(args.seed + 1000, args.seed + 1000 + args.lives):
            result = live(stream, folder, args, seed)
            print(f"{count} rows, seed {seed}; agreement {result['agreement']:.4f}")
            for one in compare(part["forecast"], result):
                within[one["what"]] += one["within"]
                print(json.dumps(one), flush=True)
            within["promise"] += result["promise_held"]
    print(f"of {args.lives}, within the interval or held: {dict(within)}")
    least = max(1, math.floor(COVERAGE * args.lives))
    return 0 if all(within[name] >= least for name in ("asked", "saving", "promise")) else 1


if __name__ == "__main__":
    sys.exit(main())
