"""What the gateway adds to a request that it passes on to the teacher.

The same client asks a stand-in upstream directly and through the gateway, in turns, so that both
see the same weather on a noisy machine: request by request with one client, in blocks with many.
Everything is on: a key with a budget and a rate, a workload whose student is ready and not asked,
records, journal, metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from benchmarks.gateway.footprint import promote_release, read_messages
from benchmarks.gateway.litellm import run_litellm
from benchmarks.gateway.processes import (
    Server,
    bind_apart,
    read_url,
    run_gateway,
    run_loop,
    run_upstream,
    write_config,
    write_report,
)

TARGET_MS = 0.6
"""For the median overhead with one client, whole and streamed."""

_WARM_UP = 200
_ROUNDS = 8
_KEY = "bench-0123456789"
_AUTH = {"Authorization": f"Bearer {_KEY}"}
_SHOP = {
    "name": "shop",
    "key_env": "SHOP_KEY",
    "budget": {"usd": 1_000_000, "per": "day"},
    "rate": {"requests_per_minute": 10_000_000},
    "train_on": True,
}
_WORKLOAD = {"name": "shop", "match": {"system_prompt": "*"}, "policy": "teacher"}
_TRAINED_ON = 300
_HISTOGRAM = "tutelage_gateway_overhead_seconds"
_QUANTILES = (50, 95, 99)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One request; ``first_ms``: until the first byte of the answer's body, ``total_ms``: until
    its last; ``own_ms``: what the gateway itself says it added, None of the upstream."""

    first_ms: float
    total_ms: float
    own_ms: float | None


@dataclass(kw_only=True)
class Series:
    """All requests along one way; ``busy_s``: how long its blocks took."""

    timings: list[Timing] = field(default_factory=list)
    busy_s: float = 0.0

    def summary(self) -> dict[str, Any]:
        own = [timing.own_ms for timing in self.timings if timing.own_ms is not None]
        return {
            "requests": len(self.timings),
            "per_s": len(self.timings) / self.busy_s,
            "total_ms": quantiles([timing.total_ms for timing in self.timings]),
            "first_ms": quantiles([timing.first_ms for timing in self.timings]),
            "own_ms": quantiles(own) if own else None,
        }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    found = np.percentile(np.asarray(values), _QUANTILES)
    return {f"p{q}": float(value) for q, value in zip(_QUANTILES, found, strict=True)}


class Client:
    """Asks one server; the connections are kept."""

    def __init__(self, url: str, payload: bytes, key: str | None = None) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._payload = payload
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers=headers
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(self) -> Timing:
        start_s = time.perf_counter()
        first_s: float | None = None
        async with self._session.post(self._url, data=self._payload) as response:
            async for _ in response.content.iter_any():
                if first_s is None:
                    first_s = time.perf_counter()
            end_s = time.perf_counter()
            if response.status != 200 or first_s is None:
                raise SystemExit(f"{self._url} answered {response.status}.")
            own = response.headers.get("x-tutelage-overhead-ms")
        return Timing(
            first_ms=(first_s - start_s) * 1000,
            total_ms=(end_s - start_s) * 1000,
            own_ms=None if own is None else float(own),
        )


def write_payload(prompt_chars: int, *, stream: bool) -> bytes:
    """A chat-completions body with ``prompt_chars`` characters of instructions."""
    sentence = "Sort the customer's message into one of the labels below. "
    instructions = (sentence * (prompt_chars // len(sentence) + 1))[:prompt_chars]
    body: dict[str, Any] = {
        "model": "auto",
        "temperature": 0,
        "messages": [
            {"role": "system", "content": instructions},
            {"role": "user", "content": "Where is my parcel? It should have come on Monday."},
        ],
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


async def measure_pairs(clients: Mapping[str, Client], pairs: int) -> dict[str, Series]:
    """One request at a time, each way in turn; who goes first changes from pair to pair."""
    series = {name: Series() for name in clients}
    for number in range(-_WARM_UP, pairs):
        names = [*clients][:: 1 if number % 2 else -1]
        for name in names:
            timing = await clients[name].ask()
            if number >= 0:
                series[name].timings.append(timing)
                series[name].busy_s += timing.total_ms / 1000
    return series


async def measure_blocks(
    clients: Mapping[str, Client], requests: int, together: int
) -> dict[str, Series]:
    """``together`` requests at a time; blocks of each way in turn, ``requests`` in all per way."""
    series = {name: Series() for name in clients}
    each = max(1, requests // _ROUNDS // together)

    async def work(client: Client, kept: list[Timing]) -> None:
        for _ in range(each):
            kept.append(await client.ask())

    for number in range(-1, _ROUNDS):
        names = [*clients][:: 1 if number % 2 else -1]
        for name in names:
            kept: list[Timing] = []
            start_s = time.perf_counter()
            await asyncio.gather(*(work(clients[name], kept) for _ in range(together)))
            if number >= 0:
                series[name].busy_s += time.perf_counter() - start_s
                series[name].timings += kept
    return series


def compare(direct: Series, via: Series) -> dict[str, Any]:
    """Differences of the quantiles, and quantiles of the differences within pairs."""
    own = quantiles([timing.total_ms for timing in direct.timings])
    both = quantiles([timing.total_ms for timing in via.timings])
    within = [b.total_ms - a.total_ms for a, b in zip(direct.timings, via.timings, strict=True)]
    first = np.median([timing.first_ms for timing in via.timings]) - np.median(
        [timing.first_ms for timing in direct.timings]
    )
    return {
        "difference_ms": {name: both[name] - own[name] for name in own},
        "paired_ms": quantiles(within),
        "first_byte_p50_ms": float(first),
    }


def read_histogram(page: str) -> dict[float, float]:
    """The gateway's own overhead: upper bound in seconds → interactions up to it."""
    found: dict[float, float] = {}
    for line in page.splitlines():
        if line.startswith(f"{_HISTOGRAM}_bucket"):
            bound = line.partition('le="')[2].partition('"')[0]
            found[float(bound)] = float(line.split()[-1])
    return found


def histogram_quantile(counts: Mapping[float, float], share: float) -> float | None:
    """As Prometheus interpolates it, in milliseconds; None without observations."""
    total = max(counts.values(), default=0.0)
    below, lower = 0.0, 0.0
    for bound in sorted(counts):
        if total and counts[bound] >= share * total:
            if bound == float("inf"):
                return lower * 1000
            inside = counts[bound] - below
            return (lower + (bound - lower) * (share * total - below) / inside) * 1000
        below, lower = counts[bound], bound
    return None


async def measure(
    urls: Mapping[str, str], cpu_times: Mapping[str, Callable[[], float]], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Every scenario; ``urls``: "direct" first, then the gateways by name; ``cpu_times``: seconds
    of a processor that each has used."""
    results = []
    for stream in (False, True):
        for together in (1, args.clients):
            payload = write_payload(args.prompt_chars, stream=stream)
            own = [name for name in urls if name not in ("direct", "litellm")]
            clients = {
                name: Client(url, payload, _KEY if name in own else None)
                for name, url in urls.items()
            }
            before = {n: read_histogram(read_url(f"{urls[n]}/metrics", _AUTH)) for n in own}
            cpu_s = {n: cpu_times[n]() for n in own}
            if together == 1:
                series = await measure_pairs(clients, args.pairs)
                asked = args.pairs + _WARM_UP
            else:
                series = await measure_blocks(clients, args.requests, together)
                asked = len(series["direct"].timings) * (_ROUNDS + 1) // _ROUNDS
            for client in clients.values():
                await client.close()
            result: dict[str, Any] = {"stream": stream, "clients": together}
            result["ways"] = {name: kept.summary() for name, kept in series.items()}
            for name in before:
                after = read_histogram(read_url(f"{urls[name]}/metrics", _AUTH))
                counts = {bound: after[bound] - before[name].get(bound, 0.0) for bound in after}
                way = result["ways"][name]
                way["cpu_ms"] = (cpu_times[name]() - cpu_s[name]) * 1000 / asked
                way["histogram_ms"] = {
                    f"p{q}": histogram_quantile(counts, q / 100) for q in _QUANTILES
                }
            for name in [*urls][1:]:
                if together == 1:
                    way = result["ways"][name]
                    way |= compare(series["direct"], series[name])
                    if name == "gateway":
                        way["met"] = way["difference_ms"]["p50"] <= TARGET_MS
            results.append(result)
    return results


def _show(label: str, values: Mapping[str, float | None] | None) -> str:
    shown = [None if values is None else values[f"p{q}"] for q in _QUANTILES]
    return f"  {label:<34}" + "".join(
        f"{'-' if value is None else f'{value:.3f}':>9}" for value in shown
    )


def show(results: Sequence[Mapping[str, Any]]) -> None:
    """The tables; all times in milliseconds."""
    for result in results:
        kind = "streamed" if result["stream"] else "whole"
        count = result["clients"]
        print(f"\n{kind}, {count} client{'s' if count > 1 else ''}")
        print(f"  {'ms':<34}" + "".join(f"{f'p{q}':>9}" for q in _QUANTILES) + f"{'req/s':>9}")
        for name, way in result["ways"].items():
            print(_show(name, way["total_ms"]) + f"{way['per_s']:>9.0f}")
        for name, way in list(result["ways"].items())[1:]:
            if "difference_ms" in way:
                print(_show(f"{name} - direct", way["difference_ms"]))
                print(_show(f"{name} - direct, within pairs", way["paired_ms"]))
                print(f"  {f'{name} - direct, first byte':<34}{way['first_byte_p50_ms']:>9.3f}")
            print(_show(f"{name}: x-tutelage-overhead-ms", way["own_ms"]))
            if "histogram_ms" in way:
                print(_show(f"{name}: /metrics (interpolated)", way["histogram_ms"]))
            if "cpu_ms" in way:
                print(f"  {f'{name}: CPU per request':<34}{way['cpu_ms']:>9.3f}")
            if "met" in way:
                print(f"  p50 at most {TARGET_MS:g} ms: {'met' if way['met'] else 'MISSED'}")


def main() -> None:
    """Measure, show, and write the report where ``--out`` asks for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2_000, help="with one client")
    parser.add_argument("--requests", type=int, default=8_192, help="per way with many clients")
    parser.add_argument("--clients", type=int, default=32, help="how many are many")
    parser.add_argument("--prompt-chars", type=int, default=600, help="length of the instructions")
    parser.add_argument(
        "--baseline", type=Path, metavar="FOLDER", help="another version's packages, to compare"
    )
    parser.add_argument("--litellm", action="store_true", help="beside LiteLLM's proxy")
    parser.add_argument(
        "--upstream-ms", type=float, default=0.0, help="what the upstream takes for an answer"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    with ExitStack() as stack:
        arguments = ["--delay-ms", str(args.upstream_ms)]
        upstream = stack.enter_context(run_upstream(arguments=arguments))
        servers: dict[str, Server] = {}
        versions = {"gateway": None, "baseline": args.baseline}
        for name, sources in versions.items():
            if name == "gateway" or sources is not None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                config = write_config(folder, upstream.url, keys=[_SHOP], workloads=[_WORKLOAD])
                promote_release(folder, read_messages()[:_TRAINED_ON])
                gateway = run_gateway(config, sources=sources, environment={"SHOP_KEY": _KEY})
                servers[name] = stack.enter_context(gateway)
        if args.litellm:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            servers["litellm"] = stack.enter_context(run_litellm(folder, upstream.url))
        urls = {"direct": upstream.url} | {name: one.url for name, one in servers.items()}
        bound = bind_apart([*servers.values()], [upstream])
        print(f"servers on a core of their own: {'yes' if bound else 'no'}")
        for name, server in servers.items():
            print(f"{name}: ready in {server.ready_s or 0.0:.1f} s, {server.rss_mb:.0f} MB then")
        cpu_times = {name: one.cpu_s for name, one in servers.items()}
        results = run_loop(measure(urls, cpu_times, args))
    show(results)
    write_report(args.out, {"target_ms": TARGET_MS, "scenarios": results})


if __name__ == "__main__":
    main()
