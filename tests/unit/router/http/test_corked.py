"""What is written to a client, and in how many parts."""

from __future__ import annotations

import asyncio
from typing import Any

from router.http.corked import Corked

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Transport:
    def __init__(self) -> None:
        self.done: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append(b"closed")


def make() -> tuple[Transport, Corked]:
    transport: Any = Transport()
    return transport, Corked(transport, asyncio.get_running_loop())


async def test_a_head_leaves_with_what_follows_it() -> None:
    transport, corked = make()
    corked.write(HEAD)
    corked.write(b"body")
    corked.write(b"more")
    await asyncio.sleep(0)
    assert transport.done == [HEAD + b"body", b"more"]


async def test_a_head_alone_waits_for_nothing_longer_than_a_step() -> None:
    transport, corked = make()
    corked.write(HEAD)
    assert transport.done == []
    await asyncio.sleep(0)
    assert transport.done == [HEAD]


async def test_nothing_is_lost_where_a_connection_is_closed_behind_a_head() -> None:
    transport, corked = make()
    corked.write(HEAD)
    corked.close()
    await asyncio.sleep(0)
    assert transport.done == [HEAD, b"closed"]
