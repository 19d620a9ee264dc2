"""Is a budget kept to the cent by a thousand requests at once, and nearly used up?

Each request costs a cent and may cost a little more; the budget is a dollar. First come requests
that the upstream refuses, which must leave the whole budget usable; then a thousand at once. What
the upstream billed, what the ledger says and what the gateway shows as spent must be the same, at
most a dollar and at least 97 cents, with nothing set aside any more. By one worker that keeps the
budget in memory, and by four that share it in Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.gateway.processes import (
    read_url,
    run_gateway,
    run_loop,
    run_redis,
    run_upstream,
    workers_of,
    write_config,
    write_report,
)
from router.record.store import Store

_KEY = "sk-bench"
_ADMIN = "sk-admin"
_ENVIRONMENT = {"BENCH_KEY": _KEY, "BENCH_ADMIN": _ADMIN}
_CENT = Decimal("0.01")
_DOLLAR = Decimal(1)
_FEWEST = 97
_SETTLED_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """``statuses``: of the thousand; the sums in USD, ``held``: still set aside at the end."""

    workers: int
    kind: str
    seconds: float
    refused_by_upstream: int
    statuses: dict[int, int]
    upstream_usd: Decimal
    ledger_usd: Decimal
    shown_usd: Decimal
    held_usd: Decimal

    @property
    def served(self) -> int:
        return self.statuses.get(200, 0)

    @property
    def kept(self) -> bool:
        """Everything that is claimed."""
        sums = {self.upstream_usd, self.ledger_usd, self.shown_usd, self.served * _CENT}
        known = set(self.statuses) <= {200, 429}
        return (
            len(sums) == 1
            and max(sums) <= _DOLLAR
            and self.served >= _FEWEST
            and (known and self.held_usd == 0)
        )


async def _ask(session: aiohttp.ClientSession, url: str, user: str) -> int:
    body = {
        "model": "auto",
        "user": user,
        "max_tokens": 1_000,
        "messages": [{"role": "system", "content": "Sort."}, {"role": "user", "content": user}],
    }
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        await response.read()
        return response.status


async def _send(url: str, kind: str, requests: int) -> Counter[int]:
    """All at once, each over a connection of its own, which spreads them over the workers."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=120)
    headers = {"x-api-key": _KEY}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers
    ) as session:
        asking = (_ask(session, url, f"{kind}-{n}") for n in range(requests))
        return Counter(await asyncio.gather(*asking))


def _read_budget(url: str) -> dict[str, Any]:
    """The one budget as the gateway shows it, once nothing is set aside or time is up."""
    end_s = time.monotonic() + _SETTLED_S
    while True:
        shown = json.loads(read_url(f"{url}/admin/v1/budgets", {"x-api-key": _ADMIN}))
        (budget,) = shown["data"]
        if Decimal(budget["held_usd"]) == 0 or time.monotonic() > end_s:
            return dict(budget)
        time.sleep(0.1)


def measure(*, workers: int, requests: int, kind: str) -> Result:
    """One gateway with a budget of ``kind``: key, workload or all."""
    budget = {"usd": 1, "per": "month"}
    if kind != "all":
        budget[kind] = "bench"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(run_upstream("benchmarks.gateway.billing_upstream"))
        more: dict[str, Any] = {
            "admin": {"key_env": "BENCH_ADMIN"},
            "keys": [{"name": "bench", "key_env": "BENCH_KEY"}],
            "workloads": [{"name": "bench", "match": {"system_prompt": "Sort*"}}],
            "budgets": [budget],
        }
        if workers > 1:
            more["coordination"] = {"url": stack.enter_context(run_redis(folder))}
        config = write_config(folder, upstream.url, **more)
        options = ("--workers", str(workers))
        with run_gateway(config, options=options, environment=_ENVIRONMENT) as gateway:
            while workers > 1 and len(workers_of(gateway.process)) < workers:
                time.sleep(0.05)
            refused = run_loop(_send(gateway.url, "wrong", requests // 10))
            start_s = time.perf_counter()
            statuses = run_loop(_send(gateway.url, "cent", requests))
            seconds = time.perf_counter() - start_s
            shown = _read_budget(gateway.url)
        books = json.loads(read_url(f"{upstream.url}/books"))
        with closing(Store.open(f"sqlite:///{folder}/bench.db")) as store:
            ledger_usd = store.spending().cost_usd
    return Result(
        workers=workers,
        kind=kind,
        seconds=seconds,
        refused_by_upstream=refused[400],
        statuses=dict(statuses),
        upstream_usd=sum(len(entries) for entries in books.values()) * _CENT,
        ledger_usd=ledger_usd,
        shown_usd=Decimal(shown["spent_usd"]),
        held_usd=Decimal(shown["held_usd"]),
    )


def show(result: Result) -> None:
    """For people."""
    where = "1 worker, memory" if result.workers == 1 else f"{result.workers} workers, Redis"
    print(
        f"{where}, budget of {result.kind}: {result.served} of {sum(result.statuses.values()):,}"
        f" served in {result.seconds:.1f} s ({result.refused_by_upstream} refused by the upstream"
        f" before); upstream ${result.upstream_usd}, ledger ${result.ledger_usd:.2f}, shown"
        f" ${result.shown_usd}, set aside ${result.held_usd}:"
        f" {'KEPT' if result.kept else 'NOT KEPT'}"
    )


def main() -> None:
    """Measure all; exit 1 where a budget wasn't kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    results = []
    for workers, kind in ((1, "key"), (1, "workload"), (4, "key"), (4, "all")):
        results.append(measure(workers=workers, requests=args.requests, kind=kind))
        show(results[-1])
    plain = json.loads(json.dumps([asdict(one) for one in results], default=str))
    write_report(args.out, {"results": plain})
    if not all(one.kept for one in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
