"""Does the frontier predicted from what was logged match what happens next?

The first half of a shuffled stream is replayed under a promise: the student learns once, from the
first ``--learn`` answers, and the rest is logged as a gateway logs it. From that log comes the
frontier. The second half, which nothing has learned from, is then scored by the release in force,
and every threshold's prediction is compared with what it really gives there: which drafts it would
serve, how many of them would be wrong, what the teacher's answers to the others cost.

An interval speaks of the mean of traffic, and the second half is a sample of it: what came counts
as inside where it lies within the interval once the sample's own noise is added, in quadrature.

The stream isn't part of the project: its folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from distill.replay.run import Replay, order
from distill.replay.terms import settings_for
from distill.streams import StreamRow, read_stream
from policies.compare import get_comparer
from policies.estimate import Estimate, Outlook
from router.deciding.frontier import Frontier, frontier_of
from router.record.redact import Redactor
from router.record.store import Store
from router.release import load_release
from router.settings.model import LearningSettings, PromiseSettings, Settings
from router.students.encoder import Encoder
from router.wire.openai import input_text, shape_of

_STREAM = "streams/banking77-gpt4.jsonl.gz"
_PRICE = {"usd_per_request": Decimal("0.01")}


def main() -> int:
    """Print a line per run and how often what came lay within the intervals."""
    args = _read_args()
    if args.data is None or not (args.data / args.stream).exists():
        print(f"skipped: no {args.stream}; name its folder by --data or TUTELAGE_DATA")
        return 0
    rows = read_stream(args.data / args.stream)
    runs = [_compare(rows, args.promise, args.learn, seed) for seed in range(args.seeds)]
    for what in ("agreement", "agreement_served", "cost"):
        inside = [hit for run in runs for hit in run["inside"][what]]
        print(f"{what}: {np.mean(inside):.1%} of {len(inside)} intervals held what came")
    if args.out is not None:
        report = {"stream": args.stream, "promise": args.promise, "runs": runs}
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--stream", default=_STREAM, help=f"below the folder ({_STREAM})")
    parser.add_argument("--promise", type=float, default=0.9)
    parser.add_argument("--learn", type=int, default=600, help="answers to learn from (600)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to N - 1 (3)")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _compare(rows: Sequence[StreamRow], promise: float, learn: int, seed: int) -> dict[str, Any]:
    ordered = order(rows, seed=seed, shuffle=True)
    first, second = ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]
    settings = settings_for(first, None, PromiseSettings(agreement=promise))
    teacher = settings.models["teacher"]
    priced = teacher.model_validate({**teacher.model_dump(), "price": _PRICE})
    once = LearningSettings(min_new_answers=learn)
    settings = settings.model_copy(update={"models": {"teacher": priced}, "learning": once})
    with tempfile.TemporaryDirectory() as name:
        frontier, drafts = _predict(Path(name), settings, first, second, seed)
    score, wrong = drafts
    run = _judge(frontier, score, wrong)
    print(
        f"seed {seed}: {frontier.drafts} drafts, {frontier.checked} checked; "
        + ", ".join(f"{what} {np.mean(hits):.0%} inside" for what, hits in run["inside"].items())
        + f"; mean error of agreement {run['bias']:+.4f}, rms {run['rms']:.4f}",
        flush=True,
    )
    return {"seed": seed, **run}


def _predict(
    folder: Path,
    settings: Settings,
    first: Sequence[StreamRow],
    second: Sequence[StreamRow],
    seed: int,
) -> tuple[Frontier, tuple[np.ndarray, np.ndarray]]:
    url = f"sqlite:///{folder / 'first.db'}"
    replay = Replay(
        settings,
        seed=seed,
        folder=folder / "releases",
        progress=lambda done, total, what: None,
        recorded_student=False,
        store_url=url,
    )
    asyncio.run(replay.run(first))
    store = Store.open(url)
    workload = settings.workloads[0]
    digest = store.active_releases()[workload.name]
    frontier = frontier_of(
        store.decisions(workload.name, digest),
        workload=workload.name,
        release=digest,
        settings=workload,
    )
    found = store.release(digest)
    store.close()
    if found is None:
        raise RuntimeError("the release in force is not in the store")
    release = load_release(Path(found.path))
    encoder, redactor = Encoder(), Redactor(settings.data.redact)
    comparer = get_comparer(release.comparer)
    score, wrong = [], []
    for row in second:
        draft, evidence = release.draft(redactor.text(input_text(row.body)), encoder)
        score.append(evidence.confidence)
        wrong.append(not comparer.agrees(row.teacher.answer, draft, shape_of(row.body)))
    return frontier, (np.array(score, dtype=np.float64), np.array(wrong))


def _judge(frontier: Frontier, score: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Every threshold's prediction beside what the second half gives."""
    inside: dict[str, list[bool]] = {"agreement": [], "agreement_served": [], "cost": []}
    errors, points = [], []
    price = float(_PRICE["usd_per_request"])
    for outlook in frontier.outlooks[1:]:
        served = score >= (outlook.threshold or 0.0)
        lost, count, n = int((served & wrong).sum()), int(served.sum()), len(score)
        came = 1.0 - lost / n
        asked = 1.0 - (1.0 - frontier.audit_share) * count / n
        inside["agreement"].append(_holds(outlook.agreement, came, _noise(lost, n)))
        if outlook.agreement_served is not None and count:
            of_served = 1.0 - lost / count
            noise = _noise(lost, count)
            inside["agreement_served"].append(_holds(outlook.agreement_served, of_served, noise))
        if outlook.cost_usd is not None:
            noise = price * (1.0 - frontier.audit_share) * _noise(count, n)
            inside["cost"].append(_holds(outlook.cost_usd, asked * price, noise))
        errors.append(outlook.agreement.value - came)
        points.append(_write_point(outlook, came, asked))
    error = np.array(errors)
    return {
        "drafts": frontier.drafts,
        "checked": frontier.checked,
        "inside": inside,
        "bias": float(error.mean()),
        "rms": float(np.sqrt((error**2).mean())),
        "points": points,
    }


def _noise(count: int, of: int) -> float:
    """How far a share of ``count`` in ``of`` may lie from its mean, at 95 %."""
    share = (count + 2) / (of + 4)
    return 1.96 * math.sqrt(share * (1.0 - share) / of)


def _holds(interval: Estimate, value: float, noise: float) -> bool:
    low = interval.value - math.hypot(interval.value - interval.low, noise)
    high = interval.value + math.hypot(interval.high - interval.value, noise)
    return low <= value <= high


def _write_point(outlook: Outlook, came: float, asked: float) -> dict[str, Any]:
    agreement = outlook.agreement
    return {
        "threshold": outlook.threshold,
        "predicted": [agreement.value, agreement.low, agreement.high],
        "came": came,
        "asked_predicted": outlook.asked,
        "asked_came": asked,
    }


if __name__ == "__main__":
    sys.exit(main())
