"""Streams whose bytes and pauses a server framework would not produce."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import pytest

from router.upstream.client import UpstreamClient
from router.upstream.model import StreamBroken, UpstreamTarget

MakeTarget = Callable[..., UpstreamTarget]
Write = Callable[[bytes], None]
BODY: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
CHUNK = {"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]}
WHOLE = b"data: " + json.dumps(CHUNK).encode() + b"\n\n"
BEGUN = WHOLE.replace(b'"stop"', b"null")
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


@asynccontextmanager
async def serve(answer: Callable[[Write], Awaitable[None]]) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers any request with what ``answer`` writes, and closes if told so.

    Yields its address and a list with an entry for every connection.
    """
    connections: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                await answer(writer.write)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", connections


def make_last(*parts: bytes, pause_s: float = 0.0) -> Callable[[Write], Awaitable[None]]:
    async def answer(write: Write) -> None:
        write(UNTIL_CLOSED)
        for part in parts:
            write(part)
            await asyncio.sleep(pause_s)
        raise ConnectionError

    return answer


def frame(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def test_keep_alive_comments_are_no_silence(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    parts = [b": thinking\n\n"] * 5 + [WHOLE + b"data: [DONE]"]
    async with serve(make_last(*parts, pause_s=0.1)) as (url, _):
        target = make_target(url, first_byte_timeout_s=0.3)
        async with await client.open_stream(target, BODY) as reply:
            assert [chunk async for _, chunk in reply.events()] == [CHUNK]
    assert reply.done_seen
    [attempt] = reply.attempts
    assert attempt.first_byte_ms is not None
    assert attempt.first_byte_ms > 400


@pytest.mark.parametrize("size", [1, 7])
async def test_bytes_may_come_in_any_pieces(
    client: UpstreamClient, make_target: MakeTarget, size: int
) -> None:
    raw = (BEGUN + WHOLE + b"data: [DONE]\n\n").replace(b"\n", b"\r\n")
    parts = [raw[i : i + size] for i in range(0, len(raw), size)]
    async with (
        serve(make_last(*parts)) as (url, _),
        await client.open_stream(make_target(url), BODY) as reply,
    ):
        assert len([chunk async for _, chunk in reply.events()]) == 2
    assert reply.done_seen
    assert reply.assembled.answer.content == "okok"


async def test_a_chunk_cut_after_the_answer_was_whole_is_dropped(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with (
        serve(make_last(WHOLE, b'data: {"choices": [], "usa')) as (url, _),
        await client.open_stream(make_target(url), BODY) as reply,
    ):
        assert [chunk async for _, chunk in reply.events()] == [CHUNK]
    assert reply.assembled.usage is None
    assert reply.assembled.whole


async def test_a_chunk_cut_before_that_breaks_the_stream(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with (
        serve(make_last(BEGUN, WHOLE[:-20])) as (url, _),
        await client.open_stream(make_target(url), BODY) as reply,
    ):
        events = reply.events()
        await anext(events)
        with pytest.raises(StreamBroken):
            await anext(events)


async def test_a_body_that_ends_shortly_after_done_keeps_its_connection(
    client: UpstreamClient, make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: that the wait is short is the next test's to show.
    monkeypatch.setattr("router.upstream.stream._LAST_BYTES_S", 5.0)

    async def answer(write: Write) -> None:
        write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        write(frame(WHOLE + b"data: [DONE]\n\n"))
        await asyncio.sleep(0.01)
        write(b"0\r\n\r\n")

    async with serve(answer) as (url, connections):
        for _ in range(3):
            async with await client.open_stream(make_target(url), BODY) as reply:
                assert [chunk async for _, chunk in reply.events()] == [CHUNK]
        assert len(connections) == 1


async def test_a_body_that_does_not_end_after_done_is_not_waited_for(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async def answer(write: Write) -> None:
        write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        write(frame(WHOLE + b"data: [DONE]\n\n"))

    async with serve(answer) as (url, connections):
        begin = perf_counter()
        for _ in range(2):
            async with await client.open_stream(make_target(url), BODY) as reply:
                assert [chunk async for _, chunk in reply.events()] == [CHUNK]
        assert perf_counter() - begin < 0.6
        assert len(connections) == 2
