"""Redis goes away under a gateway and comes back: who has no limit hears nothing of it, nobody is
let in unseen, and nothing is spent twice."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from router.record.store import Store
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.limits.test_coordination import free_port, redis_server

LIMITED, FREE = "sk-shop-secret", "sk-bank-secret"
KEYS = [
    {"name": "shop", "key_env": "SHOP_KEY", "budget": {"usd": 0.05, "per": "month"}},
    {"name": "bank", "key_env": "BANK_KEY"},
]
CENT = {"prompt_tokens": 0, "completion_tokens": 1000, "total_tokens": 1000}
"""At ten dollars a million."""


async def ask(base: str, key: str) -> str:
    """``ok``, or the error's code and whether it says when to come back."""
    try:
        async with client(base, key) as asking:
            await asking.chat.completions.create(
                model="auto", max_tokens=1_001, messages=[{"role": "user", "content": "hello"}]
            )
    except openai.APIStatusError as error:
        return f"{error.code}{'' if 'retry-after' in error.response.headers else ', for ever'}"
    return "ok"


async def ask_until_decided(base: str, key: str) -> str:
    """Connections that were lost with the server are found out one by one."""
    for _ in range(50):
        said = await ask(base, key)
        if said != "coordination_failed":
            return said
        await asyncio.sleep(0.1)
    return said


@pytest.mark.long
async def test_a_redis_that_is_away_and_comes_back_empty(tmp_path: Path) -> None:
    port = free_port()
    more: dict[str, Any] = {
        "keys": KEYS,
        "coordination": {"url": f"redis://127.0.0.1:{port}/0"},
    }
    async with FakeUpstream("x", usage=CENT, latency_s=1.0) as up:
        async with gateway(tmp_path, up.base_url, **more) as base:
            async with redis_server(tmp_path, port):
                assert [await ask(base, LIMITED) for _ in range(2)] == ["ok", "ok"]
                running = asyncio.create_task(ask(base, LIMITED))
                while len(up.requests) < 3:  # noqa: ASYNC110 - its cost is set aside by then
                    await asyncio.sleep(0.01)
            assert await running == "ok"  # settled while Redis is away
            assert await ask(base, FREE) == "ok"
            assert await ask(base, LIMITED) == "coordination_failed"
            async with redis_server(tmp_path, port):
                said = [await ask_until_decided(base, LIMITED) for _ in range(4)]
        store = Store.open(f"sqlite:///{tmp_path}/t.db")
        spent = store.spending(key_name="shop").cost_usd
        store.close()
    assert said == ["ok", "ok", "insufficient_quota", "insufficient_quota"]  # after three before
    assert spent == Decimal("0.05")
