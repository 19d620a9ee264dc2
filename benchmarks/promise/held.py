"""Is a promise held, whatever the traffic does? Streams × orders × promises × seeds × kinds.

    python -m benchmarks.promise.held --promises 0.95 --seeds 0 1 --out held.jsonl
    python -m benchmarks.promise.held --summarize held.jsonl

Every run is a replay as ``tutelage replay --no-shuffle`` makes it, and is recomputed from its trace
by ``benchmarks.replay.recompute`` before it counts. All runs share one process, so that a query is
encoded once. Rows are appended to ``--out`` one by one; a run that it holds already isn't repeated,
so a matrix that takes hours can be stopped and gone on with. The streams aren't part of the
project: their folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from pathlib import Path
from types import MappingProxyType

from benchmarks.promise.matrix import Row, Rows, print_summary, read_runs
from benchmarks.promise.orders import ORDERS, STREAMS, Source, limited, read_source
from benchmarks.replay.recompute import compare, read_rows
from distill.replay.line import Line, write_trace
from distill.replay.result import summarize
from distill.replay.run import Replayed, replay
from distill.replay.terms import settings_for
from distill.streams import read_stream
from router.settings.model import PromiseSettings
from router.students.encoder import Encoder

KINDS: Mapping[str, bool] = MappingProxyType({"certificate": False, "guarantee": True})
"""Whether the promise is guaranteed."""

_TENTHS = 10
_KEPT = (
    *("n", "asked_rate", "agreement", "agreement_served", "agreement_worst_window"),
    *("promise_held", "certified", "served_by_student", "accuracy", "releases"),
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of the matrix; ``limit``: None for all rows of the stream."""

    stream: str
    order: str
    promise: float
    kind: str
    seed: int
    limit: int | None


def plan(args: argparse.Namespace) -> Iterator[Job]:
    """The runs asked for; all of a stream and order in a row, so that little is read twice."""
    chosen = product(args.seeds, args.streams, args.orders, args.promises, args.kinds)
    for seed, stream, order, promise, kind in chosen:
        yield Job(
            stream=stream, order=order, promise=promise, kind=kind, seed=seed, limit=args.limit
        )


def run_job(job: Job, source: Source, encoder: Encoder, trace: Path | None) -> Row | None:
    """The row of one run; None where the stream has no such order. ``trace``: a file to keep the
    lines in if the promise was not held."""
    began_s = time.perf_counter()
    draw = random.Random(job.seed)
    rows = ORDERS[job.order](limited(source, job.limit, draw), draw)
    if not rows:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        stream = read_stream(path)
        promise = PromiseSettings(agreement=job.promise, guarantee=KINDS[job.kind])
        settings = settings_for(stream, None, promise)
        run = asyncio.run(replay(stream, settings, seed=job.seed, encoder=encoder))
        result = _summarize(job, run)
        lines = Path(folder) / "trace.jsonl"
        write_trace(run.lines, lines)
        recomputed = all(same for *_, same in compare(result, read_rows(lines)))
        if trace is not None and not result["promise_held"]:
            write_trace(run.lines, trace)
    return {
        **asdict(job),
        **{name: result[name] for name in _KEPT},
        "contradicted": is_contradicted(result["certified"], run.lines),
        "below_from": find_below(run.lines, job.promise),
        "wrong_by_tenth": _by_tenth([not line.agreed for line in run.lines]),
        "asked_by_tenth": _by_tenth([line.asked for line in run.lines]),
        "recomputed": recomputed,
        "seconds": round(time.perf_counter() - began_s, 1),
    }


def _summarize(job: Job, run: Replayed) -> Row:
    return summarize(
        run.lines,
        stream=job.stream,
        seed=job.seed,
        promise=job.promise,
        confidence=0.95,
        claims=run.claims,
        releases=run.releases,
        seconds=run.seconds,
    )


def is_contradicted(claims: Sequence[Row], lines: Sequence[Line]) -> bool:
    """Whether the lines of any claim, over all or over the served ones, agree less than it says."""
    for claim in claims:
        part = lines[claim["from"] : claim["to"]]
        if claim.get("slice") is not None:
            part = [line for line in part if claim["slice"] in line.slices]
        if claim.get("pool") is not None:
            part = [line for line in part if line.pool == claim["pool"]]
        if claim["over"] == "served":
            part = [line for line in part if line.tier != "teacher"]
        if part and sum(line.agreed for line in part) / len(part) < claim["at_least"]:
            return True
    return False


def find_below(lines: Sequence[Line], promise: float) -> int | None:
    """How many queries had been answered when agreement so far first fell below the promise."""
    wrong = 0
    for i, line in enumerate(lines, start=1):
        wrong += not line.agreed
        if wrong > (1.0 - promise) * i + 1e-9:  # rounding decides nothing
            return i
    return None


def _by_tenth(flags: Sequence[bool]) -> list[int]:
    ends = [len(flags) * k // _TENTHS for k in range(_TENTHS + 1)]
    return [sum(flags[a:b]) for a, b in pairwise(ends)]


def measure(args: argparse.Namespace, known: Rows) -> Rows:
    """The runs asked for, those in ``known`` taken from there."""
    names = ("stream", "order", "promise", "kind", "seed", "limit")
    done = {tuple(row[name] for name in names): row for row in known}
    machine = {"commit": read_commit(), "machine": platform.platform()}
    encoder = Encoder(cache=1_000_000)
    sources: dict[str, Source] = {}
    found: Rows = []
    for job in plan(args):
        row = done.get(tuple(asdict(job).values()))
        if row is None:
            if job.stream not in sources:
                sources[job.stream] = read_source(args.data, job.stream)
            name = "-".join(str(value) for value in asdict(job).values())
            trace = None if args.traces is None else args.traces / f"{name}.jsonl"
            made = run_job(job, sources[job.stream], encoder, trace)
            if made is None:
                continue
            row = made | machine
            print(_describe(row), flush=True)
            if args.out is not None:
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        found.append(row)
    return found


def _describe(row: Row) -> str:
    held = "held" if row["promise_held"] else "BROKEN"
    window = row["agreement_worst_window"]
    return (
        f"{row['stream']:25}{row['order']:16}{row['kind']:12}{row['promise']} seed {row['seed']}"
        f"  asked {row['asked_rate']:.3f}  agreement {row['agreement']:.4f} {held}"
        f"  worst window {float('nan') if window is None else window:.3f}"
        f"  {row['releases']} releases  {row['seconds']:.0f} s"
        f"{'' if row['recomputed'] else '  RECOMPUTED OTHERWISE'}"
    )


def read_commit() -> str:
    """What the results were measured with, as git names it."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=list(STREAMS))
    parser.add_argument("--orders", nargs="+", choices=list(ORDERS), default=list(ORDERS))
    parser.add_argument("--promises", type=float, nargs="+", default=[0.9, 0.95, 0.97])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), help="(0 to 9)")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--limit", type=int, help="rows drawn from the stream (all)")
    parser.add_argument("--out", type=Path, help="JSON lines; runs in it aren't repeated")
    parser.add_argument("--traces", type=Path, help="folder for traces of promises not held")
    parser.add_argument("--summarize", type=Path, metavar="FILE", help="only print FILE's table")
    return parser.parse_args()


def main() -> int:
    """Print a line per run and the tables; 1 where a figure can't be recomputed."""
    args = _read_args()
    if args.summarize is not None:
        runs = read_runs(args.summarize)
    elif args.data is None or not (args.data / "streams").is_dir():
        print("skipped: no streams; name their folder by --data or TUTELAGE_DATA")
        return 0
    else:
        runs = measure(args, read_runs(args.out) if args.out and args.out.exists() else [])
    print_summary(runs)
    return 0 if all(run["recomputed"] for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
