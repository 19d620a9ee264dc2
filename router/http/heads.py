"""How much the head of a request may hold: its first line and its headers.

A head is refused with 431 where it is read, so that one without an end takes no memory.
"""

from __future__ import annotations

import asyncio
from typing import cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.errors import ApiError
from router.http.corked import Corked
from router.http.failing import write_failure

MOST_HEAD_BYTES = 65_536


class HeadTooLarge(ApiError):
    """431: no client of a model needs that much."""

    status = 431
    type = "invalid_request_error"
    code = "request_headers_too_large"

    def __init__(self) -> None:
        super().__init__(
            f"The request's headers are larger than {MOST_HEAD_BYTES} bytes.",
            headers={"connection": "close"},
        )


def is_head_too_large(scope: Scope) -> bool:
    """Whether a head that was read whole is larger than it may be."""
    size = len(scope["path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
    return size > MOST_HEAD_BYTES


async def refuse_head(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request whose head is too large."""
    await write_failure(scope["path"], HeadTooLarge())(scope, receive, send)


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol, which here ends a connection whose head doesn't end, and sends the head
    of an answer together with its body.

    Counts what came since the last request was read whole, while it may be a head.
    """

    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        corked = Corked(transport, asyncio.get_running_loop())
        super().connection_made(cast(asyncio.Transport, corked))

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if self._head_bytes > MOST_HEAD_BYTES:
            body = HeadTooLarge().body()
            head = (
                "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                "content-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()
