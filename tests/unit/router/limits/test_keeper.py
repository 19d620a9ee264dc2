"""Requests are let in, wait, or are refused in OpenAI's words."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from router.errors import QuotaExceeded, RateLimited
from router.limits.budgets import Budget
from router.limits.keeper import Limits, Rates
from router.limits.memory import MemoryCoordination

DOLLAR = Budget(kind="key", subject="shop", usd=Decimal(1), per="day")
CENT = Decimal("0.01")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def limits(spent: str = "0", clock: Clock | None = None) -> Limits:
    async def spent_before(budget: Budget, since_s: float) -> Decimal:
        return Decimal(spent)

    ticking = clock or Clock()
    return Limits(MemoryCoordination(ticking), spent_before, ticking)


async def test_a_request_that_is_settled_leaves_room_for_the_next() -> None:
    kept = limits(spent="0.5")
    hold = await kept.hold("a", [DOLLAR], Decimal("0.4"), CENT)
    assert hold.usd == Decimal("0.4")
    await kept.settle(hold, Decimal("0.2"))
    assert await kept.spent(DOLLAR) == (Decimal("0.7"), Decimal(0))


async def test_an_unknown_cost_counts_as_all_that_was_held() -> None:
    kept = limits()
    await kept.settle(await kept.hold("a", [DOLLAR], Decimal("0.4"), CENT), None)
    assert await kept.spent(DOLLAR) == (Decimal("0.4"), Decimal(0))


async def test_one_waits_for_another_and_gets_what_it_leaves() -> None:
    kept = limits()
    first = await kept.hold("a", [DOLLAR], Decimal("0.9"), CENT)
    waiting = asyncio.create_task(kept.hold("b", [DOLLAR], Decimal("0.5"), CENT))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await kept.settle(first, CENT)
    assert (await waiting).usd == Decimal("0.5")


async def test_the_last_cents_are_used_and_then_the_quota_is() -> None:
    kept = limits(spent="0.97")
    hold = await kept.hold("a", [DOLLAR], Decimal("0.5"), CENT)
    assert hold.usd == Decimal("0.03")
    await kept.settle(hold, Decimal("0.03"))
    with pytest.raises(QuotaExceeded) as refused:
        await kept.hold("b", [DOLLAR], Decimal("0.5"), CENT)
    assert (refused.value.status, refused.value.type) == (429, "insufficient_quota")
    assert refused.value.headers["x-should-retry"] == "false"
    assert refused.value.message == (
        "The budget of 1 USD a day of the key shop has less left than this request may cost: allow"
        " less output, or wait until its period ends."
    )
    midnight_s = -(-Clock().now_s // 86_400) * 86_400
    assert float(refused.value.headers["retry-after"]) == midnight_s - Clock().now_s


async def test_another_day_has_another_budget() -> None:
    clock = Clock()
    kept = limits(clock=clock)
    await kept.settle(await kept.hold("a", [DOLLAR], Decimal(1), CENT), Decimal(1))
    clock.now_s += 86_400
    assert (await kept.hold("b", [DOLLAR], Decimal(1), CENT)).usd == Decimal(1)


async def test_without_a_budget_nothing_is_held() -> None:
    hold = await limits().hold("a", [], Decimal(5), CENT)
    assert hold.usd is None


async def test_a_key_that_is_too_fast_is_told_when_to_come_back() -> None:
    clock = Clock()
    kept = limits(clock=clock)
    rates = Rates(name="shop", requests_per_minute=2, tokens_per_minute=100)
    assert await kept.pace(rates) == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "100",
        "x-ratelimit-reset-tokens": "0.000s",
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "30.000s",
    }
    await kept.pace(rates)
    with pytest.raises(RateLimited, match="2 requests a minute") as refused:
        await kept.pace(rates)
    assert refused.value.headers["retry-after"] == "30"
    clock.now_s += 31
    await kept.pace(rates)


async def test_tokens_are_paid_afterwards_and_a_debt_keeps_the_key_out() -> None:
    clock = Clock()
    kept = limits(clock=clock)
    rates = Rates(name="shop", tokens_per_minute=60)
    await kept.pace(rates)
    await kept.count_tokens(rates, 90)
    with pytest.raises(RateLimited, match="60 tokens a minute"):
        await kept.pace(rates)
    clock.now_s += 31
    await kept.pace(rates)
