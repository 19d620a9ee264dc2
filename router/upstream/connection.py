"""One connection to an upstream, in HTTP/1.1: a request goes out, its answer is read as it comes.

A general client spends several times as long on a short request as the system takes to carry it.
This one does what a call of a model needs: no redirects, cookies, proxies or uploads in parts.
Everything that goes wrong is an ``OSError``:

OSError
├── Closed            the connection was closed before the answer, or before its end
├── NotHttp           what came is not HTTP
├── TimeoutError
│   ├── NotConnected  no connection in time
│   └── Silent        nothing came for too long
└── what the system says, TLS and name resolution included
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import cast

import httptools

_MOST_HEAD_BYTES = 64 * 1024
_MOST_WAITING_BYTES = 256 * 1024
"""What may wait to be read before the upstream has to wait too."""
_GZIP_OR_ZLIB = 47
_BODYLESS = (204, 304)


class Closed(ConnectionError):
    """The connection ended where more was to come; the text says which more."""


class NotHttp(ConnectionError):
    """The upstream speaks something else."""


class NotConnected(TimeoutError):
    """No connection in time."""


class Silent(TimeoutError):
    """Connected, and nothing came for too long."""


class Exchange:
    """A request's answer while it arrives. ``headers``: lower-case names, known with ``status``.

    Must be closed; a connection whose answer came to its end is kept for the next one.
    """

    def __init__(self, connection: Connection, silence_s: float) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection: Connection | None = connection
        self._loop = asyncio.get_running_loop()
        self._silence_s = silence_s
        self._heard_s = self._loop.time()
        self._timer = self._loop.call_later(silence_s, self._check_silence)
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._keeps = False
        self._head_bytes = 0
        self._headed = False
        self._until_closed = False
        self._unpack: Callable[[bytes], bytes] | None = None
        self._parts: list[bytes] = []
        self._waiting_bytes = 0
        self._paused = False
        self._done = False
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read_head(self) -> None:
        """Wait for status and headers. Raises OSError."""
        while not self._headed:
            await self._wait()

    async def read(self) -> bytes:
        """What has come of the body since the last time, at least a byte; empty at its end.

        Raises OSError once everything that came before was read.
        """
        while not self._parts and not self._done:
            await self._wait()
        parts, self._parts = self._parts, []
        self._waiting_bytes = 0
        if self._paused and self._connection is not None:
            self._heard_s = self._loop.time()  # it was us who made it wait
            self._paused = False
            self._connection.resume()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Break off, unless the answer came to its end."""
        self._end(Closed("the connection was closed"))

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self._parser is None:
            return
        self._heard_s = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end(NotHttp("it does not speak HTTP"))
        if not self._headed:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._end(NotHttp("it does not speak HTTP"))
        if self._done:
            self._let_go()
        self._wake()

    def lose(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self._until_closed and error is None:
            self._done = True
            self._let_go()
        elif isinstance(error, OSError):
            self._end(error)
        else:
            before = " before its end" if self._headed else ""
            self._end(Closed(f"the connection was closed{before}"))
        self._wake()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _check_silence(self) -> None:
        silent_s = 0.0 if self._paused else self._loop.time() - self._heard_s
        if silent_s < self._silence_s:
            self._timer = self._loop.call_later(self._silence_s - silent_s, self._check_silence)
            return
        self._end(Silent(f"silent for {self._silence_s:g} s"))
        self._wake()

    def _let_go(self) -> None:
        """The answer is complete: the connection may carry another."""
        connection = self._detach()
        if connection is not None:
            connection.finish(keep=self._keeps)

    def _end(self, error: OSError) -> None:
        connection = self._detach()
        if connection is not None:
            self._error = error
            connection.drop()

    def _detach(self) -> Connection | None:
        """Without the parser, which holds on to this exchange."""
        connection, self._connection = self._connection, None
        self._parser = None
        self._timer.cancel()
        return connection

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._done:
            raise httptools.HttpParserError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._parser is None or self._parser.get_status_code() < 200:
            return
        status, headers = self._parser.get_status_code(), self.headers
        self.status, self._headed = status, True
        sized = "content-length" in headers or "transfer-encoding" in headers
        self._until_closed = not sized and status not in _BODYLESS
        self._keeps = self._parser.should_keep_alive() and not self._until_closed
        if headers.get("content-encoding", "identity") in ("gzip", "x-gzip", "deflate"):
            self._unpack = zlib.decompressobj(_GZIP_OR_ZLIB).decompress  # though not asked to

    def on_body(self, part: bytes) -> None:
        if self._unpack is not None:
            part = self._unpack(part)
        if not part:
            return
        self._parts.append(part)
        self._waiting_bytes += len(part)
        if self._waiting_bytes > _MOST_WAITING_BYTES and self._connection is not None:
            self._paused = True
            self._connection.pause()

    def on_message_complete(self) -> None:
        if not self._headed:  # 100 Continue and its like; the answer follows
            self.headers = {}
            return
        self._done = True


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. ``on_free``: told when it may carry the next one;
    ``on_lost``: when it is gone."""

    def __init__(
        self, on_free: Callable[[Connection], None], on_lost: Callable[[Connection], None]
    ) -> None:
        self.free_since_s = 0.0
        self._on_free, self._on_lost = on_free, on_lost
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None

    @property
    def is_open(self) -> bool:
        """It can carry something."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, silence_s: float) -> Exchange:
        """Send a whole request. ``silence_s``: the longest wait for any part of its answer."""
        if self._transport is None:
            raise Closed("the connection was closed")
        self._exchange = Exchange(self, silence_s)
        self._transport.write(request)
        return self._exchange

    def pause(self) -> None:
        """Let the upstream wait."""
        if self._transport is not None and self.is_open:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and self.is_open:
            self._transport.resume_reading()

    def finish(self, *, keep: bool) -> None:
        """The exchange came to its end."""
        self._exchange = None
        if keep and self.is_open:
            self._on_free(self)
        else:
            self.drop()

    def drop(self) -> None:
        """Close at once, without waiting for what wasn't sent."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.drop()  # nothing was asked
        else:
            self._exchange.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lose(exc)


async def read_body(answer: Exchange, most_bytes: int) -> bytes | None:
    """The whole body, ``None`` where it is longer than ``most_bytes``. Raises OSError."""
    parts: list[bytes] = []
    size = 0
    while part := await answer.read():
        size += len(part)
        if size > most_bytes:
            return None
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
