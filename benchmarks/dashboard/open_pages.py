"""What open pages of the dashboard cost the requests beside them.

One gateway, a store with some history, and Chromium (the command ``chromium``) with five pages:
all are closed and open in turns, and in each turn the same client asks the stand-in upstream
directly and through the gateway, one request at a time and then with many at once. So both
conditions see the same weather. Chromium draws on the client's core, which slows the client, too:
what is between the direct way and the gateway's, and the gateway's own processor time, tell the two
apart.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from benchmarks.dashboard.records import WORKLOADS, fill
from benchmarks.gateway.overhead import Client, quantiles, write_payload
from benchmarks.gateway.processes import (
    Server,
    bind_apart,
    run_gateway,
    run_loop,
    run_upstream,
    write_config,
    write_report,
)

MOST_OF_A_CORE = 0.1
"""What open pages may take of the core that the requests need."""

EACH = ("", "frontier", "interactions", "learning", "keys")
_CONDITIONS = ("closed", "open")
_SETTLE_S = 1.0


@dataclass(kw_only=True)
class Seen:
    """All turns of one condition. ``direct_ms``, ``via_ms``: of single requests; ``burst_ms``: of
    many at once, which took ``burst_s`` together; ``cpu_s``: of the gateway in all turns, which
    took ``turns_s``."""

    direct_ms: list[float] = field(default_factory=list)
    via_ms: list[float] = field(default_factory=list)
    burst_ms: list[float] = field(default_factory=list)
    burst_s: float = 0.0
    cpu_s: float = 0.0
    turns_s: float = 0.0

    def summary(self) -> dict[str, Any]:
        direct, via = quantiles(self.direct_ms), quantiles(self.via_ms)
        return {
            "requests": len(self.via_ms) + len(self.burst_ms),
            "direct_ms": direct,
            "gateway_ms": via,
            "overhead_ms": {name: via[name] - direct[name] for name in via},
            "burst_ms": quantiles(self.burst_ms),
            "per_s": len(self.burst_ms) / self.burst_s,
            "cpu_s": self.cpu_s,
            "turns_s": self.turns_s,
            "cpu_ms": 1000 * self.cpu_s / (len(self.via_ms) + len(self.burst_ms)),
        }


async def measure(
    gateway: Server, upstream: str, addresses: Sequence[str], args: argparse.Namespace
) -> dict[str, Seen]:
    """Both conditions, in turns."""
    payload = write_payload(600, stream=False)
    direct, via = Client(upstream, payload), Client(gateway.url, payload)
    seen = {condition: Seen() for condition in _CONDITIONS}
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        pages = [await chromium.new_page() for _ in addresses]
        await _ask_for(1.0, direct, via, Seen())  # warm up
        for number in range(args.rounds):
            for condition in _CONDITIONS[:: 1 if number % 2 else -1]:
                await _set(pages, gateway.url, addresses if condition == "open" else ())
                await asyncio.sleep(_SETTLE_S)
                began_s, before_s = time.perf_counter(), _cpu_s(gateway)
                await _ask_for(args.seconds, direct, via, seen[condition])
                await _burst_for(args.seconds, args.clients, via, seen[condition])
                seen[condition].turns_s += time.perf_counter() - began_s
                seen[condition].cpu_s += _cpu_s(gateway) - before_s
        await chromium.close()
    await direct.close()
    await via.close()
    return seen


async def _set(pages: Sequence[Page], url: str, addresses: Sequence[str]) -> None:
    for number, page in enumerate(pages):
        await page.goto("about:blank")
        if addresses:
            await page.goto(f"{url}/ui{addresses[number]}")
            await page.locator("#status-text", has_text="Updated").wait_for()


async def _ask_for(seconds: float, direct: Client, via: Client, seen: Seen) -> None:
    """One request at a time, each way in turn."""
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        seen.direct_ms.append((await direct.ask()).total_ms)
        seen.via_ms.append((await via.ask()).total_ms)


async def _burst_for(seconds: float, together: int, via: Client, seen: Seen) -> None:
    began_s = time.perf_counter()

    async def work() -> None:
        while time.perf_counter() < began_s + seconds:
            seen.burst_ms.append((await via.ask()).total_ms)

    await asyncio.gather(*(work() for _ in range(together)))
    seen.burst_s += time.perf_counter() - began_s


def _cpu_s(gateway: Server) -> float:
    times = gateway.process.cpu_times()
    return float(times.user + times.system)


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Both conditions side by side; times in milliseconds."""
    closed, opened = found["closed"], found["open"]
    print(f"  {'':<38}{'closed':>9}{'open':>9}{'ratio':>8}")
    for label, name in (
        ("directly, 1 client", "direct_ms"),
        ("through the gateway, 1 client", "gateway_ms"),
        ("  between the two", "overhead_ms"),
        ("through the gateway, many clients", "burst_ms"),
    ):
        for quantile in ("p50", "p99"):
            _show_row(f"{label}, {quantile}, ms", closed[name][quantile], opened[name][quantile])
    _show_row("requests a second, many clients", closed["per_s"], opened["per_s"])
    _show_row("the gateway's core a request, ms", closed["cpu_ms"], opened["cpu_ms"])
    pages_s = opened["cpu_s"] - opened["requests"] * closed["cpu_ms"] / 1000
    share = pages_s / opened["turns_s"]
    met = "met" if share <= MOST_OF_A_CORE else "MISSED"
    print(f"  the pages took {share:.1%} of a core, at most {MOST_OF_A_CORE:.0%}: {met}")


def _show_row(label: str, closed: float, opened: float) -> None:
    print(f"  {label:<38}{closed:>9.3f}{opened:>9.3f}{opened / closed:>8.2f}")


def main() -> None:
    """Fill a store, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000, help="interactions in the store")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each part of a turn")
    parser.add_argument("--clients", type=int, default=32, help="how many are many")
    parser.add_argument(
        "--overviews", action="store_true", help="the overview of all and of four workloads"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    names = [name for name, _ in WORKLOADS]
    addresses = [f"?workload={names[0]}#/{page}" for page in EACH]
    if args.overviews:
        addresses = ["", *(f"?workload={name}" for name in names[:4])]
    with tempfile.TemporaryDirectory() as name, run_upstream() as upstream:
        folder = Path(name)
        fill(f"sqlite:///{folder}/bench.db", args.records)
        policy = {"policy": "threshold", "threshold": 0.8}
        workloads = [{"name": workload, **policy} for workload in names]
        config = write_config(folder, upstream.url, workloads=workloads)
        with run_gateway(config) as gateway:
            bound = bind_apart([gateway], [upstream])
            print(f"the gateway on a core of its own: {'yes' if bound else 'no'}")
            seen = run_loop(measure(gateway, upstream.url, addresses, args))
    found = {condition: one.summary() for condition, one in seen.items()}
    kind = "five overviews" if args.overviews else "each page once"
    count = sum(one["requests"] for one in found.values())
    print(f"{kind}, {args.records:,} interactions in the store, {count:,} requests")
    show(found)
    write_report(args.out, found)


if __name__ == "__main__":
    main()
