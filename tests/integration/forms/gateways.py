"""A gateway in front of upstreams of both dialects, and the official clients that speak to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai

from policies.types import Answer, ToolCall
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import gateway

TURNS: list[Any] = [{"role": "user", "content": "Where is my card?"}]
CALLS = Answer(
    content="Let me look",
    tool_calls=(
        ToolCall(id="call_1", name="find", arguments='{"what": "card", "where": "post"}'),
        ToolCall(id="call_2", name="find", arguments='{"what": "letter"}'),
    ),
    finish_reason="tool_calls",
)
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60},
}


@dataclass(frozen=True, kw_only=True)
class Served:
    """``base``: the gateway's address without ``/v1``."""

    base: str
    up: FakeUpstream
    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic
    http: httpx.AsyncClient


@asynccontextmanager
async def serve(folder: Path, up: FakeUpstream, **more: Any) -> AsyncIterator[Served]:
    """The gateway with one upstream, which speaks OpenAI's dialect as model ``teacher``, known as
    ``auto``, and Anthropic's as ``claude``."""
    common = {"upstream": up.base_url, "retries": 0, "api_key_env": "SHOP_KEY"}
    price = {"input": 2.5, "cached_input": 1, "output": 10}
    models = {
        "teacher": {**common, "model": "big-70b", "price": price},
        "claude": {
            **common,
            **{"model": "claude-big", "price": price, "dialect": "anthropic"},
            "aliases": ["claude-alias"],
        },
    }
    async with (
        gateway(folder, up.base_url, **{"models": models, **more}) as base,
        openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as one,
        anthropic.AsyncAnthropic(base_url=base, api_key="none", max_retries=0) as other,
        httpx.AsyncClient(base_url=f"{base}/v1") as http,
    ):
        yield Served(base=base, up=up, openai=one, anthropic=other, http=http)
