"""Lets a request in where its budgets and rates allow, and settles what it cost.

A request reserves the most that it can cost before anything is asked; its output is capped to what
could be reserved, so that a budget is never exceeded by requests that run at once. One that doesn't
fit while others are running waits for them, bounded.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from starlette.concurrency import run_in_threadpool

from router.errors import QuotaExceeded, RateLimited
from router.limits.budgets import Budget
from router.limits.memory import MemoryCoordination
from router.limits.model import (
    Account,
    AccountLost,
    Bucket,
    Coordination,
    Fill,
    Refusal,
    to_nano,
    to_usd,
    window_of,
)
from router.limits.redis import RedisCoordination
from router.record.store import Store
from router.settings.model import Settings

WAIT_S = 10.0
"""How long a request waits for others' reservations to be settled."""

EXPIRES_S = 900.0
"""A hold that isn't settled by then was left by a dead process."""


REOPEN_AFTER_S = 2.0
"""How long budgets that were lost stay closed."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Of a key; None: no limit."""

    name: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    @property
    def requests(self) -> Bucket | None:
        if self.requests_per_minute is None:
            return None
        return Bucket(name=f"requests:{self.name}", per_minute=self.requests_per_minute)

    @property
    def tokens(self) -> Bucket | None:
        if self.tokens_per_minute is None:
            return None
        return Bucket(name=f"tokens:{self.name}", per_minute=self.tokens_per_minute)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What was set aside for a request. ``usd``: None where no budget applies."""

    id: str
    usd: Decimal | None


class Limits:
    """Budgets and rates over a coordination. ``spent_before``: USD that the store has for a budget
    since a Unix time, read once per budget and window."""

    def __init__(
        self,
        coordination: Coordination,
        spent_before: Callable[[Budget, float], Awaitable[Decimal]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._coordination = coordination
        self._spent_before = spent_before
        self._clock = clock
        self._opened: dict[Budget, Account] = {}
        self._reopening = asyncio.Lock()
        self._reopened_s = -math.inf

    async def pace(self, rates: Rates) -> Mapping[str, str]:
        """Count one request; the ``x-ratelimit-*`` headers. Raises RateLimited, with nothing
        counted, where the key is too fast."""
        headers: dict[str, str] = {}
        # Tokens are known only afterwards: a bucket in debt lets nothing in.
        for kind, bucket, units in (("tokens", rates.tokens, 0), ("requests", rates.requests, 1)):
            if bucket is None:
                continue
            fill = await self._coordination.take(bucket, units)
            headers |= _describe(kind, bucket, fill)
            if fill.wait_s > 0.0:
                wait_s = f"{fill.wait_s:.3f}"
                raise RateLimited(
                    f"The key allows {bucket.per_minute} {kind} a minute; try again in {wait_s} s.",
                    headers=headers | {"retry-after": str(max(1, round(fill.wait_s + 0.5)))},
                )
        return headers

    async def hold(self, id: str, budgets: Sequence[Budget], most: Decimal, least: Decimal) -> Hold:
        """Set aside ``most``, or what is left if that is at least ``least``.

        Raises QuotaExceeded where a budget has no room for it, or none within ``WAIT_S``.
        """
        if not budgets:
            return Hold(id=id, usd=None)
        accounts = [await self._open(budget) for budget in budgets]
        until_s = time.monotonic() + WAIT_S
        wanted, enough = to_nano(most), to_nano(least)
        asked_for = wanted  # others may be about to leave room for all of it
        while True:
            tried_s = time.monotonic()
            try:
                found = await self._coordination.reserve(id, accounts, wanted, asked_for, EXPIRES_S)
            except AccountLost:
                await self._open_again(budgets, tried_s)
                continue
            if not isinstance(found, Refusal):
                return Hold(id=id, usd=to_usd(found))
            left_s = until_s - time.monotonic()
            if found.for_good and asked_for > enough:
                asked_for = enough
                continue
            if found.for_good or left_s <= 0.0:
                raise self._refuse(found)
            await self._coordination.wait(left_s)

    def _refuse(self, refusal: Refusal) -> QuotaExceeded:
        """``retry-after`` is for people and proxies: clients are told not to try again."""
        account, wait_s = refusal.account, WAIT_S
        why = "is reserved by requests that are still running."
        if refusal.for_good:
            wait_s = account.ends_at - self._clock()
            why = (
                "has less left than this request may cost: allow less output, or wait until its"
                " period ends."
            )
        headers = {"x-should-retry": "false", "retry-after": str(max(1, math.ceil(wait_s)))}
        return QuotaExceeded(f"{account.said} {why}", headers=headers)

    async def settle(self, hold: Hold, cost: Decimal | None) -> None:
        """End a hold with what the request cost; None, unknown, counts as all that was held."""
        if hold.usd is None:
            return
        spent = hold.usd if cost is None else cost
        await self._coordination.settle(hold.id, to_nano(spent))

    async def count_tokens(self, rates: Rates, tokens: int) -> None:
        """Take what an answer used, into debt if need be."""
        if rates.tokens is not None and tokens:
            await self._coordination.take(rates.tokens, tokens, force=True)

    async def spent(self, budget: Budget) -> tuple[Decimal, Decimal]:
        """USD spent and set aside in the budget's present window."""
        spent, held = await self._coordination.spent(await self._open(budget))
        return to_usd(spent), to_usd(held)

    async def close(self) -> None:
        await self._coordination.close()

    async def _open_again(self, budgets: Sequence[Budget], tried_s: float) -> None:
        """Begin lost accounts with what the ledger says, once for all requests that found out.

        Before that, all processes get the time to set aside again what they hold, and the store to
        take what was settled last.
        """
        async with self._reopening:
            if self._reopened_s >= tried_s:
                return
            await asyncio.sleep(REOPEN_AFTER_S)
            for budget in budgets:
                account = await self._open(budget)
                spent = await self._spent_before(budget, window_of(budget.per, self._clock())[0])
                await self._coordination.open_account(account, to_nano(spent))
            self._reopened_s = time.monotonic()

    async def _open(self, budget: Budget) -> Account:
        opened, now_s = self._opened.get(budget), self._clock()
        if opened is not None and now_s < opened.ends_at:
            return opened
        start_s, end_s = window_of(budget.per, now_s)
        account = Account(
            name=f"{budget.name}:{budget.per}:{int(start_s)}",
            said=budget.said,
            limit=to_nano(budget.usd),
            ends_at=end_s,
        )
        spent = await self._spent_before(budget, start_s)
        await self._coordination.open_account(account, to_nano(spent))
        self._opened[budget] = account
        return account


def build_limits(settings: Settings, store: Store) -> Limits:
    """Kept in this process, or in the Redis that the configuration names. Raises ConfigError."""
    url = settings.coordination.url
    coordination = MemoryCoordination() if url == "memory://" else RedisCoordination(url)

    async def spent_before(budget: Budget, since_s: float) -> Decimal:
        named = {"key": "key_name", "workload": "workload"}.get(budget.kind)
        of = {} if named is None else {named: budget.subject}
        spent = await run_in_threadpool(partial(store.spending, since=since_s, **of))
        return spent.cost_usd + spent.held_usd

    return Limits(coordination, spent_before)


def _describe(kind: str, bucket: Bucket, fill: Fill) -> dict[str, str]:
    """OpenAI's headers for a bucket."""
    return {
        f"x-ratelimit-limit-{kind}": str(bucket.per_minute),
        f"x-ratelimit-remaining-{kind}": str(fill.remaining),
        f"x-ratelimit-reset-{kind}": f"{fill.full_s:.3f}s",
    }
