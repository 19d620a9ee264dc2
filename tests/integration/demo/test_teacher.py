"""The stand-in teacher as a server, and the traffic that the demo sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from distill.demo.shop import read_shop
from distill.demo.teacher import StandInTeacher, usage_of
from distill.demo.traffic import Pace, Received, send_all
from distill.streams import StreamRow
from policies.types import Answer, ToolCall
from router.errors import TutelageError
from router.testing import ErrorAnswer, FakeUpstream, HtmlAnswer, Reset
from tests.integration.gateway.test_gateway import client, gateway

ROWS = read_shop(20)
FAST = Pace(rate=1000.0, concurrency=4)


@asynccontextmanager
async def teaching(rows: Sequence[StreamRow]) -> AsyncIterator[str]:
    runner = web.AppRunner(StandInTeacher(rows, scale=0.001).app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def send(base: str, rows: Sequence[StreamRow], **more: Any) -> list[Received]:
    usual: dict[str, Any] = {
        "named": (),
        "pace": FAST,
        "is_slow": lambda: False,
        "tell": lambda one: None,
    }
    return await send_all(base, rows, **(usual | more))


async def test_answers_and_usage_are_the_recorded_ones() -> None:
    async with teaching(ROWS) as base:
        for row in ROWS[:3]:
            answer = await client(base).chat.completions.create(
                model="big", messages=row.body["messages"], temperature=0
            )
            assert answer.choices[0].message.content == row.teacher.answer.content
            assert answer.usage is not None
            assert row.teacher.usage is not None
            assert answer.usage.prompt_tokens == row.teacher.usage.prompt_tokens
            assert answer.usage.completion_tokens == row.teacher.usage.completion_tokens


async def test_a_stream_adds_up_to_the_same() -> None:
    row = next(row for row in ROWS if " " in (row.teacher.answer.content or ""))
    async with teaching(ROWS) as base:
        stream = await client(base).chat.completions.create(
            model="big",
            messages=row.body["messages"],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    said = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(said) > 1
    assert "".join(said) == row.teacher.answer.content
    assert chunks[-1].usage is not None


async def test_what_was_not_recorded_is_refused() -> None:
    async with teaching(ROWS) as base:
        with pytest.raises(openai.NotFoundError, match="holds no answer"):
            await client(base).chat.completions.create(
                model="big", messages=[{"role": "user", "content": "something else"}]
            )
        with pytest.raises(openai.BadRequestError):
            await client(base).post("/chat/completions", cast_to=object, body={"model": "big"})


async def test_tool_calls_are_passed_on() -> None:
    call = ToolCall(name="find", arguments='{"q": "bike"}', id="call_1")
    answer = Answer(content=None, tool_calls=(call,))
    row = replace(ROWS[0], teacher=replace(ROWS[0].teacher, answer=answer, usage=None))
    async with teaching([row]) as base:
        received = await send(base, [row])
    assert received[0].answer is not None
    assert received[0].answer.tool_calls == (call,)


def test_unrecorded_usage_is_estimated_from_characters() -> None:
    row = replace(ROWS[0], teacher=replace(ROWS[0].teacher, usage=None))
    chars = sum(len(message["content"]) for message in row.body["messages"])
    usage = usage_of(row)
    assert usage.prompt_tokens == chars // 4
    assert usage.completion_tokens == max(1, len(row.teacher.answer.content or "") // 4)
    assert usage_of(ROWS[0]) is ROWS[0].teacher.usage


async def test_all_traffic_comes_back_in_order_through_a_gateway(tmp_path: Path) -> None:
    async with teaching(ROWS) as up, gateway(tmp_path, f"{up}/v1") as base:
        told: list[Received] = []
        received = await send(base, ROWS, tell=told.append)
    assert [one.i for one in received] == list(range(len(ROWS)))
    assert sorted(one.i for one in told) == list(range(len(ROWS)))
    assert [one.streamed for one in received] == [n % 10 == 9 for n in range(len(ROWS))]
    for one, row in zip(received, ROWS, strict=True):
        assert one.error is None
        assert one.answer is not None
        assert one.answer.content == row.teacher.answer.content
        assert (one.id or "").startswith("int_")
        assert one.tier == "teacher"
        assert one.cost_usd is not None
    assert len({one.id for one in received}) == len(ROWS)


@pytest.mark.parametrize("fault", [ErrorAnswer(status=500), HtmlAnswer(), Reset()])
async def test_a_failure_is_part_of_what_came_back(fault: Any) -> None:
    async with FakeUpstream("x", faults=[fault]) as up:
        received = await send(
            up.base_url.removesuffix("/v1"), ROWS[:2], pace=Pace(rate=1000.0, concurrency=1)
        )
    assert received[0].error
    assert received[0].answer is None
    assert received[1].error is None


async def test_what_tell_raises_ends_the_traffic() -> None:
    def stop(one: Received) -> None:
        raise TutelageError("The gateway ended.")

    async with teaching(ROWS) as base:
        with pytest.raises(TutelageError, match=r"^The gateway ended\.$"):
            await send(base, ROWS, tell=stop)


def test_a_slow_pace_is_a_tenth() -> None:
    pace = Pace(rate=20.0, concurrency=8)
    assert pace.interval_s(slow=False) == pytest.approx(0.05)
    assert pace.interval_s(slow=True) == pytest.approx(0.5)
