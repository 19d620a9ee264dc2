"""How much the head of a request may hold: its first line and its headers.

A head is refused with 431 where it is read, so that one without an end takes no memory.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from router.errors import ApiError
from router.http.failing import write_failure

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # on Windows: h11 has a limit of its own, the same
    HttpToolsProtocol = None  # type: ignore[assignment,misc]

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


def choose_protocol() -> type[asyncio.Protocol] | str:
    """For uvicorn's ``http``: its own protocol, which ends a connection whose head doesn't end."""
    return "auto" if HttpToolsProtocol is None else BoundedHeads


if HttpToolsProtocol is not None:

    class BoundedHeads(HttpToolsProtocol):
        """Counts what came since the last request was read whole, while it may be a head."""

        _in_head = True
        _head_bytes = 0

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
