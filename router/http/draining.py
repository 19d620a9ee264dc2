"""What a client is told whose answer the end of the gateway's drain cuts off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from router.delivery import EventStream
from router.errors import ApiError
from router.http.client import Client
from router.http.event_stream import send_events
from router.http.failing import write_failure


class Draining(ApiError):
    """503: the server ends an answer that took longer than ``server.drain_s``."""

    status = 503
    type = "overloaded_error"
    code = "gateway_stopping"

    def __init__(self) -> None:
        super().__init__(
            "The gateway is being stopped before this answer could end: try again.",
            headers={"retry-after": "1"},
        )


async def send_until_cut(
    events: EventStream, fail: Callable[[ApiError], bytes] | None, client: Client
) -> None:
    """Send a stream; where the server cuts it, and not its client, what ``fail`` says ends it."""
    try:
        await send_events(events, client.send)
    except asyncio.CancelledError:
        if not client.left and fail is not None:
            await client.finish(fail(Draining()))
        raise


async def tell_unanswered(client: Client, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that the server gives up before its answer has begun."""
    if not client.started and not client.left:
        await write_failure(scope["path"], Draining())(scope, receive, send)
