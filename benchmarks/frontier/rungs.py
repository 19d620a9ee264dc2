"""What a further model between student and teacher saves, in known worlds, under the same promise.

Beside the ladder (student, then the model where it is worth its price, then the teacher): no such
model; that model alone; the model asked wherever the student's draft isn't fit, whatever it costs;
and who knows beforehand which drafts agree, which no promise could reach. All through the policy,
the certificate and the gate that serve (``rung_world``), each arm on the same streams.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frontier.rung_world import ARMS, MIXES, Arm, Ran, run
from benchmarks.frontier.sidebyside import describe_run

_T_95 = {4: 3.182, 6: 2.571, 8: 2.365, 10: 2.262, 12: 2.201, 16: 2.131, 20: 2.093}
"""Student's t at 97.5 % for so many runs."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    mix: str
    arm: Arm
    price: float
    count: int
    seed: int


def main() -> int:
    """Print a table; with ``--out`` everything as JSON."""
    args = _read_args()
    began_s, described = time.perf_counter(), describe_run(args.seed)
    jobs = {
        _job(mix, arm, price, args, i)
        for mix in MIXES
        for price in args.prices
        for arm in ARMS
        for i in range(args.seeds)
    }
    with ProcessPoolExecutor(args.processes) as pool:
        ran = dict(zip(jobs, pool.map(_do, jobs), strict=True))
    report: dict[str, Any] = {
        **described,
        "count": args.count,
        "seeds": args.seeds,
        "worlds": [_describe(mix, price, args, ran) for mix in MIXES for price in args.prices],
        "seconds": round(time.perf_counter() - began_s),
    }
    for world in report["worlds"]:
        print(_write(world))
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python -m benchmarks.frontier.rungs --seeds 8"
    )
    parser.add_argument("--count", type=int, default=3_000, help="interactions of a run (3000)")
    parser.add_argument("--seeds", type=int, default=8, choices=list(_T_95), help="runs (8)")
    parser.add_argument("--seed", type=int, default=100, help="the first (100)")
    parser.add_argument("--prices", type=float, nargs="+", default=[0.1, 0.2], metavar="C")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="everything as JSON")
    return parser.parse_args()


def _do(job: _Job) -> Ran:
    return run(MIXES[job.mix], job.arm, price=job.price, count=job.count, seed=job.seed)


def _job(mix: str, arm: Arm, price: float, args: argparse.Namespace, i: int) -> _Job:
    """Without the model its price plays no part."""
    asked = 0.0 if arm == "student" else price
    return _Job(mix=mix, arm=arm, price=asked, count=args.count, seed=args.seed + i)


def _describe(
    mix: str, price: float, args: argparse.Namespace, ran: dict[_Job, Ran]
) -> dict[str, Any]:
    of = {arm: [ran[_job(mix, arm, price, args, i)] for i in range(args.seeds)] for arm in ARMS}
    ladder = [one.cost for one in of["ladder"]]
    return {
        "mix": mix,
        "price": price,
        "arms": {
            arm: {
                "cost": _mean([one.cost for one in runs]),
                "agreement": _mean([one.agreement for one in runs]),
                "broken": sum(one.agreement < 0.95 for one in runs),
                "less_than_it": _mean(
                    [one.cost - own for one, own in zip(runs, ladder, strict=True)]
                ),
                "runs": [asdict(one) for one in runs],
            }
            for arm, runs in of.items()
        },
        "oracle": float(np.mean([one.oracle for one in of["ladder"]])),
    }


def _mean(values: Sequence[float]) -> list[float]:
    """The mean and its interval at 95 %, by Student's t over the runs."""
    mean = float(np.mean(values))
    half = _T_95[len(values)] * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return [mean, mean - half, mean + half]


def _write(world: dict[str, Any]) -> str:
    parts = [f"{world['mix']}, price {world['price']:g}; knowing beforehand {world['oracle']:.3f}"]
    for arm, told in world["arms"].items():
        mean, low, high = told["cost"]
        less, least, most = told["less_than_it"]
        parts.append(
            f"  {arm:8} cost {mean:.3f} [{low:.3f}, {high:.3f}]  agreement"
            f" {told['agreement'][0]:.4f}, broken {told['broken']}  the ladder saves"
            f" {less:+.3f} [{least:+.3f}, {most:+.3f}]"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    raise SystemExit(main())
