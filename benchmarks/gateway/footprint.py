"""How long a serving process takes to start, and how much memory it holds.

Before the encoder is needed, and with a release in force after drafts. The release is trained
here, on the messages that ship with the project; the gateway only reads it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import httpx
import numpy as np

from benchmarks.gateway.processes import (
    Server,
    run_gateway,
    run_upstream,
    write_config,
    write_report,
)
from distill.train.kernel_head import Examples, train
from policies.types import Answer
from router.record.store import Store
from router.release import save_release
from router.students.encoder import WEIGHTS_SHA256, Encoder
from router.wire.openai import answer_to_json

START_TARGET_S = 2.0
BARE_TARGET_MB = 150.0
ENCODER_TARGET_MB = 330.0
UNWANTED = ("torch", "sklearn", "scipy")
"""Packages that a serving process must not have in memory."""

_MESSAGES = Path(__file__).resolve().parents[2] / "distill" / "demo" / "shop.jsonl.gz"
_WORKLOAD = {"name": "shop", "match": {"system_prompt": "*"}, "policy": "student"}
_PATIENCE_S = 60.0


def read_messages() -> list[tuple[str, str]]:
    """Messages of a shop's customers with their labels."""
    with gzip.open(_MESSAGES, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["message"], row["answer"]) for row in rows]


def promote_release(folder: Path, messages: Sequence[tuple[str, str]]) -> None:
    """Train on ``messages`` and put the release in force in the store that ``write_config`` set."""
    encoder = Encoder()
    labels = sorted({label for _, label in messages})
    numbers = {label: number for number, label in enumerate(labels)}
    examples = Examples(
        vectors=encoder.encode([text for text, _ in messages]),
        classes=np.array([numbers[label] for _, label in messages], dtype=np.int32),
        answers=[answer_to_json(Answer(content=label)) for label in labels],
        answer_vectors=encoder.encode(labels),
        weights=np.ones(len(messages)),
    )
    trained = train(examples, seed=0)
    digest, path = save_release(
        folder / "releases",
        workload="shop",
        comparer="label",
        encoder=WEIGHTS_SHA256,
        student=trained.student,
        gate=trained.gate,
    )
    store = Store.open(f"sqlite:///{folder}/bench.db")
    store.add_release(digest=digest, workload="shop", path=str(path), report={})
    store.set_active("shop", digest, "benchmark")
    store.close()


def measure_start(upstream: str, starts: int) -> dict[str, Any]:
    """Seconds from the process's start until ``/health/ready`` answered."""
    seconds = []
    for _ in range(starts):
        with (
            tempfile.TemporaryDirectory() as folder,
            run_gateway(write_config(Path(folder), upstream)) as gateway,
        ):
            seconds.append(gateway.ready_s or 0.0)
    return {
        "seconds": seconds,
        "min_s": min(seconds),
        "median_s": statistics.median(seconds),
        "met": statistics.median(seconds) <= START_TARGET_S,
    }


def ask(http: httpx.Client, gateway: Server, text: str) -> httpx.Response:
    """One request; its answer may be an error."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return http.post(f"{gateway.url}/v1/chat/completions", json=body)


def find_unwanted(gateway: Server) -> list[str]:
    """Packages of ``UNWANTED`` whose compiled modules are in the gateway's memory."""
    parts = {part for path in gateway.mapped_files() for part in PurePath(path).parts}
    return [name for name in UNWANTED if name in parts]


def measure_bare(upstream: str, texts: Sequence[str]) -> dict[str, Any]:
    """Without a release: after the start, and after the teacher answered ``texts``."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), upstream)
        with run_gateway(config) as gateway, httpx.Client(timeout=_PATIENCE_S) as http:
            started_mb = gateway.rss_mb
            for text in texts:
                ask(http, gateway, text).raise_for_status()
            time.sleep(1)  # the last records reach the store
            mb = gateway.rss_mb
            return {
                "started_mb": started_mb,
                "requests": len(texts),
                "mb": mb,
                "unwanted": find_unwanted(gateway),
                "met": mb <= BARE_TARGET_MB,
            }


def measure_drafts(
    upstream: str, messages: Sequence[tuple[str, str]], texts: Sequence[str]
) -> dict[str, Any]:
    """With a release of ``messages`` in force, after the student answered ``texts``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_config(folder, upstream, workloads=[_WORKLOAD])
        promote_release(folder, messages)
        with run_gateway(config) as gateway, httpx.Client(timeout=_PATIENCE_S) as http:
            await_student(http, gateway)
            took_ms = []
            for text in texts:
                answer = ask(http, gateway, text).raise_for_status()
                if answer.headers["x-tutelage-tier"] != "student":
                    raise SystemExit("The teacher answered where the student should have.")
                took_ms.append(float(answer.headers["x-tutelage-overhead-ms"]))
            time.sleep(1)  # the last records reach the store
            mb = gateway.rss_mb
            return {
                "trained_on": len(messages),
                "drafts": len(texts),
                "draft_p50_ms": statistics.median(took_ms),
                "draft_p95_ms": float(np.percentile(took_ms, 95)),
                "mb": mb,
                "unwanted": find_unwanted(gateway),
                "met": mb <= ENCODER_TARGET_MB,
            }


def await_student(http: httpx.Client, gateway: Server) -> None:
    """Ask until the release in the store was taken up."""
    end_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s:
        answer = ask(http, gateway, "Where is my parcel?")
        if answer.headers.get("x-tutelage-tier") == "student":
            return
        time.sleep(0.1)
    raise SystemExit("The release was not taken up in time.")


def show(start: dict[str, Any], bare: dict[str, Any], drafts: dict[str, Any]) -> None:
    """The table."""
    rows = [
        ("start until ready, median", start["median_s"], "s", START_TARGET_S, start["met"]),
        ("start until ready, best", start["min_s"], "s", None, None),
        ("memory after the start", bare["started_mb"], "MB", None, None),
        (
            f"memory after {bare['requests']} passed on",
            *(bare["mb"], "MB", BARE_TARGET_MB, bare["met"]),
        ),
        (
            f"memory after {drafts['drafts']} drafts",
            *(drafts["mb"], "MB", ENCODER_TARGET_MB, drafts["met"]),
        ),
        ("a draft, median", drafts["draft_p50_ms"], "ms", None, None),
        ("a draft, p95", drafts["draft_p95_ms"], "ms", None, None),
    ]
    for label, value, unit, target, met in rows:
        shown = "" if target is None else f"at most {target:g} {unit}: "
        print(f"{label:<34}{value:>8.2f} {unit:<4}{shown}{_verdict(met)}")
    unwanted = sorted({*bare["unwanted"], *drafts["unwanted"]})
    print(f"{'training packages in memory':<34}{' '.join(unwanted) or 'none'}")


def _verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "MISSED"


def main() -> None:
    """Measure, show, and write the report where ``--out`` asks for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="how often to start")
    parser.add_argument("--rows", type=int, default=1_000, help="messages to train on")
    parser.add_argument("--drafts", type=int, default=300, help="distinct messages to answer")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    messages = read_messages()
    texts = [text for text, _ in messages[args.rows : args.rows + args.drafts]]
    with run_upstream() as upstream:
        start = measure_start(upstream.url, args.starts)
        bare = measure_bare(upstream.url, texts)
        drafts = measure_drafts(upstream.url, messages[: args.rows], texts)
    show(start, bare, drafts)
    write_report(args.out, {"start": start, "without_encoder": bare, "with_encoder": drafts})


if __name__ == "__main__":
    main()
