"""What a pool saves a stream that is split into small workloads, and what a bad member costs it.

    python -m benchmarks.promise.pooling --seeds 0 1 2 --out pooling.jsonl
    python -m benchmarks.promise.pooling --summarize pooling.jsonl

A stream is split at random, or by its intents (their gold labels' hash), and shuffled; every
part is a workload under the same promise. Each split is replayed alone and in one pool, with the
same coins. ``renamed``: from the middle on the last part's teacher gives its labels other names.
Rows are appended to ``--out`` one by one; a run that it holds already isn't repeated. The streams
aren't part of the project: their folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.promise.held import is_contradicted, read_commit
from benchmarks.promise.matrix import Row, Rows, read_runs
from benchmarks.promise.orders import STREAMS, limited, read_source
from distill.replay.line import Line
from distill.replay.run import replay
from distill.replay.terms import settings_for
from distill.streams import read_stream
from router.settings.model import PromiseSettings, Settings, WorkloadSettings
from router.students.encoder import Encoder

SPLITS = ("random", "intents")
WORLDS = ("alike", "renamed")
_NAMES = ("stream", "split", "world", "promise", "members", "seed", "limit", "pooled")
_POOL = "all"


def split_rows(rows: Sequence[Row], split: str, members: int, draw: random.Random) -> Rows:
    """The rows shuffled, each with the workload that it falls to."""
    found = []
    for row in draw.sample(rows, len(rows)):
        part = draw.randrange(members)
        if split == "intents":
            part = int(sha256(str(row["gold"]).encode()).hexdigest(), 16) % members
        found.append(row | {"workload": f"part-{part}"})
    return found


def rename(rows: Sequence[Row], workload: str, draw: random.Random) -> Rows:
    """From the middle on the workload's labels are moved one place on in a random order."""
    labels = sorted({str(row["teacher"]["content"]) for row in rows})
    draw.shuffle(labels)
    others = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    return [
        row | {"teacher": row["teacher"] | {"content": others[str(row["teacher"]["content"])]}}
        if row["workload"] == workload and i >= len(rows) // 2
        else row
        for i, row in enumerate(rows)
    ]


def run_one(job: Mapping[str, object], rows: Sequence[Row], encoder: Encoder) -> Row:
    """The figures of one replay."""
    began_s, draw = time.perf_counter(), random.Random(int(str(job["seed"])))
    members = int(str(job["members"]))
    made = split_rows(rows, str(job["split"]), members, draw)
    if job["world"] == "renamed":
        made = rename(made, f"part-{members - 1}", draw)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
        stream = read_stream(path)
    promise = PromiseSettings(agreement=float(str(job["promise"])))
    pool = _POOL if job["pooled"] else None
    workloads = tuple(
        WorkloadSettings(name=f"part-{k}", promise=promise, pool=pool) for k in range(members)
    )
    base = settings_for(stream, None, None)
    settings: Settings = base.model_copy(update={"workloads": workloads})
    run = asyncio.run(replay(stream, settings, seed=int(str(job["seed"])), encoder=encoder))
    claims = [vars(one) | {"from": one.start, "to": one.end} for one in run.claims]
    parts = [
        _describe_part([line for line in run.lines if line.workload == one.name])
        for one in workloads
    ]
    return {
        **job,
        **_describe_part(run.lines),
        "parts": parts,
        "lowest": min(part["agreement"] for part in parts),
        "held": sum(line.agreed for line in run.lines) / len(run.lines) >= promise.agreement,
        "claims": len(claims),
        "contradicted": is_contradicted(claims, run.lines),
        "releases": run.releases,
        "seconds": round(time.perf_counter() - began_s, 1),
    }


def _describe_part(lines: Sequence[Line]) -> Row:
    """``evident``: queries that were evidence, ``pooled_lines``: for a pool, too; ``left_at``: the
    first that wasn't any more, since its workload was doubted or put out."""
    half = lines[len(lines) // 2 :]
    evident = [i for i, line in enumerate(lines) if line.score is not None]
    pooled = [i for i in evident if lines[i].pool]
    return {
        "n": len(lines),
        "asked_rate": sum(line.asked for line in lines) / len(lines),
        "agreement": sum(line.agreed for line in lines) / len(lines),
        "wrong": sum(not line.agreed for line in lines),
        "second_half": {
            "asked_rate": sum(line.asked for line in half) / len(half),
            "agreement": sum(line.agreed for line in half) / len(half),
        },
        "evident": len(evident),
        "pooled_lines": len(pooled),
        "left_at": next((i for i in evident if pooled and not lines[i].pool), None),
    }


def plan(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """The runs asked for; alone and pooled in a row."""
    for seed, split, world, pooled in product(args.seeds, args.splits, args.worlds, (False, True)):
        values = (args.stream, split, world, args.promise, args.members, seed, args.limit, pooled)
        yield dict(zip(_NAMES, values, strict=True))


def measure(args: argparse.Namespace, known: Rows) -> Rows:
    """The runs asked for, those in ``known`` taken from there."""
    done = {tuple(row[name] for name in _NAMES): row for row in known}
    machine = {"commit": read_commit(), "machine": platform.platform()}
    encoder, found = Encoder(cache=1_000_000), []
    source = limited(read_source(args.data, args.stream), args.limit, random.Random(0))
    for job in plan(args):
        row = done.get(tuple(job.values()))
        if row is None:
            row = run_one(job, source.rows, encoder) | machine
            print(_describe(row), flush=True)
            if args.out is not None:
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        found.append(row)
    return found


def _describe(row: Row) -> str:
    left = [part["left_at"] for part in row["parts"]]
    way = "pooled" if row["pooled"] else "alone"
    return (
        f"{row['split']:8} {row['world']:8} seed {row['seed']} {way:6}"
        f"  asked {row['asked_rate']:.3f}  agreement {row['agreement']:.4f}"
        f" {'held' if row['held'] else 'BROKEN'}  lowest {row['lowest']:.4f}"
        f"  last {row['parts'][-1]['agreement']:.4f}  claims {row['claims']}"
        f"{' CONTRADICTED' if row['contradicted'] else ''}  left at {left}  {row['seconds']:.0f} s"
    )


def print_summary(runs: Rows) -> None:
    """A line per split, world and way, averaged over seeds."""
    for split, world, pooled in product(SPLITS, WORLDS, (False, True)):
        rows = [
            row
            for row in runs
            if (row["split"], row["world"], row["pooled"]) == (split, world, pooled)
        ]
        if not rows:
            continue
        out = sum(part["left_at"] is not None for row in rows for part in row["parts"][:-1])
        last = sum(row["parts"][-1]["left_at"] is not None for row in rows)
        print(
            f"{split:8} {world:8} {'pooled' if pooled else 'alone ':6}  {len(rows)} runs"
            f"  asked {mean(row['asked_rate'] for row in rows):.3f}"
            f"  agreement {mean(row['agreement'] for row in rows):.4f}"
            f"  held {sum(row['held'] for row in rows)}"
            f"  lowest member {min(row['lowest'] for row in rows):.4f}"
            f"  last member {mean(row['parts'][-1]['agreement'] for row in rows):.4f}"
            f"  put out {out} others, {last} last"
            f"  contradicted {sum(row['contradicted'] for row in rows)}"
        )


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--stream", choices=STREAMS, default="banking77-gpt4")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--promise", type=float, default=0.95)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(0 to 2)")
    parser.add_argument("--limit", type=int, help="rows drawn from the stream (all)")
    parser.add_argument("--out", type=Path, help="JSON lines; runs in it aren't repeated")
    parser.add_argument("--summarize", type=Path, metavar="FILE", help="only print FILE's table")
    return parser.parse_args()


def main() -> int:
    """Print a line per run and the averages; 1 where a claim is contradicted."""
    args = _read_args()
    if args.summarize is not None:
        runs = read_runs(args.summarize)
    elif args.data is None or not (args.data / "streams").is_dir():
        print("skipped: no streams; name their folder by --data or TUTELAGE_DATA")
        return 0
    else:
        runs = measure(args, read_runs(args.out) if args.out and args.out.exists() else [])
    print_summary(runs)
    return 0 if not any(run["contradicted"] for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
