"""The client at the other end of a request: what it sends, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from router.errors import BadRequest, TooLarge

_UNWATCHED_S = 0.02
"""Most answers that need no model are done by then, without the cost of a task that watches."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises ``TooLarge``; ``BadRequest``, told to nobody, where the client left
    while it was sending."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The client left while it was sending.", code="client_left")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


class Client:
    """Where an answer goes, once the request was read. ``started``: its head has been sent;
    ``left``: it is there no more."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.started = False
        self._head: Message | None = None
        self._receive, self._send = receive, send
        self.left = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer. Raises ``ClientDisconnect``: a server takes what is sent to a
        client that left without a word."""
        if self.left:
            raise ClientDisconnect
        self.started = True
        head, self._head = self._head, None
        if head is not None:
            await self._send(head)
        await self._send(message)
        if self.left:  # the server waited for room: the message went nowhere
            raise ClientDisconnect

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Set the head of the answer, which leaves with its first bytes."""
        written = [(name.encode("latin-1"), v.encode("latin-1")) for name, v in headers.items()]
        self._head = {"type": "http.response.start", "status": status, "headers": written}

    async def finish(self, body: bytes = b"") -> None:
        """Send the answer's last bytes."""
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def attend(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` until it is done or the client has left, which ends it at once: also while
        an upstream is silent, where no attempt to send anything would tell.

        Raises what ``work`` raises.
        """
        worker = asyncio.current_task()
        if worker is None:
            raise RuntimeError("a client is attended to in a task")
        watcher: asyncio.Task[None] | None = None

        def watch() -> None:
            nonlocal watcher
            watcher = asyncio.create_task(self._watch(worker))

        timer = asyncio.get_running_loop().call_later(_UNWATCHED_S, watch)
        try:
            with suppress(ClientDisconnect):
                await work
        except asyncio.CancelledError:
            if not self.left or worker.uncancel():
                raise
        finally:
            # Without a pause since ``work`` ended, so that it can't cancel what comes after.
            timer.cancel()
            if watcher is not None:
                watcher.cancel()

    async def _watch(self, worker: asyncio.Task[Any]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        worker.cancel()
