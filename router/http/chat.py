"""``POST /v1/chat/completions``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from router.auth import Caller, authenticate
from router.delivery import Delivery
from router.deps import Deps
from router.errors import TooLarge
from router.http.event_stream import EventResponse
from router.pipeline import run
from router.wire.openai import ChatRequest, parse_chat


async def answer_chat(request: Request) -> Response:
    """Read, check, answer; errors are mapped by the application."""
    deps: Deps = request.app.state.deps
    caller = authenticate(deps.settings, request.headers)
    try:
        raw = await read_body(request, deps.settings.server.max_body_bytes)
    except ClientDisconnect:
        return Response(status_code=400)  # to nobody: the client left while it was sending
    return _Answer(deps, parse_chat(raw), caller)


class _Answer(Response):
    """Answers while the client is there, and closes the delivery whatever happens.

    A client that leaves ends the work at once: also while the upstream is silent, where no
    attempt to send anything would tell.
    """

    def __init__(self, deps: Deps, request: ChatRequest, caller: Caller) -> None:
        super().__init__()
        self._deps, self._request, self._caller = deps, request, caller
        self._delivery: Delivery | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await _while_connected(receive, send, lambda s: self._answer(scope, receive, s))
        finally:
            if self._delivery is not None:
                await self._delivery.aclose()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._delivery = delivery = await run(self._deps, self._request, self._caller)
        headers = dict(delivery.headers)
        if delivery.events is None:
            whole = Response(delivery.body, headers=headers, media_type="application/json")
            await whole(scope, receive, send)
            return
        await EventResponse(delivery.events, headers).stream_response(send)


async def _while_connected(
    receive: Receive, send: Send, work: Callable[[Send], Awaitable[None]]
) -> None:
    """Do ``work``, which gets a ``send``, until it is done or the client has left.

    A server takes what is sent to a client that left without a word, so ``send`` refuses it.
    Raises what ``work`` raises.
    """

    async def send_if_there(message: Message) -> None:
        if leaving.done():
            raise ClientDisconnect
        await send(message)
        if leaving.done():  # the server waited for room: the message went nowhere
            raise ClientDisconnect

    async def do() -> None:
        await work(send_if_there)

    leaving = asyncio.create_task(_wait_until_left(receive))
    working = asyncio.create_task(do())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
    if not working.cancelled():
        with suppress(ClientDisconnect):
            working.result()


async def _wait_until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises TooLarge, or ClientDisconnect where the client left meanwhile."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)
