"""The built-in stream: messages to an online shop, sorted by a teacher written for this demo.

Its file holds compact rows; what all requests share is added here.
"""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from importlib.resources import files

from distill.streams import RecordedAnswer, StreamRow
from policies.types import Answer
from router.meter.prices import Usage
from router.settings.model import Price

WORKLOAD = "shop"

PRICE = Price(input=Decimal("2.50"), cached_input=Decimal("1.25"), output=Decimal("10.00"))
"""What the gateway reckons the teacher's tokens at: an example."""

_TASK = (
    "You sort customer messages of an online shop. Answer with the one label that fits best, and "
    "nothing else. The labels: "
)


def read_shop(limit: int | None = None) -> list[StreamRow]:
    """The first ``limit`` rows in their recorded order; a product line appears halfway."""
    packed = files("distill.demo").joinpath("shop.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    prompt = _TASK + ", ".join(sorted({row["answer"] for row in rows})) + "."
    return [
        StreamRow(
            id=row["id"],
            workload=WORKLOAD,
            body={
                "model": "auto",
                "messages": [
                    {"role": "system", "content": prompt},
                    {"role": "user", "content": row["message"]},
                ],
                "temperature": 0,
            },
            teacher=RecordedAnswer(
                answer=Answer(content=row["answer"], finish_reason="stop"),
                usage=Usage(
                    prompt_tokens=row["prompt_tokens"], completion_tokens=row["completion_tokens"]
                ),
                latency_ms=row["latency_ms"],
            ),
            student=None,
            gold=None,
        )
        for row in rows[:limit]
    ]
