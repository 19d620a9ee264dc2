"""Cost and latency of students beside their teachers: of their own answers, and at a kept promise.

- ``banking77``: the embedded student. Teacher's price and latency are recorded in the stream; the
  student's latency is measured here (encoder and head, one question at a time, on one core), its
  cost is that time at ``--usd-per-core-hour``. Two replays for each promise: cold, where learning
  counts, and with everything learned before from other messages (``fitted``). To what the replay's
  answers cost it adds the whole processor time of the replay at the same price: gateway, records
  and learning. Questions are encoded once for all replays; each counts a draft's time for each.
- ``--recorded``: students whose price and latency are recorded beside their teacher's, fitted on
  one stream and replayed on the other.

A promised interaction takes the student's latency where its answer was served, and both where the
teacher was asked after it. The streams aren't part of the project: their folder is named by
``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.targeted import read, teach
from distill.replay.line import Line
from distill.replay.run import Replay
from distill.replay.terms import settings_for
from distill.streams import StreamRow, read_stream
from policies.types import Tier
from router.settings.model import PromiseSettings
from router.students.encoder import Encoder
from router.wire.openai import input_text

_BANK = "banking77-deepseek-train"
_RECORDED = ("mmlu-llama", "medmcqa-llama", "triviaqa-llama", "truthfulqa-llama")
_GOAL = 10.0
_HOUR_S = 3_600.0
_WARM_UP = 20

Found = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a draft takes: milliseconds and USD."""

    ms: float
    usd: float


def measure_draft(rows: Sequence[StreamRow], args: argparse.Namespace) -> tuple[Draft, Found]:
    """The embedded student's median, by processor time: other work on the machine takes none of
    it. The wall clock's median stands beside it."""
    encoder = Encoder(threads=1, cache=0)
    taught = read(rows[: args.taught], Encoder(threads=1))
    _, student = teach(taught, np.arange(len(taught.said)))
    asked = [input_text(row.body) for row in rows[args.taught : args.taught + args.timed]]
    worked, waited = [], []
    for text in [*asked[:_WARM_UP], *asked]:
        wall_s, core_s = time.perf_counter(), time.process_time()
        student.draft(encoder.encode([text])[0])
        worked.append(1_000.0 * (time.process_time() - core_s))
        waited.append(1_000.0 * (time.perf_counter() - wall_s))
    ms = float(np.median(worked[_WARM_UP:]))
    wall_ms = float(np.median(waited[_WARM_UP:]))
    usd = ms / 1_000.0 / _HOUR_S * args.usd_per_core_hour
    return Draft(ms=ms, usd=usd), {"draft_core_ms": ms, "draft_wall_ms": wall_ms}


def replay(
    rows: Sequence[StreamRow],
    promise: float,
    args: argparse.Namespace,
    *,
    fit: Sequence[StreamRow] = (),
    encoder: Encoder,
) -> tuple[Sequence[Line], float]:
    """Its lines, and the processor seconds that it took."""
    settings = settings_for(rows, None, PromiseSettings(agreement=promise), known=fit)
    began_s = time.process_time()
    with tempfile.TemporaryDirectory(prefix="tutelage-claim-") as folder:
        run = Replay(
            settings,
            seed=args.seed,
            folder=Path(folder),
            progress=lambda done, total, what: None,
            recorded_student=all(row.student is not None for row in rows),
            encoder=encoder,
        )
        done = asyncio.run(run.run(rows, fit=fit))
    return done.lines, time.process_time() - began_s


def compare_own(name: str, rows: Sequence[StreamRow], draft: Draft | None) -> Found:
    """The student's own answers beside the teacher's. ``draft``: None takes what is recorded."""
    teacher_ms, teacher_usd = _describe([row.teacher for row in rows])
    if draft is None:
        ms, usd = _describe([row.student for row in rows if row.student is not None])
    else:
        ms, usd = draft.ms, draft.usd
    return {
        "what": f"{name}, student's own answers",
        "usd": usd,
        "ms": ms,
        "teacher_usd": teacher_usd,
        "teacher_ms": teacher_ms,
    }


def compare_promised(
    name: str,
    rows: Sequence[StreamRow],
    lines: Sequence[Line],
    promise: float,
    draft: Draft | None,
    compute_usd: float,
) -> Found:
    """All interactions under a promise beside the teacher alone."""
    teacher_ms, teacher_usd = _describe([row.teacher for row in rows])
    costs = [float(line.cost_usd) for line in lines if line.cost_usd is not None]
    taken_ms = [_take(line, row, draft) for line, row in zip(lines, rows, strict=True)]
    return {
        "what": f"{name}, promise {promise:g}",
        "asked": sum(line.asked for line in lines) / len(lines),
        "agreement": sum(line.agreed for line in lines) / len(lines),
        "held": sum(line.agreed for line in lines) >= promise * len(lines),
        "compute_usd": compute_usd / len(lines),
        "usd": sum(costs) / len(costs) + compute_usd / len(lines),
        "ms": float(np.median(taken_ms)),
        "mean_ms": float(np.mean(taken_ms)),
        "teacher_usd": teacher_usd,
        "teacher_ms": teacher_ms,
    }


def _take(line: Line, row: StreamRow, draft: Draft | None) -> float:
    """Milliseconds until the answer was there; an audit in the background makes nobody wait."""
    student_ms = 0.0
    if line.draft is not None and line.tier != Tier.RECALL:
        recorded = 0.0 if row.student is None else row.student.latency_ms or 0.0
        student_ms = recorded if draft is None else draft.ms
    waits = line.tier == Tier.TEACHER
    return student_ms + ((row.teacher.latency_ms or 0.0) if waits else 0.0)


def _describe(answers: Sequence[Any]) -> tuple[float, float]:
    """Median latency in milliseconds, and mean cost in USD."""
    known_ms = [one.latency_ms for one in answers if one.latency_ms is not None]
    known_usd = [float(one.cost_usd) for one in answers if one.cost_usd is not None]
    return float(np.median(known_ms)), float(np.mean(known_usd))


def claim_bank(data: Path, args: argparse.Namespace) -> Iterator[Found]:
    """The embedded student, its own answers first."""
    rows = read_stream(data / "streams" / f"{_BANK}.jsonl.gz")
    rows = random.Random(f"claim {args.seed}").sample(rows, len(rows))
    draft, timed = measure_draft(rows, args)
    yield {**compare_own(_BANK, rows, draft), **timed}
    known, fresh = rows[: args.fit], rows[args.fit : args.fit + args.limit]
    encoder = Encoder(threads=1, cache=1_000_000)
    read([*known, *fresh], encoder)
    for name, fit in (("cold", ()), ("fitted", known)):
        for promise in args.promises:
            lines, core_s = replay(fresh, promise, args, fit=fit, encoder=encoder)
            core_s += (len(fresh) + len(fit)) * draft.ms / 1_000.0
            usd = core_s / _HOUR_S * args.usd_per_core_hour
            yield compare_promised(f"{_BANK} {name}", fresh, lines, promise, draft, usd)


def claim_recorded(data: Path, name: str, args: argparse.Namespace) -> Iterator[Found]:
    """A recorded student; its gate is fitted on ``NAME-train``."""
    fit = read_stream(data / "streams" / f"{name}-train.jsonl.gz")
    rows = read_stream(data / "streams" / f"{name}-test.jsonl.gz")
    yield compare_own(name, rows, None)
    for promise in args.promises:
        lines, core_s = replay(rows, promise, args, fit=fit, encoder=Encoder(threads=1))
        usd = core_s / _HOUR_S * args.usd_per_core_hour
        yield compare_promised(f"{name} fitted", rows, lines, promise, None, usd)


def main() -> int:
    """Print a row for each comparison, and whether ten times is reached."""
    args = _read_args()
    if args.data is None or not (args.data / "streams" / f"{_BANK}.jsonl.gz").exists():
        print(f"skipped: no streams/{_BANK}.jsonl.gz; name its folder by --data or TUTELAGE_DATA")
        return 0
    report: list[Found] = []
    print(
        "what | asked | agreement | USD per 1,000 | times lower | p50 ms | times lower | ten times"
    )
    sources = [claim_bank(args.data, args)]
    sources += [claim_recorded(args.data, name, args) for name in args.recorded]
    for source in sources:
        for found in source:
            report.append(found)
            print(_write(found), flush=True)
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _write(found: Found) -> str:
    cheaper, quicker = found["teacher_usd"] / found["usd"], found["teacher_ms"] / found["ms"]
    reached = {
        (True, True): "both",
        (True, False): "cost alone",
        (False, True): "latency alone",
        (False, False): "neither",
    }[cheaper >= _GOAL, quicker >= _GOAL]
    shares = [f"{found[name]:.3f}" if name in found else "-" for name in ("asked", "agreement")]
    usd = f"{1e3 * found['usd']:.6f} of {1e3 * found['teacher_usd']:.6f}"
    ms = f"{found['ms']:.1f} of {found['teacher_ms']:.1f}"
    return " | ".join(
        [found["what"], *shares, usd, f"{cheaper:.1f}", ms, f"{quicker:.1f}", reached]
    )


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--usd-per-core-hour", type=float, default=0.04, help="assumed (0.04)")
    parser.add_argument("--promises", type=float, nargs="+", default=[0.95, 0.97])
    parser.add_argument("--limit", type=int, default=3_000, help="messages replayed (3,000)")
    parser.add_argument("--fit", type=int, default=5_000, help="learned from before (5,000)")
    parser.add_argument("--taught", type=int, default=2_000, help="of the timed student (2,000)")
    parser.add_argument("--timed", type=int, default=500, help="drafts (500)")
    parser.add_argument("--recorded", nargs="*", choices=_RECORDED, default=list(_RECORDED))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
