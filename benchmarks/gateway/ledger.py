"""Is every cent accounted for while workers are killed?

Clients send mixed requests (whole, streamed, left in the middle, retried, with cached input,
without usage) to a gateway of several workers, two of which are killed with SIGKILL on the way.
Then three books are compared: what the clients got and were told, what the gateway's ledger says,
and what the upstream would bill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.gateway.processes import (
    COMMAND,
    read_url,
    run_gateway,
    run_loop,
    run_upstream,
    workers_of,
    write_config,
    write_report,
)
from router.meter.money import usd
from router.record.model import Interaction
from router.record.store import Store
from router.record.subject import pseudonym_of

_KINDS = {"whole": 40, "stream": 25, "cached": 15, "retry": 10, "silent": 5, "endless": 5}
"""In percent."""

_PAGE = 2_000


@dataclass(kw_only=True)
class Received:
    """What the clients got. ``told``: cost by id of every answer that came to its end; ``left``:
    streams that a client left; ``broken``: answers that a killed worker took along."""

    told: dict[str, Decimal | None] = field(default_factory=dict)
    left: int = 0
    broken: int = 0


@dataclass(kw_only=True)
class Accounts:
    """What the comparison found; all of ``faults`` must be 0."""

    verdict: dict[str, Any]
    settled: int
    in_flight_when_killed: int
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def exact(self) -> bool:
        return bool(self.verdict["agrees"]) and not any(self.faults.values())


async def ask(session: aiohttp.ClientSession, url: str, user: str, received: Received) -> None:
    """One request; its last byte counts."""
    kind = user.partition("-")[0]
    stream = kind in ("stream", "endless") or (kind == "silent" and user[-1] in "02468")
    body: dict[str, Any] = {"model": "auto", "user": user}
    body["messages"] = [{"role": "user", "content": f"What is {user}?"}]
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            if response.status != 200:
                raise SystemExit(f"{user} was answered {response.status}: {await response.text()}")
            if kind == "endless":
                await response.content.readany()
                response.close()
                received.left += 1
                return
            raw = await response.read()
    except (aiohttp.ClientError, ConnectionError):
        received.broken += 1
        return
    if stream:
        events = raw.decode().split("data: ")
        if events[-1].strip() != "[DONE]":
            received.broken += 1
            return
        told = json.loads(events[-2])["tutelage"]
        received.told[told["id"]] = _read_usd(told["cost_usd"])
        return
    cost = response.headers.get("x-tutelage-cost-usd")
    received.told[response.headers["x-tutelage-id"]] = _read_usd(cost)


def _read_usd(text: str | None) -> Decimal | None:
    return None if text is None else usd(text)


async def send_all(
    url: str, users: list[str], clients: int, kills: Mapping[int, int], server: psutil.Process
) -> Received:
    """All requests, ``clients`` at a time. ``kills``: after how many, which worker dies."""
    received, waiting = Received(), iter(enumerate(users))

    async def work() -> None:
        # A connection per request spreads them over the workers.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            for number, user in waiting:
                if number in kills:
                    await _kill(server, kills[number])
                await ask(session, url, user, received)

    await asyncio.gather(*(work() for _ in range(clients)))
    return received


async def _kill(server: psutil.Process, number: int) -> None:
    """At once, in the middle of its work; another takes its place by itself."""
    running = workers_of(server)
    os.kill(running[number % len(running)].pid, signal.SIGKILL)
    await asyncio.sleep(0)


def compare(store_url: str, config: Path, received: Received, books: Mapping[str, Any]) -> Accounts:
    """The three books against each other."""
    command = [*COMMAND, "ledger", "verify", "--config", str(config), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if not ended.stdout:
        raise SystemExit(ended.stderr)
    accounts = Accounts(verdict=json.loads(ended.stdout), settled=0, in_flight_when_killed=0)
    faults, missing, billed = accounts.faults, set(received.told), set()
    books = {pseudonym_of("", user): entries for user, entries in books.items()}  # as stored
    with closing(Store.open(store_url)) as store:
        for record in store.walk(_PAGE):
            accounts.settled += 1
            missing.discard(record.id)
            user = str((record.request or {}).get("user"))
            faults["request stored twice"] += user in billed
            billed.add(user)
            if record.id in received.told and received.told[record.id] != record.cost_usd:
                faults["told another cost than stored"] += 1
            _compare_usage(record, user, books, faults)
    faults["answer that was settled and is lost"] = len(missing)
    accounts.in_flight_when_killed = len(books.keys() - billed)
    return accounts


def _compare_usage(
    record: Interaction, user: str, books: Mapping[str, Any], faults: Counter[str]
) -> None:
    """What the ledger says of a request with what the upstream counted for it."""
    answers = [call for call in record.attempts if call.basis == "answer"]
    counted = books.get(user, [])
    for call in answers:
        usage = call.usage
        tokens = usage and [usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens]
        faults["usage that the upstream did not count"] += tokens not in counted
    kind = user.partition("-")[0]
    faults["billed more often than answered"] += len(answers) > max(1, len(counted))
    unknown = [call for call in record.attempts if call.basis == "unknown"]
    if kind == "silent" and record.status == "ok":
        held = [call for call in unknown if call.held_usd]
        faults["missing usage without a hold"] += len(held) != 1 or record.cost_usd is not None
    if kind == "retry" and record.status == "ok":
        faults["a retry that is not in the ledger"] += len(record.attempts) != 2


def main() -> None:
    """Send, kill, compare; exit 1 where a book differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", metavar="URL", help="an empty PostgreSQL store, else SQLite")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    kinds = rng.choices([*_KINDS], weights=[*_KINDS.values()], k=args.requests)
    users = [f"{kind}-{number}" for number, kind in enumerate(kinds)]
    kills = {args.requests // 3: 0, 2 * args.requests // 3: 1}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(run_upstream("benchmarks.gateway.billing_upstream"))
        store_url = args.store or f"sqlite:///{folder}/bench.db"
        config = write_config(
            folder,
            upstream.url,
            store={"url": store_url, "folder": str(folder)},
            coordination={"url": "redis://127.0.0.1:6379"},
        )
        options = ("--workers", str(args.workers))
        start_s = time.perf_counter()
        with run_gateway(config, options=options) as gateway:
            while len(workers_of(gateway.process)) < args.workers:
                time.sleep(0.05)
            sent = send_all(gateway.url, users, args.clients, kills, gateway.process)
            received = run_loop(sent)
            took_s = time.perf_counter() - start_s
        books = json.loads(read_url(f"{upstream.url}/books"))
        accounts = compare(store_url, config, received, books)
    show(args.requests, took_s, received, accounts)
    write_report(
        args.out,
        {
            "requests": args.requests,
            "workers": args.workers,
            "seconds": took_s,
            "received": len(received.told),
            "left": received.left,
            "broken": received.broken,
            "settled": accounts.settled,
            "exact": accounts.exact,
            "faults": dict(accounts.faults),
            "verdict": accounts.verdict,
        },
    )
    if not accounts.exact:
        raise SystemExit(1)


def show(requests: int, took_s: float, received: Received, accounts: Accounts) -> None:
    """The three books for people."""
    verdict = accounts.verdict
    print(f"{requests:,} requests in {took_s:.0f} s, two workers killed")
    print(f"  received to the end  {len(received.told):>9,}")
    print(f"  left by the client   {received.left:>9,}")
    print(f"  broken by the kills  {received.broken:>9,}")
    print(f"  settled              {accounts.settled:>9,}")
    print(f"  answered by the upstream, not settled when killed {accounts.in_flight_when_killed}")
    print(f"  ledger: ${verdict['cost_usd']} in {verdict['entries']:,} attempts, of which")
    print(f"          {verdict['unknown']:,} of unknown cost (${verdict['held_usd']} held)")
    for fault, count in accounts.faults.items():
        print(f"  {fault}: {count}")
    for finding in verdict["findings"][:20]:
        print(f"  {finding}")
    print("EXACT" if accounts.exact else "NOT EXACT")


if __name__ == "__main__":
    main()
