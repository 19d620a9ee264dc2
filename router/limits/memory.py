"""Limits of one process: plain numbers, used from one event loop, so that calls don't overlap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router.limits.model import Account, Bucket, Fill, Refusal

_MOST_BUCKETS = 10_000


@dataclass(kw_only=True)
class _Books:
    ends_at: float
    spent: int = 0
    held: int = 0


@dataclass(frozen=True, kw_only=True)
class _Hold:
    accounts: tuple[str, ...]
    amount: int
    expires_at: float


@dataclass(kw_only=True)
class _Level:
    units: float
    at_s: float


class MemoryCoordination:
    """``Coordination`` in memory; ``clock``: Unix time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._books: dict[str, _Books] = {}
        self._holds: dict[str, _Hold] = {}
        self._levels: dict[str, _Level] = {}
        self._settled = asyncio.Event()
        self._due_at = 0.0

    async def open_account(self, account: Account, spent: int) -> None:
        if account.name not in self._books:
            self._books[account.name] = _Books(ends_at=account.ends_at, spent=spent)
            self._due_at = 0.0

    async def reserve(
        self, hold: str, accounts: Sequence[Account], wanted: int, least: int, expires_s: float
    ) -> int | Refusal:
        self._expire()
        granted = wanted
        for account in accounts:
            books = self._books.setdefault(account.name, _Books(ends_at=account.ends_at))
            left = account.limit - books.spent - books.held
            if left < least:
                gone = account.limit - books.spent < least
                return Refusal(account=account, for_good=gone)
            granted = min(granted, left)
        for account in accounts:
            self._books[account.name].held += granted
        expires_at = self._clock() + expires_s
        self._due_at = min(self._due_at, expires_at, *(one.ends_at for one in accounts))
        self._holds[hold] = _Hold(
            accounts=tuple(account.name for account in accounts),
            amount=granted,
            expires_at=expires_at,
        )
        return granted

    async def settle(self, hold: str, spent: int) -> None:
        self._end(hold, spent)

    def _end(self, hold: str, spent: int | None) -> None:
        """``spent``: None for all of it."""
        ended = self._holds.pop(hold, None)
        if ended is None:
            return
        for name in ended.accounts:
            books = self._books.get(name)
            if books is not None:
                books.held -= ended.amount
                books.spent += ended.amount if spent is None else spent
        self._settled.set()
        self._settled = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self._settled.wait(), timeout_s)
        except TimeoutError:
            return

    async def spent(self, account: Account) -> tuple[int, int]:
        self._expire()
        books = self._books.get(account.name)
        return (0, 0) if books is None else (books.spent, books.held)

    async def take(self, bucket: Bucket, units: int, *, force: bool = False) -> Fill:
        now_s = self._clock()
        level = self._levels.pop(bucket.name, None)
        if level is None:
            level = _Level(units=float(bucket.per_minute), at_s=now_s)
        per_s = bucket.per_minute / 60.0
        level.units = min(level.units + (now_s - level.at_s) * per_s, float(bucket.per_minute))
        level.at_s = now_s
        short = max(units - level.units, 0.0)
        if force or not short:
            level.units -= units
            short = 0.0
        self._levels[bucket.name] = level  # the one used last is dropped last
        while len(self._levels) > _MOST_BUCKETS:
            del self._levels[next(iter(self._levels))]
        return Fill(
            remaining=max(int(level.units), 0),
            wait_s=short / per_s,
            full_s=(bucket.per_minute - level.units) / per_s,
        )

    async def close(self) -> None:
        return

    def _expire(self) -> None:
        """Charge holds whose time is over, and forget windows that have ended."""
        now_s = self._clock()
        if now_s < self._due_at:
            return
        for hold in [one for one, held in self._holds.items() if held.expires_at <= now_s]:
            self._end(hold, None)
        over = [n for n, books in self._books.items() if books.ends_at <= now_s and not books.held]
        for name in over:
            del self._books[name]
        ends = [held.expires_at for held in self._holds.values()]
        self._due_at = min([*ends, *(one.ends_at for one in self._books.values())], default=0.0)
