"""Budgets and rates of keys, through the official client."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from router.record.store import Store
from router.testing import ErrorAnswer, FakeUpstream
from tests.integration.gateway.test_gateway import SECRETS, client, gateway

KEY = "sk-shop-secret"
USAGE = {"prompt_tokens": 100, "completion_tokens": 975, "total_tokens": 1_075}
"""At 2.5 and 10 USD per million tokens: one cent."""

COST = Decimal("0.01")


def keys(**limits: Any) -> dict[str, Any]:
    return {"keys": [{"name": "shop", "key_env": "SHOP_KEY", **limits}]}


async def ask(base: str, **more: Any) -> Any:
    async with client(base, KEY) as asking:
        return await ask_as(asking, **more)


async def ask_as(asking: openai.AsyncOpenAI, **more: Any) -> Any:
    chat = asking.chat.completions.with_raw_response
    messages = [{"role": "user", "content": "Where is my parcel?"}]
    return await chat.create(model="auto", messages=messages, **more)


async def count_served(base: str, requests: int, **more: Any) -> int:
    async def one() -> bool:
        try:
            await ask_as(asking, max_tokens=1_000, **more)
        except openai.RateLimitError as error:
            refusals.append((error.type, error.response.headers["x-should-retry"]))
            return False
        return True

    refusals: list[tuple[str | None, str]] = []
    async with client(base, KEY) as asking:
        served = sum(await asyncio.gather(*(one() for _ in range(requests))))
    assert set(refusals) <= {("insufficient_quota", "false")}
    return served


async def test_a_key_that_is_too_fast_is_told_when_to_come_back(tmp_path: Path) -> None:
    limits = keys(rate={"requests_per_minute": 2})
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url, **limits) as base:
        first = await ask(base)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        await ask(base)
        with pytest.raises(openai.RateLimitError, match="2 requests a minute") as refused:
            await ask(base)
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 31
        assert len(up.requests) == 2


@pytest.mark.parametrize("requests", [200, pytest.param(1_000, marks=pytest.mark.long)])
async def test_requests_at_once_never_exceed_a_budget_and_nearly_use_it_up(
    tmp_path: Path, requests: int
) -> None:
    limits = keys(budget={"usd": 1, "per": "month"})
    async with (
        FakeUpstream("x", usage=USAGE, latency_s=0.02) as up,
        gateway(tmp_path, up.base_url, **limits) as base,
    ):
        served = await count_served(base, requests)
        assert 97 <= served <= 100
        assert await count_served(base, 5) <= 100 - served
        asked = [request.body["max_tokens"] for request in up.requests]
        assert all(500 <= tokens <= 1_000 for tokens in asked)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    assert store.spending(key_name="shop").cost_usd == COST * served
    store.close()


async def test_metrics_show_what_of_a_budget_is_spent_and_who_waits(tmp_path: Path) -> None:
    limits = keys(budget={"usd": 1, "per": "month"})
    labels = 'kind="key",per="month",subject="shop"'
    spent = f"tutelage_budget_spent_usd{{{labels}}} {float(COST * 10)}"
    async with (
        FakeUpstream("x", usage=USAGE) as up,
        gateway(tmp_path, up.base_url, **limits) as base,
        httpx.AsyncClient(headers={"x-api-key": SECRETS["SHOP_KEY"]}) as http,
    ):
        assert await count_served(base, 10) == 10
        for _ in range(100):  # settled after its answer
            page = (await http.get(f"{base}/metrics")).text
            if spent in page:
                break
            await asyncio.sleep(0.05)
    assert spent in page
    assert "tutelage_requests_waiting 0.0" in page
    assert "tutelage_requests_running 0.0" in page


async def test_what_failed_gives_its_room_back(tmp_path: Path) -> None:
    limits = keys(budget={"usd": 0.1, "per": "day"})
    faults = [ErrorAnswer(status=500)] * 8
    async with (
        FakeUpstream("x", usage=USAGE, faults=faults) as up,
        gateway(tmp_path, up.base_url, **limits) as base,
    ):
        for _ in range(8):
            with pytest.raises(openai.InternalServerError):
                await ask(base, max_tokens=1_000)
        with pytest.raises(openai.NotFoundError):
            await client(base, KEY).chat.completions.create(
                model="none", messages=[{"role": "user", "content": "hello"}]
            )
        assert await count_served(base, 12) >= 9


async def test_what_was_spent_before_a_restart_counts(tmp_path: Path) -> None:
    limits = keys(budget={"usd": 0.05, "per": "month"})
    async with FakeUpstream("x", usage=USAGE) as up:
        async with gateway(tmp_path, up.base_url, **limits) as base:
            assert await count_served(base, 3) == 3
        async with gateway(tmp_path, up.base_url, **limits) as base:
            assert await count_served(base, 5) <= 2


async def test_an_answer_without_a_limit_of_its_own_is_capped(tmp_path: Path) -> None:
    limits = keys(budget={"usd": 0.02, "per": "month"})
    async with (
        FakeUpstream("x", usage=USAGE) as up,
        gateway(tmp_path, up.base_url, **limits) as base,
    ):
        await ask(base)
        (request,) = up.requests
    # Two cents are not quite enough for the 4,096 tokens that such an answer might have.
    assert 1_000 <= request.body["max_tokens"] < 2_000
