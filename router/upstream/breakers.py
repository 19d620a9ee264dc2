"""Circuit breakers: an upstream that fails call after call is left alone for a while.

A gateway that goes on asking a dead upstream makes its clients wait for nothing, and an upstream
that is coming back up drown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

FAILURES = 10
"""Calls, not tries, that fail in a row before an upstream is left alone. Any answer, an error about
the request or a 429 too, begins the count anew."""
FIRST_REST_S = 1.0
LONGEST_REST_S = 30.0
RELAPSE_S = 30.0
"""Opening again this soon after it closed doubles the rest: an upstream that flaps is left alone
for longer and longer."""


class Breakers(Protocol):
    """One breaker per model. Never waits: one that shares its state keeps a copy at hand."""

    def rest_s(self, key: str) -> float:
        """Seconds that the model is to be left alone; 0 where it may be asked.

        While it rests, one caller after each rest is let through to see how it is.
        """
        ...

    def note(self, key: str, *, up: bool) -> None:
        """A call of the model has ended; ``up``: it answered, whatever it said."""
        ...

    def note_alive(self, key: str) -> None:
        """A stream of the model has begun, which ends its rest; how it ends is noted later."""
        ...


@dataclass
class _Breaker:
    failures: int = 0
    rest_s: float = 0.0
    until_s: float | None = None
    closed_at_s: float | None = None


class MemoryBreakers:
    """Breakers of one process. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Breaker] = {}

    def rest_s(self, key: str) -> float:
        breaker = self._kept.get(key)
        if breaker is None or breaker.until_s is None:
            return 0.0
        now_s = self._clock()
        if now_s < breaker.until_s:
            return breaker.until_s - now_s
        breaker.until_s = now_s + breaker.rest_s  # this caller goes to see; the others wait
        return 0.0

    def note(self, key: str, *, up: bool) -> None:
        if up:
            self.note_alive(key)
            if key in self._kept:
                self._kept[key].failures = 0
            return
        breaker = self._kept.setdefault(key, _Breaker())
        breaker.failures += 1
        if breaker.until_s is not None:
            self._open(breaker, min(LONGEST_REST_S, breaker.rest_s * 2))
        elif breaker.failures >= FAILURES:
            relapsed = (
                breaker.closed_at_s is not None and self._clock() - breaker.closed_at_s < RELAPSE_S
            )
            self._open(breaker, min(LONGEST_REST_S, breaker.rest_s * 2) if relapsed else 0.0)

    def note_alive(self, key: str) -> None:
        breaker = self._kept.get(key)
        if breaker is not None and breaker.until_s is not None:
            breaker.until_s, breaker.closed_at_s = None, self._clock()
            breaker.failures = 0

    def _open(self, breaker: _Breaker, rest_s: float) -> None:
        breaker.rest_s = max(FIRST_REST_S, rest_s)
        breaker.until_s = self._clock() + breaker.rest_s
