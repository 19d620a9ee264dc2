"""What the head of a request may hold, what errors carry in theirs, and whose word a Host is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from router.http.heads import MOST_HEAD_BYTES, BoundedHeads
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import MESSAGES, gateway

ASKED = {"model": "auto", "messages": MESSAGES}


async def test_a_head_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with (
        FakeUpstream("ok") as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        answers = [
            await http.post("/v1/chat/completions", json=ASKED, headers=headers)
            for headers in (
                {"x-one": "a" * MOST_HEAD_BYTES},
                {f"x-{n}": "a" * 20 for n in range(3_000)},
                {"x-one": "a" * (MOST_HEAD_BYTES // 2)},
            )
        ]
        elsewhere = await http.get("/health/live", headers={"x-one": "a" * MOST_HEAD_BYTES})
    assert [answer.status_code for answer in answers] == [431, 431, 200]
    assert answers[0].json()["error"]["code"] == "request_headers_too_large"
    assert elsewhere.status_code == 431
    assert len(up.requests) == 1


@asynccontextmanager
async def bounded() -> AsyncIterator[tuple[str, int]]:
    """A server as ``tutelage serve`` has it, of an application that says ok."""

    async def say_ok(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(say_ok, http=BoundedHeads, lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
            await asyncio.sleep(0.01)
        yield "127.0.0.1", listener.getsockname()[1]
        server.should_exit = True
        await task


async def test_a_head_that_never_ends_takes_no_memory() -> None:
    async with bounded() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx-endless: " + b"a" * MOST_HEAD_BYTES)
        async with asyncio.timeout(10):
            said = await reader.read()  # to its end: the head was never whole
        writer.close()
    assert said.startswith(b"HTTP/1.1 431 ")
    assert b"request_headers_too_large" in said


async def test_bodies_and_further_requests_are_not_counted_as_heads() -> None:
    async with bounded() as (host, port), httpx.AsyncClient(base_url=f"http://{host}:{port}") as c:
        for _ in range(5):
            answer = await c.post("/", content=b"x" * MOST_HEAD_BYTES)
            assert answer.text == "ok"


async def test_every_error_has_an_id_to_ask_about(tmp_path: Path) -> None:
    async with (
        FakeUpstream("ok") as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        wrong = [
            await http.post("/v1/chat/completions", content=b"{"),
            await http.get("/v1/interactions/int_none"),
            await http.get("/nowhere"),
            await http.post("/v1/messages", content=b"{"),
        ]
    assert [answer.status_code for answer in wrong] == [400, 404, 404, 400]
    ids = [answer.headers["x-request-id"] for answer in wrong]
    assert len({*ids}) == 4
    assert wrong[-1].headers["request-id"] == ids[-1]


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "/v1/models/auto/", "/ui/"])
async def test_nobody_is_sent_where_a_host_header_says(tmp_path: Path, path: str) -> None:
    async with (
        FakeUpstream("ok") as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient(base_url=base, headers={"host": "evil.example"}) as http,
    ):
        answers = [await http.get(path), await http.post(path, json=ASKED)]
    assert {answer.status_code for answer in answers} <= {403, 404, 405}
    assert not any("location" in answer.headers for answer in answers)
