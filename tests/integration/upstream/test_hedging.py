"""A second try elsewhere while the first one is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from router.record.store import Store
from router.testing import ErrorAnswer, FakeUpstream
from router.upstream.breakers import MemoryBreakers
from router.upstream.client import UpstreamClient
from router.upstream.failover import Failover
from router.upstream.model import AttemptLog, CallError, UpstreamTarget
from tests.integration.gateway.test_gateway import client, gateway

BODY: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[Failover]:
    asking = Failover(UpstreamClient(), MemoryBreakers())
    await asking.start()
    yield asking
    await asking.close()


def target(first: FakeUpstream, second: FakeUpstream, after_s: float = 0.1) -> UpstreamTarget:
    fallback = UpstreamTarget(key="b", base_url=second.base_url, model="b", retries=0)
    return UpstreamTarget(
        key="a",
        base_url=first.base_url,
        model="a",
        retries=0,
        fallbacks=(fallback,),
        hedge_after_s=after_s,
    )


def tell(attempts: tuple[AttemptLog, ...] | list[AttemptLog]) -> list[tuple[str, str]]:
    return [(one.model, one.billing) for one in attempts]


async def test_a_slow_model_is_overtaken_and_its_try_is_billed_as_unknown(
    upstream: Failover,
) -> None:
    async with FakeUpstream("slow", latency_s=5) as slow, FakeUpstream("quick") as quick:
        reply = await upstream.complete(target(slow, quick), BODY)
        assert reply.payload["choices"][0]["message"]["content"] == "quick"
        assert tell(reply.attempts) == [("a", "unknown"), ("b", "answer")]
        await slow.wait_for_disconnect()
        stream = await upstream.open_stream(target(slow, quick), BODY)
        assert [one async for one in stream.events()]
        assert tell(stream.attempts) == [("a", "unknown"), ("b", "answer")]
        await stream.aclose()


async def test_a_quick_model_is_asked_alone(upstream: Failover) -> None:
    async with FakeUpstream("quick") as quick, FakeUpstream("idle") as idle:
        reply = await upstream.complete(target(quick, idle, after_s=1), BODY)
        assert tell(reply.attempts) == [("a", "answer")]
        await asyncio.sleep(0.05)
        assert idle.requests == []


async def test_the_first_may_still_win(upstream: Failover) -> None:
    async with (
        FakeUpstream("first", latency_s=0.4) as first,
        FakeUpstream(latency_s=9) as second,
    ):
        stream = await upstream.open_stream(target(first, second), BODY)
        assert stream.assembled is not None
        assert tell(stream.attempts) == [("b", "unknown"), ("a", "answer")]
        await stream.aclose()
        await second.wait_for_disconnect()


@pytest.mark.parametrize("status", [500, 400])
async def test_a_failure_waits_for_no_hedge(upstream: Failover, status: int) -> None:
    fault = [ErrorAnswer(status=status)]
    async with FakeUpstream(faults=fault) as first, FakeUpstream("b") as second:
        asking = upstream.complete(target(first, second, after_s=60), BODY)
        if status == 500:
            assert tell((await asking).attempts) == [("a", "nothing"), ("b", "answer")]
        else:
            with pytest.raises(CallError):
                await asking
            assert second.requests == []


async def test_where_both_fail_the_first_ones_error_is_told_with_all_tries(
    upstream: Failover,
) -> None:
    late = FakeUpstream(latency_s=0.4, always=ErrorAnswer(status=503))
    async with late as first, FakeUpstream(always=ErrorAnswer(status=500)) as second:
        tries: list[AttemptLog] = []
        with pytest.raises(CallError) as failed:
            await upstream.complete(target(first, second), BODY, None, tries)
    assert failed.value.status == 503
    assert tell(failed.value.attempts) == [("b", "nothing"), ("a", "nothing")]
    assert tell(tries) == tell(failed.value.attempts)


async def test_a_client_that_leaves_ends_both(upstream: Failover) -> None:
    async with (
        FakeUpstream(latency_s=9) as first,
        FakeUpstream(latency_s=9) as second,
    ):
        tries: list[AttemptLog] = []
        asking = asyncio.create_task(upstream.complete(target(first, second), BODY, None, tries))
        await second.wait_for_request()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await first.wait_for_disconnect()
        await second.wait_for_disconnect()
    assert sorted(tell(tries)) == [("a", "unknown"), ("b", "unknown")]


async def test_no_more_than_a_share_of_the_calls_is_hedged(upstream: Failover) -> None:
    async with (
        FakeUpstream("a", latency_s=0.05) as first,
        FakeUpstream(latency_s=9) as second,
    ):
        one = target(first, second, after_s=0.01)
        for _ in range(40):
            await upstream.complete(one, BODY)
    assert 20 <= len(second.requests) <= 29


async def test_a_budget_holds_what_both_may_cost(tmp_path: Path) -> None:
    price = {"input": 0, "output": 10}
    async with FakeUpstream("slow", latency_s=5) as slow, FakeUpstream("quick") as quick:
        models = {
            "teacher": {"upstream": slow.base_url, "model": "a", "price": price, "retries": 0}
            | {"fallbacks": ["other"], "hedge_after_s": 0.1},
            "other": {"upstream": quick.base_url, "model": "b", "price": price},
        }
        budgets = [{"usd": 0.04, "per": "month"}]
        async with gateway(tmp_path, slow.base_url, models=models, budgets=budgets) as base:
            chat = client(base).chat.completions.with_raw_response
            told = await chat.create(**BODY, max_tokens=2_000)
            assert told.headers["x-tutelage-model"] == "other"
            assert "x-tutelage-cost-usd" not in told.headers
            with pytest.raises(openai.RateLimitError):  # unknown: all that was held is spent
                await chat.create(**BODY, max_tokens=2_000)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    (record,) = store.latest(9)
    store.close()
    assert [(one.model, one.basis) for one in record.attempts] == [
        ("teacher", "unknown"),
        ("other", "answer"),
    ]
