"""The cascade over a stream of drafts that ``benchmarks.generative.invoices --stream`` wrote.

Cold: the gate is learned and the promise proven while the stream passes, in several orders. Fitted:
on one random half of the stream gate and threshold are learned, on the other they serve, both ways
for each seed: what is asked once a few hundred documents of such layouts were seen.

    python -m benchmarks.generative.cascade STREAM --promise 0.97 --seeds 5 --out FILE
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.replay.command import run_replay

_KEPT = ("asked_rate", "agreement", "promise_held", "accuracy", "cost_usd", "teacher_cost_usd")


def run_cold(stream: Path, promise: float, seeds: int) -> list[dict[str, Any]]:
    """One replay for each seed, which is the order and the coins."""
    return [_run(stream, promise, seed) for seed in range(seeds)]


def run_fitted(stream: Path, promise: float, seeds: int) -> list[dict[str, Any]]:
    """Two replays for each seed, which also draws the halves."""
    rows = stream.read_text("utf-8").splitlines(keepends=True)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first.jsonl", Path(folder) / "second.jsonl"
        for seed in range(seeds):
            shuffled = random.Random(seed).sample(rows, len(rows))
            first.write_text("".join(shuffled[: len(rows) // 2]), "utf-8")
            second.write_text("".join(shuffled[len(rows) // 2 :]), "utf-8")
            found.append(_run(second, promise, seed, "--fit", first))
            found.append(_run(first, promise, seed, "--fit", second))
    return found


def _run(stream: Path, promise: float, seed: int, *more: object) -> dict[str, Any]:
    result = run_replay(stream, "--promise", promise, "--seed", seed, *more)
    if not result["recomputed"]:
        raise SystemExit("The trace gives other figures than the result.")
    return {"seed": seed, **{name: result[name] for name in _KEPT}}


def _show(name: str, runs: Sequence[dict[str, Any]]) -> None:
    asked = [run["asked_rate"] for run in runs]
    held = sum(run["promise_held"] for run in runs)
    print(
        f"{name}: asked {sum(asked) / len(asked):.1%} ({min(asked):.1%} to {max(asked):.1%}), "
        f"agreement at least {min(run['agreement'] for run in runs):.4f}, "
        f"held {held} of {len(runs)}, "
        f"cost {sum(r['cost_usd'] / r['teacher_cost_usd'] for r in runs) / len(runs):.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--promise", type=float, default=0.97)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = {
        "cold": run_cold(arguments.stream, arguments.promise, arguments.seeds),
        "fitted": run_fitted(arguments.stream, arguments.promise, arguments.seeds),
    }
    for name, runs in report.items():
        _show(name, runs)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
