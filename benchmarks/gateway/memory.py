"""Whether a gateway's memory grows with the requests that it has answered.

Whole and streamed requests in turn, by many clients; memory is read at equal steps. The slope is
fitted to the second half, when caches are full.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gateway.overhead import Client, write_payload
from benchmarks.gateway.processes import (
    Server,
    run_gateway,
    run_loop,
    run_upstream,
    write_config,
    write_report,
)

BARE_TARGET_MB = 150.0
SLOPE_TARGET_MB = 5.0
"""Per 100,000 requests; less can't be told from an allocator's steps."""

_STEPS = 40


async def measure(gateway: Server, requests: int, together: int) -> list[tuple[int, float]]:
    """Pairs of requests answered so far and resident memory in MB."""
    clients = [Client(gateway.url, write_payload(600, stream=stream)) for stream in (False, True)]
    found = [(0, gateway.rss_mb)]
    each = max(1, requests // _STEPS // together)

    async def work(number: int) -> None:
        for turn in range(each):
            await clients[(number + turn) % 2].ask()

    for _ in range(_STEPS):
        await asyncio.gather(*(work(number) for number in range(together)))
        found.append((found[-1][0] + each * together, gateway.rss_mb))
        print(f"{found[-1][0]:,} requests: {found[-1][1]:.0f} MB", flush=True)
    for client in clients:
        await client.close()
    return found


def summarise(found: list[tuple[int, float]]) -> dict[str, Any]:
    """MB at the end, and MB per 100,000 requests with twice its standard error."""
    done, memory = np.array(found[len(found) // 2 :]).T
    (slope, _), covariance = np.polyfit(done, memory, 1, cov=True)
    slope_mb, error_mb = float(slope) * 1e5, 2 * float(np.sqrt(covariance[0, 0])) * 1e5
    return {
        "requests": found[-1][0],
        "started_mb": found[0][1],
        "mb": found[-1][1],
        "slope_mb": slope_mb,
        "slope_error_mb": error_mb,
        "met": found[-1][1] <= BARE_TARGET_MB and slope_mb - error_mb <= SLOPE_TARGET_MB,
    }


def main() -> None:
    """Measure, show, and write the report where ``--out`` asks for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        run_upstream() as upstream,
        run_gateway(write_config(Path(folder), upstream.url)) as gateway,
    ):
        found = run_loop(measure(gateway, args.requests, args.clients))
    result = summarise(found)
    print(
        f"{result['requests']:,} requests: {result['started_mb']:.0f} MB at the start,"
        f" {result['mb']:.0f} MB at the end (at most {BARE_TARGET_MB:g});"
        f" {result['slope_mb']:+.1f} ± {result['slope_error_mb']:.1f} MB per 100,000 in the second"
        f" half: {'met' if result['met'] else 'MISSED'}"
    )
    write_report(args.out, {**result, "readings": found})


if __name__ == "__main__":
    main()
