"""Limits shared by several processes, in Redis: one script per call, so that each is atomic.

Redis' own clock counts, since the processes' may differ. Amounts are whole nanodollars below 2⁵³,
which Lua's numbers hold exactly.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from router.errors import ApiError, ConfigError
from router.limits.model import Account, AccountLost, Bucket, Fill, Refusal

_PREFIX = "tutelage:"
_POLL_S = 0.3
_CONNECTIONS = 16
_QUEUE_S = 20.0
"""For a free connection: a Redis that is gone is noticed much earlier, by the socket's limits."""

_WOKEN = 4
"""Of those who wait, after each hold that was settled here; others are settled elsewhere unheard,
so that everybody also looks again after about ``_POLL_S``."""
_LOOK_S = 0.5
"""How often a process looks whether Redis still knows what is set aside."""

_LOST = -2
_KEPT_S = 86_400
"""How long an account outlives its window: holds that began in it are settled by then."""

# An account is a hash {spent, held}, or {late, held} where Redis has lost it and holds in it were
# restored: {late} is what they cost until it is opened again; a hold is a hash {amount, accounts};
# what expires when stands in one sorted set for all, so that whoever reserves next charges what a
# dead process left.
_EXPIRE = """
local function finish(hold, spent)
  local amount = redis.call('HGET', hold, 'amount')
  if not amount then return end
  if spent == nil then spent = amount end
  for name in string.gmatch(redis.call('HGET', hold, 'accounts'), '[^\\n]+') do
    redis.call('HINCRBY', name, 'held', -amount)
    local known = redis.call('HEXISTS', name, 'spent') == 1
    redis.call('HINCRBY', name, known and 'spent' or 'late', spent)
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

_OPEN = """
if redis.call('HEXISTS', KEYS[1], 'spent') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'spent', '0')
redis.call('HINCRBY', KEYS[1], 'spent', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'spent', redis.call('HGET', KEYS[1], 'late') or '0')
redis.call('HDEL', KEYS[1], 'late')
redis.call('EXPIREAT', KEYS[1], ARGV[2])
return 1
"""

_RESERVE = (
    _EXPIRE
    + """
expire()
local wanted, least = tonumber(ARGV[1]), tonumber(ARGV[2])
local granted, names = wanted, {}
for i = 3, #KEYS do
  local limit = tonumber(ARGV[4 + 3 * (i - 3)])
  local spent = redis.call('HGET', KEYS[i], 'spent')
  if not spent and ARGV[6 + 3 * (i - 3)] == '1' then return {-2, i - 3, 0} end
  spent = tonumber(spent or '0')
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
  redis.call('HSETNX', KEYS[i], 'spent', '0')
  redis.call('EXPIREAT', KEYS[i], ARGV[5 + 3 * (i - 3)])
end
redis.call('HSET', KEYS[2], 'amount', string.format('%.0f', granted),
           'accounts', table.concat(names, '\\n'))
redis.call('ZADD', KEYS[1], now() + tonumber(ARGV[3]), KEYS[2])
return {granted, 0, 0}
"""
)

_RESTORE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local names = {}
for i = 3, #KEYS do
  redis.call('HINCRBY', KEYS[i], 'held', ARGV[1])
  redis.call('EXPIREAT', KEYS[i], ARGV[i])
  names[#names + 1] = KEYS[i]
end
redis.call('HSET', KEYS[2], 'amount', ARGV[1], 'accounts', table.concat(names, '\\n'))
redis.call('ZADD', KEYS[1], ARGV[2], KEYS[2])
return 1
"""

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


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A hold of this process, as Redis should have it. ``until_s``: a Unix time."""

    accounts: Sequence[Account]
    amount: int
    until_s: float


class RedisCoordination:
    """``Coordination`` in Redis. Where it can't be reached, ApiError 503: who has a limit isn't let
    in unseen.

    A Redis that comes back empty has lost what was spent and what is set aside: every process then
    sets aside again what it still holds, within ``_LOOK_S``, and ``reserve`` raises ``AccountLost``
    until the account is opened again.
    """

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
        self._known: set[str] = set()
        self._live: dict[str, _Held] = {}
        self._unsettled: dict[str, int] = {}
        self._era: str | None = None
        self._restoring = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._open = self._redis.register_script(_OPEN)
        self._restore = self._redis.register_script(_RESTORE)
        self._reserve = self._redis.register_script(_RESERVE)
        self._settle = self._redis.register_script(_SETTLE)
        self._take = self._redis.register_script(_TAKE)

    async def open_account(self, account: Account, spent: int) -> None:
        key, kept_until = _PREFIX + account.name, int(account.ends_at) + _KEPT_S
        async with self._reached():
            await self._open(keys=[key], args=[spent, kept_until])
        self._known.add(account.name)

    async def reserve(
        self, hold: str, accounts: Sequence[Account], wanted: int, least: int, expires_s: float
    ) -> int | Refusal:
        keys = [_expiring(), _PREFIX + hold, *(_PREFIX + account.name for account in accounts)]
        terms: list[Any] = [wanted, least, expires_s]
        for account in accounts:
            known = int(account.name in self._known)
            terms += [account.limit, int(account.ends_at) + _KEPT_S, known]
        async with self._reached():
            granted, refused, for_good = await self._reserve(keys=keys, args=terms)
        if granted == _LOST:
            raise AccountLost(accounts[refused].name)
        if granted < 0:
            return Refusal(account=accounts[refused], for_good=bool(for_good))
        until_s = time.time() + expires_s
        self._live[hold] = _Held(accounts=accounts, amount=int(granted), until_s=until_s)
        self._begin_looking()
        return int(granted)

    async def settle(self, hold: str, spent: int) -> None:
        self._live.pop(hold, None)
        if self._restoring.locked():  # what is settled first would be restored for ever
            async with self._restoring:
                pass
        try:
            await self._end(hold, spent)
        except ApiError:  # else all that was set aside would count as spent
            self._unsettled[hold] = spent
            self._begin_looking()
            raise
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
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._redis.aclose()

    async def _end(self, hold: str, spent: int) -> None:
        async with self._reached():
            await self._settle(keys=[_expiring(), _PREFIX + hold], args=[spent])

    def _begin_looking(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_after())

    async def _look_after(self) -> None:
        """While something is set aside, see whether Redis still knows of it, and settle what could
        not be settled in time."""
        while self._live or self._unsettled:
            await asyncio.sleep(_LOOK_S)
            with suppress(ApiError):  # it is away: once it is back it may have lost all
                await self._restore_lost()
                for hold, spent in [*self._unsettled.items()]:
                    await self._end(hold, spent)
                    del self._unsettled[hold]

    async def _restore_lost(self) -> None:
        """Each time that Redis was empty it gets another name for the time since."""
        key = f"{_PREFIX}era"
        async with self._restoring, self._reached():
            if self._era is not None and await self._redis.get(key) == self._era:
                return
            for hold, held in [*self._live.items()]:
                if hold not in self._live or held.until_s <= time.time():
                    continue  # settled meanwhile, or charged already
                keys = [_expiring(), _PREFIX + hold, *(_PREFIX + one.name for one in held.accounts)]
                ends = [int(one.ends_at) + _KEPT_S for one in held.accounts]
                await self._restore(keys=keys, args=[held.amount, held.until_s, *ends])
            await self._redis.set(key, secrets.token_hex(8), nx=True)
            self._era = str(await self._redis.get(key))

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
