"""How many streams at once pass without a stall: straight, through the gateway, through LiteLLM.

A stand-in upstream sends 64 parts, one every 20 ms, each saying when it was due. A stream stalls
where a part comes later than 100 ms after that, and fails where a part is missing. The server that
is measured has one core; client and upstream share the other.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson

from benchmarks.gateway.litellm import run_litellm
from benchmarks.gateway.overhead import write_payload
from benchmarks.gateway.processes import (
    Server,
    bind_apart,
    run_gateway,
    run_loop,
    run_upstream,
    write_config,
    write_report,
)
from benchmarks.gateway.upstream import PACED
from router.wire.sse import SseDecoder

TARGET = 128
"""Stall-free streams a core."""

LATE_MS = 100.0
_PACE_MS = 20.0


async def read_stream(session: aiohttp.ClientSession, url: str, payload: bytes) -> list[float]:
    """Milliseconds by which each of a stream's parts came after it was due."""
    decoder, late = SseDecoder(), []
    async with session.post(f"{url}/v1/chat/completions", data=payload) as response:
        async for data in response.content.iter_any():
            now_s = time.time()
            for event in decoder.feed(data):
                late += [(now_s - due_s) * 1000 for due_s in _dues(event.data)]
    return late


def _dues(data: str) -> list[float]:
    if data == "[DONE]":
        return []
    choices = orjson.loads(data).get("choices") or [{}]
    words = (choices[0].get("delta") or {}).get("content") or ""
    return [float(word) for word in words.split()]


async def measure(url: str, streams: int) -> dict[str, Any]:
    """So many streams, all begun within a second."""
    payload = write_payload(600, stream=True)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def ask(number: int) -> list[float]:
            await asyncio.sleep(number / streams)
            return await read_stream(session, url, payload)

        found = await asyncio.gather(*(ask(number) for number in range(streams)))
    worst = [max(late, default=float("inf")) for late in found]
    return {
        "streams": streams,
        "incomplete": sum(len(late) != PACED for late in found),
        "stalled": sum(one > LATE_MS for one in worst),
        "late_ms": {f"p{q}": float(np.percentile(np.concatenate(found), q)) for q in (50, 99, 100)},
    }


@contextmanager
def run_ways(upstream: Server, *, litellm: bool) -> Iterator[dict[str, str]]:
    """Addresses by name: straight, through the gateway and, where asked for, through LiteLLM."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {"gateway": stack.enter_context(run_gateway(write_config(folder, upstream.url)))}
        if litellm:
            servers["litellm"] = stack.enter_context(run_litellm(folder, upstream.url))
        bind_apart([*servers.values()], [upstream])
        yield {"direct": upstream.url} | {name: server.url for name, server in servers.items()}


async def measure_all(ways: Mapping[str, str], counts: Sequence[int]) -> dict[str, Any]:
    """Each way with more and more streams, until half of them stall."""
    results: dict[str, Any] = {}
    for name, url in ways.items():
        await measure(url, 4)  # warms up
        found = results[name] = []
        for count in counts:
            found.append(await measure(url, count))
            if found[-1]["stalled"] > count / 2:
                break
    return results


def show(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The table."""
    print(f"{'':<10}{'streams':>8}{'stalled':>9}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}{'worst':>9}")
    for name, found in results.items():
        for one in found:
            late = one["late_ms"]
            print(
                f"{name:<10}{one['streams']:>8}{one['stalled']:>9}{one['incomplete']:>6}"
                f"{late['p50']:>9.1f}{late['p99']:>9.1f}{late['p100']:>9.1f}"
            )
    for name, found in results.items():
        free = [one["streams"] for one in found if not one["stalled"] and not one["incomplete"]]
        most = max(free, default=0)
        verdict = f": {'met' if most >= TARGET else 'MISSED'}" if name == "gateway" else ""
        print(f"{name}: {most} streams without a stall{verdict}")


def main() -> None:
    """Measure, show, and write the report where ``--out`` asks for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[32, 64, 128, 192, 256])
    parser.add_argument("--litellm", action="store_true", help="beside LiteLLM's proxy")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    with (
        run_upstream(arguments=["--pace-ms", str(_PACE_MS)]) as upstream,
        run_ways(upstream, litellm=args.litellm) as ways,
    ):
        results = run_loop(measure_all(ways, args.counts))
    show(results)
    write_report(args.out, {"target": TARGET, "ways": results})


if __name__ == "__main__":
    main()
