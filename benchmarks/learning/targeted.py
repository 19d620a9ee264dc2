"""What targeted calls of the teacher teach beside as many calls at random.

Of the bank's messages (the recorded stream ``banking77-deepseek-train``) the seed draws some whose
answers are known and a pool of others that the teacher may be asked about; the rest are kept for
the test. The student is trained on the known ones, then on these and ``--calls`` of the pool: those
that ``tutelage distill next --questions`` would choose, and as many at random. A gain is what the
latter add to its agreement on the kept messages, in points.

- ``all``: the whole pool may be asked about.
- ``served``: only its surest part (``--served``, by the margin of the student trained on the known
  ones), as if a gateway had served that and the teacher had answered the rest, which is known, too.

The stream isn't part of the project: its folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from benchmarks.promise.intervals import interval
from distill.next.targets import choose_questions, doubt_of
from distill.streams import StreamRow, read_stream
from distill.train.kernel_head import Examples, Trained, train
from policies.compare import get_comparer
from router.record.redact import Redactor
from router.settings.model import Settings
from router.students.embedded import EmbeddedStudent
from router.students.encoder import Encoder
from router.wire.openai import answer_to_json, input_text, shape_of

_STREAM = "streams/banking77-deepseek-train.jsonl.gz"

Rows = NDArray[np.intp]
Run = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Messages:
    """All of the stream: vectors and answers' numbers, and of each answer its text's vector."""

    vectors: NDArray[np.float32]
    said: NDArray[np.int32]
    answers: Sequence[dict[str, Any]]
    answer_vectors: NDArray[np.float32]


def read(rows: Sequence[StreamRow], encoder: Encoder) -> Messages:
    """Answers that agree by the comparer of labels are one."""
    redactor, comparer = Redactor(Settings().data.redact), get_comparer("label")
    keys = [comparer.key(row.teacher.answer, shape_of(row.body)) for row in rows]
    names, said = np.unique([str(key) for key in keys], return_inverse=True)
    first = [keys.index(name) for name in names]
    return Messages(
        vectors=encoder.encode([redactor.text(input_text(row.body)) for row in rows]),
        said=said.astype(np.int32),
        answers=[answer_to_json(rows[i].teacher.answer) for i in first],
        answer_vectors=encoder.encode([rows[i].teacher.answer.content or "" for i in first]),
    )


def teach(messages: Messages, rows: Rows) -> tuple[Trained, EmbeddedStudent]:
    """The product's student, of these messages' answers."""
    known, classes = np.unique(messages.said[rows], return_inverse=True)
    examples = Examples(
        vectors=messages.vectors[rows],
        classes=classes.astype(np.int32),
        answers=[messages.answers[i] for i in known],
        answer_vectors=messages.answer_vectors[known],
        weights=np.ones(len(rows)),
    )
    trained = train(examples, seed=0)
    if not isinstance(trained.student, EmbeddedStudent):
        raise TypeError("training gave no embedded student")
    return trained, trained.student


def agreement(messages: Messages, rows: Rows, kept: Rows) -> float:
    """Of a student of ``rows`` with the teacher on ``kept``, in points."""
    _, student = teach(messages, rows)
    drafted = student.classify(messages.vectors[kept])
    known = np.unique(messages.said[rows])
    return 100.0 * float((known[drafted] == messages.said[kept]).mean())


def measure(messages: Messages, args: argparse.Namespace, pool_of: str, seed: int) -> Run:
    """Both gains of a seed; that of chance is the mean over ``--draws`` draws."""
    draw = np.random.default_rng([seed, 77])
    mixed = draw.permutation(len(messages.said))
    ends = args.known, args.known + args.pool
    known, pool, kept = mixed[: ends[0]], mixed[ends[0] : ends[1]], mixed[ends[1] :]
    trained, student = teach(messages, known)
    margins = student.margins(messages.vectors[pool])
    if pool_of == "served":
        order = np.argsort(-margins, kind="stable")
        surest = np.sort(order[: round(args.served * len(pool))])
        known = np.concatenate([known, pool[order[len(surest) :]]])
        pool, margins = pool[surest], margins[surest]
    chosen = choose_questions(
        messages.vectors[known],
        messages.vectors[pool],
        doubt_of(margins),
        args.calls,
        noise=trained.report["noise"],
    )
    before = agreement(messages, known, kept)
    drawn = [draw.choice(len(pool), args.calls, replace=False) for _ in range(args.draws)]
    chance = [agreement(messages, np.concatenate([known, pool[one]]), kept) for one in drawn]
    targeted = agreement(messages, np.concatenate([known, pool[chosen]]), kept)
    return {
        "pool": pool_of,
        "seed": seed,
        "before": before,
        "targeted": targeted - before,
        "random": float(np.mean(chance)) - before,
    }


def ratio_with_interval(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """(ratio of the means, low, high) of paired values: Fieller's 95 % interval (1954); no bounds
    where the mean below isn't told from 0."""
    pairs = np.asarray([above, below])
    (top, bottom), n = pairs.mean(axis=1), pairs.shape[1]
    if n < 2:
        return (float(top / bottom),)
    cov = np.cov(pairs) / n
    t2 = student_t.ppf(0.975, n - 1) ** 2
    a = bottom**2 - t2 * cov[1, 1]
    b = top * bottom - t2 * cov[0, 1]
    inside = b**2 - a * (top**2 - t2 * cov[0, 0])
    if a <= 0 or inside < 0:
        return (float(top / bottom),)
    half = math.sqrt(inside)
    return float(top / bottom), float((b - half) / a), float((b + half) / a)


def main() -> int:
    """Print a line per seed, and what all seeds say together."""
    args = _read_args()
    if args.data is None or not (args.data / _STREAM).exists():
        print(f"skipped: no {_STREAM}; name its folder by --data or TUTELAGE_DATA")
        return 0
    messages = read(read_stream(args.data / _STREAM), Encoder(threads=1))
    report: list[Run] = []
    for pool_of in args.pools:
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            report.append(measure(messages, args, pool_of, seed))
            print(json.dumps(report[-1]), flush=True)
        _summarise([run for run in report if run["pool"] == pool_of], pool_of)
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--known", type=int, default=1_000, help="answers known before (1,000)")
    parser.add_argument("--pool", type=int, default=3_000, help="may be asked about (3,000)")
    parser.add_argument("--calls", type=int, default=300, help="of the teacher (300)")
    parser.add_argument("--served", type=float, default=0.6, help="surest part that serves (0.6)")
    parser.add_argument("--pools", nargs="+", choices=("all", "served"), default=["all", "served"])
    parser.add_argument("--draws", type=int, default=3, help="of chance, averaged (3)")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _summarise(runs: Sequence[Run], pool_of: str) -> None:
    gains = {name: [run[name] for run in runs] for name in ("targeted", "random")}
    for name, values in gains.items():
        print(f"{pool_of}: {name} {_write(interval(values))} points over {len(runs)} seeds")
    doubled = [a - 2.0 * b for a, b in zip(gains["targeted"], gains["random"], strict=True)]
    ratio, *bounds = ratio_with_interval(gains["targeted"], gains["random"])
    between = f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else ""
    print(f"{pool_of}: ratio of the gains {ratio:.2f}{between}")
    print(f"{pool_of}: targeted less twice random {_write(interval(doubled))} points")


def _write(found: dict[str, float]) -> str:
    text = f"{found['mean']:+.2f}"
    return text + (f" ({found['low']:+.2f} to {found['high']:+.2f})" if "low" in found else "")


if __name__ == "__main__":
    sys.exit(main())
