"""Limits shared by several processes, in Redis: one script per call, so that each is atomic.

Redis' own clock counts, since the processes' may differ. Amounts are whole nanodollars below 2⁵³,
which Lua's numbers hold exactly.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from router.errors import ApiError, ConfigError
from router.limits.model import Account, Bucket, Fill, Refusal

_PREFIX = "tutelage:"
_POLL_S = 0.3
_CONNECTIONS = 16
_QUEUE_S = 20.0
"""For a free connection: a Redis that is gone is noticed much earlier, by the socket's limits."""

_WOKEN = 4
"""Of those who wait, after each hold that was settled here; others are settled elsewhere unheard,
so that everybody also looks again after about ``_POLL_S``."""
_KEPT_S = 86_400
"""How long an account outlives its window: holds that began in it are settled by then."""

# An account is a hash {spent, held}; a hold is a hash {amount, accounts}; what expires when stands
# in one sorted set for all, so that whoever reserves next charges what a dead process left.
_EXPIRE = """
local function finish(hold, spent)
  local amount = redis.call('HGET', hold, 'amount')
  if not amount then return end
  if spent == nil then spent = amount end
  for name in string.gmatch(redis.call('HGET', hold, 'accounts'), '[^\\n]+') do
    redis.call('HINCRBY', name, 'held', -amount)
    redis.call('HINCRBY', name, 'spent', spent)
  end
  redis.call('DEL', hold)
  redis.call('ZREM', KEYS[1], hold)
end
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1e6
end
local function expire()
  for _, hold in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now(), 'LIMIT', 0, 100)) do
    finish(hold, nil)
  end
end
"""

_RESERVE = (
    _EXPIRE
    + """
expire()
local wanted, least = tonumber(ARGV[1]), tonumber(ARGV[2])
local granted, names = wanted, {}
for i = 3, #KEYS do
  local limit = tonumber(ARGV[4 + 2 * (i - 3)])
  local spent = tonumber(redis.call('HGET', KEYS[i], 'spent') or '0')
  local held = tonumber(redis.call('HGET', KEYS[i], 'held') or '0')
  local left = limit - spent - held
  if left < least then
    return {-1, i - 3, (limit - spent < least) and 1 or 0}
  end
  granted = math.min(granted, left)
  names[#names + 1] = KEYS[i]
end
for i = 3, #KEYS do
  redis.call('HINCRBY', KEYS[i], 'held', string.format('%.0f', granted))
  redis.call('EXPIREAT', KEYS[i], ARGV[5 + 2 * (i - 3)])
end
redis.call('HSET', KEYS[2], 'amount', string.format('%.0f', granted),
           'accounts', table.concat(names, '\\n'))
redis.call('ZADD', KEYS[1], now() + tonumber(ARGV[3]), KEYS[2])
return {granted, 0, 0}
"""
)

_SETTLE = _EXPIRE + "finish(KEYS[2], ARGV[1]) return 1"

_TAKE = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1e6
local per_minute, units, force = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local level = tonumber(redis.call('HGET', KEYS[1], 'units') or ARGV[1])
local at = tonumber(redis.call('HGET', KEYS[1], 'at') or now)
level = math.min(level + (now - at) * per_minute / 60, per_minute)
local short = math.max(units - level, 0)
if force or short == 0 then level = level - units short = 0 end
redis.call('HSET', KEYS[1], 'units', string.format('%.9f', level), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 3600)
return {string.format('%.9f', level), string.format('%.9f', short)}
"""


class RedisCoordination:
    """``Coordination`` in Redis. Where it can't be reached, ApiError 503: who has a limit isn't let
    in unseen."""

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio import BlockingConnectionPool, Redis  # an extra
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigError(
                "coordination.url names Redis, whose client isn't there: install tutelage[redis]."
            ) from None
        self._failures = RedisError
        self._redis = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_QUEUE_S,
                socket_timeout=5.0,
                socket_connect_timeout=2.0,
                decode_responses=True,
            )
        )
        self._waiting: deque[asyncio.Event] = deque()
        self._reserve = self._redis.register_script(_RESERVE)
        self._settle = self._redis.register_script(_SETTLE)
        self._take = self._redis.register_script(_TAKE)

    async def open_account(self, account: Account, spent: int) -> None:
        key = _PREFIX + account.name
        async with self._reached():
            if await self._redis.hsetnx(key, "spent", str(spent)):
                await self._redis.expireat(key, int(account.ends_at) + _KEPT_S)

    async def reserve(
        self, hold: str, accounts: Sequence[Account], wanted: int, least: int, expires_s: float
    ) -> int | Refusal:
        keys = [_expiring(), _PREFIX + hold, *(_PREFIX + account.name for account in accounts)]
        terms: list[Any] = [wanted, least, expires_s]
        for account in accounts:
            terms += [account.limit, int(account.ends_at) + _KEPT_S]
        async with self._reached():
            granted, refused, for_good = await self._reserve(keys=keys, args=terms)
        if granted < 0:
            return Refusal(account=accounts[refused], for_good=bool(for_good))
        return int(granted)

    async def settle(self, hold: str, spent: int) -> None:
        async with self._reached():
            await self._settle(keys=[_expiring(), _PREFIX + hold], args=[spent])
        for _ in range(min(_WOKEN, len(self._waiting))):
            self._waiting.popleft().set()

    async def wait(self, timeout_s: float) -> None:
        waiting = asyncio.Event()
        self._waiting.append(waiting)
        try:
            # A little uneven, so that those who wait don't all ask at once.
            await asyncio.wait_for(
                waiting.wait(), min(timeout_s, _POLL_S * random.uniform(0.5, 1.5))
            )
        except TimeoutError:
            with suppress(ValueError):
                self._waiting.remove(waiting)

    async def spent(self, account: Account) -> tuple[int, int]:
        async with self._reached():
            found = await self._redis.hmget(_PREFIX + account.name, ["spent", "held"])
        return int(found[0] or 0), int(found[1] or 0)

    async def take(self, bucket: Bucket, units: int, *, force: bool = False) -> Fill:
        async with self._reached():
            found = await self._take(
                keys=[_PREFIX + bucket.name], args=[bucket.per_minute, units, int(force)]
            )
        level, short = float(found[0]), float(found[1])
        per_s = bucket.per_minute / 60.0
        return Fill(
            remaining=max(int(level), 0),
            wait_s=short / per_s,
            full_s=(bucket.per_minute - level) / per_s,
        )

    async def close(self) -> None:
        await self._redis.aclose()

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        try:
            yield
        except self._failures as error:
            raise ApiError(
                "The limits of this key can't be looked up at the moment: try again.",
                status=503,
                code="coordination_failed",
                headers={"retry-after": "1"},
            ) from error


def _expiring() -> str:
    return _PREFIX + "holds"
