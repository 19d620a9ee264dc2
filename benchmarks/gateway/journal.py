"""What the journal costs on the request path: microseconds per answer.

Every answer waits for its line before its last byte leaves. ``line``: writing the record as JSON
with its checksum; ``append``: handing it to the system; ``note``: both as the gateway calls them;
``synced``: with ``store.journal.sync``, until the disk has it, one alone and 32 at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gateway.processes import run_loop, write_report
from policies.types import Tier
from router.meter.metrics import Metrics
from router.meter.prices import Rates, Usage
from router.record.journal import Journal
from router.record.lines import write_line
from router.record.model import Attempt, Interaction
from router.record.sink import Sink
from router.record.store import Store

_TOGETHER = 32


def make_record(number: int, prompt_chars: int) -> Interaction:
    """An answer of the teacher as the gateway records it."""
    prompt = ("Sort the customer's message into one of the labels below. " * 10_000)[:prompt_chars]
    rates = Rates(input=Decimal("2.5"), cached_input=Decimal("1.25"), output=Decimal(10))
    attempt = Attempt(
        interaction_id=f"int_{number:032x}",
        n=0,
        tier=Tier.TEACHER,
        model="teacher",
        purpose="answer",
        started_at=1_700_000_000.5,
        latency_ms=480.25,
        status=200,
        usage=Usage(prompt_tokens=120, completion_tokens=7, cached_tokens=20),
        cost_usd=Decimal("0.000345"),
        upstream_model="stand-in",
        basis="answer",
        rates=rates.to_json(),
    )
    return Interaction(
        id=attempt.interaction_id,
        created_at=1_700_000_000.0,
        workload="support",
        tenant="shop",
        key_name="shop",
        train_ok=True,
        stored=True,
        stream=False,
        request={"model": "auto", "messages": [{"role": "user", "content": prompt}]},
        input_text=prompt,
        group="",
        comparer="label",
        tier=Tier.TEACHER,
        model="teacher",
        reason="policy_teacher",
        status="ok",
        answer={"content": "delivery"},
        teacher_answer={"content": "delivery"},
        seen=True,
        cost_usd=attempt.cost_usd,
        attempts=(attempt,),
    )


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Microseconds: p50 and p99."""
    p50, p99 = np.percentile(np.asarray(seconds) * 1e6, (50, 99))
    return {"p50_us": float(p50), "p99_us": float(p99)}


def repeat(work: Callable[[int], object], times: int) -> dict[str, float]:
    taken = []
    for number in range(times):
        start_s = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - start_s)
    return quantiles(taken)


async def measure(folder: Path, records: list[Interaction], syncs: int) -> dict[str, Any]:
    """Every part, for one size of record."""
    lines = [write_line(record, open_=False) for record in records]
    found: dict[str, Any] = {"bytes": len(lines[0])}
    found["line"] = repeat(lambda n: write_line(records[n], open_=False), len(records))
    plain = Journal(folder / "plain")
    found["append"] = repeat(lambda n: plain.append(lines[n]), len(lines))
    plain.close()
    sink = Sink(Store.open(":memory:"), Metrics(), journal=Journal(folder / "noted"))
    taken = []
    for record in records:
        start_s = time.perf_counter()
        await sink.note(record)
        taken.append(time.perf_counter() - start_s)
    found["note"] = quantiles(taken)
    synced = Journal(folder / "synced", sync=True)

    async def settle(line: bytes) -> float:
        start_s = time.perf_counter()
        synced.append(line)
        await synced.synced()
        return time.perf_counter() - start_s

    found["synced"] = quantiles([await settle(line) for line in lines[:syncs]])
    together = []
    for _ in range(max(1, syncs // _TOGETHER)):
        together += await asyncio.gather(*(settle(line) for line in lines[:_TOGETHER]))
    found[f"synced, {_TOGETHER} together"] = quantiles(together)
    synced.close()
    return found


def main() -> None:
    """Measure short and long prompts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--syncs", type=int, default=320, help="flushes of the disk")
    parser.add_argument("--prompt-chars", type=int, nargs="+", default=[600, 20_000])
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    report = {}
    for chars in args.prompt_chars:
        records = [make_record(n, chars) for n in range(args.records)]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            found = run_loop(measure(Path(folder), records, args.syncs))
        report[str(chars)] = found
        print(f"\nprompt of {chars:,} characters, a line of {found.pop('bytes'):,} bytes")
        print(f"  {'µs':<24}{'p50':>9}{'p99':>9}")
        for name, taken in found.items():
            print(f"  {name:<24}{taken['p50_us']:>9.1f}{taken['p99_us']:>9.1f}")
    write_report(args.out, report)


if __name__ == "__main__":
    main()
