"""Whole answers over real sockets: what passes, what is tried again, how each failure ends."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
from collections.abc import Callable
from time import perf_counter, time
from typing import Any

import pytest

from policies.types import Answer
from router.testing import (
    Cut,
    ErrorAnswer,
    FakeUpstream,
    Fault,
    GarbageAnswer,
    Hang,
    HtmlAnswer,
    Reset,
    Stall,
)
from router.upstream.client import UpstreamClient
from router.upstream.model import CallError, CallFailed, CallRejected, CallTimedOut, UpstreamTarget

MakeTarget = Callable[..., UpstreamTarget]
BODY: dict[str, Any] = {
    "model": "auto",
    "messages": [{"role": "user", "content": "grüß 😀"}],
    "x_vendor": {"keep": [1, None]},
}
SECRET = "sk-very-secret-key"


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


async def test_the_answer_passes_untouched(client: UpstreamClient, make_target: MakeTarget) -> None:
    extra = {"system_fingerprint": "fp", "x_note": "naïve"}
    async with FakeUpstream(Answer(content="größer"), extra=extra) as up:
        reply = await client.complete(make_target(up), BODY)
        assert reply.raw == up.sent[0]
    assert reply.payload == json.loads(reply.raw)
    assert reply.payload["choices"][0]["message"]["content"] == "größer"
    assert reply.payload["x_note"] == "naïve"
    assert reply.status == 200


async def test_the_request_passes_with_only_the_model_replaced(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    before = json.dumps(BODY)
    async with FakeUpstream() as up:
        await client.complete(make_target(up, api_key=SECRET), BODY)
        await client.complete(make_target(up.base_url + "/"), BODY)
        first, second = up.requests
    assert first.body == {**BODY, "model": "big-70b"}
    assert first.path == second.path == "/v1/chat/completions"
    assert first.headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in second.headers
    assert first.headers["content-type"] == first.headers["accept"] == "application/json"
    assert first.headers["accept-encoding"] == "identity"  # a compressed stream would come in gulps
    assert json.dumps(BODY) == before


async def test_a_body_that_asks_for_a_stream_is_asked_without(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    body = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    async with FakeUpstream("whole") as up:
        reply = await client.complete(make_target(up), body)
        assert up.requests[0].body == {**BODY, "model": "big-70b", "stream": False}
    assert reply.payload["choices"][0]["message"]["content"] == "whole"


async def test_the_attempt_is_logged(client: UpstreamClient, make_target: MakeTarget) -> None:
    async with FakeUpstream(latency_s=0.05) as up:
        [attempt] = (await client.complete(make_target(up), BODY)).attempts
    assert attempt.first_byte_ms is not None
    assert 50 <= attempt.first_byte_ms <= attempt.latency_ms < 1000
    assert (attempt.status, attempt.error) == (200, None)
    assert 0 <= time() - attempt.started_at < 5


async def test_connections_are_kept(client: UpstreamClient, make_target: MakeTarget) -> None:
    async with FakeUpstream() as up:
        for _ in range(3):
            await client.complete(make_target(up), BODY)
        assert up.connections == 1


async def test_cookies_are_not_kept(client: UpstreamClient, make_target: MakeTarget) -> None:
    fault = ErrorAnswer(status=503, headers={"set-cookie": "who=somebody"})
    async with FakeUpstream(faults=[fault]) as up:
        by_name = up.base_url.replace("127.0.0.1", "localhost")
        await client.complete(make_target(by_name), BODY)
        assert [request.headers.get("cookie") for request in up.requests] == [None, None]


# tries


async def test_errors_that_may_pass_are_tried_again(
    client: UpstreamClient, make_target: MakeTarget, waits: list[float]
) -> None:
    faults: list[Fault | None] = [
        ErrorAnswer(status=429, headers={"retry-after": "2"}),
        Reset(),
    ]
    async with FakeUpstream("third", faults=faults) as up:
        reply = await client.complete(make_target(up), BODY)
    assert reply.payload["choices"][0]["message"]["content"] == "third"
    assert [(a.status, a.error) for a in reply.attempts[::2]] == [
        (429, "answered 429"),
        (200, None),
    ]
    reset = reply.attempts[1]
    assert reset.status is None
    assert reset.error is not None
    assert 2 <= waits[0] <= 2.5
    assert 0 <= waits[1] <= 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_the_last_error_is_the_upstreams_own(
    client: UpstreamClient, make_target: MakeTarget, status: int
) -> None:
    body = b'{"error": {"message": "mine"}}'
    async with FakeUpstream(always=ErrorAnswer(status=status, body=body)) as up:
        with pytest.raises(CallRejected) as caught:
            await client.complete(make_target(up, retries=2), BODY)
        assert len(up.requests) == 3
    assert (caught.value.status, caught.value.body()) == (status, body)
    assert [attempt.status for attempt in caught.value.attempts] == [status] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_errors_that_stay_are_passed_on_at_once(
    client: UpstreamClient, make_target: MakeTarget, status: int, waits: list[float]
) -> None:
    async with FakeUpstream(always=ErrorAnswer(status=status)) as up:
        with pytest.raises(CallRejected) as caught:
            await client.complete(make_target(up), BODY)
        assert len(up.requests) == 1
    assert caught.value.status == status
    assert waits == []


async def test_an_upstream_that_asks_for_no_further_try_gets_none(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    fault = ErrorAnswer(status=503, headers={"x-should-retry": "false"})
    async with FakeUpstream(always=fault) as up:
        with pytest.raises(CallRejected) as caught:
            await client.complete(make_target(up), BODY)
        assert len(up.requests) == 1
    assert caught.value.headers["x-should-retry"] == "false"


async def test_a_wait_beyond_the_deadline_is_not_begun(
    client: UpstreamClient, make_target: MakeTarget, waits: list[float]
) -> None:
    fault = ErrorAnswer(status=429, headers={"retry-after": "60"})
    async with FakeUpstream(always=fault) as up:
        with pytest.raises(CallRejected) as caught:
            await client.complete(make_target(up, total_timeout_s=5), BODY)
        assert len(up.requests) == 1
    assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "60")
    assert waits == []


async def test_without_retries_there_is_one_try(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream(always=ErrorAnswer(status=503)) as up:
        with pytest.raises(CallRejected):
            await client.complete(make_target(up, retries=0), BODY)
        assert len(up.requests) == 1


# unreachable and silent


async def test_an_upstream_that_is_not_there(
    client: UpstreamClient, make_target: MakeTarget, waits: list[float]
) -> None:
    with pytest.raises(CallFailed, match="connection refused") as caught:
        await client.complete(make_target(unused_url()), BODY)
    assert caught.value.status == 502
    assert len(caught.value.attempts) == 3
    assert len(waits) == 2
    assert "127.0.0.1" not in caught.value.message


async def test_an_address_that_is_none(client: UpstreamClient, make_target: MakeTarget) -> None:
    with pytest.raises(CallFailed):
        await client.complete(make_target("nonsense"), BODY)


async def test_tls_where_there_is_none(client: UpstreamClient, make_target: MakeTarget) -> None:
    async with FakeUpstream() as up:
        with pytest.raises(CallFailed, match="TLS") as caught:
            await client.complete(make_target(up.base_url.replace("http:", "https:")), BODY)
    assert len(caught.value.attempts) == 1


async def test_a_server_that_speaks_something_else(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CallFailed) as caught:
            await client.complete(make_target(f"http://127.0.0.1:{port}/v1", api_key=SECRET), BODY)
    assert SECRET not in repr(caught.value)


async def test_a_connection_that_is_never_accepted_is_tried_again(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    with socket.socket() as full:  # a backlog of one, filled: further connections hang
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        target = make_target(f"http://127.0.0.1:{address[1]}/v1", connect_timeout_s=0.1, retries=1)
        with pytest.raises(CallTimedOut, match=r"no connection within 0\.1 s") as caught:
            await client.complete(target, BODY)
        for filler in fillers:
            filler.close()
    assert caught.value.status == 504
    assert len(caught.value.attempts) == 2


@pytest.mark.parametrize("fault", [Hang(), Hang(after_headers=True), Stall()])
async def test_a_silent_upstream_is_a_504_and_not_asked_again(
    client: UpstreamClient, make_target: MakeTarget, fault: Fault
) -> None:
    async with FakeUpstream(always=fault) as up:
        begin = perf_counter()
        with pytest.raises(CallTimedOut, match=r"silent for 0\.15 s") as caught:
            await client.complete(make_target(up, first_byte_timeout_s=0.15), BODY)
        assert 0.1 < perf_counter() - begin < 1
        assert len(up.requests) == 1
        await up.wait_for_disconnect()
    assert caught.value.status == 504
    assert [attempt.error for attempt in caught.value.attempts] == ["silent for 0.15 s"]


class NoJitter(random.Random):
    def random(self) -> float:
        return 0.0


async def test_one_deadline_spans_all_tries(make_target: MakeTarget) -> None:
    faults: list[Fault | None] = [ErrorAnswer(status=500), ErrorAnswer(status=500), Hang()]
    async with (
        FakeUpstream(latency_s=0.2, faults=faults) as up,
        UpstreamClient(rng=NoJitter()) as client,
    ):
        begin = perf_counter()
        target = make_target(up, total_timeout_s=1.0, first_byte_timeout_s=0.9, retries=5)
        with pytest.raises(CallTimedOut, match="no complete answer within 1 s") as caught:
            await client.complete(target, BODY)
        assert 0.9 < perf_counter() - begin < 1.3
    assert [attempt.status for attempt in caught.value.attempts] == [500, 500, None]


async def test_the_time_of_earlier_tries_counts(
    client: UpstreamClient, make_target: MakeTarget, waits: list[float]
) -> None:
    fault = ErrorAnswer(status=503, headers={"retry-after-ms": "400"})
    async with FakeUpstream(latency_s=0.7, always=fault) as up:
        with pytest.raises(CallRejected):
            await client.complete(make_target(up, total_timeout_s=1.0), BODY)
        assert len(up.requests) == 1
    assert waits == []


# answers that are none


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (HtmlAnswer(), "not JSON"),
        (GarbageAnswer(), "not JSON"),
        (GarbageAnswer(text="{}"), "no choices"),
        (GarbageAnswer(text='{"error": {"message": "overloaded"}}'), "overloaded"),
        (Cut(), "closed before its end"),
        (Reset(after_headers=True), "broke off"),
        (HtmlAnswer(status=404), "404"),
        (ErrorAnswer(status=302, headers={"location": "http://127.0.0.1:1/"}), "302"),
        (ErrorAnswer(status=204, body=b""), "not JSON"),
    ],
)
async def test_an_answer_that_is_no_completion_is_a_502_and_not_asked_for_again(
    client: UpstreamClient, make_target: MakeTarget, fault: Fault, said: str
) -> None:
    async with FakeUpstream(always=fault) as up:
        with pytest.raises(CallFailed, match=said) as caught:
            await client.complete(make_target(up), BODY)
        assert len(up.requests) == 1
    assert caught.value.status == 502
    assert "Welcome" not in caught.value.message
    assert len(caught.value.attempts) == 1


async def test_an_html_page_for_a_503_is_tried_again_and_then_a_502(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream(always=HtmlAnswer(status=503)) as up:
        with pytest.raises(CallFailed, match="503"):
            await client.complete(make_target(up), BODY)
        assert len(up.requests) == 3


async def test_an_endless_answer_is_not_read_to_its_end(
    client: UpstreamClient, make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.upstream.client.MAX_ANSWER_BYTES", 1000)
    async with FakeUpstream("x" * 5000) as up:
        with pytest.raises(CallFailed, match="more than 1000 bytes"):
            await client.complete(make_target(up), BODY)


# secrets and cancellation


@pytest.mark.parametrize(
    "fault", [None, HtmlAnswer(), HtmlAnswer(status=500), GarbageAnswer(), Reset(), Hang(), Cut()]
)
async def test_the_key_is_in_no_error_and_no_log(
    make_target: MakeTarget, caplog: pytest.LogCaptureFixture, fault: Fault | None
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong_key = None if fault is not None else "another-key"  # makes the fake quote what it got
    async with FakeUpstream(always=fault, api_key=wrong_key) as up, UpstreamClient() as client:
        target = make_target(up, api_key=SECRET, first_byte_timeout_s=0.1, retries=0)
        with pytest.raises(CallError) as caught:
            await client.complete(target, BODY)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__
    assert SECRET.encode() not in caught.value.body()
    assert SECRET not in caplog.text


async def test_cancelling_closes_the_connection(
    client: UpstreamClient, make_target: MakeTarget
) -> None:
    async with FakeUpstream(always=Hang()) as up:
        task = asyncio.create_task(client.complete(make_target(up), BODY))
        await up.wait_for_request()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await up.wait_for_disconnect(timeout_s=0.5)
    assert up.disconnects == 1


async def test_a_client_that_was_not_started_says_so(make_target: MakeTarget) -> None:
    with pytest.raises(RuntimeError, match="start"):
        await UpstreamClient().complete(make_target("http://127.0.0.1:1/v1"), BODY)
