"""Budgets of everything and of a workload, beside those of keys."""

from __future__ import annotations

import asyncio
import hashlib
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from router.record.keys import StoredKey
from router.record.store import Store
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.gateway.test_limits import KEY, USAGE

SORT = {"workloads": [{"name": "sort", "match": {"system_prompt": "Sort*"}}]}


async def count(base: str, requests: int, system: str, key: str = "none") -> int:
    """How many of so many at once were answered; the others had no budget left."""

    async def one() -> int:
        try:
            await asking.chat.completions.create(
                model="auto",
                max_tokens=1_000,
                messages=[
                    {"role": "system", "content": system},
                    {"role": "user", "content": "hello"},
                ],
            )
        except openai.RateLimitError as error:
            refusals.add((error.type, error.response.headers["x-should-retry"]))
            return 0
        return 1

    refusals: set[tuple[str | None, str]] = set()
    async with client(base, key) as asking:
        served = sum(await asyncio.gather(*(one() for _ in range(requests))))
    assert refusals <= {("insufficient_quota", "false")}
    return served


async def read(base: str, path: str, key: str = "") -> httpx.Response:
    async with httpx.AsyncClient(base_url=base, headers={"x-api-key": key}) as asking:
        return await asking.get(path)


async def test_a_workloads_budget_is_its_own_and_everybodys_is_all(tmp_path: Path) -> None:
    budgets = [{"usd": 0.1, "per": "month", "workload": "sort"}, {"usd": 0.2, "per": "month"}]
    async with (
        FakeUpstream("x", usage=USAGE, latency_s=0.02) as up,
        gateway(tmp_path, up.base_url, budgets=budgets, **SORT) as base,
    ):
        sorted_ = await count(base, 30, "Sort this.")
        assert 9 <= sorted_ <= 10
        others = await count(base, 30, "Write a poem.")
        assert 9 <= others <= 20 - sorted_
        assert len(up.requests) == sorted_ + others
        shown = {one["kind"]: one for one in (await read(base, "/admin/v1/budgets")).json()["data"]}
        assert shown["workload"]["workload"] == "sort"
        assert Decimal(shown["workload"]["spent_usd"]) == Decimal("0.01") * sorted_
        assert Decimal(shown["all"]["spent_usd"]) == Decimal("0.01") * (sorted_ + others)
        assert {one["held_usd"] for one in shown.values()} == {"0"}
        page = (await read(base, "/metrics")).text
        assert 'tutelage_budget_usd{kind="workload",per="month",subject="sort"} 0.1' in page
        (spent,) = re.findall(r'budget_spent_usd{kind="all",per="month",subject=""} (.+)', page)
        assert float(spent) == pytest.approx(0.01 * (sorted_ + others))


async def test_what_was_spent_before_a_restart_counts(tmp_path: Path) -> None:
    keys = [{"name": name, "key_env": f"{name.upper()}_KEY"} for name in ("shop", "bank")]
    budgets = [{"usd": 0.05, "per": "month", "workload": "sort"}]
    more: dict[str, Any] = {"budgets": budgets, "keys": keys, **SORT}  # two tenants
    async with FakeUpstream("x", usage=USAGE) as up:
        async with gateway(tmp_path, up.base_url, **more) as base:
            assert await count(base, 2, "Sort this.", KEY) == 2
            assert await count(base, 1, "Sort this.", "sk-bank-secret") == 1
        async with gateway(tmp_path, up.base_url, **more) as base:
            assert await count(base, 5, "Sort this.", KEY) in (1, 2)
            assert await count(base, 1, "Write a poem.", KEY) == 1


async def test_a_refusal_does_not_tell_the_operators_sums(tmp_path: Path) -> None:
    budgets = [{"usd": 0.0001, "per": "day"}]
    async with FakeUpstream("x") as up, gateway(tmp_path, up.base_url, budgets=budgets) as base:
        with pytest.raises(openai.RateLimitError, match="budget for this day of the gateway has"):
            await client(base).chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "hello"}]
            )
    assert up.requests == []


async def test_a_model_without_a_price_is_not_asked_under_a_keys_budget(tmp_path: Path) -> None:
    async with FakeUpstream("x") as up:
        unpriced = {"teacher": {"upstream": up.base_url, "model": "m"}}
        store = Store.open(f"sqlite:///{tmp_path}/t.db")
        digest = hashlib.sha256(b"sk-made").hexdigest()
        limited = {"budget_usd": Decimal(1), "budget_per": "day"}
        store.add_key(StoredKey(name="made", tenant="made", sha256=digest, **limited))
        store.close()
        async with gateway(tmp_path, up.base_url, models=unpriced) as base:
            with pytest.raises(openai.InternalServerError, match="costs is unknown") as refused:
                await client(base, "sk-made").chat.completions.create(
                    model="auto", messages=[{"role": "user", "content": "hello"}]
                )
        assert (refused.value.status_code, refused.value.code) == (503, "price_unknown")
        assert up.requests == []
