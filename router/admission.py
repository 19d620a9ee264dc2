"""How many requests a worker answers at once, how many may wait, and who is turned away.

A worker that takes everything answers everything late. Beyond its limits a client is told at once,
with ``retry-after``, while it can still go elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import deque

from router.errors import ApiError

_RETRY_AFTER_S = "1"


class Overloaded(ApiError):
    """503: neither a place nor a place to wait."""

    status = 503
    type = "overloaded_error"
    code = "overloaded"

    def __init__(self) -> None:
        super().__init__(
            "The gateway has more requests than it can answer: try again in a moment.",
            headers={"retry-after": _RETRY_AFTER_S},
        )


class Admission:
    """Places for requests, given in the order in which they came. Used from one event loop only.

    ``max_in_flight``: requests at once; ``max_waiting``: how many more may wait for a place, each
    for at most ``max_wait_s``.
    """

    def __init__(
        self, *, max_in_flight: int = 1000, max_waiting: int = 1000, max_wait_s: float = 10.0
    ) -> None:
        self.in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.resize(max_in_flight=max_in_flight, max_waiting=max_waiting, max_wait_s=max_wait_s)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiters)

    def resize(self, *, max_in_flight: int, max_waiting: int, max_wait_s: float) -> None:
        """Change the limits; whoever is in, or waits, stays."""
        self._max_in_flight, self._max_waiting = max_in_flight, max_waiting
        self._max_wait_s = max_wait_s
        self._admit()

    async def enter(self) -> None:
        """Take a place, to be given back by ``leave``. Raises Overloaded where there is none."""
        if self.in_flight < self._max_in_flight and not self._waiters:
            self.in_flight += 1
            return
        if len(self._waiters) >= self._max_waiting:
            raise Overloaded
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(place)
        try:
            await asyncio.wait((place,), timeout=self._max_wait_s)
        except asyncio.CancelledError:
            self._give_up(place)
            raise
        if not place.done():
            self._give_up(place)
            raise Overloaded

    def leave(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiters and self.in_flight < self._max_in_flight:
            self.in_flight += 1
            self._waiters.popleft().set_result(None)

    def _give_up(self, place: asyncio.Future[None]) -> None:
        if place.done():
            self.leave()  # it was given while its owner turned away
        else:
            self._waiters.remove(place)
