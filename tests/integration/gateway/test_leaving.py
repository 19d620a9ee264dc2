"""Clients that leave: recorded as broken, the upstream let go of, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from fastapi import FastAPI

from policies.types import Tier
from router.app import create_app
from router.auth import Caller
from router.deps import Deps
from router.pipeline import run
from router.record.model import Interaction
from router.record.store import Store
from router.settings.load import load_settings
from router.testing import FakeUpstream, Fault, Hang, Stall
from router.wire.openai import parse_chat
from tests.integration.gateway.test_student import promote, workload

QUESTION = "where is my parcel"
CALLER = Caller(key_name="", tenant="", train_on=True)
HUGE = "parcel " * (3 << 20)
"""More than the buffers between server and client hold."""


def make_app(folder: Path, upstream: str, **more: Any) -> FastAPI:
    teacher = {"upstream": upstream, "model": "big-70b", "retries": 0}
    url = f"sqlite:///{folder}/t.db"
    config = folder / "tutelage.yaml"
    config.write_text(
        yaml.safe_dump({"store": {"url": url}, "models": {"teacher": teacher}, **more})
    )
    return create_app(load_settings(config, {}), Store.open(url))


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[int]:
    """The gateway's port; at the end it is told to stop, and may take a second for that."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def built(app: FastAPI) -> AsyncIterator[Deps]:
    async with app.router.lifespan_context(app):
        yield app.state.deps


class Client:
    """A socket that asks, and leaves without a word."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def ask(cls, port: int, **body: Any) -> Client:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        client = cls(*await asyncio.open_connection(sock=raw, limit=4096))
        client.send(encode(**body))
        return client

    def send(self, body: bytes, *, length: int | None = None) -> None:
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: "
        self._writer.write(f"{head}{length or len(body)}\r\n\r\n".encode() + body)

    async def read_until(self, sign: bytes) -> None:
        async with asyncio.timeout(10):
            await self._reader.readuntil(sign)

    async def leave(self) -> None:
        self._writer.transport.abort()


def encode(**body: Any) -> bytes:
    message = {"role": "user", "content": QUESTION}
    return json.dumps({"model": "auto", "messages": [message], **body}).encode()


async def settled(folder: Path, records: int = 1) -> list[Interaction]:
    """The records, once there are that many."""
    store = Store.open(f"sqlite:///{folder}/t.db")
    try:
        async with asyncio.timeout(10):
            while len(rows := store.latest(10)) < records:  # noqa: ASYNC110 - another thread writes
                await asyncio.sleep(0.02)
        return rows
    finally:
        store.close()


async def back_to(tasks: int) -> None:
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110 - nothing tells of a task's end
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("stream", "fault", "sign"),
    [
        pytest.param(True, Hang(), None, id="stream-before-headers"),
        pytest.param(True, Hang(after_headers=True), None, id="stream-before-first-chunk"),
        pytest.param(True, Stall(after_chunks=1), b"text/event-stream", id="stream-before-a-read"),
        pytest.param(True, Stall(after_chunks=2), b"card", id="stream-in-the-middle"),
        pytest.param(False, Hang(), None, id="whole-before-headers"),
        pytest.param(False, Stall(), None, id="whole-in-the-middle"),
    ],
)
async def test_a_client_that_leaves_the_teacher(
    tmp_path: Path, stream: bool, fault: Fault, sign: bytes | None
) -> None:
    async with (
        FakeUpstream("card arrival soon", always=fault) as up,
        serve(make_app(tmp_path, up.base_url)) as port,
    ):
        tasks = len(asyncio.all_tasks())
        client = await Client.ask(port, stream=stream)
        await up.wait_for_request(timeout_s=10)
        if sign is not None:
            await client.read_until(sign)
        await client.leave()
        await up.wait_for_disconnect(timeout_s=10)
        rows = await settled(tmp_path)
        await back_to(tasks)
    assert [(row.status, row.teacher_answer, row.seen) for row in rows] == [("broken", None, False)]


async def test_a_stream_that_is_never_read(tmp_path: Path) -> None:
    async with (
        FakeUpstream("card arrival soon", always=Stall(after_chunks=1)) as up,
        built(make_app(tmp_path, up.base_url)) as deps,
    ):
        delivery = await run(deps, parse_chat(encode(stream=True)), CALLER)
        await delivery.aclose()
        await delivery.aclose()
        await up.wait_for_disconnect(timeout_s=10)
        rows = await settled(tmp_path)
    assert [(row.status, row.attempts[0].error) for row in rows] == [
        ("broken", "left before its end")
    ]


async def test_a_server_that_cannot_begin_the_stream(tmp_path: Path) -> None:
    """The response fails before the first event is asked for."""
    body = encode(stream=True)

    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> dict[str, Any]:
        if not asked:
            asked.append(body)
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    asked: list[bytes] = []
    async with FakeUpstream("card arrival soon", always=Stall(after_chunks=1)) as up:
        app = make_app(tmp_path, up.base_url)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
        }
        async with built(app):
            with pytest.raises(OSError, match="gone"):
                await app(scope, receive, send)
            await up.wait_for_disconnect(timeout_s=10)
            rows = await settled(tmp_path)
    assert [row.status for row in rows] == ["broken"]


async def test_the_gateway_stops_under_a_stream(tmp_path: Path) -> None:
    async with FakeUpstream("card arrival soon", always=Stall(after_chunks=2)) as up:
        async with serve(make_app(tmp_path, up.base_url)) as port:
            client = await Client.ask(port, stream=True)
            await client.read_until(b"card")
        await client.leave()
        rows = await settled(tmp_path)
    assert [row.status for row in rows] == ["broken"]


async def test_a_client_that_leaves_while_it_sends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        FakeUpstream("card arrival soon") as up,
        serve(make_app(tmp_path, up.base_url)) as port,
    ):
        tasks = len(asyncio.all_tasks())
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        client.send(b'{"model": "auto", ', length=1000)
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) == tasks:  # noqa: ASYNC110 - until it is being read
                await asyncio.sleep(0.01)
        await client.leave()
        await back_to(tasks)
        whole = await Client.ask(port)
        await whole.read_until(b"card arrival soon")
        await whole.leave()
    assert len(up.requests) == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_client_that_leaves_a_draft(tmp_path: Path) -> None:
    promote(tmp_path, [HUGE, "login"])
    policy = workload(policy="student", audit={"max_share": 1.0})
    async with FakeUpstream("parcel") as up:
        app = make_app(tmp_path, up.base_url, **policy)
        async with serve(app) as port:
            await _taken_up(app)
            tasks = len(asyncio.all_tasks())
            client = await Client.ask(port, stream=True, tutelage={"store": False})
            await client.read_until(b"parcel parcel")
            await client.leave()
            rows = await settled(tmp_path)
            await back_to(tasks)
    assert [(row.status, row.tier, row.seen) for row in rows] == [("broken", Tier.STUDENT, False)]
    assert [step["background"] for step in rows[0].trace] == [False, False]
    assert up.requests == []  # what nobody took isn't audited


async def test_a_draft_is_audited_once_it_was_read(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(policy="student", audit={"max_share": 1.0})
    async with FakeUpstream("parcel") as up:
        app = make_app(tmp_path, up.base_url, **policy)
        async with built(app) as deps:
            await _taken_up(app)
            request = parse_chat(encode(stream=True))
            unread = await run(deps, request, CALLER)
            await unread.aclose()
            read = await run(deps, request, CALLER)
            assert read.events is not None
            assert [event async for event in read.events][-1] == b"data: [DONE]\n\n"
            assert not up.requests
            await read.aclose()
            latest, first = await settled(tmp_path, 2)
    assert (first.status, first.seen) == ("broken", False)
    assert (latest.status, latest.seen, latest.agreed) == ("ok", True, True)
    assert len(up.requests) == 1


async def _taken_up(app: FastAPI) -> None:
    async with asyncio.timeout(20):
        while app.state.deps.releases.get("shop") is None:  # noqa: ASYNC110 - it asks the store
            await asyncio.sleep(0.02)
