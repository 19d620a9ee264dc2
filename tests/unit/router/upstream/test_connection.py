"""An answer as it comes out of a connection, however it is cut, and what becomes of the latter."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from router.upstream.connection import Closed, Connection, Exchange, NotHttp, Silent, read_body
from router.upstream.pool import BadAddress, find_place

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
SIZED = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
ENDLESS = HEAD + b"\r\nhello"
CONTINUED = b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n" + SIZED
PACKED = gzip.compress(b"hello")
GZIPPED = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(PACKED), PACKED)


class Wire:
    """A connection without a network; ``free``: how often it was given back."""

    def __init__(self, silence_s: float = 5.0) -> None:
        self.free = 0
        self.aborted = self.paused = False
        self.connection = Connection(self._note_free, lambda _: None)
        transport: Any = self
        self.connection.connection_made(transport)
        self.exchange: Exchange = self.connection.send(b"request", silence_s)

    def _note_free(self, connection: Connection) -> None:
        self.free += 1

    def write(self, data: bytes) -> None:
        assert data == b"request"

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("answer", [SIZED, CHUNKED, CONTINUED, GZIPPED])
async def test_an_answer_is_read_however_it_is_cut(answer: bytes, step: int) -> None:
    wire = Wire()
    for start in range(0, len(answer), step):
        wire.connection.data_received(answer[start : start + step])
    await wire.exchange.read_head()
    assert wire.exchange.status == 200
    assert wire.exchange.content_type == "application/json"
    assert "x-early" not in wire.exchange.headers
    assert await read_body(wire.exchange, 100) == b"hello"
    wire.exchange.close()
    assert (wire.free, wire.aborted) == (1, False)


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    wire = Wire()
    wire.connection.data_received(ENDLESS)
    wire.connection.connection_lost(None)
    assert await read_body(wire.exchange, 100) == b"hello"
    assert wire.free == 0


async def test_a_connection_that_says_more_than_it_was_asked_is_not_kept() -> None:
    wire = Wire()
    wire.connection.data_received(SIZED + SIZED)
    assert await read_body(wire.exchange, 100) == b"hello"
    assert (wire.free, wire.aborted) == (0, True)


async def test_an_upstream_that_closes_after_its_answer_is_not_asked_again() -> None:
    wire = Wire()
    wire.connection.data_received(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")
    assert await read_body(wire.exchange, 100) == b"hello"
    assert (wire.free, wire.aborted) == (0, True)


@pytest.mark.parametrize(
    ("sent", "error", "said"),
    [
        (b"", Closed, "the connection was closed"),
        (SIZED[:-1], Closed, "the connection was closed before its end"),
        (CHUNKED[:-1], Closed, "the connection was closed before its end"),
    ],
)
async def test_an_answer_that_is_cut_is_no_answer(
    sent: bytes, error: type[Exception], said: str
) -> None:
    wire = Wire()
    wire.connection.data_received(sent)
    wire.connection.connection_lost(None)
    with pytest.raises(error, match=f"^{said}$"):
        await read_body(wire.exchange, 100)


@pytest.mark.parametrize("sent", [b"SSH-2.0-OpenSSH_9.2\r\n", HEAD + b"x: " + b"y" * 70_000])
async def test_what_is_not_http_is_told_apart(sent: bytes) -> None:
    wire = Wire()
    wire.connection.data_received(sent + b"\r\n")
    with pytest.raises(NotHttp):
        await wire.exchange.read_head()
    assert wire.aborted


async def test_silence_ends_an_answer_and_each_part_begins_it_anew() -> None:
    wire = Wire(silence_s=0.05)
    for part in (HEAD, b"Content-Length: 5\r\n\r\n", b"he"):
        await asyncio.sleep(0.03)
        wire.connection.data_received(part)
    with pytest.raises(Silent):
        await read_body(wire.exchange, 100)
    assert wire.aborted


async def test_who_reads_slowly_makes_the_upstream_wait() -> None:
    wire = Wire(silence_s=0.02)
    wire.connection.data_received(HEAD + b"Content-Length: 600000\r\n\r\n" + b"x" * 300_000)
    assert wire.paused
    await asyncio.sleep(0.05)  # it isn't the upstream that is silent
    assert len(await wire.exchange.read()) == 300_000
    assert not wire.paused


async def test_a_body_that_is_too_long_is_given_up() -> None:
    wire = Wire()
    wire.connection.data_received(SIZED)
    assert await read_body(wire.exchange, 4) is None


def test_where_a_url_leads_to() -> None:
    place = find_place("https://[::1]:8443/v1/chat completions?a=b%20c&d=ü")
    assert place.origin == ("::1", 8443, True)
    assert (place.host, place.target) == ("[::1]:8443", "/v1/chat%20completions?a=b%20c&d=%C3%BC")
    assert find_place("http://api.example.com").host == "api.example.com"


@pytest.mark.parametrize("url", ["http://", "ftp://h/v1", "http://h:x/v1", "http://[", "/v1"])
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(BadAddress):
        find_place(url)
