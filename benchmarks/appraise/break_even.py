"""Does distilling pay for itself when ``tutelage advise`` says it does?

Of each of several random orders of a recorded stream, advise sees the first part alone and says
after how many interactions set-up and trainings are paid for. Then the whole order is replayed
through the code that serves and learns, and what was saved so far is held against what was owed so
far, interaction by interaction: they cross where it really paid for itself. Set-up costs a share of
what the teacher takes for the whole stream, trainings a share of what it takes meanwhile, in both
alike. The data isn't part of the project: its folder is named by ``--data`` or by
``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from distill.advise.curve import learning_curve
from distill.advise.decision import Figures, decide
from distill.appraise.log import Logged
from distill.appraise.measure import profile
from distill.replay.line import Line
from distill.replay.run import order, replay
from distill.replay.terms import settings_for
from distill.streams import StreamRow, read_stream
from policies.promise.certificate import Terms
from router.settings.model import PromiseSettings
from router.students.encoder import Encoder

_PER_DAY = 100.0
"""Of no consequence: days are counted in interactions here."""


@dataclass(frozen=True, kw_only=True)
class Bill:
    """USD: once, and with every interaction for trainings."""

    setup_usd: float
    training_usd: float


def find_crossing(lines: Sequence[Line], bill: Bill) -> int | None:
    """After how many interactions the saving first covers the bill; None where it never does."""
    saved = np.asarray([_saved(line) for line in lines])
    net = np.cumsum(saved - bill.training_usd) - bill.setup_usd
    paid = np.flatnonzero(net >= 0.0)
    return int(paid[0]) + 1 if len(paid) else None


def _saved(line: Line) -> float:
    if line.cost_usd is None or line.teacher_cost_usd is None:
        raise ValueError(f"the cost of {line.id} is unknown")
    return float(line.teacher_cost_usd - line.cost_usd)


def predict(
    rows: Sequence[StreamRow], bill: Bill, terms: Terms, encoder: Encoder, seed: int
) -> float | None:
    """After how many interactions it pays, as advise says from these rows."""
    entries = [Logged(row=row, at_s=None) for row in rows]
    comparer = profile(entries, None, None, None).comparer
    curve, _ = learning_curve(entries, comparer, terms, encoder, seed=seed)
    figures = Figures(
        per_day=_PER_DAY,
        teacher_usd=mean_cost_usd(rows),
        student_usd=0.0,
        setup_usd=bill.setup_usd,
        cycle_usd=bill.training_usd * _PER_DAY,
        cycles_per_month=30.0,
        horizon_days=100.0 * len(rows) / _PER_DAY,
        licensed=True,
        curve=curve,
    )
    day = decide(figures).break_even_day
    return None if day is None else day * _PER_DAY


def mean_cost_usd(rows: Sequence[StreamRow]) -> float:
    """USD of a teacher's answer. Raises ValueError where one has no cost."""
    costs = [row.teacher.cost_usd for row in rows if row.teacher.cost_usd is not None]
    if len(costs) < len(rows):
        raise ValueError("the stream's rows must have a cost_usd")
    return float(sum(costs)) / len(costs)


def ratio_interval(predicted: Sequence[float], lived: Sequence[float]) -> tuple[float, ...]:
    """What came over what was said: mean, and where one further order's ratio lies, at 95 %.

    By Student's t over the logarithms, since a ratio can't fall below 0. Needs two pairs.
    """
    logs = np.log(np.asarray(lived) / np.asarray(predicted))
    reach = float(student_t.ppf(0.975, len(logs) - 1))
    half = reach * float(logs.std(ddof=1)) * math.sqrt(1.0 + 1.0 / len(logs))
    centre = float(logs.mean())
    return math.exp(centre), math.exp(centre - half), math.exp(centre + half)


def main() -> int:
    """Print a line for each order, then the ratio; 1 where 1 lies outside its interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("TUTELAGE_DATA"))
    parser.add_argument("--stream", default="banking77-deepseek-train")
    parser.add_argument("--promise", type=float, default=0.95)
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=2_000, help="rows of each order (2000)")
    parser.add_argument("--seen", type=float, default=1 / 3, help="share that advise sees (1/3)")
    parser.add_argument("--setup", type=float, default=0.1, help="share of the stream's cost (0.1)")
    parser.add_argument("--training", type=float, default=0.05, help="share of it as it goes (.05)")
    args = parser.parse_args()
    if args.data is None:
        parser.error("name the folder of the recorded data: --data DIR")
    rows = list(read_stream(Path(args.data) / "streams" / f"{args.stream}.jsonl.gz"))
    encoder = Encoder(threads=1, cache=1_000_000)
    promise = PromiseSettings(agreement=args.promise)
    predicted, lived = [], []
    for seed in range(args.seed, args.seed + args.orders):
        ordered = order(rows, seed=seed, shuffle=True)[: args.limit]
        each_usd = mean_cost_usd(ordered)
        bill = Bill(
            setup_usd=args.setup * each_usd * len(ordered), training_usd=args.training * each_usd
        )
        terms = Terms(agreement=args.promise)
        said = predict(ordered[: int(len(ordered) * args.seen)], bill, terms, encoder, seed)
        settings = settings_for(ordered, None, promise)
        run = asyncio.run(replay(ordered, settings, seed=seed, encoder=encoder))
        came = find_crossing(run.lines, bill)
        print(json.dumps({"seed": seed, "predicted": said, "lived": came}), flush=True)
        if said is not None and came is not None:
            predicted.append(said)
            lived.append(float(came))
    if len(lived) < max(args.orders, 2):
        print("Some orders never paid for themselves, or were said never to.")
        return 1
    mean, low, high = ratio_interval(predicted, lived)
    print(f"lived over predicted: {mean:.2f} (one further order: {low:.2f} to {high:.2f})")
    return 0 if low <= 1.0 <= high else 1


if __name__ == "__main__":
    sys.exit(main())
