"""The same contract for limits in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from router.limits.budgets import Budget
from router.limits.keeper import Limits
from router.limits.memory import MemoryCoordination
from router.limits.model import Account, Bucket, Coordination, Refusal
from router.limits.redis import RedisCoordination

NEVER = 4e9


def account(limit: int, name: str = "key:shop") -> Account:
    return Account(name=name, said="the key shop's budget", limit=limit, ends_at=NEVER)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def redis_server(folder: Path, port: int | None = None) -> AsyncIterator[str]:
    """The address of a real one, which keeps nothing on disk."""
    port = free_port() if port is None else port
    program = shutil.which("redis-server")
    assert program is not None, "install redis-server (tests/setup-long.sh does)"
    server = await asyncio.create_subprocess_exec(
        *(program, "--port", str(port), "--dir", str(folder), "--save", ""),
        stdout=asyncio.subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        await _wait_for(url)
        yield url
    finally:
        server.terminate()
        await server.wait()


@pytest_asyncio.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.long)])
async def limits(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Coordination]:
    if request.param == "memory":
        yield MemoryCoordination()
        return
    async with redis_server(tmp_path) as url:
        kept = RedisCoordination(url)
        yield kept
        await kept.close()


async def _wait_for(url: str) -> None:
    async with Redis.from_url(url) as probe:
        for _ in range(200):
            try:
                await probe.ping()
                return
            except RedisError:
                await asyncio.sleep(0.05)
    raise AssertionError("Redis did not start")


async def test_what_is_reserved_is_set_aside_until_it_is_settled(limits: Coordination) -> None:
    budget = account(100)
    assert await limits.reserve("a", [budget], 60, 60, 30) == 60
    assert await limits.spent(budget) == (0, 60)
    refused = await limits.reserve("b", [budget], 60, 60, 30)
    assert isinstance(refused, Refusal)
    assert (refused.account.name, refused.for_good) == ("key:shop", False)
    await limits.settle("a", 10)
    await limits.settle("a", 10)  # once is enough
    assert await limits.spent(budget) == (10, 0)
    assert await limits.reserve("b", [budget], 95, 60, 30) == 90  # what is left will do
    await limits.settle("b", 90)
    refused = await limits.reserve("c", [budget], 1, 1, 30)
    assert isinstance(refused, Refusal)
    assert refused.for_good


async def test_all_accounts_take_it_or_none(limits: Coordination) -> None:
    wide, tight = account(1_000, "all"), account(10, "key:b")
    refused = await limits.reserve("a", [wide, tight], 50, 50, 30)
    assert isinstance(refused, Refusal)
    assert refused.account.name == "key:b"
    assert await limits.spent(wide) == (0, 0)
    assert await limits.reserve("a", [wide, tight], 50, 5, 30) == 10
    assert (await limits.spent(wide), await limits.spent(tight)) == ((0, 10), (0, 10))


async def test_what_was_spent_before_a_restart_counts(limits: Coordination) -> None:
    budget = account(100)
    await limits.open_account(budget, 70)
    await limits.open_account(budget, 5)  # it is open
    assert await limits.spent(budget) == (70, 0)


async def test_what_a_dead_process_reserved_counts_as_spent(limits: Coordination) -> None:
    budget = account(100)
    await limits.reserve("dead", [budget], 40, 40, 0.05)
    await asyncio.sleep(0.1)
    assert await limits.reserve("b", [budget], 60, 60, 30) == 60
    assert await limits.spent(budget) == (40, 60)
    await limits.settle("dead", 1)  # too late
    assert await limits.spent(budget) == (40, 60)


async def test_hundreds_at_once_never_overspend(limits: Coordination) -> None:
    budget, rng, served = account(1_000), random.Random(3), 0

    async def ask(number: int) -> None:
        nonlocal served
        for _ in range(500):
            granted = await limits.reserve(f"h{number}", [budget], 20, 11, 30)
            if isinstance(granted, int):
                await asyncio.sleep(rng.uniform(0, 0.01))
                spent, held = await limits.spent(budget)
                assert spent + held <= 1_000
                await limits.settle(f"h{number}", rng.randint(9, 11))
                served += 1
                return
            if granted.for_good:
                return
            await limits.wait(1.0)

    await asyncio.gather(*(ask(number) for number in range(300)))
    spent, held = await limits.spent(budget)
    assert held == 0
    assert 1_000 - 11 < spent <= 1_000
    assert served >= 90


async def test_a_rate_is_refused_beyond_it_and_refills(limits: Coordination) -> None:
    bucket = Bucket(name="rate:shop", per_minute=600)
    first = await limits.take(bucket, 595)
    assert (first.wait_s, first.remaining) == (0, 5)
    refused = await limits.take(bucket, 20)
    assert 1.0 < refused.wait_s <= 1.5
    assert 55 < refused.full_s <= 60
    forced = await limits.take(bucket, 20, force=True)
    assert (forced.remaining, forced.wait_s) == (0, 0)
    await asyncio.sleep(2.1)
    assert (await limits.take(bucket, 1)).wait_s == 0


DOLLAR = Budget(kind="key", subject="shop", usd=Decimal(1), per="month")


@pytest.mark.long
async def test_a_redis_that_comes_back_empty_opens_no_budget_twice(tmp_path: Path) -> None:
    """Two processes; ``ledger``: what the store would say was spent."""
    ledger = Decimal(0)

    async def spent_before(budget: Budget, since_s: float) -> Decimal:
        return ledger

    async with redis_server(tmp_path) as url, Redis.from_url(url) as redis:
        first = Limits(RedisCoordination(url), spent_before)
        second = Limits(RedisCoordination(url), spent_before)
        done = await first.hold("done", [DOLLAR], Decimal("0.4"), Decimal("0.4"))
        await first.settle(done, Decimal("0.4"))
        ledger = Decimal("0.4")
        running = await second.hold("running", [DOLLAR], Decimal("0.3"), Decimal("0.3"))
        await redis.flushall()
        late = await first.hold("late", [DOLLAR], Decimal(1), Decimal("0.01"))
        assert late.usd == Decimal("0.3")  # neither what was spent nor what the other one holds
        await second.settle(running, Decimal("0.2"))
        await first.settle(late, Decimal("0.1"))
        assert await second.spent(DOLLAR) == (Decimal("0.7"), 0)
        await first.close()
        await second.close()


@pytest.mark.long
async def test_what_is_settled_before_a_lost_budget_is_open_again_counts(tmp_path: Path) -> None:
    async def spent_before(budget: Budget, since_s: float) -> Decimal:
        return Decimal(0)

    async with redis_server(tmp_path) as url, Redis.from_url(url) as redis:
        kept = Limits(RedisCoordination(url), spent_before)
        running = await kept.hold("running", [DOLLAR], Decimal("0.9"), Decimal("0.9"))
        await redis.flushall()
        waiting = asyncio.create_task(kept.hold("next", [DOLLAR], Decimal("0.5"), Decimal("0.01")))
        await asyncio.sleep(1.2)  # restored, and not yet open
        await kept.settle(running, Decimal("0.8"))
        assert (await waiting).usd == Decimal("0.2")
        await kept.close()
