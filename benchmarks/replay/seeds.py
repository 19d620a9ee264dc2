"""Replay a recorded stream for several seeds and promises: asked share, agreement, accuracy.

Each run is the command ``tutelage replay`` as users call it; its figures are recomputed from its
trace by ``recompute.py`` before they are counted. The stream isn't part of the project: its folder
is named by ``--data`` or by the environment variable ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.replay.command import run_replay
from benchmarks.replay.warm_start import SEED, write_warm_start

_STREAM = "streams/banking77-gpt4.jsonl.gz"


def main() -> int:
    """Print a line per run and a summary per promise; 1 where a run or its recomputation fails."""
    args = _read_args()
    if args.data is None or not (args.data / args.stream).exists():
        print(f"skipped: no {args.stream}; name its folder by --data or TUTELAGE_DATA")
        return 0
    stream = args.data / args.stream
    report: dict[str, Any] = {"stream": args.stream, "warm_start": args.three_shot, "runs": []}
    more = ["--guarantee"] if args.guarantee else []
    if args.config is not None:
        more += ["--config", str(args.config)]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    with tempfile.TemporaryDirectory() as folder:
        if args.three_shot:
            known = Path(folder) / "seed.jsonl"
            write_warm_start(args.data / SEED, stream, known)
            more += ["--warm-start", str(known)]
        for promise in args.promise:
            results = [replay(stream, promise, seed, more) for seed in seeds]
            report["runs"] += results
            _summarize(promise, results)
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["recomputed"] for result in report["runs"]) else 1


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--stream", default=_STREAM, help=f"below the folder ({_STREAM})")
    parser.add_argument("--promise", type=float, nargs="+", default=[0.95, 0.97])
    parser.add_argument("--seeds", type=int, default=10, help="so many seeds (10)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--three-shot", action="store_true", help=f"begin with {SEED}")
    parser.add_argument("--guarantee", action="store_true", help="assume nothing of the stream")
    parser.add_argument("--config", type=Path, help="prices, for streams that have none")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def replay(stream: Path, promise: float, seed: int, more: Sequence[str]) -> dict[str, Any]:
    """The result of one run, ``recomputed`` telling whether its trace gives the same figures."""
    result = run_replay(stream, "--promise", promise, "--seed", seed, *more)
    print(
        f"promise {promise}  seed {seed}  asked {result['asked_rate']:.3f}  "
        f"agreement {result['agreement']:.4f}  held {result['promise_held']}  "
        f"worst window {result['agreement_worst_window'] or float('nan'):.3f}  "
        f"accuracy {_percent(result['accuracy'])} (teacher {_percent(result['teacher_accuracy'])})"
        f"  releases {result['releases']}  {result['wall_s']:.0f} s  "
        f"recomputed {'ok' if result['recomputed'] else 'DIFFERS'}",
        flush=True,
    )
    return result


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _summarize(promise: float, results: list[dict[str, Any]]) -> None:
    asked = [result["asked_rate"] for result in results]
    held = sum(result["promise_held"] for result in results)
    lowest = min(result["agreement"] for result in results)
    seconds = max(result["wall_s"] for result in results)
    print(
        f"promise {promise}: held {held} of {len(results)}; asked {sum(asked) / len(asked):.3f} on "
        f"average, {max(asked):.3f} at worst; agreement at least {lowest:.4f}; "
        f"at most {seconds:.0f} s a run",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
