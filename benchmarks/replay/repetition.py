"""What does recall save where questions repeat, at the same promise?

A stream with repetition is built from a recorded one: questions are drawn by Zipf's law (the k-th
most frequent with weight 1/k^s), written a little differently each time, and answered as recorded.
A real teacher wavers: with ``--waver W`` a repeated asking is answered like another question with
that probability, and a recalled answer is then wrong like any other draft. Each stream is replayed
with and without recall under one promise, through the code that serves; beside them stand a plain
cache, which gives every remembered answer again and promises nothing, and each recorded model
alone. The data isn't part of the project: its folder is named by ``--data`` or by
``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.replay.recompute import compare, read_rows
from distill.replay.line import write_trace
from distill.replay.result import summarize
from distill.replay.run import replay
from distill.replay.terms import settings_for
from distill.streams import StreamRow, read_stream
from policies.compare import choose_comparer, get_comparer
from router.settings.model import Price, PromiseSettings, Settings
from router.settings.recall import RecallSettings
from router.students.encoder import Encoder
from router.students.question import identify
from router.wire.openai import shape_of

Row = dict[str, Any]

STREAMS = ("banking77-gpt4", "support-replies", "mmlu-llama-test")
_USD_PER_REQUEST = "0.01"
"""Of the teacher, where the stream has no costs."""


def repeat(rows: Sequence[Row], count: int, exponent: float, waver: float, seed: int) -> list[Row]:
    """``count`` askings of the rows' questions; everything is drawn from ``seed``."""
    draw = random.Random(f"repetition {seed}")
    ranked = draw.sample(list(rows), len(rows))
    weights = [1.0 / (k + 1) ** exponent for k in range(len(ranked))]
    asked: set[str] = set()
    found = []
    for i, row in enumerate(draw.choices(ranked, weights, k=count)):
        teacher = row["teacher"]
        if row["id"] in asked and draw.random() < waver:
            teacher = teacher | _words_of(draw.choice(ranked)["teacher"])
        asked.add(row["id"])
        request = row["request"] | {"messages": _rewrite(row["request"]["messages"], draw)}
        found.append(row | {"id": f"{row['id']}#{i}", "request": request, "teacher": teacher})
    return found


def _words_of(teacher: Row) -> Row:
    """What an answer says; whether it is right isn't known of another question."""
    return {"content": teacher["content"], "correct": None}


def _rewrite(messages: Sequence[Row], draw: random.Random) -> list[Row]:
    """The last message as another user might type it; one of several lines stays as it is."""
    *before, last = messages
    text = str(last["content"])
    if "\n" not in text:
        text = draw.choice([text, text.lower(), text.rstrip("?.! "), f"{text} ", text.upper()])
    return [*before, {**last, "content": text}]


def run(stream: Path, args: argparse.Namespace, recall: bool, seed: int, encoder: Encoder) -> Row:
    """The replay's result, with what was recalled."""
    rows = read_stream(stream)
    settings = _priced(settings_for(rows, None, PromiseSettings(agreement=args.promise)), rows)
    told = {"recall": RecallSettings(enabled=recall)}
    workloads = tuple(one.model_copy(update=told) for one in settings.workloads)
    settings = settings.model_copy(update={"workloads": workloads})
    done = asyncio.run(replay(rows, settings, seed=seed, encoder=encoder))
    result = summarize(
        done.lines,
        stream=stream.name,
        seed=seed,
        promise=args.promise,
        confidence=0.95,
        claims=done.claims,
        releases=done.releases,
        seconds=done.seconds,
    )
    trace = stream.with_suffix(".trace")
    write_trace(done.lines, trace)
    result["recomputed"] = all(same for *_, same in compare(result, read_rows(trace)))
    return result


def _priced(settings: Settings, rows: Sequence[StreamRow]) -> Settings:
    if any(row.teacher.cost_usd is not None for row in rows):
        return settings
    price = Price(usd_per_request=_USD_PER_REQUEST)
    models = {k: m.model_copy(update={"price": price}) for k, m in settings.models.items()}
    return settings.model_copy(update={"models": models})


def cache(rows: Sequence[StreamRow]) -> Row:
    """A plain cache: the first answer to a question, for ever."""
    known: dict[str, StreamRow] = {}
    agreed = 0
    for row in rows:
        question = identify(row.body, teacher="", tenant="")
        first = known.setdefault(question, row)
        agreed += first is row or _agree(row, first)
    return {"asked_rate": len(known) / len(rows), "agreement": agreed / len(rows)}


def _agree(row: StreamRow, first: StreamRow) -> bool:
    shape = shape_of(row.body)
    comparer = get_comparer(choose_comparer(shape, [row.teacher.answer]))
    return comparer.agrees(row.teacher.answer, first.teacher.answer, shape)


def student_alone(rows: Sequence[StreamRow]) -> Row | None:
    """The recorded smaller model for everything; None where there is none."""
    if any(row.student is None for row in rows):
        return None
    agreed, costs, full = 0, [], []
    for row in rows:
        assert row.student is not None
        shape = shape_of(row.body)
        comparer = get_comparer(choose_comparer(shape, [row.teacher.answer]))
        agreed += comparer.agrees(row.teacher.answer, row.student.answer, shape)
        costs.append(row.student.cost_usd)
        full.append(row.teacher.cost_usd)
    share = None
    if None not in costs and None not in full:
        share = float(sum(c or 0 for c in costs) / sum(c or 1 for c in full))
    return {"asked_rate": 0.0, "agreement": agreed / len(rows), "cost_share": share}


def main() -> int:
    """Print a table per stream; 1 where a figure can't be recomputed from its trace."""
    args = _read_args()
    if args.data is None or not (args.data / "streams").is_dir():
        print("skipped: no streams/; name its folder by --data or TUTELAGE_DATA")
        return 0
    report = list(_measure(args))
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.get("recomputed", True) for row in report) else 1


def _measure(args: argparse.Namespace) -> Iterator[Row]:
    encoder = Encoder(cache=1_000_000)
    for name in args.streams:
        with gzip.open(args.data / "streams" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            recorded = [json.loads(line) for line in file]
        for waver in args.waver:
            print(f"\n{name}: {args.count} askings, Zipf {args.zipf}, teacher wavers {waver:.0%}")
            for seed in args.seeds:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / f"{name}.jsonl"
                    asked = repeat(recorded, args.count, args.zipf, waver, seed)
                    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
                    rows = read_stream(path)
                    contestants = {
                        "student alone": student_alone(rows),
                        "plain cache": cache(rows),
                        "without recall": run(path, args, False, seed, encoder),
                        "with recall": run(path, args, True, seed, encoder),
                    }
                for who, result in contestants.items():
                    if result is not None:
                        print(_describe(seed, who, result, args.promise), flush=True)
                        yield {"stream": name, "waver": waver, "seed": seed, "who": who, **result}


def _describe(seed: int, who: str, result: Row, promise: float) -> str:
    text = f"  seed {seed}  {who:15} asked {result['asked_rate']:.3f}"
    text += f"  agreement {result['agreement']:.4f}"
    text += " " * 7 if result["agreement"] >= promise else " BELOW "
    saving = result.get("saving")
    share = result.get("cost_share") if saving is None else 1.0 - saving
    if share is not None:
        text += f" cost {share:.3f} of the teacher's"
    if result.get("served_by_recall"):
        text += f"  recalled {result['served_by_recall'] / result['n']:.3f}"
        text += f" at {result['agreement_recalled']:.4f}"
    return text + ("" if result.get("recomputed", True) else "  RECOMPUTED OTHERWISE")


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=list(STREAMS))
    parser.add_argument("--count", type=int, default=3_000, help="askings (3000)")
    parser.add_argument("--zipf", type=float, default=1.0, help="exponent (1.0)")
    parser.add_argument("--waver", type=float, nargs="+", default=[0.0, 0.02])
    parser.add_argument("--promise", type=float, default=0.95)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(0 1 2)")
    parser.add_argument("--out", type=Path, help="a JSON file for all results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
