"""Is a promise held when the traffic shifts? Certificate and guarantee side by side.

Every run is the command ``tutelage replay`` on a stream whose order is fixed beforehand from a
seed; ``benchmarks.replay.seeds`` recomputes its figures from its trace. The stream isn't part of
the project: its folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.replay.seeds import replay

Row = dict[str, Any]
Rows = list[Row]

_STREAM = "streams/banking77-gpt4.jsonl.gz"
_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"certificate": (), "guarantee": ("--guarantee",)}
)


def shuffled(rows: Rows, draw: random.Random) -> Rows:
    """No shift."""
    return draw.sample(rows, len(rows))


def new_intents(rows: Rows, draw: random.Random) -> Rows:
    """Half of the teacher's answers don't occur before the middle."""
    labels = sorted({_label(row) for row in rows})
    late = set(draw.sample(labels, len(labels) // 2))
    old = [row for row in shuffled(rows, draw) if _label(row) not in late]
    first = min(len(old), len(rows) // 2)
    early = {row["id"] for row in old[:first]}
    return old[:first] + [row for row in shuffled(rows, draw) if row["id"] not in early]


def by_length(rows: Rows, draw: random.Random) -> Rows:
    """Short questions first, long ones last."""
    return sorted(shuffled(rows, draw), key=lambda row: len(json.dumps(row["request"])))


def teacher_swapped(rows: Rows, draw: random.Random) -> Rows:
    """From the middle on a third of the answers are called by another one's name."""
    labels = sorted({_label(row) for row in rows})
    moved = draw.sample(labels, len(labels) // 3)
    names = dict(zip(moved, moved[1:] + moved[:1], strict=True))
    mixed = shuffled(rows, draw)
    half = len(rows) // 2
    return mixed[:half] + [_relabel(r, names.get(_label(r), _label(r))) for r in mixed[half:]]


def noise_rising(rows: Rows, draw: random.Random) -> Rows:
    """The teacher answers at random more and more often, up to one time in five."""
    labels = sorted({_label(row) for row in rows})
    mixed = shuffled(rows, draw)
    return [
        _relabel(row, draw.choice(labels)) if draw.random() < 0.2 * i / len(mixed) else row
        for i, row in enumerate(mixed)
    ]


SHIFTS: Mapping[str, Callable[[Rows, random.Random], Rows]] = MappingProxyType(
    {
        "shuffled": shuffled,
        "new-intents": new_intents,
        "by-length": by_length,
        "teacher-swapped": teacher_swapped,
        "noise-rising": noise_rising,
    }
)


def main() -> int:
    """Print a line per run and a summary; 1 where a figure can't be recomputed."""
    args = _read_args()
    if args.data is None or not (args.data / args.stream).exists():
        print(f"skipped: no {args.stream}; name its folder by --data or TUTELAGE_DATA")
        return 0
    with gzip.open(args.data / args.stream, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    runs: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        for shift in args.shift:
            for seed in range(args.seeds):
                path = Path(folder) / f"{shift}-{seed}.jsonl"
                ordered = SHIFTS[shift](rows, random.Random(seed))
                path.write_text("".join(json.dumps(row) + "\n" for row in ordered))
                runs += _compare(path, shift, seed, args.promise)
    _summarize(runs)
    if args.out is not None:
        report = {"stream": args.stream, "runs": runs}
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if all(run["recomputed"] for run in runs) else 1


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--stream", default=_STREAM, help=f"below the folder ({_STREAM})")
    parser.add_argument("--shift", nargs="+", choices=sorted(SHIFTS), default=list(SHIFTS))
    parser.add_argument("--promise", type=float, nargs="+", default=[0.95])
    parser.add_argument("--seeds", type=int, default=2, help="seeds 0 to N - 1 (2)")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _compare(path: Path, shift: str, seed: int, promises: list[float]) -> Rows:
    runs = []
    for promise in promises:
        for kind, more in _KINDS.items():
            print(f"{shift:16} {kind:12} ", end="", flush=True)
            result = replay(path, promise, seed, ["--no-shuffle", *more])
            runs.append({"shift": shift, "kind": kind, **result})
    return runs


def _summarize(runs: Rows) -> None:
    for shift, kind, promise in sorted({(r["shift"], r["kind"], r["promise"]) for r in runs}):
        same = [r for r in runs if (r["shift"], r["kind"], r["promise"]) == (shift, kind, promise)]
        windows = [r["agreement_worst_window"] for r in same if r["agreement_worst_window"]]
        asked = sum(r["asked_rate"] for r in same) / len(same)
        print(
            f"{shift:16} {kind:12} promise {promise}: held {sum(r['promise_held'] for r in same)} "
            f"of {len(same)}; asked {asked:.3f}; agreement at least "
            f"{min(r['agreement'] for r in same):.4f}; worst window "
            f"{min(windows, default=float('nan')):.3f}"
        )


def _label(row: Row) -> str:
    return str(row["teacher"]["content"])


def _relabel(row: Row, label: str) -> Row:
    return {**row, "teacher": {"content": label}}


if __name__ == "__main__":
    sys.exit(main())
