"""Connections to upstreams, kept for the next request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import aiohappyeyeballs

from router.upstream.connection import Connection, Exchange, NotConnected

_KEPT_S = 15.0
"""Servers close what is idle for longer; a request must not meet that."""
_NEXT_ADDRESS_S = 0.25
"""How long one of a host's addresses is tried before the next one is tried beside it."""
_UNCHANGED_IN_URLS = "%/:=&?~#+!$,;'@()*[]"


class BadAddress(ValueError):
    """Not the URL of a server."""


class Origin(NamedTuple):
    """Whom a connection leads to."""

    host: str
    port: int
    tls: bool


class Place(NamedTuple):
    """A URL as a request needs it; ``target`` and ``host`` are written into its head."""

    origin: Origin
    target: str
    host: str


class Pool:
    """Connections by origin, as many as there are requests at once. For one event loop.

    Cancelling a request closes its connection.
    """

    def __init__(self) -> None:
        self._free: dict[Origin, deque[Connection]] = {}
        self._open: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        connect_s: float,
        silence_s: float,
    ) -> Exchange:
        """Send a request and wait for status and headers of its answer, which must be closed.

        Raises OSError, as ``router.upstream.connection`` has it, and BadAddress.
        """
        place = find_place(url)
        request = _write_request(method, place, headers, body)
        connection = self._take(place.origin) or await self._connect(place.origin, connect_s)
        exchange = connection.send(request, silence_s)
        try:
            await exchange.read_head()
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def close(self) -> None:
        """Close every connection."""
        for connection in [*self._open]:
            connection.drop()
        await asyncio.sleep(0)  # in which the loop lets go of them

    def _take(self, origin: Origin) -> Connection | None:
        """The one used last; those that weren't used for long are closed."""
        free = self._free.get(origin)
        if not free:
            return None
        old_s = asyncio.get_running_loop().time() - _KEPT_S
        while free and free[0].free_since_s < old_s:
            free.popleft().drop()
        while free:
            connection = free.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self, origin: Origin, connect_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect_s):
                infos = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
                sock = await aiohappyeyeballs.start_connection(
                    infos, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop
                )
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                _, connection = await loop.create_connection(
                    partial(Connection, partial(self._give_back, origin), self._open.discard),
                    sock=sock,
                    ssl=self._choose_tls(origin),
                    server_hostname=origin.host if origin.tls else None,
                )
        except TimeoutError:
            raise NotConnected(f"no connection within {connect_s:g} s") from None
        if connection.is_open:
            self._open.add(connection)
        return connection

    def _choose_tls(self, origin: Origin) -> ssl.SSLContext | None:
        if not origin.tls:
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _give_back(self, origin: Origin, connection: Connection) -> None:
        connection.free_since_s = asyncio.get_running_loop().time()
        self._free.setdefault(origin, deque()).append(connection)


@lru_cache(maxsize=256)
def find_place(url: str) -> Place:
    """Where a URL leads to. Raises BadAddress."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.scheme not in ("http", "https"):
        raise BadAddress("its address is not a valid URL")
    tls = parts.scheme == "https"
    usual = 443 if tls else 80
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise BadAddress("its address is not a valid URL") from None
    shown = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    target = quote(parts.path or "/", safe=_UNCHANGED_IN_URLS)
    if parts.query:
        target += f"?{quote(parts.query, safe=_UNCHANGED_IN_URLS)}"
    return Place(
        origin=Origin(ascii_host, port or usual, tls),
        target=target,
        host=shown if port in (None, usual) else f"{shown}:{port}",
    )


def _write_request(
    method: str, place: Place, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    lines = [f"{method} {place.target} HTTP/1.1", f"Host: {place.host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header holds a line break")
    return b"%s\r\n\r\n%s" % (head.encode(), body or b"")
