"""What clients, upstreams and the store get wrong, and what the client is told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from router.testing import (
    Cut,
    FakeUpstream,
    Fault,
    GarbageAnswer,
    Hang,
    HtmlAnswer,
    MissingDone,
    Reset,
    Stall,
)
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway

BODY = {"model": "auto", "messages": MESSAGES}


def teacher(upstream: str, **more: Any) -> dict[str, Any]:
    return {"models": {"teacher": {"upstream": upstream, "model": "m", "retries": 0, **more}}}


def text(**change: Any) -> bytes:
    return json.dumps({**BODY, **change}).encode()


@pytest.mark.parametrize(
    ("content", "status", "param", "code"),
    [
        (b"", 400, None, "invalid_json"),
        (b'{"model": "auto"', 400, None, "invalid_json"),
        (b"\xff\xfe", 400, None, "invalid_json"),
        (b"[]", 400, None, "invalid_json"),
        (b'{"messages": []}', 400, "model", "missing_required_parameter"),
        (text(model=7), 400, "model", "invalid_type"),
        (text(model="gpt-9"), 404, "model", "model_not_found"),
        (text(messages="hi"), 400, "messages", "invalid_type"),
        (text(messages=[]), 400, "messages", "empty_array"),
        (text(messages=["hi"]), 400, "messages[0]", "invalid_type"),
        (text(messages=[{"content": "x"}]), 400, "messages[0].role", "missing_required_parameter"),
        (text(stream="yes"), 400, "stream", "invalid_type"),
        (text(n=0), 400, "n", "integer_below_min_value"),
        (text(tutelage={"force": "both"}), 400, "tutelage.force", "invalid_value"),
        (text(tutelage={"max_cost_usd": "1"}), 400, "tutelage.max_cost_usd", "invalid_type"),
        (text(tutelage={"color": 1}), 400, "tutelage.color", "unknown_parameter"),
        (text(metadata="x" * 5000), 413, None, "request_too_large"),
    ],
)
async def test_a_bad_request(
    tmp_path: Path, content: bytes, status: int, param: str | None, code: str
) -> None:
    limit = {"server": {"max_body_bytes": 4000}}
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url, **limit) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        answer = await http.post("/v1/chat/completions", content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert up.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (HtmlAnswer(), 502),
        (HtmlAnswer(status=503), 502),
        (GarbageAnswer(), 502),
        (Reset(), 502),
        (Hang(), 504),
        (Hang(after_headers=True), 504),
    ],
)
async def test_a_bad_upstream(tmp_path: Path, fault: Fault, status: int, stream: bool) -> None:
    async with FakeUpstream("x", always=fault) as up:
        models = teacher(up.base_url, timeout_s={"first_byte": 0.3})
        async with gateway(tmp_path, up.base_url, **models) as base:
            with pytest.raises(openai.InternalServerError) as failed:
                await client(base).chat.completions.create(**BODY, stream=stream)
    assert failed.value.status_code == status
    assert failed.value.type == "upstream_error"
    assert failed.value.response.headers["x-tutelage-attempts"] == "1"
    refused = isinstance(fault, HtmlAnswer) and fault.status == 503  # nobody bills that
    assert failed.value.response.headers.get("x-tutelage-cost-usd") == ("0" if refused else None)


@pytest.mark.parametrize(
    "fault",
    [
        Cut(after_chunks=2),
        Cut(after_chunks=2, clean=True),
        Reset(after_headers=True, after_chunks=2),
        Stall(after_chunks=2),
        GarbageAnswer(after_chunks=2),
    ],
)
async def test_a_stream_that_breaks(tmp_path: Path, fault: Fault) -> None:
    async with FakeUpstream("card arrival soon", always=fault) as up:
        models = teacher(up.base_url, timeout_s={"first_byte": 0.3})
        async with gateway(tmp_path, up.base_url, **models) as base:
            async with httpx.AsyncClient() as http:
                raw = await http.post(f"{base}/v1/chat/completions", json={**BODY, "stream": True})
            with pytest.raises(openai.APIError, match="broke off"):
                async for _ in await client(base).chat.completions.create(**BODY, stream=True):
                    pass
    events = raw.text.strip().split("\n\n")
    assert raw.status_code == 200
    assert "card" in events[1]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "stream_broken"
    assert "[DONE]" not in raw.text


async def test_a_stream_that_lacks_only_done_is_whole(tmp_path: Path) -> None:
    async with (
        FakeUpstream("card arrival", always=MissingDone()) as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient() as http,
    ):
        raw = await http.post(f"{base}/v1/chat/completions", json={**BODY, "stream": True})
    assert raw.text.endswith("data: [DONE]\n\n")


async def test_a_store_that_cannot_be_written_for_a_while(tmp_path: Path) -> None:
    async with (
        FakeUpstream("card arrival") as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        lock = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        answer = await http.post("/v1/chat/completions", json=BODY)
        ready = await http.get("/health/ready")
        lock.execute("ROLLBACK")
        lock.close()
        url = f"/v1/interactions/{answer.headers['x-tutelage-id']}"
        async with asyncio.timeout(30):
            while (await http.get(url)).status_code == 404:  # noqa: ASYNC110 - it asks the store
                await asyncio.sleep(0.05)
        written = await http.get("/health/ready")
    assert answer.status_code == 200
    assert ready.status_code == 200
    assert ready.json()["records"] == {"waiting": 1, "dropped": 0}
    assert written.json()["records"]["dropped"] == 0
