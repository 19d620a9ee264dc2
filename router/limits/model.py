"""The words of limits: accounts with a window, buckets, and what became of a try.

Budgets count in whole nanodollars, rounded up: an integer is exact in every store, and what is
rounded away can't be overspent.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Literal, Protocol

Period = Literal["hour", "day", "week", "month"]

_NANO = Decimal(10) ** 9


def to_nano(amount_usd: Decimal) -> int:
    """Nanodollars, rounded up."""
    return int((amount_usd * _NANO).to_integral_value(rounding=ROUND_CEILING))


def to_usd(nano: int) -> Decimal:
    """Nanodollars as USD."""
    return Decimal(nano) / _NANO


def window_of(period: Period, at_s: float) -> tuple[float, float]:
    """When the calendar period around a Unix time began and ends, UTC; weeks begin on Monday."""
    at = datetime.datetime.fromtimestamp(at_s, datetime.UTC)
    start = at.replace(minute=0, second=0, microsecond=0)
    if period == "hour":
        end = start + datetime.timedelta(hours=1)
    else:
        start = start.replace(hour=0)
        if period == "day":
            end = start + datetime.timedelta(days=1)
        elif period == "week":
            start -= datetime.timedelta(days=start.weekday())
            end = start + datetime.timedelta(days=7)
        else:
            start = start.replace(day=1)
            end = (start + datetime.timedelta(days=32)).replace(day=1)
    return start.timestamp(), end.timestamp()


@dataclass(frozen=True, kw_only=True)
class Account:
    """A budget in its present window. ``name``: unique with the window in it; ``said``: how to call
    it to a caller; ``ends_at``: Unix time at which the window ends."""

    name: str
    said: str
    limit: int
    ends_at: float


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A rate: ``per_minute`` units refill evenly, and so many fit in."""

    name: str
    per_minute: int


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A reservation that doesn't fit ``account``. ``for_good``: not even once everything that is
    reserved now has been settled for nothing."""

    account: Account
    for_good: bool


@dataclass(frozen=True, kw_only=True)
class Fill:
    """A bucket after a try: ``remaining`` whole units; ``wait_s`` until what was wanted is there, 0
    where it was taken; ``full_s`` until the bucket is full again."""

    remaining: int
    wait_s: float
    full_s: float


class AccountLost(Exception):
    """Whoever keeps the account knows nothing of it any more: it has to be opened again."""


class Coordination(Protocol):
    """Where limits are kept: in this process, or shared by several. Every call is atomic.

    What isn't settled within ``expires_s`` is taken for spent: its process died, and the money may
    be gone.
    """

    async def open_account(self, account: Account, spent: int) -> None:
        """Begin an account with what was spent in its window before; one that is open stays."""
        ...

    async def reserve(
        self, hold: str, accounts: Sequence[Account], wanted: int, least: int, expires_s: float
    ) -> int | Refusal:
        """Set aside ``wanted``, or what is left if that is at least ``least``, in all accounts.

        Returns what was set aside under the id ``hold``. Nothing is, where one account refuses.
        Raises AccountLost where one was opened by this process and isn't there any more.
        """
        ...

    async def settle(self, hold: str, spent: int) -> None:
        """End a hold with what was really spent, once; an unknown or ended one is passed over."""
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return once something may have been settled, after ``timeout_s`` at the latest."""
        ...

    async def spent(self, account: Account) -> tuple[int, int]:
        """What is spent and what is set aside."""
        ...

    async def take(self, bucket: Bucket, units: int, *, force: bool = False) -> Fill:
        """Take units from a bucket if they are there; with ``force`` also into debt."""
        ...

    async def close(self) -> None: ...
