"""What is at hand together leaves together; nothing waits for company, nothing is claimed early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from router.http.event_stream import send_events
from router.wire.sse import DONE, encode

FIRST, SECOND, THIRD = encode("1"), encode("2"), encode("3")


class Client:
    """Takes what is sent; ``gate``: closed while the client is slow."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.ended = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            return
        await self.gate.wait()
        self.ended = not message["more_body"]
        if message["body"]:
            self.bodies.append(message["body"])


async def _settle() -> None:
    """Let everything run that can run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def _drain(client: Client, events: AsyncIterator[bytes]) -> None:
    await send_events(events, client.send)


async def test_what_is_at_hand_leaves_in_one_write() -> None:
    async def events() -> AsyncIterator[bytes]:
        for event in (FIRST, SECOND, THIRD, DONE):
            yield event

    client = Client()
    await _drain(client, events())
    assert client.bodies == [FIRST + SECOND + THIRD + DONE]
    assert client.ended


async def test_what_comes_alone_leaves_alone() -> None:
    more = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield FIRST
        await more.wait()
        yield SECOND

    client = Client()
    sending = asyncio.create_task(_drain(client, events()))
    await _settle()
    assert client.bodies == [FIRST]
    more.set()
    await sending
    assert client.bodies == [FIRST, SECOND]


async def test_the_stream_goes_on_after_done_only_once_all_was_sent() -> None:
    passed: list[str] = []
    slow = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield FIRST
        await slow.wait()
        yield DONE
        passed.append("end")

    client = Client()
    client.gate.clear()
    sending = asyncio.create_task(_drain(client, events()))
    await _settle()  # FIRST is being sent
    slow.set()
    await _settle()  # DONE waits behind it
    assert passed == []
    client.gate.set()
    await sending
    assert passed == ["end"]
    assert client.bodies == [FIRST, DONE]


async def test_a_slow_client_holds_the_stream_up() -> None:
    big = encode("x" * 50_000)
    made: list[int] = []

    async def events() -> AsyncIterator[bytes]:
        for number in range(10):
            made.append(number)
            yield big

    client = Client()
    client.gate.clear()
    sending = asyncio.create_task(_drain(client, events()))
    await _settle()
    assert len(made) < 6
    client.gate.set()
    await sending
    assert b"".join(client.bodies) == big * 10


async def test_a_broken_stream_is_raised_after_what_had_come() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield FIRST
        raise OSError("broken")

    client = Client()
    with pytest.raises(OSError, match="broken"):
        await _drain(client, events())
    assert client.bodies == [FIRST]
    assert not client.ended


@pytest.mark.parametrize("while_sending", [False, True])
async def test_cancelling_ends_the_stream_too(while_sending: bool) -> None:
    closed = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        try:
            yield FIRST
            await asyncio.Event().wait()
        finally:
            closed.set()

    client = Client()
    if while_sending:
        client.gate.clear()
    sending = asyncio.create_task(_drain(client, events()))
    await _settle()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert closed.is_set()
