"""Server-sent events on their way to the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from starlette.types import Send

from router.wire.sse import Last

_MOST_BYTES = 64 * 1024
"""What may wait for a slow client before the upstream has to wait too."""


async def send_events(events: AsyncIterable[bytes], send: Send) -> None:
    """Send them and the end of the body; those that are at hand together leave in one write.

    An upstream's packet often holds many events, and a write for each costs more than all the rest
    that is done with it. Nothing waits for company: an event that comes alone leaves alone.
    ``events`` is asked for what follows a ``Last`` event only once that was sent, so a stream that
    was read to its end was delivered to its end.
    """
    basket = _Basket()
    reader = asyncio.create_task(_fill(basket, events))
    try:
        while body := await basket.take():
            await send({"type": "http.response.body", "body": body, "more_body": True})
            basket.confirm()
    finally:
        if not reader.done():
            reader.cancel()
            await asyncio.wait((reader,))
    reader.result()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Basket:
    """What has come and was not sent yet."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = False
        self._filled = asyncio.Event()
        self._sent = asyncio.Event()

    async def put(self, part: bytes) -> None:
        """Add a part; waits for its sending where it is the last or there is too much to send."""
        self._parts.append(part)
        self._size += len(part)
        self._filled.set()
        if isinstance(part, Last) or self._size > _MOST_BYTES:
            self._sent.clear()
            await self._sent.wait()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._filled.set()

    async def take(self) -> bytes:
        """Everything that has come since the last time; empty only at the end."""
        if not self._parts and not self._ended:
            self._filled.clear()
            await self._filled.wait()
        body = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return body

    def confirm(self) -> None:
        """What was taken has been sent; only a basket that is still empty is all sent."""
        if not self._parts:
            self._sent.set()


async def _fill(basket: _Basket, events: AsyncIterable[bytes]) -> None:
    try:
        async for event in events:
            await basket.put(event)
    finally:
        basket.end()
