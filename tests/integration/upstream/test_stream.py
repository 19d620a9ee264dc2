"""Streams over real sockets: what counts as whole, as broken, and as not begun."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest

from policies.types import Answer, ToolCall
from router.testing import (
    DEFAULT_USAGE,
    Cut,
    ErrorAnswer,
    FakeUpstream,
    Fault,
    GarbageAnswer,
    Hang,
    HtmlAnswer,
    MissingDone,
    Reset,
    Stall,
)
from router.upstream.client import UpstreamClient
from router.upstream.model import (
    CallFailed,
    CallRejected,
    CallTimedOut,
    StreamBroken,
    UpstreamTarget,
)

MakeTarget = Callable[..., UpstreamTarget]
BODY: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
TEXT = "The parcel is on its way."
TOOLS = Answer(
    content=None,
    tool_calls=(
        ToolCall(name="find", arguments='{"id": 4, "deep": [1, 2]}', id="a"),
        ToolCall(name="mail", arguments="{}", id="b"),
    ),
    finish_reason="tool_calls",
)


async def test_a_whole_stream(client: UpstreamClient, make_target: MakeTarget) -> None:
    async with FakeUpstream(TEXT, extra={"system_fingerprint": "fp"}) as up:
        async with await client.open_stream(make_target(up), BODY) as reply:
            chunks = [chunk async for _, chunk in reply.events()]
        assert up.disconnects == 0
    assert reply.done_seen
    assert reply.assembled.answer == Answer(content=TEXT, finish_reason="stop")
    assert reply.assembled.usage == DEFAULT_USAGE
    assert reply.assembled.model == "big-70b"
    assert reply.assembled.chunks == len(chunks) >= 8
    assert reply.status == 200
    assert all(chunk["system_fingerprint"] == "fp" for chunk in chunks)


async def test_events_come_with_their_bytes(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with (
        FakeUpstream(TEXT) as up,
        await client.open_stream(make_target(up), BODY) as reply,
    ):
        async for raw, chunk in reply.events():
            assert raw.startswith(b"data: {")
            assert raw.endswith(b"}\n\n")
            assert json.loads(raw.removeprefix(b"data: ")) == chunk


async def test_usage_is_always_asked_for(client: UpstreamClient, make_target: MakeTarget) -> None:
    bodies = [BODY, {**BODY, "stream_options": {"include_usage": False, "x": 1}}]
    before = json.dumps(bodies)
    async with FakeUpstream(TEXT) as up:
        for body in bodies:
            async with await client.open_stream(make_target(up), body) as reply:
                assert [chunk async for _, chunk in reply.events()]
        first, second = (request.body for request in up.requests)
    assert first == {
        **BODY,
        "model": "big-70b",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert second["stream_options"] == {"include_usage": True, "x": 1}
    assert json.dumps(bodies) == before


async def test_tool_calls_assemble(client: UpstreamClient, make_target: MakeTarget) -> None:
    async with (
        FakeUpstream(TOOLS) as up,
        await client.open_stream(make_target(up), BODY) as reply,
    ):
        assert [chunk async for _, chunk in reply.events()]
    assert reply.assembled.answer == TOOLS


async def test_several_choices_must_all_finish(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream("ok", usage=None, faults=[None, Cut(after_chunks=5, clean=True)]) as up:
        async with await client.open_stream(make_target(up), {**BODY, "n": 2}) as reply:
            chunks = [chunk async for _, chunk in reply.events()]
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == ["stop", "stop"]
        async with await client.open_stream(make_target(up), {**BODY, "n": 2}) as reply:
            with pytest.raises(StreamBroken, match="finish reason"):
                assert [chunk async for _, chunk in reply.events()]


async def test_the_first_chunk_is_at_hand_before_the_rest(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream(TEXT, chunk_delay_s=0.05) as up:
        begin = perf_counter()
        async with await client.open_stream(make_target(up), BODY) as reply:
            opened_s = perf_counter() - begin
            [attempt] = reply.attempts
            assert attempt.first_byte_ms is not None
            assert attempt.first_byte_ms / 1000 <= opened_s
            assert [chunk async for _, chunk in reply.events()]
        assert perf_counter() - begin > opened_s + 0.2
    [attempt] = reply.attempts
    assert attempt.latency_ms > 200
    assert (attempt.status, attempt.error) == (200, None)


async def test_connections_are_kept_after_streams(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream(TEXT) as up:
        for _ in range(3):
            async with await client.open_stream(make_target(up), BODY) as reply:
                assert [chunk async for _, chunk in reply.events()]
        assert up.connections == 1


async def test_what_lacks_only_done_is_whole(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    # role, six words, finish, usage: the ninth event is the usage, the tenth would be [DONE]
    faults: list[Fault | None] = [
        MissingDone(),
        Cut(after_chunks=9),
        Cut(after_chunks=8),
        Reset(after_headers=True, after_chunks=9),
        Stall(after_chunks=9),
    ]
    async with FakeUpstream(TEXT, faults=faults) as up:
        for fault in list(faults):
            target = make_target(up, first_byte_timeout_s=0.2)
            async with await client.open_stream(target, BODY) as reply:
                assert [chunk async for _, chunk in reply.events()]
            assert reply.assembled.answer == Answer(content=TEXT, finish_reason="stop"), fault
            assert not reply.done_seen
            assert reply.attempts[-1].error is None


@pytest.mark.parametrize(
    ("fault", "intact", "said"),
    [
        (Cut(after_chunks=3), 3, "closed"),
        (Cut(after_chunks=3, clean=True), 3, "without a finish reason"),
        (Reset(after_headers=True, after_chunks=3), 3, "reset|closed"),
        (Stall(after_chunks=3), 3, "silent for 0.2 s"),
        (GarbageAnswer(after_chunks=3), 3, "not a JSON object"),
        (GarbageAnswer(after_chunks=8), 8, "not a JSON object"),
        (GarbageAnswer(after_chunks=3, text="[1]"), 3, "not a JSON object"),
        (GarbageAnswer(after_chunks=3, text='{"error": {"message": "oom"}}'), 3, "oom"),
        (GarbageAnswer(after_chunks=3, text="x" * 1_100_000), 3, "too long"),
    ],
)
async def test_a_stream_that_breaks_after_its_first_chunk(
    client: UpstreamClient, make_target: MakeTarget, fault: Fault, intact: int, said: str
) -> None:
    async with FakeUpstream(TEXT, always=fault) as up:
        target = make_target(up, first_byte_timeout_s=0.2)
        async with await client.open_stream(target, BODY) as reply:
            events = reply.events()
            received = [await anext(events) for _ in range(intact)]
            with pytest.raises(StreamBroken, match=said) as caught:
                await anext(events)
        assert len(up.requests) == 1
    assert len(received) == reply.assembled.chunks == intact
    assert not reply.done_seen
    assert reply.attempts[-1].error == caught.value.reason
    assert caught.value.__context__ is None


async def test_the_total_limit_ends_a_stream_that_never_does(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream("word " * 1000, chunk_delay_s=0.02) as up:
        begin = perf_counter()
        async with await client.open_stream(make_target(up, total_timeout_s=0.3), BODY) as reply:
            with pytest.raises(StreamBroken, match=r"within 0\.3 s"):
                assert [chunk async for _, chunk in reply.events()]
        assert perf_counter() - begin < 1
        await up.wait_for_disconnect()


# failures before the first chunk


@pytest.mark.parametrize(
    "fault",
    [
        ErrorAnswer(status=503),
        HtmlAnswer(status=502),
        Reset(),
        Reset(after_headers=True),
        Cut(after_chunks=0),
        Cut(after_chunks=0, clean=True),
    ],
)
async def test_what_fails_before_the_first_chunk_is_tried_again(
    client: UpstreamClient, make_target: MakeTarget, fault: Fault
) -> None:
    async with FakeUpstream(TEXT, faults=[fault]) as up:
        async with await client.open_stream(make_target(up), BODY) as reply:
            assert [chunk async for _, chunk in reply.events()]
        assert len(up.requests) == 2
    assert [attempt.error is None for attempt in reply.attempts] == [False, True]
    assert reply.assembled.answer.content == TEXT


@pytest.mark.parametrize(
    ("fault", "error", "said", "requests"),
    [
        (ErrorAnswer(status=503), CallRejected, "503", 3),
        (ErrorAnswer(status=400), CallRejected, "400", 1),
        (HtmlAnswer(), CallFailed, "text/html instead of a stream", 1),
        (GarbageAnswer(), CallFailed, "not a JSON object", 1),
        (GarbageAnswer(text='{"type": "ping"}'), CallFailed, "something else", 1),
        (GarbageAnswer(text='{"error": {"message": "oom"}}'), CallFailed, "oom", 1),
        (GarbageAnswer(text="[DONE]"), CallFailed, "an empty stream", 1),
        (Cut(after_chunks=0), CallFailed, "closed", 3),
        (Hang(), CallTimedOut, "silent for 0.2 s", 1),
        (Hang(after_headers=True), CallTimedOut, "silent for 0.2 s", 1),
        (Stall(after_chunks=0), CallTimedOut, "silent for 0.2 s", 1),
    ],
)
async def test_a_stream_that_does_not_begin(
    client: UpstreamClient,
    make_target: MakeTarget,
    fault: Fault,
    error: type[CallFailed | CallTimedOut | CallRejected],
    said: str,
    requests: int,
) -> None:
    async with FakeUpstream(TEXT, always=fault) as up:
        with pytest.raises(error, match=said) as caught:
            await client.open_stream(make_target(up, first_byte_timeout_s=0.2), BODY)
        assert len(up.requests) == requests
    assert len(caught.value.attempts) == requests


async def test_a_whole_answer_in_place_of_a_stream_is_refused(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    fault = ErrorAnswer(status=200, body=b'{"choices": [{"message": {}}]}')
    async with FakeUpstream(always=fault) as up:
        with pytest.raises(CallFailed, match="application/json instead of a stream"):
            await client.open_stream(make_target(up), BODY)


# leaving early


async def test_leaving_early_closes_the_connection(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream(TEXT, chunk_delay_s=0.05) as up:
        async with await client.open_stream(make_target(up), BODY) as reply:
            async for _ in reply.events():
                break
        await up.wait_for_disconnect(timeout_s=0.5)
        assert up.disconnects == 1
    assert reply.attempts[-1].error == "left before its end"


async def test_cancelling_while_reading_closes_the_connection(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    got_first = asyncio.Event()

    async def read(up: FakeUpstream) -> None:
        async with await client.open_stream(make_target(up), BODY) as reply:
            async for _ in reply.events():
                got_first.set()

    async with FakeUpstream(TEXT, always=Stall(after_chunks=2)) as up:
        task = asyncio.create_task(read(up))
        await got_first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await up.wait_for_disconnect(timeout_s=0.5)


@pytest.mark.parametrize("fault", [Hang(), Hang(after_headers=True)])
async def test_cancelling_while_opening_closes_the_connection(
    client: UpstreamClient, make_target: MakeTarget, fault: Fault
) -> None:
    async with FakeUpstream(TEXT, always=fault) as up:
        task = asyncio.create_task(client.open_stream(make_target(up), BODY))
        await up.wait_for_request()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await up.wait_for_disconnect(timeout_s=0.5)
