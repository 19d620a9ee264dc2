"""When to try again, after how long, and how often in all. No clock, no sleep: the caller's."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 8.0
RETRYABLE_STATUSES = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses that may pass by themselves; 409 is a lock that timed out, as OpenAI's client has it."""


_SHARE = 0.2
_RESERVE = 20.0


class RetryBudget:
    """Keeps retries to a share of the calls, per upstream: one in trouble isn't asked three times
    as often as one in health. Every call earns a fifth of a retry; twenty can be saved up."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}

    def earn(self, key: str) -> None:
        """A call begins."""
        self._left[key] = min(_RESERVE, self._left.get(key, _RESERVE) + _SHARE)

    def spend(self, key: str) -> bool:
        """Whether one more try may be made; it counts as made."""
        left = self._left.get(key, _RESERVE)
        if left < 1.0:
            return False
        self._left[key] = left - 1.0
        return True


def is_retryable(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an error answer is worth another try. ``headers``: lower-case names."""
    if headers.get("x-should-retry", "").strip().lower() == "false":
        return False
    return status in RETRYABLE_STATUSES


def choose_delay_s(
    *,
    tries: int,
    retries: int,
    headers: Mapping[str, str],
    remaining_s: float,
    rng: random.Random,
    now: datetime,
) -> float | None:
    """Seconds to wait before the next try, or ``None`` to give up.

    ``tries``: how many were made; ``headers``: of the answer that failed, lower-case names;
    ``remaining_s``: until the deadline of the whole call. Backoff grows exponentially with full
    jitter. What the upstream asks for in ``retry-after`` comes first, with jitter on top so that
    those turned away together don't return together. A wait that would reach the deadline is not
    begun: the client gets the upstream's answer now.
    """
    if tries > retries:
        return None
    asked_s = read_retry_after_s(headers, now)
    if asked_s is None:
        delay_s = rng.uniform(0, min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (tries - 1)))
    else:
        delay_s = asked_s + rng.uniform(0, min(FIRST_BACKOFF_S, asked_s))
    return delay_s if delay_s < remaining_s else None


def read_retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the upstream asks to wait (never negative), ``None`` where it doesn't say.

    ``retry-after-ms`` outranks ``retry-after``, which holds seconds or an HTTP date.
    """
    milliseconds = _read_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _read_number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000": a time in UTC whose source says no zone
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def _read_number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
