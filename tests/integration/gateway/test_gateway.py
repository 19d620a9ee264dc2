"""The gateway as its users meet it: the official client, real servers on both sides."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn
import yaml

from router.app import create_app
from router.record.store import Store
from router.settings.load import load_settings
from router.testing import ErrorAnswer, FakeUpstream, HtmlAnswer

SECRETS = {"SHOP_KEY": "sk-shop-secret", "BANK_KEY": "sk-bank-secret"}
MESSAGES: list[Any] = [{"role": "user", "content": "Where is my card?"}]


@asynccontextmanager
async def gateway(folder: Path, upstream: str, **more: Any) -> AsyncIterator[str]:
    document = {
        "store": {"url": f"sqlite:///{folder}/t.db"},
        "models": {
            "teacher": {
                "upstream": upstream,
                "model": "big-70b",
                "aliases": ["shop-model"],
                "retries": 0,
                "price": {"input": 2.5, "output": 10},
            }
        },
        **more,
    }
    config = folder / "tutelage.yaml"
    config.write_text(yaml.safe_dump(document))
    settings = load_settings(config, SECRETS)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = create_app(settings, Store.open(settings.store.url))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def client(base: str, key: str = "none") -> openai.AsyncOpenAI:
    # A busy machine may take longer to connect than the five seconds that the client gives itself.
    return openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=60.0)


async def test_answer_equals_the_upstreams(tmp_path: Path) -> None:
    async with FakeUpstream("card arrival") as up, gateway(tmp_path, up.base_url) as base:
        direct = await client(up.base_url.removesuffix("/v1")).chat.completions.create(
            model="big-70b", messages=MESSAGES
        )
        through = await client(base).chat.completions.create(model="auto", messages=MESSAGES)
    same = {"id", "created"}
    assert through.model_dump(exclude=same) == direct.model_dump(exclude=same)
    assert up.requests[-1].body["model"] == "big-70b"


@pytest.mark.parametrize("usage", [False, True])
async def test_stream_equals_the_upstreams(tmp_path: Path, usage: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}

    async def read(base: str, model: str) -> list[dict[str, Any]]:
        stream = await client(base).chat.completions.create(
            model=model, messages=MESSAGES, stream=True, **options
        )
        skip = {"id", "created", "tutelage"}
        return [chunk.model_dump(exclude=skip, exclude_unset=True) async for chunk in stream]

    async with FakeUpstream("card arrival") as up, gateway(tmp_path, up.base_url) as base:
        direct = await read(up.base_url.removesuffix("/v1"), "big-70b")
        through = await read(base, "shop-model")
    assert through == direct
    assert bool(through[-1].get("usage")) is usage


async def test_headers_record_and_cost(tmp_path: Path) -> None:
    async with FakeUpstream("card arrival") as up, gateway(tmp_path, up.base_url) as base:
        answer = await client(base).chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES
        )
        assert answer.headers["x-tutelage-tier"] == "teacher"
        assert answer.headers["x-tutelage-reason"] == "policy_teacher"
        assert float(answer.headers["x-tutelage-cost-usd"]) == pytest.approx(60e-6)
        url = f"{base}/v1/interactions/{answer.headers['x-tutelage-id']}"
        async with httpx.AsyncClient() as http:
            for _ in range(1000):
                found = await http.get(url)
                if found.status_code == 200:
                    break
                await asyncio.sleep(0.02)
            metrics = (await http.get(f"{base}/metrics")).text
    assert float(found.json()["cost_usd"]) == pytest.approx(60e-6)
    assert found.json()["trace"][0]["reason"] == "policy_teacher"
    assert "tutelage_interactions_total{" in metrics


async def test_errors_speak_openais_shape(tmp_path: Path) -> None:
    faults = [HtmlAnswer(), ErrorAnswer(status=429, headers={"retry-after": "7"})]
    limits = {"server": {"max_body_bytes": 2000}}
    async with (
        FakeUpstream("x", faults=faults) as up,
        gateway(tmp_path, up.base_url, **limits) as b,
    ):
        with pytest.raises(openai.InternalServerError) as html:
            await client(b).chat.completions.create(model="auto", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as limited:
            await client(b).chat.completions.create(model="auto", messages=MESSAGES)
        with pytest.raises(openai.NotFoundError) as unknown:
            await client(b).chat.completions.create(model="gpt-9", messages=MESSAGES)
        async with httpx.AsyncClient(base_url=b) as http:
            malformed = await http.post("/v1/chat/completions", content=b"{")
            large = await http.post("/v1/chat/completions", content=b" " * 3000)
            lost = await http.get("/v2/nothing")
    assert html.value.status_code == 502
    assert limited.value.response.headers["retry-after"] == "7"
    assert unknown.value.code == "model_not_found"
    assert [malformed.status_code, large.status_code, lost.status_code] == [400, 413, 404]
    for answer in (malformed, large, lost):
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_unreachable_upstream_is_502_and_recorded(tmp_path: Path) -> None:
    async with gateway(tmp_path, "http://127.0.0.1:9/v1") as base:
        with pytest.raises(openai.InternalServerError) as failed:
            await client(base).chat.completions.create(model="auto", messages=MESSAGES)
        assert failed.value.status_code == 502
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    assert [row.status for row in store.latest(5)] == ["error"]
    store.close()


async def test_keys_are_asked_for(tmp_path: Path) -> None:
    keys = {"keys": [{"name": "shop", "key_env": "SHOP_KEY", "train_on": True}]}
    async with FakeUpstream("x") as up, gateway(tmp_path, up.base_url, **keys) as base:
        with pytest.raises(openai.AuthenticationError):
            await client(base, "sk-wrong").chat.completions.create(model="auto", messages=MESSAGES)
        models = await client(base, "sk-shop-secret").models.list()
        async with httpx.AsyncClient(base_url=base) as http:
            assert (await http.get("/health/ready")).status_code == 200
            assert (await http.get("/metrics")).status_code == 401
    assert [model.id for model in models.data] == ["auto", "teacher", "shop-model"]


async def test_a_slow_stream_is_no_overhead(tmp_path: Path) -> None:
    async with (
        FakeUpstream("card arrival", chunk_delay_s=0.1) as up,
        gateway(tmp_path, up.base_url) as base,
    ):
        stream = await client(base).chat.completions.create(
            model="auto", messages=MESSAGES, stream=True
        )
        assert [chunk async for chunk in stream]
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    row = store.latest(1)[0]
    store.close()
    assert row.latency_ms > 200
    assert row.overhead_ms < row.latency_ms / 2


async def test_the_time_to_the_first_token_is_kept(tmp_path: Path) -> None:
    async with (
        FakeUpstream("card arrival today", chunk_delay_s=0.1) as up,
        gateway(tmp_path, up.base_url) as base,
    ):
        chat = client(base).chat.completions
        stream = await chat.create(model="auto", messages=MESSAGES, stream=True)
        assert [chunk async for chunk in stream]
        await chat.create(model="auto", messages=MESSAGES)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    whole, streamed = sorted(store.latest(2), key=lambda row: row.stream)
    store.close()
    assert whole.first_token_ms is None
    assert streamed.first_token_ms is not None
    # The first chunk opens the message with an empty text: the first word comes later.
    assert 90 < streamed.first_token_ms < streamed.latency_ms - 90
