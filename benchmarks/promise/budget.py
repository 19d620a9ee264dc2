"""What does a budget buy? Asked share, agreement, what is proven of it, and accuracy, by seed.

Each run is the command ``tutelage replay --usd-per-interaction`` as users call it, with the
stream's three-shot seed as answers known before; its figures are recomputed from its trace by
``benchmarks/replay/recompute.py``. The data isn't part of the project: its folder is named by
``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.replay.command import run_replay
from benchmarks.replay.warm_start import SEED, write_warm_start

_STREAM = "streams/banking77-gpt4.jsonl.gz"
_PRICE = 0.01
_CONFIG = f"""\
models:
  teacher:
    upstream: http://recorded.invalid/v1
    model: recorded
    distillation: allowed
    price: {{usd_per_request: {_PRICE}}}
"""


def main() -> int:
    """Print a line per seed and the average; 1 where a figure can't be recomputed."""
    args = _read_args()
    missing = [name for name in (_STREAM, SEED) if not (args.data and (args.data / name).exists())]
    if missing:
        print(f"skipped: no {missing[0]}; name its folder by --data or TUTELAGE_DATA")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tutelage.yaml").write_text(_CONFIG, encoding="utf-8")
        write_warm_start(args.data / SEED, args.data / _STREAM, folder / "seed.jsonl")
        results = [
            _replay(args.data / _STREAM, folder, seed, args.usd_per_interaction)
            for seed in range(args.seeds)
        ]
    _summarize(results)
    if args.out is not None:
        report = {"stream": _STREAM, "usd_per_interaction": args.usd_per_interaction}
        text = json.dumps({**report, "runs": results}, indent=2)
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0 if all(result["recomputed"] for result in results) else 1


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument(
        "--usd-per-interaction", default="0.002", help=f"an answer costs {_PRICE} (0.002)"
    )
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 to N - 1 (10)")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _replay(stream: Path, folder: Path, seed: int, usd_per_interaction: str) -> dict[str, Any]:
    options = ("--config", folder / "tutelage.yaml", "--seed", seed)
    options += ("--usd-per-interaction", usd_per_interaction)
    result = run_replay(stream, *options, "--warm-start", folder / "seed.jsonl")
    result["proven"] = max((claim["at_least"] for claim in result["certified"]), default=0.0)
    print(
        f"seed {seed}  asked {result['asked_rate']:.3f}  cost {result['cost_usd']:.2f} USD  "
        f"agreement {result['agreement']:.4f}  proven {result['proven']:.3f}  accuracy "
        f"{result['accuracy']:.2%} (teacher {result['teacher_accuracy']:.2%})  "
        f"releases {result['releases']}  {result['wall_s']:.0f} s  "
        f"recomputed {'ok' if result['recomputed'] else 'DIFFERS'}",
        flush=True,
    )
    return result


def _summarize(results: list[dict[str, Any]]) -> None:
    def mean(name: str) -> float:
        return sum(float(result[name]) for result in results) / len(results)

    spread = sum((result["accuracy"] - mean("accuracy")) ** 2 for result in results)
    error = (spread / max(1, len(results) - 1) / len(results)) ** 0.5
    false = sum(result["agreement"] < result["proven"] for result in results)
    print(
        f"average of {len(results)}: asked {mean('asked_rate'):.3f} (at most "
        f"{max(result['asked_rate'] for result in results):.3f}), accuracy {mean('accuracy'):.2%} "
        f"± {error:.2%} (standard error; teacher {mean('teacher_accuracy'):.2%}), agreement "
        f"{mean('agreement'):.4f}, proven {mean('proven'):.3f}, contradicted {false} times"
    )


if __name__ == "__main__":
    sys.exit(main())
